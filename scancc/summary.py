"""What many results say together: how many times as fast as each peer the reference is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import geometric_mean

from scancc.measure import Result, Timing, peer_of


@dataclass(frozen=True, slots=True)
class SpeedUp:
    """One peer in one workload, by the fastest of its variants: its median time over the reference's."""

    workload: str
    peer: str
    implementation: str
    ratio: float
    low: float  # the 95 % interval of the ratio
    high: float
    group: str
    gradient: bool


def speed_ups(results: Iterable[Result]) -> list[SpeedUp]:
    """Of every peer in every loop whose reference ran; without the reference itself."""
    found = []
    for result in results:
        if result.steps is None or not any(t.implementation == result.reference for t in result.timings):
            continue
        fastest: dict[str, Timing] = {}
        for t in sorted(result.timings, key=lambda t: t.median_s):
            fastest.setdefault(peer_of(t.implementation), t)
        found += [
            SpeedUp(result.workload, peer, t.implementation, t.ratio, t.ratio_low, t.ratio_high, result.group,
                    result.gradient)
            for peer, t in fastest.items() if peer != peer_of(result.reference)
        ]  # fmt: skip
    return found


@dataclass(frozen=True, slots=True)
class Mean:
    """The geometric mean over the workloads that a peer took part in, and in how many of them it was slower."""

    peer: str
    gradient: bool
    ratio: float
    workloads: int
    ahead: int


def means(found: Sequence[SpeedUp]) -> list[Mean]:
    """By peer, forward and gradients apart; the widest field first."""
    groups: dict[tuple[bool, str], list[float]] = {}
    for s in found:
        groups.setdefault((s.gradient, s.peer), []).append(s.ratio)
    made = [
        Mean(peer, gradient, geometric_mean(ratios), len(ratios), sum(r >= 1 for r in ratios))
        for (gradient, peer), ratios in groups.items()
    ]
    return sorted(made, key=lambda m: (m.gradient, -m.workloads, m.peer))
