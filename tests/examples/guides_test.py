#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the commands of examples/guides/, guide by guide, literally.

Each guide's ```sh blocks are one shell session. Some things differ from a person's:
./bazelw runs what is built already, port 6060 is a free one, services run until
they are killed, and pprof is patient: what is built for tests is slow to look up symbols.
"""

import os
import pathlib
import random
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path.cwd()
GUIDES = pathlib.Path("examples/guides")

# What a reader should see, beyond that no command fails.
EXPECTED = {
    "asio.md": ["echo: HELLO, TASKS", "no answer within 50ms"],
    "slow.md": ["listening on http://127.0.0.1:", "/search", "Login", "flat%"],
    "hangs.md": ['"transfer there"', '"holder"'],
    "labels.md": ["endpoint", "/login", "acme"],
    "read.md": ["phase", "curg: engine"],
    "tests.md": ["test_case", "BM_YieldOneTask", "profile.html is the flame graph"],
}


def free_port():
    """None of those that the kernel gives to whoever asks for any: other tests do, all the time."""
    first = int(pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii").split()[0])
    for port in random.sample(range(min(10000, first - 1000), first), 1000):
        with socket.socket() as listener:
            try:
                listener.bind(("127.0.0.1", port))
                return str(port)
            except OSError:
                continue
    raise AssertionError("no free port")


def script_of(text, port):
    lines = ["set -euo pipefail", "trap 'kill $(jobs -p) 2>/dev/null || true' EXIT"]
    for block in re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        for line in block.replace("6060", port).splitlines():
            line = re.sub(r"(//examples:service --)", rf"\1 --debug_port={port}", line)
            line = re.sub(r" --seconds=\d+ &", " &", line)
            lines.append(line)
            if line.endswith("&"):  # a person waits for "listening on"
                lines.append(f"until curl -sf http://127.0.0.1:{port}/debug/pprof/ >/dev/null; do sleep 0.1; done")
            if "--hang" in line:  # and takes longer to open the page than two requests to get stuck
                tasks = f"curl -s http://127.0.0.1:{port}/debug/pprof/tasks.json | python3 -m json.tool"
                lines.append(f"""until [[ "$({tasks} | grep -A12 '"transfer there"')" == *'"holder"'* ]]; do sleep 0.1; done""")
    return "\n".join(lines) + "\n"


class Guides(unittest.TestCase):
    def run_guide(self, name):
        work = pathlib.Path(tempfile.mkdtemp(dir=os.environ["TEST_TMPDIR"]))
        (work / "bazelw").symlink_to(ROOT / "tests/bazel/fake_bazel.py")
        tools = work / "bin"
        tools.mkdir()
        go = tools / "go"
        go.write_text(f'#!/bin/sh\nshift 2\nexec "{ROOT}/{os.environ["CURG_PPROF"]}" -timeout=60 "$@"\n')
        go.chmod(0o755)
        environment = dict(os.environ, PATH=f"{tools}:{os.environ['PATH']}", FAKE_BAZEL_ROOT=str(ROOT),
                           FAKE_BAZEL_TEST="tests/export/testing/profiled_tests",
                           FAKE_BAZEL_WORK=str(work / "outputs"), PPROF_TMPDIR=str(work), HOME=str(work),
                           CURG_LONG_SLICE_MS="0")
        script = script_of((GUIDES / name).read_text(encoding="utf-8"), free_port())
        result = subprocess.run(["bash", "-x", "-c", script], cwd=work, env=environment, timeout=250,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        output = result.stdout.decode(errors="replace")
        self.assertEqual(result.returncode, 0, output[-6000:])
        for text in EXPECTED[name]:
            self.assertIn(text, output, output[-6000:])
        self.assertNotIn("error:", output.lower(), output[-6000:])

    def test_every_guide_is_run(self):
        with_commands = [path.name for path in GUIDES.glob("*.md")
                         if "```sh\n" in path.read_text(encoding="utf-8")]
        self.assertEqual(sorted(with_commands), sorted(EXPECTED))


for guide in EXPECTED:
    setattr(Guides, f"test_{guide[:-3]}", lambda self, name=guide: self.run_guide(name))

if __name__ == "__main__":
    if not shutil.which("curl"):
        print("SKIPPED: no curl here; apt-get install curl")
        sys.exit(0)
    unittest.main(verbosity=2)
