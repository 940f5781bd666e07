"""The inverse of two rows and columns in a step: against exact numbers, NumPy, and the elimination of other steps."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scancc_runtime.matrices import CANCELLED, RANGE

import scancc as sc

DTYPES = ("float64", "float32")


def inverses(a):
    """Of a sequence of matrices, in a step that waits for the one before."""

    def step(a, total):
        inverse = np.linalg.inv(a)
        return inverse, total + inverse

    found, total = sc.scan(step, a, [None, np.eye(2, dtype=a.dtype)])
    return found, total[-1]


def solutions(a, b):

    def step(a, b, total):
        x = np.linalg.solve(a, b)
        return x, total + x

    found, total = sc.scan(step, [a, b], [None, b[0]])
    return found, total[-1]


def of_three(a):
    return sc.scan(lambda a, total: total + np.linalg.inv(a), a, np.eye(3))


def eliminated(a):
    """No step waits here."""
    return sc.scan(lambda a: np.linalg.inv(a), a)


# Devices eliminate.
INVERSES, SOLUTIONS, ELIMINATED = (sc.jit(f, target="cpu") for f in (inverses, solutions, eliminated))
FAST = sc.jit(inverses, fastmath=True, target="cpu")


def exact(a):
    (p, q), (r, s) = [[Fraction(float(x)) for x in row] for row in a]
    det = p * s - q * r
    return np.array([[s / det, -q / det], [-r / det, p / det]], dtype=object)


def test_which_steps_have_a_branch():
    a = np.eye(2)[None]
    assert "matrices.inverse_00" in INVERSES.lower(a).source()
    assert "matrices.inverse" not in ELIMINATED.lower(a).source()  # a branch would keep LLVM from vectorising it
    assert "matrices.inverse" not in sc.jit(of_three).lower(np.eye(3)[None]).source()
    assert "matrices.inverse" not in sc.jit(inverses).lower(np.eye(2, dtype="complex128")[None]).source()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("exponent", [0, 10, -10])
def test_against_exact_numbers(dtype, exponent):
    """Within the bits that the determinant loses, as long as it loses less than half of them."""
    a = (np.random.default_rng(3).normal(size=(400, 2, 2)) * 10.0**exponent).astype(dtype)
    eps = np.finfo(dtype).eps
    for matrix, found in zip(a, INVERSES(a)[0], strict=True):
        true = exact(matrix)
        products = abs(float(matrix[0, 0]) * float(matrix[1, 1])) + abs(float(matrix[0, 1]) * float(matrix[1, 0]))
        lost = max(1.0, products / abs(float(Fraction(float(matrix[0, 0])) * Fraction(float(matrix[1, 1]))
                                             - Fraction(float(matrix[0, 1])) * Fraction(float(matrix[1, 0])))))
        error = max(abs((Fraction(float(x)) - y) / y) for x, y in zip(found.flat, true.flat, strict=True))
        assert error <= 4 * eps * lost


@settings(max_examples=150, deadline=None)
@given(st.lists(st.floats(-1e3, 1e3).filter(lambda x: x == 0 or abs(x) > 1e-3), min_size=4, max_size=4),
       st.integers(-280, 280), st.integers(-20, 20))  # fmt: skip
def test_any_scale(elements, exponent, between):
    """By the rule, every element is as accurate as the determinant; where that is not, elimination has the word."""
    a = np.array(elements).reshape(2, 2) * 10.0**exponent
    with np.errstate(over="ignore"):
        a[0] *= 10.0**between
    if not np.isfinite(a).all():
        return
    found = INVERSES(a[None])[0][0]
    (p, q), (r, t) = a
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        plus, minus = abs(p * t), abs(q * r)
        cancels = abs(p * t - q * r) < 1.01 * CANCELLED * max(plus, minus)
    if cancels or not 1.01 / RANGE[64] < max(plus, minus) < RANGE[64] / 1.01:
        np.testing.assert_allclose(found, ELIMINATED(a[None])[0], rtol=1e-11)
        return
    true = exact(a)
    lost = (plus + minus) / abs(float(Fraction(p) * Fraction(t) - Fraction(q) * Fraction(r)))
    for x, y in zip(found.flat, true.flat, strict=True):
        assert abs(Fraction(float(x)) - y) <= 1e-15 * lost * abs(y) + Fraction(1, 10**300)


SPECIAL = [
    [[1, 2], [2, 4]], [[0, 0], [0, 0]], [[3, 1], [1, 1 / 3]], [[0, 1], [1, 0]], [[0, 0], [0, 1]], [[np.nan, 1], [1, 2]],
    [[np.inf, 0], [0, 1]], [[np.inf, 1], [2, 1]], [[1e200, 0], [0, 1e150]], [[1e-310, 0], [0, 1e-310]],
    [[1e300, 1e-300], [1e-300, 1e300]], [[1, 1], [1, 1 + 2.0**-52]], [[1e-200, 1], [1, 1e-200]],
]  # fmt: skip


@pytest.mark.parametrize("a", SPECIAL[:3])
def test_singular_matrices(a):
    """NaN everywhere; so is what LAPACK takes for singular, whose determinant rounding has made 0."""
    a = np.array([a], float)
    assert np.isnan(INVERSES(a)[0]).all() and np.isnan(INVERSES(a, mode="interpret")[0]).all()


@pytest.mark.parametrize("a", SPECIAL)
def test_special_matrices_are_as_elimination_has_them(a):
    a = np.array([a], float)
    found, expected = INVERSES(a)[0], ELIMINATED(a)
    np.testing.assert_allclose(found, expected, rtol=1e-14)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("columns", [(), (1,), (3,)])
def test_solve(dtype, columns):
    rng = np.random.default_rng(5)
    a = (rng.normal(size=(200, 2, 2)) + 2 * np.eye(2)).astype(dtype)
    b = rng.normal(size=(200, 2, *columns)).astype(dtype)
    found = SOLUTIONS(a, b)[0]
    assert found.dtype == dtype
    condition = np.linalg.cond(a).reshape(-1, 1, *(1,) * len(columns))
    error = np.abs(found - SOLUTIONS(a, b, mode="interpret")[0]) / np.abs(found).max(axis=1, keepdims=True)
    assert (error <= 8 * np.finfo(dtype).eps * condition).all()


def test_solve_a_singular_matrix():
    assert np.isnan(SOLUTIONS(np.ones((1, 2, 2)), np.ones((1, 2)))[0]).all()


def test_fastmath_may_not_change_the_choice():
    a = np.array([[[2.0, 1.0], [1.0, 3.0]], [[1e200, 0.0], [0.0, 1e150]], [[0.0, 1.0], [1.0, 0.0]]])
    np.testing.assert_allclose(FAST(a)[0], [np.linalg.inv(x) for x in a], rtol=1e-14)


def test_many_lanes_are_vectorised_all_the_same():
    a = np.random.default_rng(6).normal(size=(3, 8, 2, 2)) + 3 * np.eye(2)
    many = sc.jit(sc.vmap(lambda a: inverses(a)[0], 1, 1))
    np.testing.assert_allclose(many(a), np.linalg.inv(a), rtol=1e-12)


def test_gradient():
    a = np.random.default_rng(7).normal(size=(4, 2, 2)) + 3 * np.eye(2)
    d = sc.jit(sc.grad(lambda a: (inverses(a)[0] ** 2).sum()))(a)
    inverse = np.linalg.inv(a)
    np.testing.assert_allclose(d, -2 * inverse.mT @ inverse @ inverse.mT, rtol=1e-11)
