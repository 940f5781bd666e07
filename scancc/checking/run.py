"""One run of `scancc check`: figures of the subjects against a baseline, or into it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from scancc.checking import baseline as files
from scancc.checking.baseline import Baseline
from scancc.checking.compare import compare
from scancc.checking.figures_process import Answer, figures_for
from scancc.checking.finding import Finding
from scancc.checking.subjects import targets_of
from scancc.cli.loading import Target, UsageError
from scancc.static.processors import DEFAULT, LEVELS, NATIVE

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Request:
    """What to check. Without `subjects` it is what the baseline has; without `cpu` the processor of the baseline."""

    subjects: tuple[str, ...] = ()
    baseline: Path = files.DEFAULT
    update: bool = False
    static: bool = True
    timed: bool = True
    cpu: str | None = None
    time_limit_s: float = 120.0


def check(request: Request, progress: Progress = lambda text: None) -> list[Finding]:
    """Findings about all subjects; with `update` also what is new, and the baseline then has the figures of this run.

    Raises UsageError for subjects and baselines that are not there.
    """
    before = _baseline(request)
    base = request.baseline.resolve().parent
    known = not request.subjects
    subjects = list(request.subjects) or sorted({*before.static, *_timed_subjects(before)})
    if not subjects:
        raise UsageError("nothing to check\n  help: name functions as FILE:NAME, files or folders with example inputs")
    findings: list[Finding] = []
    after = Baseline(dict(before.made_with), dict(before.static), dict(before.timed))
    if request.static:
        progress("compiling")
        found = figures_for(subjects, base, request.cpu or _cpu_of(before), known)
        findings += compare(before, found)
        _take(after, found)
    if request.timed:
        targets = _there(subjects, base) if known else targets_of(subjects, base)
        findings += _timed(request, targets, before, after, progress)
    if request.update:
        files.write(request.baseline, after)
        return [replace(f, note="added to the baseline") if f.verdict == "new" else f for f in findings]
    return findings


def _baseline(request: Request) -> Baseline:
    if request.update and not request.baseline.exists():
        return Baseline()
    try:
        return files.read(request.baseline)
    except UsageError:
        if request.update and request.subjects:
            return Baseline()  # it is made anew
        raise


def _cpu_of(baseline: Baseline) -> str:
    if baseline.cpu is None:
        return DEFAULT
    return baseline.cpu if baseline.cpu in LEVELS else NATIVE


def _take(after: Baseline, found: Answer) -> None:
    """Put the figures of this run into a baseline. Raises UsageError if the rest of it is for another processor."""
    rest = {*after.static} - {*found.figures, *found.gone, *found.failed}
    same = all(after.made_with.get(k) == found.made_with[k] for k in ("cpu", "machine"))
    if rest and not same:
        sides = [f"{made.get('cpu')} on {made.get('machine')}" for made in (after.made_with, found.made_with)]
        raise UsageError(
            f"the baseline is for {sides[0]}, this run for {sides[1]}\n"
            f"  help: update all of its subjects at once, or pass --cpu {after.cpu}"
        )
    after.made_with = found.made_with
    after.static = {k: v for k, v in after.static.items() if k not in found.gone} | found.figures


def _there(keys: list[str], base: Path) -> list[Target]:
    """The functions of a baseline that are still there."""
    found: list[Target] = []
    for key in keys:
        try:
            found += targets_of([str(base / key)], base)
        except UsageError:
            continue  # the static part says so
    return found


def _timed_subjects(baseline: Baseline) -> set[str]:
    return {label for entries in baseline.timed.values() for label in entries}


def _timed(
    request: Request, targets: list[Target], before: Baseline, after: Baseline, progress: Progress
) -> list[Finding]:
    from scancc.checking.timed import TimedOptions, judge, record

    if request.update:
        after.timed = record(targets, before.timed, progress)
        return []
    return judge(targets, before.timed, TimedOptions(limit_s=request.time_limit_s), progress)
