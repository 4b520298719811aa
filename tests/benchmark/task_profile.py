#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Task profiles of many parked tasks, ten frames deep, beside Go's goroutine profiles on this machine."""

import argparse
import json
import os
import pathlib
import subprocess
import sys

sys.dont_write_bytecode = True  # the module lies in the source tree

import compare_systems  # noqa: E402


def say(*words):
    print(*words, file=sys.stderr, flush=True)


def find_root():
    for root in (pathlib.Path(sys.argv[0] + ".runfiles") / "curg", pathlib.Path.cwd()):
        if (root / "tests/benchmark/task_profile_curg").exists():
            return root.absolute()
    sys.exit("task_profile: start it with ./bazelw run -c opt //tests/benchmark:task_profile")


def build_go(root, cache):
    """The path of Go's program, or None."""
    try:
        go = compare_systems._tool("go", "/usr/local/go/bin/go", "/usr/lib/go/bin/go")
        cache.mkdir(parents=True, exist_ok=True)
        sources = (root / "tests/benchmark/peers/go_task_profile/go.mod").resolve().parent
        compare_systems._call([go, "build", "-o", str(cache / "go_task_profile"), "."], cwd=sources,
                              env={**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-buildvcs=false"})
        return cache / "go_task_profile"
    except compare_systems.Skipped as reason:
        say(f"without Go: {reason}")
        return None


def run(command):
    say("running", *(pathlib.Path(word).name for word in command))
    done = subprocess.run([str(word) for word in command], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit(f"task_profile: {command[0]} ended with {done.returncode}")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return {line["name"]: (line["value"], line["unit"]) for line in lines}


class Rows:
    """What is printed, and written as JSON."""

    def __init__(self):
        self.rows = []

    def add(self, name, value, unit, target=None, holds=None, go=None):
        self.rows.append({"name": name, "value": value, "unit": unit, "target": target,
                          "holds": holds, "go": go})

    def show(self):
        print(f"{'':52} {'curg':>12} {'Go':>12}  {'unit':8} {'target':24} holds")
        for row in self.rows:
            go = "" if row["go"] is None else f"{row['go']:.4g}"
            holds = {None: "", True: "yes", False: "NO"}[row["holds"]]
            print(f"{row['name']:52} {row['value']:>12.4g} {go:>12}  {row['unit']:8} "
                  f"{row['target'] or '':24} {holds}")

    def json(self):
        return json.dumps([{key: row[key] for key in ("name", "value", "unit", "target", "holds")}
                           for row in self.rows], indent=1) + "\n"


def compare(rows, tasks, ours, theirs):
    of = f"of {tasks:,} tasks"
    go = lambda name: theirs[name][0] if name in theirs else None
    value = ours["collect"][0]
    rows.add(f"collect {of}", value, "ns/task", "<= 700", value <= 700)
    rows.add(f"first pprof {of}, with reading symbols", ours["first pprof"][0], "ns/task")
    for name in ("pprof", "grouped text"):
        value = ours[name][0]
        fast = go(name) is None or go(name) >= 3 * value
        target = "<= 700, a third of Go's" if go(name) is not None else "<= 700"
        rows.add(f"{name} {of}", value, "ns/task", target, value <= 700 and fast, go(name))
    value = ours["text"][0]
    fast = None if go("text") is None else go("text") >= 20 * value
    rows.add(f"text {of}", value, "ns/task", "a twentieth of Go's", fast, go("text"))
    rows.add(f"stall by a thread that computes, {of}", ours["no dump stall"][0], "ms", go=go("no dump stall"))
    for name in ("collect", "first pprof", "pprof", "grouped text", "text"):
        value, gos = ours[f"{name} stall"][0], go(f"{name} stall")
        holds = value <= 0.3 and (gos is None or value <= gos)
        rows.add(f"stall by {name} {of}", value, "ms", "<= 0.3, no more than Go's", holds, gos)
        rows.add("  that without waiting for a CPU", ours[f"{name} own stall"][0], "ms")


def main():
    parser = argparse.ArgumentParser(prog="task_profile", description=__doc__)
    parser.add_argument("--tasks", metavar="N,...", default="100000,1000000",
                        help="numbers of parked tasks (default: %(default)s; a million takes 10 GiB)")
    parser.add_argument("--rounds", type=int, default=3, help="default: %(default)s; the median counts")
    parser.add_argument("--json", metavar="PATH", help="also writes the numbers there")
    parser.add_argument("--go-text-max", type=int, default=100000, metavar="N",
                        help="Go's text is made of no more than so many (default: %(default)s; a million takes a minute)")
    parser.add_argument("--cache", metavar="FOLDER", type=pathlib.Path, default=compare_systems.cache_folder(),
                        help="where Go's program is built (default: %(default)s)")
    options = parser.parse_args()
    root = find_root()
    go = build_go(root, options.cache)
    rows = Rows()
    for tasks in (int(word) for word in options.tasks.split(",")):
        arguments = [f"--tasks={tasks}", f"--rounds={options.rounds}"]
        ours = run([root / "tests/benchmark/task_profile_curg", *arguments])
        theirs = run([go, *arguments, f"--text={str(tasks <= options.go_text_max).lower()}"]) if go else {}
        compare(rows, tasks, ours, theirs)
    value = ours["spawn stack"][0]
    rows.add("spawn stack kept, ten frames", value, "ns/spawn", "<= 150", value <= 150)
    value = ours["bytes"][0]
    rows.add("a task's record for dumps only", value, "bytes", "<= 64", value <= 64)
    rows.show()
    if options.json:
        path = pathlib.Path(os.environ.get("BUILD_WORKING_DIRECTORY", ".")) / options.json
        path.write_text(rows.json(), encoding="utf-8")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
