"""Timing of several implementations of one workload against one another.

Repeats are interleaved in one process (A B C, B C A, C A B, ...), so a slow or throttled moment of the
machine hits all implementations alike and ratios hold where absolute times do not. Before anything is timed
every result is compared with that of an oracle. Reported are the median, the minimum, and the ratio of medians
to a reference with a 95 % bootstrap interval over the paired repeats.

An implementation is a factory: it takes the inputs and returns a closure that runs to completion (an
asynchronous one blocks) and returns the result. Imports belong into the factory, so that a peer that is not
installed raises ImportError there and is left out with a note; whatever else it raises is noted as a
failure.
"""

from __future__ import annotations

import gc
import importlib
import importlib.metadata
import json
import os
import platform
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from llvmlite import binding

from scancc import threads

Inputs = Mapping[str, Any]
Factory = Callable[[Inputs], Callable[[], Any]]
PACKAGES = ("scancc", "numpy", "scipy", "numba", "llvmlite", "jax", "jaxlib", "pytensor", "torch",
            "pandas", "statsmodels", "arch")


@dataclass(frozen=True, slots=True)
class Workload:
    """One problem at one size.

    name             as typed on the command line and found in the JSON output, e.g. "ar2/1e5"
    steps            steps of the recurrence in one call; times are also given per step
    make_inputs      builds the inputs once, shared by all implementations, which must not write to them
    implementations  name -> factory. They are named after the peer, with what sets it apart behind a comma: "jax",
                     "jax, unroll=8"
    tolerance        largest difference allowed in a part of the result, relative to the part's largest value
    reference        the implementation that ratios are relative to; where it cannot run, the first one
    oracle           a factory that is run once and not timed, whose result all are compared with: the reference
                     interpreter on the same inputs, or what was checked against it. There is no workload without
    group            which rows are judged together: "scalar", "matrix", "network", "batch"
    gradient         whether it is derivatives that are computed
    extras           adds to the result what else is measured, such as memory
    """

    name: str
    steps: int
    make_inputs: Callable[[], Inputs]
    implementations: Mapping[str, Factory]
    tolerance: float = 1e-9
    reference: str = "scancc"
    oracle: Factory = field(kw_only=True)
    group: str = ""
    gradient: bool = False
    extras: Callable[[Workload, Result], None] | None = None

    def against(self, peers: Sequence[str]) -> Workload:
        """With the reference and these peers only; all of them where none is named."""
        kept = {n: f for n, f in self.implementations.items() if peer_of(n) in (*peers, peer_of(self.reference))}
        return replace(self, implementations=kept) if peers else self


def peer_of(implementation: str) -> str:
    """The peer that an implementation belongs to: "jax" of "jax, unroll=8"."""
    return implementation.split(",", 1)[0]


@dataclass(frozen=True, slots=True)
class Options:
    """How long to measure.

    repeats   timed samples of each implementation
    sample_s  least seconds of one sample
    limit_s   seconds after which no further repeat of a workload begins; at least three are made
    """

    repeats: int = 21
    sample_s: float = 0.02
    limit_s: float = 60.0


QUICK = Options(repeats=7, sample_s=0.005, limit_s=10.0)


@dataclass(slots=True)
class Timing:
    """Seconds of one call; `ratio` = median / the reference's median, with its 95 % interval."""

    implementation: str
    median_s: float
    min_s: float
    per_step_ns: float | None
    first_call_s: float | None  # factory and first call: imports of the peer, tracing, compilation
    difference: float  # largest absolute difference from the oracle
    repeats: int
    loops: int
    ratio: float = 1.0
    ratio_low: float = 1.0
    ratio_high: float = 1.0
    relative: float | None = None  # the largest difference of a part, relative to the part's largest value
    extra: dict[str, float] = field(default_factory=dict)  # what a workload adds, such as peak memory


@dataclass(slots=True)
class Result:
    workload: str
    steps: int | None  # None: what is timed is not a loop
    reference: str
    timings: list[Timing]
    notes: list[str]
    failed: bool = False  # an implementation raised, or its result is wrong
    group: str = ""
    gradient: bool = False

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(slots=True)
class _Contender:
    name: str
    call: Callable[[], Any]
    first_call_s: float
    difference: float
    relative: float
    loops: int = 1
    samples: list[float] = field(default_factory=list)


def measure(workload: Workload, options: Options, tell: Callable[[str], None] = lambda doing: None) -> Result:
    """Check and time all implementations of a workload; `tell` hears what is being done."""
    inputs = workload.make_inputs()
    contenders, notes, failed = _prepare(workload, inputs, tell)
    if not contenders:
        return Result(workload.name, workload.steps, "", [], notes, failed, workload.group, workload.gradient)
    for c in contenders:
        c.loops = _loops(c.call, options.sample_s)
    _sample(contenders, options, tell)
    reference = next((c for c in contenders if c.name == workload.reference), contenders[0])
    timings = [
        timing(
            c.name,
            c.samples,
            reference.samples,
            workload.steps,
            first_call_s=c.first_call_s,
            difference=c.difference,
            relative=c.relative,
            loops=c.loops,
        )
        for c in contenders
    ]
    result = Result(
        workload.name, workload.steps, reference.name, timings, notes, failed, workload.group, workload.gradient
    )
    if workload.extras is not None:
        tell("more figures")
        workload.extras(workload, result)
    return result


def _prepare(
    workload: Workload, inputs: Inputs, tell: Callable[[str], None]
) -> tuple[list[_Contender], list[str], bool]:
    contenders: list[_Contender] = []
    notes: list[str] = []
    failed = False
    tell("the oracle")
    expected = [np.array(part) for part in parts_of(workload.oracle(inputs)())]
    for name, factory in workload.implementations.items():
        tell(f"preparing {name}")
        start = perf_counter()
        try:
            call = factory(inputs)
            result = [np.array(part) for part in parts_of(call())]
        except ImportError as error:
            notes.append(f"{name}: skipped, {error}")
            failed = failed or name == workload.reference  # a peer may be missing, the subject may not
            continue
        except Exception as error:  # one broken implementation must not take the others' figures with it
            message = str(error).partition("\n")[0]
            notes.append(f"{name}: failed, {type(error).__name__}: {message}")
            failed = True
            continue
        seconds = perf_counter() - start
        gap, relative = differences(result, expected)
        if not relative <= workload.tolerance:  # also catches nan
            notes.append(
                f"{name}: wrong result, not timed: it differs by {gap:.3g}, relatively {relative:.3g}, "
                f"where {workload.tolerance:.3g} is allowed"
            )
            failed = True
            continue
        contenders.append(_Contender(name, call, seconds, gap, relative))
    return contenders, notes, failed


def parts_of(result: Any) -> Sequence[Any]:
    """The arrays that an implementation returned: values of a mapping, elements of a sequence, or the one."""
    if isinstance(result, Mapping):
        return list(result.values())
    return result if isinstance(result, (tuple, list)) else (result,)


def differences(result: Sequence[np.ndarray], expected: Sequence[np.ndarray]) -> tuple[float, float]:
    """(largest difference, largest of any part relative to that part's largest magnitude)."""
    if [r.shape for r in result] != [e.shape for e in expected]:
        return float("inf"), float("inf")
    gaps = [float(np.abs(r - e).max(initial=0.0)) for r, e in zip(result, expected, strict=True)]
    scales = [float(np.abs(e).max(initial=0.0)) or 1.0 for e in expected]
    return max(gaps), float(np.max([gap / scale for gap, scale in zip(gaps, scales, strict=True)]))


def _loops(call: Callable[[], Any], sample_s: float) -> int:
    """Calls in one sample so that it lasts `sample_s`, beside which the clock's own cost vanishes."""
    loops = 1
    while True:
        elapsed = _clock(call, loops)
        if elapsed >= sample_s:
            return loops
        loops = max(loops + 1, min(10 * loops, int(1.2 * loops * sample_s / max(elapsed, 1e-9))))


def _clock(call: Callable[[], Any], loops: int) -> float:
    start = perf_counter()
    for _ in range(loops):
        call()
    return perf_counter() - start


def _sample(contenders: list[_Contender], options: Options, tell: Callable[[str], None]) -> None:
    collecting = gc.isenabled()
    gc.disable()
    gc.freeze()  # what there is already need not be looked at after every repeat
    deadline = perf_counter() + options.limit_s
    try:
        for repeat in range(options.repeats):
            if repeat >= 3 and perf_counter() > deadline:
                break
            tell(f"repeat {repeat + 1} of {options.repeats}")
            first = repeat % len(contenders)
            for c in contenders[first:] + contenders[:first]:
                c.samples.append(_clock(c.call, c.loops) / c.loops)
            gc.collect()
    finally:
        gc.unfreeze()
        if collecting:
            gc.enable()


def timing(
    implementation: str,
    samples: Sequence[float],
    reference: Sequence[float],
    steps: int | None,
    *,
    first_call_s: float | None = None,
    difference: float = 0.0,
    relative: float | None = None,
    loops: int = 1,
) -> Timing:
    """The figures of one implementation; the ratio is to the samples `reference`."""
    middle = float(np.median(samples))
    per_step_ns = middle / steps * 1e9 if steps else None
    ratio = (1.0, 1.0, 1.0) if samples is reference else ratio_of_medians(samples, reference)
    return Timing(
        implementation,
        middle,
        min(samples),
        per_step_ns,
        first_call_s,
        difference,
        len(samples),
        loops,
        *ratio,
        relative,
    )


def ratio_of_medians(a: Sequence[float], b: Sequence[float]) -> tuple[float, float, float]:
    """median(a) / median(b) and its 95 % percentile-bootstrap interval; a[i], b[i] are one repeat."""
    from scipy import stats  # here, because it takes longer to import than the whole compiler

    def statistic(x: np.ndarray, y: np.ndarray, axis: int) -> np.ndarray:
        return np.median(x, axis=axis) / np.median(y, axis=axis)

    interval = stats.bootstrap(
        (np.asarray(a), np.asarray(b)), statistic, paired=True, vectorized=True, n_resamples=4000,
        method="percentile", rng=np.random.default_rng(0),
    ).confidence_interval  # fmt: skip
    return float(np.median(a) / np.median(b)), float(interval.low), float(interval.high)


def environment() -> dict[str, Any]:
    """What a reader needs to judge the figures: versions, processor, cores, load, and thread settings."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:  # a source tree on the path, or not there at all
            try:
                module = importlib.import_module(package)
                versions[package] = getattr(module, "__version__", "source tree")
            except ImportError:
                versions[package] = None
    return {
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "processor": _processor(),
        "target": _target(),
        "cores": os.cpu_count(),
        "load_average": os.getloadavg() if hasattr(os, "getloadavg") else None,
        "threads": threads.found(),
        "versions": versions,
    }


def _target() -> str:
    """What kernels are compiled for: the processor as LLVM calls it, and its widest vectors."""
    features = binding.get_host_cpu_features()
    widest = next((f for f in ("avx512f", "avx2", "sve", "neon") if features.get(f)), "")
    return f"{binding.get_host_cpu_name()}{' with ' * bool(widest)}{widest}"


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return next(line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


def report(record: Mapping[str, Any], results: Sequence[Result]) -> dict[str, Any]:
    """The environment and every result, ready for JSON."""
    return {"environment": record, "results": [r.as_json() for r in results]}


def write_report(path: Path, record: Mapping[str, Any], results: Sequence[Result]) -> None:
    path.write_text(json.dumps(report(record, results), indent=1) + "\n", encoding="utf-8")


def read_report(path: Path) -> tuple[dict[str, Any], list[Result]]:
    """What `write_report` wrote."""
    stored = json.loads(path.read_text(encoding="utf-8"))
    results = [Result(**{**r, "timings": [Timing(**t) for t in r["timings"]]}) for r in stored["results"]]
    return stored["environment"], results
