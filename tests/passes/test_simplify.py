"""Identities hold for every value that a dtype has."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import scancc as sc

ODD = [np.inf, -np.inf, np.nan, 0.0, -0.0, 1.5, -2.0]
COMPLEX = np.array([complex(a, b) for a in ODD for b in ODD])


@pytest.mark.parametrize(
    "f", [lambda x: x * 1.0, lambda x: 1.0 * x, lambda x: x / 1.0, lambda x: x - 0.0, lambda x: x + 0.0],
    ids=["x * 1", "1 * x", "x / 1", "x - 0", "x + 0"],
)  # fmt: skip
@pytest.mark.parametrize("x", [COMPLEX, np.array(ODD)], ids=["complex", "real"])
def test_neutral_operands(f, x):
    with np.errstate(invalid="ignore"):
        expected = f(x)
    got = sc.jit(f, strict_fp=True)(x)
    np.testing.assert_array_equal(got, expected)
    parts = [(got.real, expected.real), (got.imag, expected.imag)] if x.dtype.kind == "c" else [(got, expected)]
    for a, b in parts:
        known = ~np.isnan(b)
        np.testing.assert_array_equal(np.signbit(a[known]), np.signbit(b[known]))


@pytest.mark.parametrize("divisor", [0.0, -0.0, 5e-324, 1e-310, 1e308, np.inf, np.nan, 3.0])
def test_division_by_a_constant_under_fastmath(divisor):
    x = np.array([0.0, 1.0, 1e-310, -2.5])
    with np.errstate(all="ignore"):
        expected = x / divisor
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        got = sc.jit(lambda x: x / divisor, fastmath=True)(x)
    if np.isfinite(expected).all():
        np.testing.assert_allclose(got, expected, rtol=1e-15, atol=5e-324)
