"""`scancc bench`: compiled scans against what else one could write, interleaved in one process."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from scancc import threads
from scancc.cli import suite, tables
from scancc.cli.loading import Target, UsageError, check_place, load
from scancc.cli.workloads import Job, declared, lengths_of, of_target
from scancc.driver import options_of
from scancc.measure import QUICK, Options, Result, Workload, environment, measure, report, write_report


@dataclass(frozen=True)
class Request:
    """What `scancc bench` was asked for.

    subjects  FILE:NAME of compiled functions with example inputs; FILE, FILE:WORKLOAD or a folder of files that declare
              workloads; the built-in suite where it is empty
    lengths   also cut scans to so many steps; with a plot, to powers of ten
    limit     seconds after which no further repeat of a workload begins
    save      a file that has all results so far after each of them
    threads   of each library, such as a BLAS or XLA
    """

    subjects: tuple[str, ...] = ()
    quick: bool = False
    target: str = "cpu"
    against: tuple[str, ...] = ()
    gradient: bool = False
    lengths: tuple[int, ...] = ()
    json: bool = False
    limit: float | None = None
    save: Path | None = None
    plot: Path | None = None
    threads: int = 1


def race(request: Request) -> bool:
    """Time each workload and show its figures; False if an implementation failed or was wrong.

    Raises UsageError for subjects and peers that there are not, DeviceError for a device that there is not.
    """
    options_of(target=request.target)
    check_place("--save", request.save)
    check_place("--plot", request.plot)
    if request.plot is not None:
        from scancc.cli.plots import check_path

        check_path(request.plot)
    results: list[Result] = []
    with threads.limited(request.threads):
        record = environment() | {"threads_limit": request.threads}
        for result in _measured(request):
            results.append(result)
            if request.save is not None:
                write_report(request.save, record, results)
    if request.json:
        sys.stdout.write(json.dumps(report(record, results), indent=1) + "\n")
    else:
        if len(results) > 1:
            tables.show_means(results)
        tables.show_environment(record)
    if request.plot is not None:
        from scancc.cli.plots import write_plot

        write_plot(request.plot, results, record)
    return not any(r.failed for r in results)


def _measured(request: Request) -> Iterator[Result]:
    chosen = list(_workloads(request))
    options = QUICK if request.quick else Options()
    if request.limit is not None:
        options = replace(options, limit_s=request.limit)
    _check_peers(request.against, [w for w in chosen if isinstance(w, Workload)])
    console = Console(stderr=True)
    columns = (TextColumn("{task.fields[name]}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
               TextColumn("{task.fields[doing]}"))  # fmt: skip
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task("", total=len(chosen), name="", doing="")
        for one in chosen:
            if isinstance(one, Workload):
                bar.update(task, name=one.name, doing="inputs")
                results = [measure(one.against(request.against), options, partial(_tell, bar, task))]
            else:
                bar.update(task, name="other processes", doing="")
                results = one()
            bar.advance(task)
            for result in results:
                _demand_checks(result)
                if not request.json:
                    tables.show(result)
                yield result


def _demand_checks(result: Result) -> None:
    """Raises ValueError for a row whose answer nothing was compared with, which what measures itself may forget."""
    unchecked = [t.implementation for t in result.timings if t.relative is None]
    if unchecked:
        raise ValueError(f"{result.workload}: {', '.join(unchecked)} timed without a check of the answer")


def _tell(bar: Progress, task: TaskID, doing: str) -> None:
    bar.update(task, doing=doing)


def _workloads(request: Request) -> Iterator[Job]:
    for subject in request.subjects:
        jobs = declared(subject, request.quick)
        if jobs is None:
            yield from _of_targets(request, [load(subject)])
        else:
            yield from (j for j in jobs if request.gradient or not (isinstance(j, Workload) and j.gradient))
    if not request.subjects:
        yield from _of_targets(request, suite.targets())


def _of_targets(request: Request, targets: list[Target]) -> Iterator[Workload]:
    for target in targets:
        cut = sorted(set(request.lengths) or (set(lengths_of(target)) if request.plot is not None else set()))
        lengths: list[int | None] = [*cut] or [None]
        for steps in lengths:
            yield of_target(target, request.target, False, steps)
        if request.gradient:
            yield of_target(target, request.target, True)


def _check_peers(peers: tuple[str, ...], workloads: list[Workload]) -> None:
    known = {name.split(",", 1)[0] for w in workloads for name in w.implementations}
    for peer in peers:
        if peer not in known:
            raise UsageError(f"--against {peer}: no workload has this peer (they have {', '.join(sorted(known))})")
