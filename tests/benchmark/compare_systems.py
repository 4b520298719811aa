# SPDX-License-Identifier: Apache-2.0
"""The systems that are compared: how to build each one's program, where that is possible."""

import hashlib
import os
import pathlib
import shutil
import subprocess


class Skipped(Exception):
    """Why a system cannot be shown on this machine."""


def _tool(name, *places):
    """The path of a program: on the PATH, or in one of the places."""
    for path in (shutil.which(name), *map(os.path.expanduser, places)):
        if path and os.access(path, os.X_OK):
            return path
    raise Skipped(f"there is no {name}")


def _call(command, **options):
    result = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True, check=False, **options)
    if result.returncode:
        lines = result.stdout.strip().splitlines() or ["no output"]
        words = next((line for line in lines if "error" in line), lines[-1])
        raise Skipped(f"{pathlib.Path(command[0]).name} failed: {words.strip()}")
    return result.stdout


def _build_curg(root, _cache):
    program = root / "tests/benchmark/compare_curg"
    return program, _call([str(program), "--workload=version"]).splitlines()[-1]


def _build_go(root, cache):
    go = _tool("go", "/usr/local/go/bin/go", "/usr/lib/go/bin/go")
    program = cache / "go_peer"
    sources = (root / "tests/benchmark/peers/go/go.mod").resolve().parent
    _call([go, "build", "-o", str(program), "."], cwd=sources,
          env={**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-buildvcs=false"})
    return program, _call([str(program), "--workload=version"]).strip()


def _build_tokio(root, cache):
    cargo = _tool("cargo", "~/.cargo/bin/cargo")
    manifest = (root / "tests/benchmark/peers/tokio/Cargo.toml").resolve()
    command = [cargo, "build", "--quiet", "--release", "--locked", f"--manifest-path={manifest}",
               f"--target-dir={cache / 'tokio'}"]
    try:
        _call(command + ["--offline"])
    except Skipped:  # the first time, crates are downloaded
        _call(command)
    lock = manifest.with_name("Cargo.lock").read_text(encoding="utf-8")
    version = lock.split('name = "tokio"\nversion = "', 1)[1].split('"', 1)[0]
    rustc = _call([_tool("rustc", "~/.cargo/bin/rustc"), "--version"]).split()[1]
    return cache / "tokio/release/tokio_peer", f"{version}, rustc {rustc}"


def _build_boost_fiber(root, cache):
    compiler = _tool("g++")
    if not os.path.exists("/usr/include/boost/fiber/all.hpp"):
        raise Skipped("Boost.Fiber is not installed (libboost-fiber1.81-dev)")
    program = cache / "boost_fiber_peer"
    _call([compiler, "-std=c++20", "-O2", "-DNDEBUG", f"-I{root}",
           str(root / "tests/benchmark/peers/boost_fiber/boost_fiber.cc"), "-o", str(program),
           "-lboost_fiber", "-lboost_context", "-lpthread"])
    return program, _call([str(program), "--workload=version"]).strip()


def _build_asio(root, _cache):
    """Only an echo server: C++20 coroutines, one io_context a thread."""
    return root / "tests/benchmark/echo/echo_asio", "Boost 1.81, coroutines, one io_context a thread"


_BUILDERS = {
    "curg": _build_curg,
    "go": _build_go,
    "tokio": _build_tokio,
    "boost_fiber": _build_boost_fiber,
    "asio": _build_asio,
}


def cache_folder():
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return pathlib.Path(cache) / "curg" / "peers"


def build(systems, root, cache, say):
    """Builds each system's program. Returns their paths and versions, and why some are left out."""
    programs, versions, skipped = {}, {}, {}
    # Checkouts differ: what one builds is not replaced while another runs it.
    sources = (root / "tests/benchmark/peers/measure.h").resolve().parent
    cache = cache / hashlib.sha256(str(sources).encode()).hexdigest()[:12]
    cache.mkdir(parents=True, exist_ok=True)
    for system in systems:
        say(f"building {system}")
        try:
            programs[system], versions[system] = _BUILDERS[system](root, cache)
        except Skipped as reason:
            skipped[system] = str(reason)
            say(f"skipping {system}: {reason}")
    return programs, versions, skipped
