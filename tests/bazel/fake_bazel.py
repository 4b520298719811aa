#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""As much of Bazel, or of bazelw, as the programs around it need: for their tests.

What it would build is in the runfiles already, below FAKE_BAZEL_ROOT:
  run [-c opt] LABEL [-- ARGUMENT..] runs that program
  test ... LABEL...                  runs FAKE_BAZEL_TEST for each label, and leaves its
                                     undeclared outputs and the build events as Bazel does
  profile ...                        runs profile.py, as bazelw does
"""

import json
import os
import pathlib
import subprocess
import sys
import zipfile

ROOT = pathlib.Path(os.environ["FAKE_BAZEL_ROOT"])


def run(arguments):
    split = arguments.index("--") if "--" in arguments else len(arguments)
    label = [argument for argument in arguments[:split] if "//" in argument][0]
    program = ROOT / label.partition("//")[2].replace(":", "/")
    os.execv(program, [program] + arguments[split + 1:])


def test(arguments):
    events, status = [], 0
    work = pathlib.Path(os.environ["FAKE_BAZEL_WORK"])
    for number, label in enumerate(a for a in arguments if a.startswith("//")):
        outputs = work / f"{number}/test.outputs"
        outputs.mkdir(parents=True)
        environment = dict(os.environ, TEST_UNDECLARED_OUTPUTS_DIR=str(outputs), TEST_TARGET=label,
                           XML_OUTPUT_FILE="", TEST_PREMATURE_EXIT_FILE="")
        for name in ["TEST_TOTAL_SHARDS", "GTEST_TOTAL_SHARDS"]:  # are those of the test around it
            environment.pop(name, None)
        status |= subprocess.call([ROOT / os.environ["FAKE_BAZEL_TEST"]], env=environment)
        archive = outputs / "outputs.zip"
        with zipfile.ZipFile(archive, "w") as out:
            for path in outputs.glob("*.gz"):
                out.write(path, path.name)
        output = [{"name": "test.outputs__outputs.zip", "uri": archive.as_uri()}]
        events.append({"id": {"testResult": {"label": label}}, "testResult": {"testActionOutput": output}})
    flag = [a for a in arguments if a.startswith("--build_event_json_file=")][0]
    pathlib.Path(flag.partition("=")[2]).write_text("".join(json.dumps(e) + "\n" for e in events))
    return 3 if status else 0


def main():
    command = sys.argv[1]
    if command == "run":
        run(sys.argv[2:])
    if command == "test":
        return test(sys.argv[2:])
    if command == "profile":
        return subprocess.call([ROOT / "bazel/profile.py"] + sys.argv[2:],
                               env=dict(os.environ, CURG_BAZEL=sys.argv[0]))
    return f"fake_bazel: no such command: {command}"


if __name__ == "__main__":
    sys.exit(main())
