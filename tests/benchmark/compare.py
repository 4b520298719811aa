#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the same workloads on curg and on its peers, in turn, and prints one table."""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import time

sys.dont_write_bytecode = True  # the modules lie in the source tree

import compare_echo  # noqa: E402
import compare_report  # noqa: E402
import compare_systems  # noqa: E402
import compare_workloads  # noqa: E402

QUICK_SECONDS = 210  # begin nothing later; a run ends QUICK_TIMEOUT after that at the latest
QUICK_TIMEOUT = 40
TIMEOUT = 180


def say(*words):
    print(*words, file=sys.stderr, flush=True)


def parse_arguments():
    names = "\n".join(f"  {w.name:26}{w.about}{'' if w.usual else ' (when asked for)'}"
                      for w in compare_workloads.WORKLOADS)
    parser = argparse.ArgumentParser(
        prog="compare", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=f"Workloads:\n{names}\n\ntests/benchmark/README.md says how to read the table.")
    comma_list = lambda text: [word for word in text.split(",") if word]
    parser.add_argument("--quick", action="store_true",
                        help="fewer operations and rounds: ends in under five minutes")
    parser.add_argument("--only", metavar="NAME", type=comma_list, default=[], action="extend",
                        help="only this workload, or those whose names begin with NAME_ (or several, "
                        "with commas between them)")
    parser.add_argument("--systems", type=comma_list, default=list(compare_workloads.ALL_SYSTEMS),
                        help="only these, of %(default)s")
    parser.add_argument("--workers", type=comma_list, metavar="N,...",
                        help="numbers of workers (default: 1 and one for each CPU)")
    parser.add_argument("--rounds", type=int, metavar="N", help="default: 5; with --quick up to 3")
    parser.add_argument("--out", metavar="PATH", default="compare",
                        help="writes PATH.md and PATH.json (default: %(default)s, here)")
    parser.add_argument("--cache", metavar="FOLDER", type=pathlib.Path,
                        default=compare_systems.cache_folder(),
                        help="where the peers are built (default: %(default)s)")
    parser.add_argument("--scale", type=float, default=1.0, metavar="X",
                        help="for tests: sizes times X; they are then not what the names say")
    options = parser.parse_args()
    try:
        options.workloads = compare_workloads.select(options.only)
    except ValueError as error:
        parser.error(str(error))
    unknown = set(options.systems) - set(compare_workloads.ALL_SYSTEMS)
    if unknown:
        parser.error(f"there is no system {', '.join(sorted(unknown))}")
    if options.workers is None:
        options.workers = sorted({1, len(os.sched_getaffinity(0))})
    elif not all(word.isdigit() and int(word) > 0 for word in options.workers):
        parser.error("--workers takes numbers from 1 up")
    options.workers = sorted({int(workers) for workers in options.workers})
    if options.rounds is not None and options.rounds < 1:
        parser.error("--rounds takes a number from 1 up")
    return options


def find_root():
    """Where tests/benchmark/ is, with what was built."""
    for root in (pathlib.Path(sys.argv[0] + ".runfiles") / "curg", pathlib.Path.cwd()):
        if (root / "tests/benchmark/compare_curg").exists():
            return root.absolute()
    sys.exit("compare: start it with ./bazelw run -c opt //tests/benchmark:compare")


def available_gib():
    with open("/proc/meminfo", encoding="utf-8") as lines:
        for line in lines:
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) / 2**20
    return 0.0


class Comparison:
    """One comparison while it runs."""

    def __init__(self, options, programs):
        self.options = options
        self.programs = programs
        self.results = compare_report.Results()
        self.given_up = set()
        self.start = time.monotonic()

    def rounds_of(self, workload):
        if self.options.rounds:
            return self.options.rounds
        return workload.quick_rounds if self.options.quick else 5

    def plan(self, round_number):
        """What one round runs: systems in turn, so that all meet the same disturbances."""
        return [(workload, workers, system)
                for workload in self.options.workloads if round_number <= self.rounds_of(workload)
                for workers in workload.workers(self.options.workers)
                for system in self.programs if workload.has(system, workers)]

    def run_all(self):
        rounds = max(self.rounds_of(workload) for workload in self.options.workloads)
        for round_number in range(1, rounds + 1):
            plan = self.plan(round_number)
            for position, job in enumerate(plan, 1):
                if job in self.given_up:
                    continue
                if self.options.quick and time.monotonic() - self.start > QUICK_SECONDS:
                    self.results.failures.append(
                        f"Time was up in round {round_number}, at {job[0].name}: later rows have "
                        "fewer rounds, or none.")
                    return
                outcome = self.run_one(*job)
                workload, workers, system = job
                say(f"[{time.monotonic() - self.start:4.0f} s] round {round_number}/{rounds} "
                    f"{position}/{len(plan)} {workload.name} {workers} {system}: {outcome}")

    def run_one(self, workload, workers, system):
        """Returns the outcome in words."""
        needed = workload.memory.get(system, workload.memory.get("", 0)) * self.options.scale
        if available_gib() < needed:
            return self.give_up((workload, workers, system), f"needs {needed:.0f} GiB of memory")
        program, surroundings = self.programs[system], {}
        if workload.kind.startswith("echo"):
            try:
                program = compare_echo.program(system, find_root(), self.options.cache)
            except (OSError, subprocess.CalledProcessError) as error:
                return self.give_up((workload, workers, system), f"its server cannot be built: {error}")
            surroundings = compare_echo.surroundings(find_root())
        command = [str(program), f"--workers={workers}",
                   *workload.arguments(system, self.options.quick, self.options.scale)]
        timeout = QUICK_TIMEOUT if self.options.quick else TIMEOUT
        try:
            done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                                  timeout=timeout, check=False, **surroundings)
        except subprocess.TimeoutExpired:
            return self.give_up((workload, workers, system), f"not done after {timeout} s")
        if done.returncode:
            words = (done.stderr.strip().splitlines() or ["no message"])[-1]
            reason = f"ended with {done.returncode}: {words}"
            return self.give_up((workload, workers, system), reason)
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        for line in lines:
            self.results.add(workload.name, workers, system, line)
        return ", ".join(f"{line['value']:.4g} {line['unit']}" for line in lines)

    def give_up(self, job, reason):
        self.given_up.add(job)
        workload, workers, system = job
        self.results.failures.append(f"{workload.name}, {workers} workers, {system}: {reason}")
        return reason


def machine():
    """This machine in a few words."""
    model = "unknown CPU"
    with open("/proc/cpuinfo", encoding="utf-8") as lines:
        for line in lines:
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    return f"{len(os.sched_getaffinity(0))} CPUs, {model}, Linux {os.uname().release}"


def write(out, results, markdown):
    # Started by Bazel, "here" is where the user is.
    path = pathlib.Path(os.environ.get("BUILD_WORKING_DIRECTORY", ".")) / out
    if path.is_dir():
        path /= "compare"
    if path.suffix in (".md", ".json"):
        path = path.with_suffix("")
    path.parent.mkdir(parents=True, exist_ok=True)
    for suffix, text in (".md", markdown), (".json", json.dumps(results.json(), indent=1) + "\n"):
        file = path.with_name(path.name + suffix)
        file.write_text(text, encoding="utf-8")
        say(f"wrote {file}")


def main():
    options = parse_arguments()
    started = time.monotonic()
    programs, versions, skipped = compare_systems.build(options.systems, find_root(), options.cache,
                                                        say)
    if not programs:
        sys.exit("compare: there is nothing to run")
    programs[compare_workloads.FLOOR] = find_root() / "tests/benchmark/compare_floors"
    comparison = Comparison(options, programs)
    comparison.start = started
    load = os.getloadavg()[0]
    comparison.run_all()
    notes = [f"{machine()}; load before: {load:.1f}"]
    notes += [f"{system}: {version}" for system, version in versions.items()]
    notes += [f"{system} is not shown: {reason}" for system, reason in skipped.items()]
    markdown = comparison.results.markdown(options.systems, notes)
    print(markdown, end="")
    write(options.out, comparison.results, markdown)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
