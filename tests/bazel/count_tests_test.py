#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The counts that .ci/run ends with, from build events as Bazel writes them."""

import json
import os
import pathlib
import subprocess
import sys
import unittest

CASES = """<testsuites><testsuite name="A">
<testcase name="Passes" status="run" result="completed"/>
<testcase name="Fails" status="run" result="completed"><failure message="x"/></testcase>
<testcase name="Skips" status="run" result="skipped"><skipped message="x"/></testcase>
<testcase name="DISABLED_Sleeps" status="notrun" result="suppressed"/>
</testsuite></testsuites>"""
ONE_PASS = '<testsuites><testsuite><testcase name="A" status="run"/></testsuite></testsuites>'


class CountTests(unittest.TestCase):
    def setUp(self):
        self.directory = pathlib.Path(os.environ["TEST_TMPDIR"])
        self.events = []

    def result(self, label, status, xml=None, **key):
        outputs = []
        if xml is not None:
            path = self.directory / f"{len(self.events)}.xml"
            path.write_text(xml, encoding="utf-8")
            outputs = [{"name": "test.xml", "uri": path.as_uri()}]
        self.events.append({
            "id": {"testResult": {"label": label, **key}},
            "testResult": {"status": status, "testActionOutput": outputs},
        })

    def completed(self, label, **event):
        self.events.append({"id": {"targetCompleted": {"label": label}}, **event})

    def count(self, status, tail=""):
        path = self.directory / "events"
        text = "".join(json.dumps(event) + "\n" for event in self.events) + tail
        path.write_text(text, encoding="utf-8")
        return subprocess.run(
            [sys.executable, ".ci/count_tests.py", str(path), str(status)],
            check=True,
            stdout=subprocess.PIPE,
        ).stdout.decode()

    def test_counts_cases(self):
        self.result("//a", "FAILED", CASES)
        self.assertEqual(self.count(3), "1 passed, 1 failed, 2 skipped\n")

    def test_counts_target_without_cases(self):
        self.result("//a", "PASSED")
        self.result("//b", "FAILED")
        self.assertEqual(self.count(3), "1 passed, 1 failed\n")

    def test_died_after_passing_cases(self):
        self.result("//a", "TIMEOUT", ONE_PASS)
        self.assertEqual(self.count(3), "1 passed, 1 failed\n")

    def test_counts_every_shard(self):
        self.result("//a", "PASSED", ONE_PASS, shard=1)
        self.result("//a", "PASSED", ONE_PASS, shard=2)
        self.assertEqual(self.count(0), "2 passed, 0 failed\n")

    def test_last_attempt_decides(self):
        self.result("//a", "FAILED", CASES, attempt=1)
        self.result("//a", "PASSED", ONE_PASS, attempt=2)
        self.assertEqual(self.count(0), "1 passed, 0 failed\n")

    def test_target_that_does_not_build(self):
        self.completed("//a", completed={"success": True})
        self.result("//a", "PASSED", ONE_PASS)
        self.completed("//b", completed={})
        self.assertEqual(self.count(1), "1 passed, 1 failed\n")

    def test_target_of_another_configuration(self):
        self.completed("//a", aborted={"reason": "SKIPPED"})
        self.assertEqual(self.count(0), "0 passed, 0 failed, 1 skipped\n")

    def test_nothing_was_built(self):
        self.assertEqual(self.count(37), "0 passed, 1 failed\n")

    def test_bazel_was_killed(self):
        self.result("//a", "PASSED", ONE_PASS)
        self.assertEqual(self.count(137, tail='{"id": {"te'), "1 passed, 1 failed\n")


if __name__ == "__main__":
    unittest.main()
