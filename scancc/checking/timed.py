"""Timed evidence: ratios to calibration kernels that were timed by turns with the subject, judged against a baseline.

A baseline holds the ratios of all rounds of several processes by the processor that they were measured on, since
ratios of different processors say nothing about each other. A check measures one process after another ("looks")
until every subject is decided:

    regression   the lower bound of the change is above 1 + effect, and at least three processes were measured
    ok           the upper bound is below 1 + effect; better if it is below 1 / (1 + effect)
    undecided    neither, after all looks or when the time is over

The probabilities of a false alarm and of a miss are shared out evenly among the looks (Bonferroni), so looking often
does not make either more likely. The effect lies half-way between no change and the smallest slow-down that has to be
found: at 7 %, a change of 15 % is as far above it as none is below.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any

import numpy as np
from llvmlite import binding

from scancc.checking.finding import Finding, Verdict
from scancc.checking.processes import sample_in_process
from scancc.checking.ratios import Change, change, middle, ratios_of, weights_of
from scancc.checking.sampling import Plan, Times
from scancc.cli.loading import Target

ALARM, MISS = 0.01, 0.05  # probabilities for one subject and one check
LOOKS = 12
FEWEST_FOR_ALARM = 3  # processes
RECORDED = 8  # processes of a baseline
FIGURE = "time"

Entry = dict[str, Any]  # of one subject: "inputs", "weights", "ratios" (a list of rounds for each process)
Baseline = dict[str, dict[str, Entry]]  # processor -> label -> entry
Sampler = Callable[[Sequence[str], Plan], Times]  # labels -> times of one process
Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class TimedOptions:
    """effect: the change that counts, as a fraction; limit_s: seconds after which no further process is begun."""

    effect: float = 0.07
    limit_s: float = 120.0
    plan: Plan = Plan()


def record(subjects: Sequence[Target], kept: Baseline | None = None, progress: Progress | None = None) -> Baseline:
    """The baseline of these subjects on this processor, beside what `kept` has of others."""
    entries = record_entries({t.label: signature(t.examples()) for t in subjects}, _sampler(subjects), progress)
    there = dict(kept or {})
    return there | {processor(): there.get(processor(), {}) | entries}


def judge(
    subjects: Sequence[Target],
    baseline: Baseline,
    options: TimedOptions | None = None,
    progress: Progress | None = None,
) -> list[Finding]:
    """One finding for each subject. Raises SamplingError where a subject cannot be run."""
    inputs = {t.label: signature(t.examples()) for t in subjects}
    return judge_entries(inputs, baseline, _sampler(subjects), options, progress)


def _sampler(subjects: Sequence[Target]) -> Sampler:
    return lambda labels, plan: sample_in_process([t for t in subjects if t.label in labels], plan)


def record_entries(inputs: Mapping[str, str], sampler: Sampler, progress: Progress | None = None) -> dict[str, Entry]:
    """label -> entry, for subjects given by the signatures of their inputs."""
    if not inputs:
        return {}
    times = []
    for number in range(RECORDED):
        _tell(progress, f"timing {len(inputs)} functions for the baseline, process {number + 1} of {RECORDED}")
        times.append(sampler(list(inputs), Plan(stressed=2)))
    entries = {}
    for label, text in inputs.items():
        weights = weights_of(times, label)
        ratios = [[float(f"{r:.4g}") for r in ratios_of(t, label, weights)] for t in times]
        entries[label] = {"inputs": text, "weights": weights, "ratios": ratios}
    return entries


def judge_entries(
    inputs: Mapping[str, str],
    baseline: Baseline,
    sampler: Sampler,
    options: TimedOptions | None = None,
    progress: Progress | None = None,
) -> list[Finding]:
    """Findings in the order of `inputs`, which has the signature of the inputs of every subject."""
    options = options or TimedOptions()
    entries = baseline.get(processor(), {})
    findings = {label: _not_comparable(label, text, baseline) for label, text in inputs.items()}
    measured: dict[str, list[np.ndarray]] = {label: [] for label, found in findings.items() if found is None}
    deadline = perf_counter() + options.limit_s
    for look in range(LOOKS):
        pending = [n for n in measured if (f := findings[n]) is None or f.verdict == "undecided"]
        left = deadline - perf_counter()
        if not pending or (look and left <= 0):
            break
        _tell(progress, f"timing {len(pending)} functions, process {look + 1} of at most {LOOKS}")
        times = sampler(pending, replace(options.plan, seconds=max(0.0, min(options.plan.seconds, left))))
        for label in pending:
            ratios = ratios_of(times, label, entries[label]["weights"])
            measured[label].append(ratios)
            findings[label] = _verdict(label, measured[label], _recorded(entries[label]), options.effect)
    return [f for f in findings.values() if f is not None]


def _not_comparable(label: str, inputs: str, baseline: Baseline) -> Finding | None:
    entry = baseline.get(processor(), {}).get(label)
    if entry is not None and entry["inputs"] == inputs:
        return None
    others = [name for name, entries in baseline.items() if label in entries]
    if entry is not None:
        return Finding(label, FIGURE, "timed", entry["inputs"], inputs, "not compared", "the inputs are others")
    if others:
        note = f"the baseline has its times on {', '.join(sorted(others))}, this is {processor()}"
        return Finding(label, FIGURE, "timed", None, None, "not compared", note)
    return Finding(label, FIGURE, "timed", None, None, "new", "the baseline has no times of it")


def _recorded(entry: Entry) -> list[np.ndarray]:
    return [np.array(rounds, np.float64) for rounds in entry["ratios"]]


def _verdict(label: str, now: list[np.ndarray], before: list[np.ndarray], effect: float) -> Finding:
    found = change(now, before, ALARM / LOOKS, MISS / LOOKS)
    figures = (round(middle(before), 5), round(middle(now), 5))
    verdict = decide(found, len(now), effect)
    return Finding(label, FIGURE, "timed", *figures, verdict, explained(found, len(now), effect))


def decide(found: Change, processes: int, effect: float) -> Verdict:
    """The rule at the top of this file."""
    if found.low > 1 + effect and processes >= FEWEST_FOR_ALARM:
        return "regression"
    if found.high < 1 / (1 + effect):
        return "better"
    return "ok" if found.high < 1 + effect else "undecided"


def explained(found: Change, processes: int, effect: float) -> str:
    many = "1 process" if processes == 1 else f"{processes} processes"
    return (
        f"{found.ratio:.3f} times the baseline's, between {found.low:.3f} and {found.high:.3f} ({many}); "
        f"more than {1 + effect:.3g} is a regression"
    )


def signature(arguments: Any) -> str:
    """The arguments of a call as text: dtypes and shapes of arrays, values of numbers."""
    return ", ".join(_described(arguments))


def _described(value: Any) -> Iterable[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from (f"{key}={text}" for text in _described(inner))
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _described(inner)
    elif hasattr(value, "dtype") and hasattr(value, "shape"):
        yield f"{value.dtype}[{', '.join(map(str, value.shape))}]"
    else:
        yield repr(value) if isinstance(value, (int, float, complex, str, type(None))) else type(value).__name__


def processor() -> str:
    """The processor as the compiler knows it, e.g. "znver4": what machine code and its times depend on."""
    return str(binding.get_host_cpu_name())


def _tell(progress: Progress | None, text: str) -> None:
    if progress is not None:
        progress(text)
