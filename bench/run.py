"""Run the benchmarks: python bench/run.py [workload ...] [--json FILE] [--quick]

A workload is a file of this folder without its .py, or one of its sizes: `ar2` or `ar2/1e5`. Exit status 1
means that an implementation raised or gave a wrong result; peers that are not installed are noted and left
out.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path

from scancc.cli.tables import show
from scancc.measure import QUICK, Options, Result, environment, measure, write_report

MODULES = ("ar2", "ar2_last", "long_tap", "rnn", "kalman", "gradients", "startup")


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
        write_report(arguments.json, record, found)
    return 1 if any(r.failed for r in found) else 0


if __name__ == "__main__":
    sys.exit(main())
