"""Rows that are gone back over where derivatives are not zero: the same numbers, whatever is zero or not finite."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import scancc as sc
from scancc.ir.loop import INT64, Buffer, Expr, Load, Op, Var, const_int
from scancc.passes.loops.zero_rows import _Zeros

SKIPS = "what comes in"
CLEARS = "what the row has stored"
LONG = 20  # elements of a row that are a loop: up to 16 are scalars


def table(cell, x, y, start=np.inf):
    """The last cell of a table filled row by row."""

    def row(x_i, above, y):
        cells = sc.scan(cell, [y, above[:-1], above[1:]], start, x_i)
        return np.concatenate([np.full(1, start), cells])

    first = np.concatenate([np.zeros(1), np.full(y.shape[0], start)])
    return sc.scan(row, x, first, y)[-1]


def warping(y_j, corner, up, left, x_i):
    return abs(x_i - y_j) + np.minimum(np.minimum(corner, up), left)


def squared(y_j, corner, up, left, x_i):
    return (x_i - y_j) ** 2 + np.minimum(np.minimum(corner, up), left)


def alignment(y_j, corner, up, left, x_i):
    """The best local score, as Smith and Waterman's: cells below zero begin anew."""
    return np.maximum(np.maximum(corner + 1 - 2 * abs(x_i - y_j), np.maximum(up, left) - 0.5), 0.0)


def soft(y_j, corner, up, left, x_i):
    least = np.minimum(np.minimum(corner, up), left)
    return abs(x_i - y_j) + least - np.log(np.exp(least - corner) + np.exp(least - up) + np.exp(least - left))


def gradient(cell, start=np.inf, read=lambda row: row[-1]):
    return sc.jit(sc.grad(lambda x, y: read(table(cell, x, y, start)), (0, 1)))


WARPING, SQUARED = gradient(warping), gradient(squared)
ALIGNMENT = gradient(alignment, 0.0, lambda row: row.max())
DENSE = gradient(warping, np.inf, lambda row: (np.where(np.isfinite(row), row, 0.0) * np.arange(1.0, LONG + 2)).sum())


def series(seed, n, m=None):
    rng = np.random.default_rng(seed)
    return rng.normal(size=n), rng.normal(size=n if m is None else m)


def check(f, x, y, rtol=1e-12):
    with np.errstate(all="ignore"):
        expected = f(x, y, mode="interpret")
    for mine, true in zip(f(x, y), expected, strict=True):
        np.testing.assert_allclose(mine, true, rtol=rtol, atol=1e-12)


@pytest.mark.parametrize("f", [WARPING, SQUARED, ALIGNMENT])
@pytest.mark.parametrize("shape", [(1, 1), (1, LONG), (6, 1), (5, 9), (3, LONG), (40, LONG), (LONG, 64)])
def test_tables(f, shape):
    check(f, *series(1, *shape))


def test_which_loops_change():
    x, y = series(2, LONG)
    assert SKIPS in WARPING.lower(x, y).loop_ir()
    assert SKIPS in ALIGNMENT.lower(x, y).loop_ir()
    strict = sc.jit(sc.grad(lambda x, y: table(warping, x, y)[-1], (0, 1)), strict_fp=True)
    assert SKIPS not in strict.lower(x, y).loop_ir()


def test_rows_joined_with_their_start_are_read_where_they_are():
    x, y = series(2, LONG)
    before, after = (WARPING.lower(x, y).loop_ir(p) for p in ("skew_rows", "skip_zeros"))
    assert "joined2" in before and "joined2" not in after


def test_all_cells_of_the_last_row():
    x, y = series(3, 9, LONG)
    check(DENSE, x, y)


@pytest.mark.parametrize("at", [0, 3, LONG - 1])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 0.0])
@pytest.mark.parametrize("which", [0, 1])
def test_what_is_not_finite(which, value, at):
    """Zero times infinity is not a number, also where the row above sends nothing."""
    pair = series(4, LONG)
    pair[which][at] = value
    for f in (WARPING, SQUARED):
        check(f, *pair)


@pytest.mark.parametrize("which", [0, 1])
def test_what_is_large(which):
    """Differences of finite numbers that are not finite: in one row, then in none."""
    pair = series(8, LONG)
    pair[which][5], pair[1 - which][7] = 1e308, -1e308
    check(WARPING, *pair)
    pair[which][5] = 8.9e307
    check(WARPING, *pair)


def test_memory_is_cleared_once():
    """What a row has stored is cleared after it; in tables of tables every table begins with cleared memory."""
    x, y = series(9, LONG)
    assert CLEARS in WARPING.lower(x, y).loop_ir()

    def total(xs, y):
        return sc.scan(lambda x, sum, y: sum + table(warping, x, y)[-1], xs, 0.0, y)[-1]

    f = sc.jit(sc.grad(total, (0, 1)))
    xs = np.stack([series(seed, LONG)[0] for seed in range(4)])
    assert CLEARS in f.lower(xs, y).loop_ir()
    check(f, xs, y)
    xs[1, 3] = np.inf
    check(f, xs, y)


def test_memory_that_later_rows_read():
    """The row before is read again in front of the loop that stores it anew: it must not be cleared."""

    def f(x, y):
        def row(x_i, above, y):
            cells = sc.scan(lambda y_j, up, left, x_i: np.maximum(left, up * x_i + y_j), [y, above], 0.0, x_i)
            return cells + 0.1 * above

        return sc.scan(row, x, np.zeros(LONG), y)[-1].max()

    check(sc.jit(sc.grad(f, (0, 1))), *series(10, 7, LONG))


@pytest.mark.parametrize("more", [lambda y, x, up: y, lambda y, x, up: y * x, lambda y, x, up: np.maximum(up - y, 0)])
def test_a_running_sum_along_a_row(more):
    """On the way back it goes on adding, and every step stores it: what comes in is not all that matters."""

    def f(x, y):
        def cell(y_j, corner, up, along, left, x_i):
            along = along + more(y_j, x_i, up)
            return along, np.maximum(np.maximum(corner + 1 - abs(x_i - along), up - 0.5), np.maximum(left - 0.5, 0.0))

        def row(x_i, above, y):
            _, cells = sc.scan(cell, [y, above[:-1], above[1:]], [0.0, 0.0], x_i)
            return np.concatenate([np.zeros(1), cells])

        return sc.scan(row, x, np.zeros(LONG + 1), y)[-1].max()

    check(sc.jit(sc.grad(f, (0, 1))), *series(11, 6, LONG))


def test_ties_send_half_to_each():
    check(WARPING, np.zeros(LONG), np.zeros(LONG))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(-2, 2), min_size=1, max_size=12),
       st.lists(st.integers(-2, 2), min_size=LONG, max_size=LONG))
def test_any_series(x, y):
    """Few numbers, so that many cells are equal."""
    for f in (WARPING, ALIGNMENT):
        check(f, np.array(x, float), np.array(y, float))


def test_along_the_path():
    """Against the way back along the path of least cost."""
    x, y = series(5, 40, 30)
    n, m = 40, 30
    cost = np.full((n + 1, m + 1), np.inf)
    cost[0, 0] = 0
    for i in range(n):
        for j in range(m):
            cost[i + 1, j + 1] = abs(x[i] - y[j]) + min(cost[i, j], cost[i, j + 1], cost[i + 1, j])
    gx, gy, i, j = np.zeros(n), np.zeros(m), n, m
    while i and j:
        gx[i - 1] += np.sign(x[i - 1] - y[j - 1])
        gy[j - 1] -= np.sign(x[i - 1] - y[j - 1])
        i, j = min(((i - 1, j - 1), (i - 1, j), (i, j - 1)), key=lambda p: cost[p])
    found = WARPING(x, y)
    np.testing.assert_allclose(found[0], gx, atol=1e-12)
    np.testing.assert_allclose(found[1], gy, atol=1e-12)


def test_a_state_that_does_not_start_at_zero():
    """Every row goes on with what the one before has left: the last cell is the next row's first."""

    def f(x, y):
        def row(x_i, last, y):
            return sc.scan(lambda y_j, left, x_i: np.maximum(left, x_i * y_j), y, last, x_i)[-1]

        return sc.scan(row, x, 0.1, y)[-1]

    check(sc.jit(sc.grad(f, (0, 1))), *series(6, 7, LONG))


def test_a_second_order():
    """The derivative of a derivative goes forwards and back through rows as well."""
    x, y = series(7, 5, LONG)

    def f(x, y):
        return (sc.grad(lambda x: table(squared, x, y)[-1])(x) ** 2).sum()

    check(sc.jit(sc.grad(f, (0, 1))), x, y, rtol=1e-10)


def test_a_row_of_more_operations_than_python_has_frames():
    f8 = np.dtype(np.float64)
    later = Buffer("later", f8, (const_int(LONG),), "scratch")
    state, i = Var("s", f8), Var("i", INT64)
    incoming = Load(later, (i,))
    lets: dict[Var, Expr] = {Var("v0", f8): Op("add", (incoming, state), f8)}
    for k in range(1, 3000):
        lets[Var(f"v{k}", f8)] = Op("multiply", (Var(f"v{k - 1}", f8), Var(f"x{k}", f8)), f8)
    last = Var("v2999", f8)
    zeros = _Zeros(lets, {incoming}, {state: last}, Counter())
    assert zeros.all_of([last])
    assert zeros.factors([last]) == [Var(f"x{k}", f8) for k in range(2999, 0, -1)]
    assert not zeros.all_of([Op("add", (last, Var("x1", f8)), f8)])
