"""Run the suite: python bench/run.py [workload ...] [--quick] [--save FILE] [--plot FILE] [--against PEERS]

A workload is a file of this folder without its .py, or one of its sizes: `ar2` or `ar2/1e5`; without a name it is
all of them. Derivatives are included. Exit status 1 means that an implementation raised or gave a wrong result; peers
that are not installed are noted and left out.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from scancc.cli.bench import Request, race
from scancc.cli.main import reporting_errors

HERE = Path(__file__).parent


def subject(name: str) -> str:
    """FILE or FILE:WORKLOAD of a name; what is behind a hyphen says which of a file's recurrences is meant."""
    stem = name.split("/")[0].split("-")[0]
    return str(HERE / f"{stem}.py") + (f":{name}" if name != stem else "")


def main() -> int:
    parser = argparse.ArgumentParser(description="Race scancc against its peers.")
    parser.add_argument("names", nargs="*", metavar="workload", help="default: all")
    parser.add_argument("--quick", action="store_true", help="fewer, shorter repeats and the small sizes only")
    parser.add_argument("--against", default="", metavar="PEERS", help="only these, such as jax,c")
    parser.add_argument("--limit", type=float, metavar="SECONDS", help="for the repeats of a workload")
    parser.add_argument("--save", type=Path, metavar="FILE", help="write the environment and every result")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="a picture of the speed-ups: .png, .svg or .html")
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="of each library; default: one")
    given = parser.parse_args()
    request = Request(
        subjects=tuple(subject(n) for n in given.names) or (str(HERE),),
        quick=given.quick,
        against=tuple(p for p in given.against.split(",") if p),
        gradient=True,
        limit=given.limit,
        save=given.save,
        plot=given.plot,
        threads=given.threads,
    )
    return reporting_errors(lambda: int(not race(request)))


if __name__ == "__main__":
    sys.exit(main())
