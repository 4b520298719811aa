#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Symbolizes addresses all over a large program, here and with the usual tools, and compares.

The program is made of copies of one unit (symbolize_unit.cc), compiled once and renamed, until it has at
least the debug information asked for. Every tool starts anew and gets the same addresses; what is
compared is the time from its start to its end, with files in the page cache for all.
"""

import argparse
import os
import pathlib
import random
import re
import shutil
import subprocess
import sys
import time

HERE = pathlib.Path(sys.argv[0] + ".runfiles") / "curg/tests/benchmark"
DEBUG_SECTION = re.compile(r"^\.z?debug_\S+$")


def say(*words):
    print(*words, file=sys.stderr, flush=True)


def run(*command, **options):
    return subprocess.run(list(map(str, command)), check=True, text=True, capture_output=True, **options).stdout


def sections(program):
    """Name -> (address, size)."""
    found = {}
    for line in run("readelf", "-SW", program).splitlines():
        match = re.match(r"\s*\[ *\d+\] (\S+)\s+\S+\s+([0-9a-f]+) [0-9a-f]+ ([0-9a-f]+)", line)
        if match:
            found[match[1]] = (int(match[2], 16), int(match[3], 16))
    return found


def debug_bytes(program):
    return sum(size for name, (_, size) in sections(program).items() if DEBUG_SECTION.match(name))


def make_program(folder, megabytes, cxx):
    """The program, made anew unless it is there already."""
    program = folder / f"large_{megabytes}"
    if program.exists():
        return program
    folder.mkdir(parents=True, exist_ok=True)
    unit = folder / "unit.o"
    say("compiling the unit ...")
    run(cxx, "-std=c++20", "-O2", "-g", "-ffunction-sections", "-c", HERE / "symbolize_unit.cc", "-o", unit)
    defined = [line.split()[-1] for line in run("nm", "--defined-only", unit).splitlines()]
    copies = megabytes * 1_000_000 // debug_bytes(unit) + 1
    while True:
        say(f"linking {copies} copies of it ...")
        objects = []
        for copy in range(copies):
            renamed, names = folder / f"unit{copy}.o", folder / "names"
            names.write_text("".join(f"{name} {name}_{copy}\n" for name in defined))
            run("objcopy", f"--redefine-syms={names}", unit, renamed)
            objects.append(renamed)
        main = folder / "main.cc"
        main.write_text(
            "".join(f'extern "C" int large_entry_{copy}(int);\n' for copy in range(copies)) +
            "int main(int argc, char**) {\n  int sum = 0;\n" +
            "".join(f"  sum += large_entry_{copy}(argc);\n" for copy in range(copies)) +
            "  return sum == 0;\n}\n")
        run(cxx, "-g", main, *objects, "-o", program.with_suffix(".new"))
        for path in objects:
            path.unlink()
        have = debug_bytes(program.with_suffix(".new"))
        if have >= megabytes * 1_000_000:
            program.with_suffix(".new").rename(program)
            return program
        copies = copies * megabytes * 1_000_000 // have + 1  # the linker shares strings


def pick_addresses(program, count, seed):
    """Distinct addresses, evenly from all of the program's functions."""
    start, size = sections(program)[".text"]
    functions = set()
    for line in run("nm", "-S", "--defined-only", program).splitlines():
        fields = line.split()
        if len(fields) == 4 and fields[2] in "tTwW" and start <= int(fields[0], 16) < start + size:
            functions.add((int(fields[0], 16), int(fields[1], 16)))
    chosen = random.Random(seed)
    functions = sorted(functions)
    addresses = set()
    while len(addresses) < count:
        begin, length = chosen.choice(functions)
        addresses.add(begin + chosen.randrange(max(length, 1)))
    return chosen.sample(sorted(addresses), count)


def measure(command, text, rounds):
    """The best time of some rounds, and the output."""
    best, out, err = None, "", ""
    for _ in range(rounds):
        begin = time.monotonic()
        result = subprocess.run(list(map(str, command)), input=text, text=True, capture_output=True, check=True)
        seconds = time.monotonic() - begin
        best = seconds if best is None else min(best, seconds)
        out, err = result.stdout, result.stderr
    return best, out, err


def places(output):
    """file:line of all frames of each address."""
    blocks = []
    for block in output.strip("\n").split("\n\n"):
        lines = block.splitlines()[1::2]
        blocks.append([":".join(os.path.normpath(line).split(":")[:2]) for line in lines])
    return blocks


def agreement(ours, theirs):
    same = sum(a == b for a, b in zip(places(ours), places(theirs)))
    return 100 * same / max(len(places(theirs)), 1)


def main():
    parser = argparse.ArgumentParser(prog="symbolize", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache")) / "curg"
    parser.add_argument("--addresses", type=int, default=10_000, help="default: %(default)s")
    parser.add_argument("--megabytes", type=int, default=100,
                        help="debug information of the program (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="the best of these counts (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--cxx", default=os.environ.get("CXX", "g++"))
    parser.add_argument("--cache", type=pathlib.Path, default=cache / "symbolize",
                        help="where the program is kept (default: %(default)s)")
    options = parser.parse_args()

    program = make_program(options.cache, options.megabytes, options.cxx)
    addresses = pick_addresses(program, options.addresses, options.seed)
    text = "".join(f"{address:#x}\n" for address in addresses)
    ours_path = HERE / "symbolize_addresses"
    say(f"{program}: {debug_bytes(program) / 1e6:.0f} MB of debug information; {len(addresses)} addresses")
    pathlib.Path(program).read_bytes()  # into the page cache

    ours, frames, inside = measure([ours_path, program], text, options.rounds)
    rows = [("curg", ours, "")]
    for name in ("llvm-symbolizer", "addr2line"):
        tool = shutil.which(name) or shutil.which(f"{name}-14")
        if tool is None:
            say(f"{name} is not installed: left out")
            continue
        if name == "addr2line":
            seconds, _, _ = measure([tool, "-i", "-f", "-C", "-e", program], text, 1)
            rows.append((name + " -i", seconds, ""))
        else:
            seconds, theirs, _ = measure([tool, "--inlines", f"--obj={program}"], text, options.rounds)
            rows.append((name, seconds, f"{agreement(frames, theirs):.1f} % of the stacks equal ours"))
    print(f"{'tool':18} {'seconds':>8}  {'of ours':>8}")
    for name, seconds, note in rows:
        print(f"{name:18} {seconds:8.2f}  {seconds / ours:7.1f}x  {note}")
    print(f"curg, symbolizing alone: {inside.strip()} s")
    fastest = min(seconds for _, seconds, _ in rows)
    return 0 if ours <= fastest else 1


if __name__ == "__main__":
    sys.exit(main())
