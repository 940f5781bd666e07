"""Rows of a batch that take branches and leave loops by themselves: what a row does not do has no effect."""

from __future__ import annotations

import math

import numpy as np
import pytest

import scancc as sc

TABLE = np.array([1.0, 2.0, 3.0, 4.0])
N = len(TABLE)


def from_here(i):
    return sc.lax.while_loop(lambda s: s[0] < N, lambda s: (s[0] + 1, s[1] + sc.take(TABLE, s[0])), (i, 0.0))[1]


def first_above(x):
    """The place of a threshold in a sorted table, by bisection."""

    def half(s):
        low, high = s
        middle = (low + high) // 2
        above = sc.take(TABLE, middle) > x
        return sc.where(above, low, middle + 1), sc.where(above, middle, high)

    return sc.lax.while_loop(lambda s: s[0] < s[1], half, (x.astype("int64") * 0, x.astype("int64") * 0 + N))[0]


# A function of one row, rows, and what Python computes for one of them.
VALUES = {
    "take": (lambda i: sc.cond(i < N, lambda: sc.take(TABLE, i), lambda: -1.0), [0, 7, 3],
             lambda i: TABLE[i] if i < N else -1.0),
    "at_set": (lambda i: sc.cond(i < N, lambda: sc.at_set(TABLE, i, 9.0), lambda: TABLE), [0, 7],
               lambda i: np.where(np.arange(N) == i, 9.0, TABLE)),
    "at_add": (lambda i: sc.cond(i < N, lambda: sc.at_add(TABLE, i, 9.0), lambda: TABLE), [0, 7],
               lambda i: TABLE + 9.0 * (np.arange(N) == i)),
    "nested": (lambda i: sc.cond(i > 0, lambda: sc.cond(i < N, lambda: sc.take(TABLE, i), lambda: 7.0), lambda: -1.0),
               [-9, 1, 9], lambda i: TABLE[i] if 0 < i < N else 7.0 if i > 0 else -1.0),
    "loop": (from_here, [0, 3, 7, 2], lambda i: TABLE[i:].sum()),
    "loop in a branch": (lambda i: sc.cond(i > 0, lambda: sc.lax.while_loop(lambda k: k < 100, lambda k: k * 2, i),
                                           lambda: i), [5, 0, -3, 99], lambda i: {5: 160, 99: 198}.get(i, i)),
    "bisection": (first_above, [0.5, 2.0, 9.0], lambda x: np.searchsorted(TABLE, x, "right")),
}  # fmt: skip


@pytest.mark.parametrize("name", VALUES)
def test_values(name):
    f, rows, python = VALUES[name]
    want = [python(r) for r in rows]
    run = sc.jit(sc.vmap(f))
    for mode in ("compiled", "interpret"):
        np.testing.assert_allclose(run(np.array(rows), mode=mode), want)
    again = np.array([*rows, *rows][1:])  # another number of rows, and none
    np.testing.assert_allclose(run(again), [*want, *want][1:])
    assert run(again[:0]).shape == (0, *np.shape(want)[1:])
    two = np.array([rows, rows[::-1]])
    np.testing.assert_allclose(sc.vmap(sc.vmap(f))(two), np.array([want, want[::-1]]))


def not_nan(x, a):
    def step(x, s, a):
        return sc.cond(np.isnan(x), lambda: s, lambda: s + (x - a) ** 2)

    return sc.scan(step, x, a * 0.0, a)[-1]


def doubled(x, a):
    def step(x, s):
        k = sc.cond(x > 0, lambda: sc.lax.while_loop(lambda k: k < 100, lambda k: k * 2, x), lambda: x)
        return s + k * a

    return sc.scan(step, x, a * 0.0)[-1]


def until_large(x, a):
    return sc.scan(lambda x, y, a: (y * y + x * a, sc.until(y * y + x * a > 0.2)), x, a * 0.0, a)[-1]


def root(x, a):
    """Newton's square root: the first row begins at its end."""
    start = sc.lax.while_loop(lambda r: np.abs(r * r - x[0]) > 1e-9, lambda r: 0.5 * (r + x[0] / r), x[0] * 0 + 1.0)
    return a * start


def logarithm(x, a):
    return sc.cond(x[0] > 0, lambda: np.log(x[0]) * a, lambda: a * a)


DERIVATIVES = {
    "a value that is skipped": (not_nan, [[1.0, np.nan], [0.5, 2.0]]),
    "a loop in a branch": (doubled, [[5.0, 0.0], [3.0, -1.0]]),
    "values after the end": (until_large, [[0.5, np.nan], [0.25, 0.5]]),
    "steps until it is right": (root, [[1.0, 0.0], [2.0, 0.0], [9.0, 0.0]]),
    "not differentiable where it is not taken": (logarithm, [[2.0, 0.0], [0.0, 0.0], [-1.0, 0.0]]),
}


@pytest.mark.parametrize("name", DERIVATIVES)
def test_derivatives(name):
    """In every order of transforms, forward and in reverse, those of the rows one by one."""
    f, rows = DERIVATIVES[name]
    x, a = np.array(rows), 0.7
    h = 1e-6
    slope = [(f(r, a + h) - f(r, a - h)) / (2 * h) for r in x]
    one = [sc.grad(f)(r, a) for r in x]
    np.testing.assert_allclose(sc.vmap(sc.grad(f, 1), (0, None))(x, a), slope, rtol=1e-6, atol=1e-8)
    batch = sc.vmap(f, (0, None))
    over_x, over_a = sc.grad(lambda x, a: batch(x, a).sum(), (0, 1))(x, a)
    np.testing.assert_allclose(over_a, sum(slope), rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(over_x, one)
    np.testing.assert_allclose(sc.vmap(sc.grad(f), (0, None))(x, a), one)
    np.testing.assert_allclose(sc.jvp(lambda a: batch(x, a), (a,), (1.0,))[1], slope, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(sc.vmap(sc.vmap(sc.grad(f), (0, None)), (0, None))(x[None], a)[0], one)


def grown(x):
    return sc.scan(lambda u, y: (np.exp(y) + u, sc.until(y > 1)), x, 0.0)


def test_rows_that_are_returned_have_zeros_after_their_ends():
    x = np.array([[1.0, 1.0, 1.0, 1.0], [0.0, 0.0, 0.0, 0.0], [-1.0, -1.0, -1.0, -1.0]])
    each = [grown(r) for r in x]
    for found, power in ((sc.vmap(grown)(x), 1), (sc.vmap(lambda r: grown(r) ** 2)(x), 2)):
        assert found.shape == (3, max(map(len, each)))
        for row, own in zip(found, each, strict=True):
            np.testing.assert_allclose(row[: len(own)], own**power)
            assert (row[len(own) :] == 0).all()
    assert sc.vmap(grown)(np.zeros((0, 4))).shape == (0, 0)


def test_reductions_of_what_rows_made_by_themselves():
    x = np.array([[1.0, 1.0, 1.0, 1.0], [0.0, 0.0, 0.0, 0.0]])
    found = sc.vmap(lambda r: (grown(r).prod(), grown(r).std(), np.cumsum(grown(r))[-1], grown(r)[::-1][0]))(x)
    for k, g in enumerate((np.prod, np.std, np.sum, lambda y: y[-1])):
        np.testing.assert_allclose(found[k], [g(grown(r)) for r in x])


def test_lengths_that_rows_are_given():
    x, n = np.arange(12.0).reshape(3, 4), np.array([4, 0, 2])

    def own(x, n):
        return sc.scan(lambda u, y: np.exp(-y) + u, x, 0.1, n_steps=n)

    each = [own(r, int(k)) for r, k in zip(x, n, strict=True)]
    padded, products = sc.vmap(lambda x, n: (own(x, n), own(x, n).prod()))(x, n)
    assert padded.shape == (3, 4)
    for row, y in zip(padded, each, strict=True):
        np.testing.assert_allclose(row, np.concatenate([y, np.zeros(4 - len(y))]))
    np.testing.assert_allclose(products, [y.prod() for y in each])


def checked(i):
    def yes():
        value = sc.take(TABLE, i)
        sc.check(value > 1.5, "small {v}", v=value)
        return value

    return sc.cond(i < N, yes, lambda: -1.0)


def test_checks_are_those_of_the_branches_that_rows_take():
    f = sc.jit(sc.vmap(checked))
    for mode in ("compiled", "interpret"):
        np.testing.assert_allclose(f(np.array([1, 7, 2]), mode=mode), [2.0, -1.0, 3.0])
        with pytest.raises(AssertionError, match="small 1.0"):
            f(np.array([1, 0, 7]), mode=mode)


def test_prints_are_those_of_the_branches_that_rows_take(capfd):
    def one(i):
        def yes():
            sc.debug_print("row {i}", i=i)
            return i * 2

        return sc.cond(i > 1, yes, lambda: i)

    np.testing.assert_array_equal(sc.vmap(one)(np.array([1, 2, 0, 5])), [1, 4, 0, 10])
    assert [int(line.split()[1]) for line in capfd.readouterr().out.splitlines()] == [2, 5]


def test_prints_of_rows_of_different_lengths_come_once(capfd):
    def one(x):
        def step(u, y):
            sc.debug_print("step {u}", u=u)
            return np.exp(y) + u, sc.until(y > 1)

        return sc.scan(step, x, 0.0)

    assert sc.vmap(one)(np.array([[1.0, 1.0, 1.0, 1.0], [9.0, 9.0, 9.0, 9.0]])).shape == (2, 2)
    assert len(capfd.readouterr().out.splitlines()) == 4


def test_work_that_rows_do_alike_is_done_for_all_at_once():
    """Only the conditional is in the loop over the rows: what comes before and after it is not."""

    def f(x, W):
        h = np.tanh(x @ W)
        s = sc.cond(h[0] > 0, lambda: np.sqrt(h[0]), lambda: h[1] * math.pi)
        return (h * s) @ W

    x, W = np.random.default_rng(0).normal(size=(5, 4)), np.eye(4) * 0.5
    run = sc.jit(sc.vmap(f, (0, None)))
    text = run.lower(x, W).ir()
    assert text.count("matmul") == 2
    assert all(not line.startswith("      ") for line in text.splitlines() if "matmul" in line)
    np.testing.assert_allclose(run(x, W), [f(r, W) for r in x])


def test_values_of_shared_variables_are_not_updated_by_rows():
    total = sc.shared(0.0)

    def step(x, s):
        return s + x, {total: total + x}

    with pytest.raises(NotImplementedError, match="updates a shared variable"):
        sc.vmap(lambda x: sc.scan(step, x, 0.0)[-1])(np.ones((2, 3)))
