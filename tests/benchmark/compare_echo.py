# SPDX-License-Identifier: Apache-2.0
"""The echo rows: servers of their own, on half of the CPUs, and the load that they start on the others."""

import os
import subprocess

_BAZEL_BUILT = {"curg": "echo_curg", "asio": "echo_asio", "floor": "echo_epoll"}


def server_cpus():
    """The CPUs of the servers; the load takes the others."""
    cpus = sorted(os.sched_getaffinity(0))
    return cpus[:max(1, len(cpus) // 2)]


def program(system, root, cache):
    """The path of a system's echo server, built if need be. Raises OSError or subprocess.CalledProcessError."""
    if system in _BAZEL_BUILT:
        return root / "tests/benchmark/echo" / _BAZEL_BUILT[system]
    sources = (root / "tests/benchmark/peers/measure.h").resolve().parent
    quiet = dict(check=True, stdin=subprocess.DEVNULL, capture_output=True)
    cache.mkdir(parents=True, exist_ok=True)
    if system == "go":
        built = cache / "go_echo"
        subprocess.run(["go", "build", "-o", str(built), "."], cwd=sources / "go_echo",
                       env={**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-buildvcs=false"}, **quiet)
        return built
    target = cache / "tokio_echo"
    subprocess.run(["cargo", "build", "--quiet", "--release", "--locked", f"--target-dir={target}",
                    f"--manifest-path={sources / 'tokio_echo/Cargo.toml'}"], **quiet)
    return target / "release/tokio_echo"


def surroundings(root):
    """What subprocess.run needs besides: where the load is, and on which CPUs to start."""
    environment = {**os.environ, "CURG_ECHO_LOAD": str(root / "tests/benchmark/echo/echo_load")}
    return dict(env=environment, preexec_fn=lambda: os.sched_setaffinity(0, server_cpus()))
