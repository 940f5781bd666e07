"""Times by the calibration kernels' times, and how far two sets of such ratios are apart.

The unit of a subject is a product of powers of the kernels' times, weights w >= 0 that add up to one:

    unit = latency^(1 - w_t - w_b) * throughput^w_t * bandwidth^w_b

so that a clock that drifts, which all of them feel, cancels, and what only memory or only the vector units feel cancels
as far as the subject feels it. The weights come from a recording, in which another core was loaded for some rounds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from scancc.checking.sampling import Times

FACTORS = ("throughput", "bandwidth")  # the kernels with weights of their own; the chain has the rest
RIDGE = 0.05  # change of a kernel's time (as a logarithm) below which it says nothing about weights
INTERRUPTED = 0.015  # the chain's time above its shortest of a process, as a logarithm, that is no drift of the clock
QUANTILE = 0.25  # of the rounds: those that were left alone
RESAMPLES = 9999
LEAST_SPREAD = 0.004  # between processes, whatever few of them show

Weights = dict[str, float]


def weights_of(times: Sequence[Times], subject: str) -> Weights:
    """The weights under which the ratio moves least over all rounds, the loaded ones of a recording included.

    Least squares on logarithms with bounds 0 and 1 (scipy.optimize.lsq_linear), drawn towards zero: a kernel whose
    time did not move against the chain's gets no weight. Rounds in which the chain itself was interrupted are left
    out, since its time is in the denominator on both sides and would make anything look alike.
    """
    from scipy.optimize import lsq_linear  # here, because it takes longer to import than the whole compiler

    rows, values = [], []
    for t in (part for whole in times for part in (whole, whole.stressed) if part is not None):
        chain = np.log(t.kernels["latency"])
        left_alone = chain < chain.min() + INTERRUPTED
        rows.append((np.stack([np.log(t.kernels[f]) - chain for f in FACTORS], axis=1))[left_alone])
        values.append((np.log(t.subjects[subject]) - chain)[left_alone])
    x, y = np.concatenate(rows), np.concatenate(values)
    x, y = x - np.median(x, axis=0), y - np.median(y)
    ridge = RIDGE * np.sqrt(len(y)) * np.eye(len(FACTORS))
    found = lsq_linear(np.vstack([x, ridge]), np.append(y, np.zeros(len(FACTORS))), bounds=(0, 1)).x
    found = found / max(1.0, float(found.sum()))
    return {f: round(float(w), 3) for f, w in zip(FACTORS, found, strict=True)}


def ratios_of(times: Times, subject: str, weights: Weights) -> np.ndarray:
    """Time of a call by the unit of the subject, of every round that was not loaded on purpose."""
    chain = np.log(times.kernels["latency"])
    unit = chain + sum(w * (np.log(times.kernels[f]) - chain) for f, w in weights.items())
    ratios: np.ndarray = np.exp(np.log(times.subjects[subject]) - unit)
    return ratios


@dataclass(frozen=True, slots=True)
class Change:
    """This run's ratio by the baseline's, with one-sided bounds: it is above `low`, and it is below `high`."""

    ratio: float
    low: float
    high: float


def middle(processes: Sequence[np.ndarray]) -> float:
    """The figure of several processes: the lower quartile of their rounds, put together."""
    return float(np.quantile(np.concatenate(processes), QUANTILE))


def change(now: Sequence[np.ndarray], before: Sequence[np.ndarray], alarm: float, miss: float) -> Change:
    """How much slower the processes `now` are than those `before`; each has the ratios of its rounds.

    `low` is too high with probability `alarm`, `high` is too low with probability `miss`. Rounds are bootstrapped on
    both sides (scipy.stats.bootstrap); since rounds of one process share its layout of memory, what processes
    differ by beyond their rounds is added as a variance of its own, from Student's distribution.
    """
    from scipy import stats  # here, because it takes longer to import than the whole compiler

    a, b = (np.log(np.concatenate(side)) for side in (now, before))
    rng = np.random.default_rng(0)  # the same samples give the same verdict
    drawn = stats.bootstrap(
        (a, b), _difference, vectorized=True, n_resamples=RESAMPLES, method="percentile", rng=rng
    ).bootstrap_distribution
    estimate = float(_difference(a, b, 0))
    spread, freedom = _between(now, before)
    error = spread * np.sqrt(1 / len(now) + 1 / len(before))
    below = estimate - float(np.quantile(drawn, alarm))
    above = float(np.quantile(drawn, 1 - miss)) - estimate
    low = estimate - np.hypot(below, error * stats.t.ppf(1 - alarm, freedom))
    high = estimate + np.hypot(above, error * stats.t.ppf(1 - miss, freedom))
    return Change(float(np.exp(estimate)), float(np.exp(low)), float(np.exp(high)))


def _difference(a: np.ndarray, b: np.ndarray, axis: int) -> np.ndarray:
    difference: np.ndarray = np.quantile(a, QUANTILE, axis=axis) - np.quantile(b, QUANTILE, axis=axis)
    return difference


def _between(*sides: Sequence[np.ndarray]) -> tuple[float, int]:
    """Standard deviation between processes of a side, beyond what rounds explain, and its degrees of freedom."""
    quartiles = [[float(np.quantile(np.log(p), QUANTILE)) for p in side] for side in sides]
    freedom = max(1, sum(len(q) - 1 for q in quartiles))
    variance = sum(float(np.sum((np.array(q) - np.mean(q)) ** 2)) for q in quartiles) / freedom
    within = float(np.mean([_error(np.log(p)) ** 2 for side in sides for p in side]))
    return float(np.sqrt(max(LEAST_SPREAD**2, variance - within))), freedom


def _error(values: np.ndarray) -> float:
    """Standard error of the lower quartile of one process's rounds, by the bootstrap."""
    rng = np.random.default_rng(0)
    drawn = rng.choice(values, (200, len(values)))
    return float(np.std(np.quantile(drawn, QUANTILE, axis=1)))
