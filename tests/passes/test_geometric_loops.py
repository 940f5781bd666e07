"""Loops that are powers: what they come to, where a power is no answer, and which loops are none."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import scancc as sc
from scancc.errors import ScanError

CLOSED = "power("


def last(r0, a, n):
    return sc.scan(lambda r, a: r * a, None, r0, a, n_steps=n)[-1]


def two(r0, a, n):
    """Each with a factor of its own, one of which is made of several values."""
    rs, qs = sc.scan(lambda r, q, a: (a * r, q * (0.5 + a / 2)), None, [r0, r0 * 3], a, n_steps=n)
    return rs[-1], qs[-1]


POWER, TWO = sc.jit(last), sc.jit(two)
STRICT = sc.jit(last, strict_fp=True)


@pytest.mark.parametrize("n", [1, 2, 63, 64, 65, 1000, 10**5])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("a", [1.0, 1.0 + 1e-5, 0.999, -1.0003])
def test_against_exact_numbers(a, dtype, n):
    """Nearer to the true value than the loop is, which is rounded at every step."""
    a, r0 = np.dtype(dtype).type(a), np.dtype(dtype).type(1.5)
    exact = float(Fraction(float(r0)) * Fraction(float(a)) ** n) if n <= 1000 else 1.5 * float(a) ** n
    eps = float(np.finfo(dtype).eps)
    assert POWER(r0, a, n) == pytest.approx(exact, rel=4 * eps if n >= 64 else n * eps, abs=1e-44)
    assert STRICT(r0, a, n) == STRICT(r0, a, n, mode="interpret")


@pytest.mark.parametrize("r0", [0.0, 1e-300, 1.0, -2.5, 1e300, np.inf, -np.inf, np.nan, 5e-324])
@pytest.mark.parametrize("a", [0.0, -0.0, 1e-200, 0.5, 2.0, -2.0, 1.0, -1.0, 1e200, np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("n", [64, 65, 2000])
def test_what_has_no_normal_power(r0, a, n):
    """Zeros times infinities are no numbers, and what overflows on the way stays infinite: as in the loop."""
    np.testing.assert_array_equal(POWER(r0, a, n), POWER(r0, a, n, mode="interpret"))


def test_one_element_that_overflows():
    a = np.array([1.0, 1.01, 10.0, 0.1, -1.0])
    r0 = np.array([1.0, 2.0, 0.0, 1e300, 3.0])
    np.testing.assert_allclose(POWER(r0, a, 500), POWER(r0, a, 500, mode="interpret"), rtol=1e-12)


@settings(max_examples=60, deadline=None)
@given(a=st.floats(0.9, 1.1), r0=st.floats(-1e3, 1e3), n=st.integers(1, 3000))
def test_any_numbers(a, r0, n):
    for f in (POWER, TWO):
        expected = f(r0, a, n, mode="interpret")
        np.testing.assert_allclose(f(r0, a, n), expected, rtol=4e-16 * (n + 2), atol=1e-300)  # it rounds subnormals


def test_no_steps():
    for n in (0, -1):
        with pytest.raises((ScanError, IndexError)):
            POWER(1.0, 1.01, n)


def test_sums_of_integers_are_exact():
    """Integers wrap around at every step; they are left to the loop."""
    assert CLOSED not in POWER.lower(np.int64(1), np.int64(3), 100).loop_ir()
    assert POWER(np.int64(1), np.int64(3), 100) == POWER(np.int64(1), np.int64(3), 100, mode="interpret")


LEFT = {
    "whole output": lambda r0, a, n: sc.scan(lambda r, a: r * a, None, r0, a, n_steps=n),
    "changing factor": lambda r0, a, n: sc.scan(lambda t, r, a: r * (a + t), np.arange(100.0), r0, a)[-1],
    "square": lambda r0, a, n: sc.scan(lambda r, a: r * r, None, r0, a, n_steps=n)[-1],
    "by another state": lambda r0, a, n: sc.scan(lambda r, q, a: (r * q, q * a), None, [r0, r0], a, n_steps=n)[0][-1],
    "affine": lambda r0, a, n: sc.scan(lambda r, a: r * a + 1, None, r0, a, n_steps=n)[-1],
    "until": lambda r0, a, n: sc.scan(lambda r, a: (r * a, sc.until(r > 9)), None, r0, a, n_steps=n)[-1],
}


@pytest.mark.parametrize("name", LEFT)
def test_other_loops_stay(name):
    f = sc.jit(LEFT[name])
    assert CLOSED not in f.lower(1.0, 1.001, 100).loop_ir()
    np.testing.assert_allclose(f(1.0, 1.001, 100), f(1.0, 1.001, 100, mode="interpret"), rtol=1e-12)


def test_not_under_strict_fp():
    assert CLOSED in POWER.lower(1.0, 1.001, 100).loop_ir()
    assert CLOSED not in STRICT.lower(1.0, 1.001, 100).loop_ir()
