#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs tests with profiles, and puts these together.

Usage: profile.py [--open] [--output=NAME] [BAZEL OPTION...] TARGET...

  ./bazelw profile //tests/...              # in curg itself
  path/to/curg/bazel/profile.py //...       # in a project that uses curg

Runs `bazel test --config=profile` with these options and targets, gathers what every
shard, run and attempt of every curg_cc_test left, and writes here

  NAME.pb.gz   the sum of all CPU profiles, for `go tool pprof NAME.pb.gz`
  NAME.html    the same as a flame graph, which any browser opens; --open opens it

NAME is "profile" unless given. Samples are labelled test_target, test_suite and
test_case. The exit status is that of the tests; those that failed, or took too
long, are in the profile as well. CURG_BAZEL is the Bazel to run instead of `bazel`.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import urllib.parse
import webbrowser
import zipfile


def say(text):
    print(f"profile: {text}", file=sys.stderr)


def read_events(path):
    with open(path, encoding="utf-8") as stream:
        for line in stream:
            try:
                yield json.loads(line)
            except json.JSONDecodeError:
                return  # Bazel was killed while writing


def outputs(events):
    """Yields (label, path) of each archive of undeclared outputs, once."""
    seen = set()
    for event in events:
        for output in event.get("testResult", {}).get("testActionOutput", []):
            path = urllib.parse.unquote(urllib.parse.urlparse(output.get("uri", "")).path)
            if path.endswith("/outputs.zip") and path not in seen:
                seen.add(path)
                yield event["id"]["testResult"]["label"], path


def gather(events, directory):
    """Unpacks all CPU profiles below the directory, and returns their paths."""
    profiles, seen = [], set()
    for number, (label, path) in enumerate(outputs(events)):
        with zipfile.ZipFile(path) as archive:
            for entry in archive.infolist():
                name = entry.filename
                if name.startswith("cpu") and name.endswith(".pb.gz"):
                    # Without a sandbox, an attempt's archive also holds what earlier ones left.
                    what = (label, entry.CRC, entry.file_size)
                    if what not in seen:
                        seen.add(what)
                        profiles.append(archive.extract(name, directory / str(number)))
                elif name.endswith(".txt"):
                    say(f"{label} left {name} in {path}")
    return profiles


def main():
    arguments = sys.argv[1:]
    if not arguments or {"-h", "--help"} & set(arguments):
        print(__doc__.strip())
        return 0 if arguments else 1
    name, show = "profile", False
    rest = []
    for argument in arguments:
        if argument == "--open":
            show = True
        elif argument.startswith("--output="):
            name = argument[len("--output="):]
        else:
            rest.append(argument)
    here = pathlib.Path.cwd()
    bazel = [os.environ.get("CURG_BAZEL", "bazel")]

    with tempfile.TemporaryDirectory() as temporary:
        directory = pathlib.Path(temporary)
        events = directory / "events"
        events.touch()
        test = bazel + ["test", "--config=profile", "--keep_going"]
        status = subprocess.call(test + [f"--build_event_json_file={events}"] + rest)
        profiles = gather(read_events(events), directory)
        if not profiles:
            say("no test left a profile. Are they curg_cc_test (bazel/cc_test.bzl), and does "
                ".bazelrc import curg's bazel/curg.bazelrc?")
            return status or 1
        say(f"{len(profiles)} profiles; adding them up")
        files = [f"--merged={here / name}.pb.gz", f"--html={here / name}.html"]
        flame = bazel + ["run", "--config=profile", "--ui_event_filters=-info,-stdout,-stderr",
                         "--noshow_progress", "@curg//export/web:flame", "--"]
        if subprocess.call(flame + files + [f"--title=Profile of {' '.join(rest)}"] + profiles):
            return status or 1
    say(f"{name}.html is the flame graph; or: go tool pprof -tags {name}.pb.gz")
    if show and not webbrowser.open((here / f"{name}.html").as_uri()):
        say(f"no browser found; open {here / name}.html yourself")
    return status


if __name__ == "__main__":
    sys.exit(main())
