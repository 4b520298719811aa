#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""profile.py: what it makes of the profiles that tests leave, with a stand-in for Bazel."""

import os
import pathlib
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path.cwd()


class ProfileTest(unittest.TestCase):
    def setUp(self):
        self.here = pathlib.Path(tempfile.mkdtemp(dir=os.environ["TEST_TMPDIR"]))

    def profile(self, *arguments, test="tests/export/testing/profiled_tests"):
        environment = dict(os.environ, CURG_BAZEL=str(ROOT / "tests/bazel/fake_bazel.py"),
                           FAKE_BAZEL_ROOT=str(ROOT), FAKE_BAZEL_TEST=test,
                           FAKE_BAZEL_WORK=tempfile.mkdtemp(dir=self.here))
        return subprocess.run([ROOT / "bazel/profile.py", *arguments], cwd=self.here, env=environment,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)

    def pprof(self, *arguments):
        return subprocess.run([ROOT / os.environ["CURG_PPROF"], *arguments], cwd=self.here, check=True,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout

    def test_adds_up_the_profiles_of_all_tests(self):
        result = self.profile("//a:a_test", "//b:b_test")
        self.assertEqual(result.returncode, 0, result.stdout)
        self.assertIn("2 profiles", result.stdout)
        tags = self.pprof("-tags", "profile.pb.gz")
        for text in ["//a:a_test", "//b:b_test", "MainThread", "All/Numbered"]:
            self.assertIn(text, tags)
        page = (self.here / "profile.html").read_text(encoding="utf-8")
        self.assertIn("curg::BurnOnMain", page)
        self.assertIn("Profile of //a:a_test //b:b_test", page)

    def test_names_its_files(self):
        result = self.profile("--output=mine", "//a:a_test")
        self.assertEqual(result.returncode, 0, result.stdout)
        self.assertEqual(sorted(p.name for p in self.here.glob("mine.*")), ["mine.html", "mine.pb.gz"])

    def test_says_why_there_is_none(self):
        result = self.profile("//a:a_test", test="/bin/true")
        self.assertNotEqual(result.returncode, 0)
        self.assertIn("no test left a profile. Are they curg_cc_test", result.stdout)

    def test_fails_as_the_tests_do(self):
        result = self.profile("//a:a_test", test="/bin/false")
        self.assertEqual(result.returncode, 3)

    def test_has_help(self):
        self.assertIn("Usage", self.profile("--help").stdout)
        self.assertEqual(self.profile("--help").returncode, 0)
        self.assertEqual(self.profile().returncode, 1)


if __name__ == "__main__":
    unittest.main(verbosity=2)
