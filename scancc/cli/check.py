"""`scancc check`: what a change did to the performance of compiled functions, for people and for CI."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from scancc.cli.loading import UsageError

BASELINE = "scancc-baseline.json"


def check(
    subjects: Annotated[
        list[str] | None,
        typer.Argument(metavar="SUBJECT", help="FILE:NAME, or files and folders whose functions have example "
                       "inputs; default: what the baseline has"),
    ] = None,
    baseline: Annotated[Path, typer.Option(metavar="FILE", help="the figures to compare with")] = Path(BASELINE),
    update: Annotated[bool, typer.Option("--update", help="write the figures of this run into the baseline")] = False,
    static_only: Annotated[bool, typer.Option("--static-only", help="only what can be told without running")] = False,
    timed_only: Annotated[bool, typer.Option("--timed-only", help="only times")] = False,
    cpu: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="what machine code is made for: x86-64, x86-64-v2, x86-64-v3, x86-64-v4 or "
                     "native; default: that of the baseline, else x86-64-v3"),
    ] = None,
    format: Annotated[str, typer.Option("--format", help="rich, github, junit, json or markdown")] = "rich",
    output: Annotated[Path | None, typer.Option(metavar="FILE", help="write the report there")] = None,
    time_limit: Annotated[float, typer.Option(metavar="SECONDS", min=1, help="for the times of all subjects")] = 120.0,
) -> None:
    """Compare compiled functions with a baseline: their machine code and storage, and how long they take.

    Exit status: 0 nothing got worse, 1 something did, 2 the command is wrong, 3 something could not be told.
    """
    from scancc.checking.compare import status
    from scancc.checking.reports import FORMATS
    from scancc.checking.run import Request
    from scancc.checking.run import check as checked

    if static_only and timed_only:
        raise UsageError("--static-only and --timed-only leave nothing to check")
    if format not in FORMATS:
        raise UsageError(f"--format {format}: choose one of {', '.join(FORMATS)}")
    request = Request(tuple(subjects or ()), baseline, update, not timed_only, not static_only, cpu, time_limit)
    with Console(stderr=True).status("starting") as shown:
        findings = checked(request, shown.update)
    text = FORMATS[format](findings)
    if output is not None:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(text, encoding="utf-8")
    else:
        sys.stdout.write(text if text.endswith("\n") else text + "\n")
    if update:
        failed = any(f.before != f.after and f.after == "fails" for f in findings)
        raise typer.Exit(1 if failed else 0)
    raise typer.Exit(status(findings))
