#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes compile_commands.json for clangd and clang-tidy.

Usage: ./bazelw compile_commands [BAZEL OPTION...] [TARGET...]

Builds the targets (default: all), so that generated headers exist, and asks
Bazel how it compiled them.
"""

import json
import os
import pathlib
import subprocess
import sys

BAZEL = os.environ.get("CURG_BAZEL", "bazel")

# Flags of gcc that clangd and clang-tidy reject.
NOT_CLANG = {
    "-Wno-free-nonheap-object",
    "-Wunused-but-set-parameter",
    "-fno-canonical-system-headers",
}


def bazel(*arguments):
    """Returns what Bazel prints on stdout; its messages go to the terminal."""
    return subprocess.run([BAZEL, *arguments], check=True, stdout=subprocess.PIPE).stdout


def main():
    if {"-h", "--help"} & set(sys.argv[1:]):
        print(__doc__)
        return
    options = [word for word in sys.argv[1:] if word.startswith("-")]
    targets = [word for word in sys.argv[1:] if not word.startswith("-")] or ["//..."]
    workspace = pathlib.Path(__file__).resolve().parent.parent
    os.chdir(workspace)

    # What does not build is listed all the same, for the editor that mends it.
    subprocess.run([BAZEL, "build", "--keep_going", *options, "--", *targets], check=False)
    root = bazel("info", *options, "execution_root").decode().strip()
    query = 'mnemonic("CppCompile", deps(set(%s)))' % " ".join(targets)
    aquery = bazel("aquery", "--output=jsonproto", "--include_artifacts=false", *options, query)

    commands = {}
    for action in json.loads(aquery).get("actions", []):
        arguments = [word for word in action["arguments"] if word not in NOT_CLANG]
        if "-c" not in arguments:
            continue
        at = arguments.index("-c") + 1
        source = arguments[at]
        # The real place of a source, so that an editor's file is recognised;
        # generated ones are found from the execution root.
        if (workspace / source).exists():
            arguments[at] = str(workspace / source)
        commands.setdefault(
            source, {"directory": root, "file": arguments[at], "arguments": arguments}
        )
    text = json.dumps([commands[source] for source in sorted(commands)], indent=1)
    pathlib.Path("compile_commands.json").write_text(text + "\n", encoding="utf-8")
    print(f"compile_commands.json: {len(commands)} files")


if __name__ == "__main__":
    try:
        main()
    except subprocess.CalledProcessError as error:
        sys.exit(error.returncode)
