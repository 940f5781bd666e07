"""Linear recurrences solved in blocks: against the plain loop, for every remainder, dtype and special value."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import scancc as sc


@sc.scan_compile
def one(x, y1, a):
    return x + a * y1


@sc.scan_compile
def two(x, y2, y1, a, b):
    return (x * x - b * y2) - (-a) * y1


@sc.scan_compile
def three(x, y3, y2, y1, a, b, c):
    return (y3 / c + x) + 0.5 * (y2 * b + y1) + y1 * a


CASES = {1: (one, [-1], (0.9,)), 2: (two, [-2, -1], (1.2, 0.5)), 3: (three, [-3, -2, -1], (0.1, 0.2, 4.0))}


def arguments(taps, x, coefficients=None):
    step, offsets, known = CASES[taps]
    initial = np.linspace(0.3, -0.7, taps).astype(x.dtype)
    if taps == 1:
        initial = initial[0]
    given = [x.dtype.type(c) for c in coefficients or known]
    return step, (x, [dict(initial=initial, taps=offsets)], given)


@pytest.mark.parametrize("taps", [1, 2, 3])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_every_remainder(taps, dtype):
    r = np.random.default_rng(taps)
    for n in (*range(0, 40), 2047, 2048, 2049, 5000):
        x = r.normal(size=n).astype(dtype)
        step, args = arguments(taps, x)
        np.testing.assert_allclose(
            step(*args), step(*args, mode="interpret"), rtol=0, atol=2e-5 if dtype == "f4" else 1e-13
        )
    assert "in blocks" in step.lower(*args).ir()


@pytest.mark.parametrize("taps", [1, 2, 3])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e308])
def test_special_values_stay_where_they_are(taps, bad):
    r = np.random.default_rng(0)
    for place in range(20, 30):
        x = r.normal(size=100)
        x[place] = bad
        x[place + 40] = -bad
        step, args = arguments(taps, x)
        with np.errstate(all="ignore"):
            expected = step(*args, mode="interpret")
        np.testing.assert_allclose(step(*args), expected, rtol=1e-12)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 3), st.integers(0, 3000), st.data())
def test_any_coefficients(taps, n, data):
    coefficients = [data.draw(st.floats(-1.2, 1.2).filter(lambda c: abs(c) > 1e-3)) for _ in range(taps)]
    x = np.random.default_rng(n).normal(size=n)
    step, args = arguments(taps, x, coefficients)
    with np.errstate(all="ignore"):
        expected = step(*args, mode="interpret")
    # Where an unstable recurrence overflows, the order of a sum decides in which step it does.
    large = ~(np.abs(expected) < 1e290)
    end = int(large.argmax()) if large.any() else n
    got, expected = step(*args)[:end], expected[:end]
    # It multiplies every rounding by its growth, in the loop as in blocks.
    assert np.all(np.abs(got - expected) <= 1e-9 * (1 + np.maximum.accumulate(np.abs(expected))))


def test_last_row_and_sum_need_no_trace():
    x = np.random.default_rng(0).normal(size=5000)

    @sc.jit
    def last(x):
        return one(x, 0.5, 0.9)[-1]

    @sc.jit
    def tail(x):
        return one(x, 0.5, 0.9)[-40:]

    whole = one(x, 0.5, 0.9)
    assert last(x) == pytest.approx(whole[-1], abs=1e-13)
    np.testing.assert_allclose(tail(x), whole[-40:], atol=1e-13)
    assert "2048" in last.lower(x).loop_ir()


def test_strict_runs_step_by_step():
    x = np.random.default_rng(0).normal(size=1000)
    strict = sc.scan_compile(strict_fp=True)(one.fn)
    assert "in blocks" not in strict.lower(x, 0.5, 0.9).ir()
    np.testing.assert_array_equal(strict(x, 0.5, 0.9), strict(x, 0.5, 0.9, mode="interpret"))
