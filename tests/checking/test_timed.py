"""Judgement of timed ratios on numbers that are made up, so that what is right is known; nothing is timed here."""

from __future__ import annotations

import numpy as np
import pytest

from scancc.checking.ratios import change, ratios_of, weights_of
from scancc.checking.sampling import Plan, Times
from scancc.checking.timed import (
    FEWEST_FOR_ALARM,
    TimedOptions,
    judge_entries,
    processor,
    record_entries,
    signature,
)

INPUTS = {"f": "float64[3]"}


class Machine:
    """Makes times up: `clock` drifts with everything, `noise` makes samples longer, layouts differ by process."""

    def __init__(self, seed: int, slower: float = 1.0, noise: float = 0.01, layout: float = 0.004) -> None:
        self.rng = np.random.default_rng(seed)
        self.slower, self.noise, self.layout = slower, noise, layout
        self.processes = 0

    def __call__(self, labels: list[str], plan: Plan) -> Times:
        self.processes += 1
        rounds = plan.rounds

        def times(base: float, rows: int) -> np.ndarray:
            return base * clock[:rows] * (1 + self.noise * self.rng.exponential(size=rows))

        clock = 1 + 0.2 * self.rng.random(rounds)
        own = 2e-3 * self.slower * np.exp(self.layout * self.rng.normal())
        kernels = {name: times(1e-3, rounds) for name in ("latency", "throughput", "bandwidth")}
        quiet = Times(kernels, {label: times(own, rounds) for label in labels})
        if not plan.stressed:
            return quiet
        rows = 2 * plan.stressed
        loaded = {n: times(1e-3 * (1.4 if n == "bandwidth" else 1), rows) for n in kernels}
        return Times(quiet.kernels, quiet.subjects, Times(loaded, {label: times(own, rows) for label in labels}))


def baseline(seed: int = 0, **options):
    return {processor(): record_entries(INPUTS, Machine(seed, **options))}


def verdicts(count: int, **options) -> list[str]:
    return [judge_entries(INPUTS, baseline(k), Machine(1000 + k, **options))[0].verdict for k in range(count)]


def test_unchanged_code_is_no_regression():
    found = verdicts(40)
    assert found.count("regression") == 0 and found.count("ok") >= 38


def test_a_slow_down_of_15_percent_is_found():
    assert verdicts(40, slower=1.15).count("regression") >= 38


def test_what_got_faster_is_better():
    assert set(verdicts(5, slower=0.7)) == {"better"}


def test_noise_that_hides_the_change_is_undecided():
    (found,) = judge_entries(INPUTS, baseline(layout=0.2), Machine(7, layout=0.2, slower=1.07))
    assert found.verdict == "undecided" and "between" in found.note


def test_one_process_raises_no_alarm():
    machine = Machine(3, slower=3.0)
    (found,) = judge_entries(INPUTS, baseline(), machine)
    assert found.verdict == "regression" and machine.processes >= FEWEST_FOR_ALARM
    (found,) = judge_entries(INPUTS, baseline(), Machine(3, slower=3.0), TimedOptions(limit_s=0.0))
    assert found.verdict == "undecided", "the time is over after the first"


def test_what_cannot_be_compared_is_not():
    known = baseline()
    other = {"another-cpu": known[processor()]}
    cases = {
        "new": (INPUTS, {}),
        "not compared": (INPUTS, other),
    }
    for verdict, (inputs, entries) in cases.items():
        (found,) = judge_entries(inputs, entries, Machine(1))
        assert found.verdict == verdict
    (found,) = judge_entries({"f": "float64[4]"}, known, Machine(1))
    assert found.verdict == "not compared" and "inputs" in found.note


def test_a_clock_that_drifts_cancels():
    machine = Machine(0)
    times = [machine(["f"], Plan(stressed=2)) for _ in range(6)]
    weights = weights_of(times, "f")
    assert weights["bandwidth"] < 0.2, "the subject does not feel what the memory feels"
    for t in times:
        assert np.ptp(np.log(ratios_of(t, "f", weights))) < np.ptp(np.log(t.subjects["f"]))


def test_bounds_hold_the_change():
    rng = np.random.default_rng(0)

    def side(scale: float, count: int) -> list[np.ndarray]:
        return [scale * np.exp(0.005 * rng.normal()) * (1 + 0.01 * rng.exponential(size=12)) for _ in range(count)]

    found = change(side(1.2, 5), side(1.0, 8), 0.01, 0.05)
    assert found.low < 1.2 < found.high and 1.15 < found.low and found.high < 1.25


@pytest.mark.parametrize(
    ("arguments", "text"),
    [((np.ones((2, 3), "f4"), 1.5), "float32[2, 3], 1.5"), (dict(x=[np.ones(1)], n=3), "x=float64[1], n=3")],
)
def test_signatures(arguments, text):
    assert signature(arguments) == text
