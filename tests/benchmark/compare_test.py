#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The comparison's runner: on curg alone, with tiny sizes, and its parts."""

import json
import os
import pathlib
import subprocess
import sys
import unittest

sys.dont_write_bytecode = True  # the modules lie in the source tree

import compare_report  # noqa: E402
import compare_workloads  # noqa: E402

RUNNER = "tests/benchmark/compare"

# Else each of the many programs waits for a second at its end under the thread sanitizer.
os.environ["TSAN_OPTIONS"] = os.environ.get("TSAN_OPTIONS", "") + ":atexit_sleep_ms=0"


def line(value, cpu_ns=10, metric="", unit="ns/op"):
    return {"metric": metric, "unit": unit, "value": value, "wall_ns": 10, "cpu_ns": cpu_ns}


class RunnerTest(unittest.TestCase):
    def setUp(self):
        self.directory = pathlib.Path(os.environ["TEST_TMPDIR"])

    def run_it(self, *arguments):
        out = self.directory / self.id()
        command = [RUNNER, f"--cache={self.directory / 'cache'}", f"--out={out}", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done, out

    def rows_of(self, *arguments):
        done, out = self.run_it("--systems=curg", "--quick", "--scale=0.0005", "--workers=1,2",
                                *arguments)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(out.with_name(out.name + ".md").read_text(encoding="utf-8"), done.stdout)
        return json.loads(out.with_name(out.name + ".json").read_text(encoding="utf-8"))

    def test_one_kind_of_workload(self):
        rows = self.rows_of("--only=yield", "--rounds=2")
        self.assertEqual(
            [(row["workload"], row["workers"]) for row in rows],
            [("yield_1_task", 1), ("yield_1000_tasks", 1),
             ("yield_1_task", 2), ("yield_1000_tasks", 2)])
        for row in rows:
            self.assertEqual(
                list(row), ["workload", "workers", "system", "unit", "median", "min", "max"])
            self.assertEqual((row["system"], row["unit"]), ("curg", "ns/op"))
            self.assertGreater(row["min"], 0)
            self.assertLessEqual(row["min"], row["median"])
            self.assertLessEqual(row["median"], row["max"])

    def test_every_workload_runs(self):
        rows = self.rows_of("--rounds=1")
        seen = {row["workload"] for row in rows}
        for workload in compare_workloads.WORKLOADS:
            if workload.usual:
                metrics = {"parked": ("_create", "_wake", "_resident"),
                           "wake_latency": ("_p50", "_p99"),
                           "blocking": ("_wall", "_cpu"),
                           "blocking_short": ("_call", "_10us"),
                           "blocking_in_place": ("_call", "_10us"),
                           "sleep": ("_p50", "_p99"),
                           "echo_wake": ("_p50", "_p99"),
                           "echo_idle": ("_cpu", "_memory"),
                           "timers": ("_wall", "_cpu")}.get(workload.kind, ("",))
                for metric in metrics:
                    self.assertIn(workload.name + metric, seen)

    def test_tasks_parked_beside_a_workload(self):
        rows = self.rows_of("--only=growth-spawn-1k,growth_wake_1k", "--rounds=1")
        self.assertEqual({row["workload"] for row in rows}, {"growth_spawn_1k", "growth_wake_1k"})

    def test_a_name_that_is_none(self):
        done, _ = self.run_it("--only=yeld")
        self.assertEqual(done.returncode, 2)
        self.assertIn("there is no workload yeld", done.stderr)

    def test_a_system_that_is_none(self):
        done, _ = self.run_it("--systems=curg,ada")
        self.assertEqual(done.returncode, 2)
        self.assertIn("there is no system ada", done.stderr)

    def test_a_peer_without_its_toolchain_is_skipped_by_name(self):
        environment = {"PATH": "/nonexistent", "HOME": str(self.directory)}
        done = subprocess.run(
            [sys.executable, os.path.realpath(RUNNER), "--systems=curg,tokio", "--quick",
             "--scale=0.0005", "--only=ping_pong", "--rounds=1", f"--out={self.directory / 'skip'}",
             f"--cache={self.directory / 'cache'}"],
            capture_output=True, text=True, env=environment, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("tokio is not shown: there is no cargo", done.stdout)
        self.assertIn("| not shown |", done.stdout)
        rows = json.loads((self.directory / "skip.json").read_text(encoding="utf-8"))
        self.assertEqual({row["system"] for row in rows}, {"curg"})

    def test_help_lists_options_and_workloads(self):
        done, _ = self.run_it("--help")
        self.assertEqual(done.returncode, 0)
        for word in ("--quick", "--only", "--systems", "--workers", "--rounds", "--out"):
            self.assertIn(word, done.stdout)
        for workload in compare_workloads.WORKLOADS:
            self.assertIn(workload.name, done.stdout)


class ReportTest(unittest.TestCase):
    def test_median_of_rounds_and_ratio_to_curg(self):
        results = compare_report.Results()
        for value in (200, 100, 120):
            results.add("w", 4, "curg", line(value))
        for value in (240, 300):
            results.add("w", 4, "go", line(value, cpu_ns=25))
        self.assertEqual(results.json()[0], {
            "workload": "w", "workers": 4, "system": "curg", "unit": "ns/op",
            "median": 120, "min": 100, "max": 200})
        table = results.markdown(["curg", "go", "tokio"], ["a note"])
        self.assertIn("| w | 4 | ns/op |  | 120 [100–200] · 1.0 CPU | "
                      "270 [240–300] · 2.25x · 2.5 CPU | not shown |\n", table)
        self.assertIn("- a note\n", table)

    def test_each_metric_is_a_row_and_fewer_workers_come_first(self):
        results = compare_report.Results()
        for workers in (4, 1):
            results.add("p", workers, "curg", line(5, metric="wake", unit="ns/task"))
            results.add("p", workers, "curg", line(9, metric="resident", unit="bytes/task"))
        self.assertEqual([(row["workload"], row["workers"]) for row in results.json()],
                         [("p_wake", 1), ("p_resident", 1), ("p_wake", 4), ("p_resident", 4)])


    def test_the_floor_is_a_column_but_not_a_system(self):
        results = compare_report.Results()
        results.add("m", 1, "curg", line(12))
        results.add("m", 1, "floor", line(9))
        self.assertEqual([row["system"] for row in results.json()], ["curg"])
        table = results.markdown(["curg"], [])
        self.assertIn("| unit | floor | curg |", table)
        self.assertIn("| m | 1 | ns/op | 9 | 12 [12–12] · 1.0 CPU |", table)


class WorkloadsTest(unittest.TestCase):
    def test_names(self):
        names = [workload.name for workload in compare_workloads.select(["skynet"])]
        self.assertEqual(names, ["skynet_channels", "skynet_joins"])
        names = [workload.name for workload in compare_workloads.select([])]
        self.assertIn("parked_1m", names)
        self.assertNotIn("growth_spawn_1k", names)

    def test_floors(self):
        (mutex,) = compare_workloads.select(["mutex_4_tasks"])
        self.assertFalse(mutex.has("floor", 1))
        self.assertTrue(mutex.has("floor", 4))
        self.assertTrue(mutex.has("go", 1))
        self.assertIn("--workload=cache_line", mutex.arguments("floor", quick=True, scale=1))

    def test_a_scaled_tree_stays_full(self):
        (tree,) = compare_workloads.select(["skynet_joins"])
        self.assertIn("--tasks=1000000", tree.arguments("curg", quick=True, scale=1))
        self.assertIn("--tasks=1000", tree.arguments("curg", quick=True, scale=0.0005))


if __name__ == "__main__":
    unittest.main()
