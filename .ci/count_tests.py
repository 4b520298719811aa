#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Counts the tests of a `bazel test` from its build events.

Usage: count_tests.py EVENTS STATUS

Prints "N passed, N failed" (and ", N skipped" if any): GoogleTest's cases
where a target's test.xml tells them apart, the target otherwise. Whatever
failed counts at least once: a target that did not build, a test that died
before it could write its cases, a Bazel that failed for no test's sake.
"""

import collections
import json
import sys
import urllib.parse
import xml.etree.ElementTree


def read_events(path):
    with open(path, encoding="utf-8") as stream:
        for line in stream:
            try:
                yield json.loads(line)
            except json.JSONDecodeError:
                return  # Bazel was killed while writing


def test_xml(result):
    """Returns the root of the result's test.xml, or None."""
    for output in result.get("testActionOutput", []):
        if output["name"] == "test.xml":
            path = urllib.parse.unquote(urllib.parse.urlparse(output["uri"]).path)
            try:
                return xml.etree.ElementTree.parse(path).getroot()
            except (OSError, xml.etree.ElementTree.ParseError):
                return None
    return None


def outcome(case):
    if case.find("failure") is not None or case.find("error") is not None:
        return "failed"
    if case.find("skipped") is not None or case.get("result") == "skipped":
        return "skipped"
    return "skipped" if case.get("status") == "notrun" else "passed"


def count_result(result):
    """Counts one run of one shard of one target."""
    root = test_xml(result)
    cases = root.iter("testcase") if root is not None else []
    counts = collections.Counter(outcome(case) for case in cases)
    passed = result["status"] in ("PASSED", "FLAKY")
    if not passed and not counts["failed"]:
        counts["failed"] += 1
    if passed and not counts:
        counts["passed"] += 1
    return counts


def count(events, status):
    results, skipped, broken = {}, set(), set()
    for event in events:
        name = event.get("id", {})
        if "testResult" in name:
            key = name["testResult"]
            # The last attempt decides, as it does for Bazel.
            results[(key["label"], key.get("run", 1), key.get("shard", 1))] = event["testResult"]
        elif "targetCompleted" in name:
            label = name["targetCompleted"]["label"]
            if event.get("aborted", {}).get("reason") == "SKIPPED":
                skipped.add(label)
            elif not event.get("completed", {}).get("success"):
                broken.add(label)
        elif "pattern" in name and "aborted" in event:
            broken.add("pattern")

    counts = collections.Counter()
    for result in results.values():
        counts += count_result(result)
    tested = {label for label, _, _ in results}
    counts["failed"] += len(broken - tested)
    counts["skipped"] += len(skipped - tested)
    if status and not counts["failed"]:
        counts["failed"] = 1
    return counts


def main():
    counts = count(read_events(sys.argv[1]), int(sys.argv[2]))
    line = f"{counts['passed']} passed, {counts['failed']} failed"
    if counts["skipped"]:
        line += f", {counts['skipped']} skipped"
    print(line)


if __name__ == "__main__":
    main()
