"""Sums over rows in vectors: right to the last bits, in the loop's order under strict_fp, never across a recurrence."""

from __future__ import annotations

import numpy as np
import pytest

import scancc as sc

R = np.random.default_rng(0)


def rows(x):
    return sc.scan(lambda r, s: s + (r * np.tanh(r)).sum(), x, x.dtype.type(0))[-1], (x * x).sum(), x.sum(axis=1)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("width", [1, 16, 17, 63, 1000])
def test_sums(dtype, width):
    x = R.normal(size=(9, width)).astype(dtype)
    f = sc.jit(rows)
    assert ("sums.partial" in f.lower(x).source()) == (width > 16)
    for have, want in zip(f(x), f(x, mode="interpret"), strict=True):
        np.testing.assert_allclose(have, want, rtol=1e-12 if dtype == "float64" else 1e-4, atol=1e-6)


def test_the_loop_is_vectorised():
    program = sc.jit(lambda x: (x * x).sum()).lower(np.ones((40, 3000)))
    assert "reassoc" in program.llvm()
    strict = sc.jit(lambda x: (x * x).sum(), strict_fp=True).lower(np.ones((40, 3000)))
    assert "sums.partial" not in strict.source()


def test_partial_sums_lose_less():
    """Ten million times a tenth: one after the other it is wrong in the ninth digit."""
    x = np.full((1000, 10_000), 0.1)
    exact = 1e6
    assert abs(sc.jit(lambda x: x.sum())(x) - exact) <= abs(sc.jit(lambda x: x.sum(), strict_fp=True)(x) - exact)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_values_that_are_not_finite(bad):
    x = np.ones((3, 100))
    x[1, 50] = bad
    for have, want in zip(sc.jit(rows)(x), sc.jit(rows)(x, mode="interpret"), strict=True):
        np.testing.assert_array_equal(have, want)


def test_running_sums_are_left_alone():
    f = sc.jit(lambda x: np.cumsum(x, axis=1))
    x = R.normal(size=(3, 100))
    assert "sums.partial" not in f.lower(x).source()
    np.testing.assert_allclose(f(x), np.cumsum(x, axis=1), rtol=1e-12)
