# SPDX-License-Identifier: Apache-2.0
"""What came out: the table and the JSON."""

import dataclasses
import statistics

from compare_workloads import FLOOR

LEGEND = """\
Cells: median [min–max] over the rounds · how many times curg's median it is · CPUs kept busy. Less is
better everywhere. The floor is what the machine alone takes for a step that the row cannot do without.
Differences below 25 % between two cells are noise on most machines."""


@dataclasses.dataclass
class Cell:
    """One system's values in one row."""

    values: list = dataclasses.field(default_factory=list)
    cores: list = dataclasses.field(default_factory=list)


class Results:
    """Everything measured, and what could not be."""

    def __init__(self):
        self._rows = {}  # (workload, workers, unit) -> {system: Cell}, in order of appearance
        self.failures = []

    def add(self, workload, workers, system, line):
        """`line` is what a program printed: see peers/measure.h."""
        name = workload + ("_" + line["metric"] if line["metric"] else "")
        row = self._rows.setdefault((name, workers, line["unit"]), {})
        cell = row.setdefault(system, Cell())
        cell.values.append(line["value"])
        cell.cores.append(line["cpu_ns"] / max(1, line["wall_ns"]))

    def json(self):
        """One object for each row and system."""
        return [{
            "workload": name,
            "workers": workers,
            "system": system,
            "unit": unit,
            "median": statistics.median(cell.values),
            "min": min(cell.values),
            "max": max(cell.values),
        } for (name, workers, unit), row in self._sorted() for system, cell in row.items()
                if system != FLOOR]

    def markdown(self, systems, notes):
        """The table, with the `notes` (lines) and the failures below."""
        lines = [f"| workload | workers | unit | {FLOOR} | " + " | ".join(systems) + " |",
                 "|---|---|---|---|" + "---|" * len(systems)]
        for (name, workers, unit), row in self._sorted():
            floor = row.get(FLOOR)
            cells = [_figure(statistics.median(floor.values)) if floor else ""]
            cells += [_cell(row.get(system), row.get("curg"), unit) for system in systems]
            lines.append(f"| {name} | {workers} | {unit} | " + " | ".join(cells) + " |")
        lines += ["", LEGEND, ""]
        lines += [f"- {note}" for note in notes + self.failures]
        return "\n".join(lines) + "\n"

    def _sorted(self):
        return sorted(self._rows.items(), key=lambda item: item[0][1])  # stable: by workers


def _figure(value):
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _cell(cell, reference, unit):
    if cell is None:
        return "not shown"
    median = statistics.median(cell.values)
    text = f"{_figure(median)} [{_figure(min(cell.values))}–{_figure(max(cell.values))}]"
    if reference is not None and reference is not cell:
        text += f" · {median / max(statistics.median(reference.values), 1e-9):.2f}x"
    if not unit.startswith("bytes"):
        text += f" · {statistics.median(cell.cores):.1f} CPU"
    return text
