#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Stands in for the coverage tools that Bazel 4 downloads (gcc only).

As @remote_coverage_tools//:lcov_merger it turns what gcov wrote for one test
into an lcov file; as :coverage_report_generator it merges those of all tests.
Lines and functions are counted, branches are not.
"""

import argparse
import collections
import gzip
import json
import pathlib
import re


class Report:
    """Execution counts by file, and then by line or by (line, function)."""

    def __init__(self):
        self.lines = collections.defaultdict(collections.Counter)
        self.functions = collections.defaultdict(collections.Counter)

    def add_gcov(self, path, wanted):
        with gzip.open(path, "rt", encoding="utf-8") as stream:
            data = json.load(stream)
        for source in data["files"]:
            name = source["file"]
            if name.startswith("/proc/self/cwd/"):
                name = name[len("/proc/self/cwd/"):]
            if not wanted(name):
                continue
            for line in source["lines"]:
                self.lines[name][line["line_number"]] += line["count"]
            for function in source["functions"]:
                key = (function["start_line"], function["name"])
                self.functions[name][key] += function["execution_count"]

    def add_lcov(self, path):
        name, starts = None, {}
        for record in path.read_text(encoding="utf-8").splitlines():
            tag, _, value = record.partition(":")
            if tag == "SF":
                name, starts = value, {}
            elif tag == "FN":
                line, function = value.split(",", 1)
                starts[function] = int(line)
            elif tag == "FNDA":
                count, function = value.split(",", 1)
                self.functions[name][(starts.get(function, 0), function)] += int(count)
            elif tag == "DA":
                line, count = value.split(",")[:2]
                self.lines[name][int(line)] += int(count)

    def lcov(self):
        for name in sorted(self.lines):
            functions = sorted(self.functions[name].items())
            lines = sorted(self.lines[name].items())
            yield f"SF:{name}"
            yield from (f"FN:{line},{function}" for (line, function), _ in functions)
            yield from (f"FNDA:{count},{function}" for (_, function), count in functions)
            yield f"FNF:{len(functions)}"
            yield f"FNH:{sum(1 for _, count in functions if count)}"
            yield from (f"DA:{line},{count}" for line, count in lines)
            yield f"LH:{sum(1 for _, count in lines if count)}"
            yield f"LF:{len(lines)}"
            yield "end_of_record"


def make_filter(options):
    manifest = None
    if options.source_file_manifest:
        text = pathlib.Path(options.source_file_manifest).read_text(encoding="utf-8")
        manifest = set(text.split())
    unwanted = [re.compile(pattern) for pattern in options.filter_sources]

    def wanted(name):
        listed = manifest is None or name in manifest
        return listed and not any(pattern.fullmatch(name) for pattern in unwanted)

    return wanted


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--coverage_dir", type=pathlib.Path)
    parser.add_argument("--reports_file", type=pathlib.Path)
    parser.add_argument("--output_file", type=pathlib.Path, required=True)
    parser.add_argument("--source_file_manifest")
    parser.add_argument("--filter_sources", action="append", default=[])
    options, _ = parser.parse_known_args()

    report = Report()
    if options.reports_file:
        for path in options.reports_file.read_text(encoding="utf-8").split():
            report.add_lcov(pathlib.Path(path))
    else:
        wanted = make_filter(options)
        for path in sorted(options.coverage_dir.glob("**/*.gcov.json.gz")):
            report.add_gcov(path, wanted)
    options.output_file.write_text("".join(line + "\n" for line in report.lcov()), "utf-8")


if __name__ == "__main__":
    main()
