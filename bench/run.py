"""Run the benchmarks: python bench/run.py [workload ...] [--json FILE] [--quick]

A workload is a file of this folder without its .py, or one of its sizes: `ar2` or `ar2/1e5`. Exit status 1
means that an implementation raised or gave a wrong result; peers that are not installed are noted and left
out.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from collections.abc import Callable
from pathlib import Path

from harness import QUICK, Options, Result, Timing, environment, measure
from rich.console import Console
from rich.table import Table

MODULES = ("ar2", "ar2_last", "long_tap", "rnn", "kalman", "startup")


def results(names: list[str], options: Options, quick: bool) -> list[Result]:
    """Results of the workloads asked for, in the order of MODULES; each is printed when it is there."""
    unknown = {n.split("/")[0] for n in names} - set(MODULES)
    if unknown:
        raise SystemExit(f"unknown workload {', '.join(sorted(unknown))}: known are {', '.join(MODULES)}")
    found: list[Result] = []
    for name in MODULES:
        sizes = [n for n in names if n.split("/")[0] == name]
        if names and not sizes:
            continue
        module = importlib.import_module(name)
        if hasattr(module, "run"):  # measured in other processes
            for result in module.run(quick):
                if not sizes or name in sizes or result.workload in sizes:
                    found.append(result)
                    show(result)
            continue
        for workload in module.workloads(quick):
            if not sizes or name in sizes or workload.name in sizes:
                result = measure(workload, options)
                if hasattr(module, "add_extras"):
                    module.add_extras(workload, result)
                found.append(result)
                show(result)
    return found


def show(result: Result) -> None:
    """A table of one result, the fastest implementation first; columns that no row fills are left out."""
    columns: dict[str, Callable[[Timing], str | None]] = {
        "implementation": lambda t: t.implementation,
        "ns/step": lambda t: f"{t.per_step_ns:,.4g}" if t.per_step_ns is not None else None,
        "median": lambda t: seconds(t.median_s),
        "min": lambda t: seconds(t.min_s),
        f"ratio to {result.reference} (95 %)": lambda t: ratio(t, result.reference),
        "first call": lambda t: seconds(t.first_call_s) if t.first_call_s is not None else None,
        "max diff.": lambda t: f"{t.difference:.1e}",
    }
    for key in dict.fromkeys(key for t in result.timings for key in t.extra):
        columns[key] = lambda t, key=key: f"{t.extra[key]:,.1f}" if key in t.extra else None
    title = result.workload if result.steps is None else f"{result.workload}, {result.steps:,} steps"
    table = Table(title=title, title_justify="left")
    cells: list[list[str]] = []
    for header, cell in columns.items():
        column = [cell(t) for t in sorted(result.timings, key=lambda t: t.median_s)]
        if any(column):
            table.add_column(header, justify="right" if cells else "left")
            cells.append([text or "-" for text in column])
    for row in zip(*cells, strict=True):
        table.add_row(*row)
    console = wide_console()
    console.print(table)
    for note in result.notes:
        console.print(f"note: {note}", markup=False, highlight=False)


def ratio(timing: Timing, reference: str) -> str:
    if timing.implementation == reference:
        return "1"
    return f"{timing.ratio:.3g} ({timing.ratio_low:.3g} to {timing.ratio_high:.3g})"


def seconds(value: float) -> str:
    """A time with a unit and three digits: 1.23 ms."""
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if value >= scale:
            return f"{value / scale:.3g} {unit}"
    return f"{value / 1e-9:.3g} ns"


def wide_console() -> Console:
    """The terminal; 160 columns where the output is a file or a pipe, so that no cell wraps."""
    console = Console()
    return console if console.is_terminal else Console(width=160)


def main() -> int:
    parser = argparse.ArgumentParser(description="Race scancc against its peers.")
    parser.add_argument(
        "names", nargs="*", metavar="workload", help=f"any of {', '.join(MODULES)}; default all"
    )
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="write the environment and every result here"
    )
    parser.add_argument(
        "--quick", action="store_true", help="fewer, shorter repeats and the small sizes only"
    )
    arguments = parser.parse_args()
    record = environment()
    found = results(arguments.names, QUICK if arguments.quick else Options(), arguments.quick)
    if arguments.json:
        report = {"environment": record, "results": [r.as_json() for r in found]}
        arguments.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return 1 if any(r.failed for r in found) else 0


if __name__ == "__main__":
    sys.exit(main())
