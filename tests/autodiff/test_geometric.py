"""Derivatives of loops that are powers: without a history, and equal to those of the loop written out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import scancc as sc
from scancc.errors import ScanError


def last(r0, a, n):
    return sc.scan(lambda r, a: r * a, None, r0, a, n_steps=n)[-1]


def interest(r0, rate, n):
    return sc.scan(lambda r, rate: (1 + rate / 12) * r, None, r0, rate, n_steps=n)[-1]


def squares(r0, a, n):
    """Not by one rule: the exponent of the second is a value of the first."""
    return last(r0, last(1.0, a, 2), n)


def gradient(f, wrt=(0, 1)):
    return sc.jit(sc.grad(lambda *args: f(*args).sum(), wrt))


def by_hand(r0, a, n):
    """Derivatives of r0 a^n with respect to r0 and a."""
    return a**n, r0 * n * a ** (n - 1) if n else 0 * a


@pytest.mark.parametrize("n", [1, 2, 63, 64, 65, 1000])
def test_against_the_formula(n):
    r0, a = np.array([1.5, -2.0, 0.3]), np.array([1.001, 0.99, -1.0])
    for mine, true in zip(gradient(last)(r0, a, n), by_hand(r0, a, n), strict=True):
        np.testing.assert_allclose(mine, true, rtol=1e-13 * (n + 2))


def test_no_history():
    ir = gradient(last).lower(np.ones(3), np.ones(3), 1000).ir()
    assert "history" not in ir
    assert ir.count("= scan") == 2


@settings(max_examples=60, deadline=None)
@given(a=st.floats(-1.2, 1.2), r0=st.floats(-1e3, 1e3), n=st.integers(0, 200))
def test_any_numbers(a, r0, n):
    f = gradient(last)
    expected = by_hand(r0, a, n)
    for mode in ("compile", "interpret"):
        found = f(r0, a, n) if mode == "compile" else f(r0, a, n, mode="interpret")
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-290)


@pytest.mark.parametrize("a", [0.0, -0.0, np.inf, np.nan, 1e200])
@pytest.mark.parametrize("n", [0, 1, 2, 3, 100])
def test_special_values(a, n):
    found = gradient(last)(1.0, a, n)
    with np.errstate(all="ignore"):  # products of no factors are 1
        product = [np.prod(np.full(n, a)), sum(np.prod(np.full(n - 1, a)) for _ in range(n))]
    np.testing.assert_array_equal(found, product)


@pytest.mark.parametrize("shape", [(), (4,), (3, 4)])
def test_a_factor_that_is_broadcast(shape):
    r0, a = np.full(shape, 1.5), np.float64(1.01)
    d = gradient(last)(r0, a, 20)
    np.testing.assert_allclose(d[0], np.full(shape, 1.01**20))
    np.testing.assert_allclose(d[1], r0.size * 1.5 * 20 * 1.01**19)


def test_a_factor_made_of_values():
    months = 240
    by_rate = gradient(interest, 1)(1000.0, 0.03, months)
    np.testing.assert_allclose(by_rate, 1000 * months * 1.0025 ** (months - 1) / 12)


def test_a_factor_that_is_a_scan():
    a, n = 1.01, 50
    np.testing.assert_allclose(gradient(squares, 1)(1.0, a, n), 2 * n * a ** (2 * n - 1))


def test_second_derivative():
    second = sc.jit(sc.grad(sc.grad(last, 1), 1))
    np.testing.assert_allclose(second(2.0, 1.01, 30), 2 * 30 * 29 * 1.01**28)
    assert second(2.0, 1.01, 1) == 0.0


def test_against_forward_mode():
    a = np.array([1.01, 0.9])
    forward = sc.jit(lambda a, da: sc.jvp(lambda a: last(np.ones(2), a, 40), (a,), (da,))[1])(a, np.ones(2))
    np.testing.assert_allclose(gradient(last, 1)(np.ones(2), a, 40), forward, rtol=1e-13)


def test_value_and_gradient():
    value, d = sc.jit(sc.value_and_grad(last, 1))(2.0, 1.01, 100)
    np.testing.assert_allclose((value, d), (2 * 1.01**100, 200 * 1.01**99))


def test_negative_counts_are_errors():
    with pytest.raises(ScanError, match="negative"):
        gradient(last, 1)(1.0, 1.01, -1)


def whole(r0, a, n):
    return sc.scan(lambda r, a: r * a, None, r0, a, n_steps=n)


def two_rows(r0, a, n):
    rows = whole(r0, a, n)
    return rows[-1] + rows[-2]


@pytest.mark.parametrize("f", [whole, two_rows, lambda r0, a, n: whole(r0, a, n)[-2]])
def test_more_than_the_last_row(f):
    def loop(a):
        rows = [1.5 * a ** (k + 1) for k in range(20)]
        return {whole: sum(rows), two_rows: rows[-1] + rows[-2]}.get(f, rows[-2])

    d = gradient(f, 1)(1.5, 1.02, 20)
    np.testing.assert_allclose(d, (loop(1.02 + 1e-6) - loop(1.02 - 1e-6)) / 2e-6, rtol=1e-7)


@pytest.mark.parametrize("options", [{"truncate_gradient": 3}, {"checkpoint": "sqrt"}])
def test_what_was_asked_of_the_way_back(options):
    def f(r0, a):
        return sc.scan(lambda r, a: r * a, None, r0, a, n_steps=16, **options)[-1]

    terms = 3 if "truncate_gradient" in options else 16
    np.testing.assert_allclose(gradient(f, 1)(1.0, 1.1), terms * 1.1**15)
