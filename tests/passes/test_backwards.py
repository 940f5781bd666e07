"""Traces that are read last row first are stored so, also where steps read their own results of the steps before."""

from __future__ import annotations

import numpy as np
import pytest

import scancc as sc

STORED = "last row first"


def returns(x, last, gamma):
    return sc.scan(lambda x, following, gamma: x + gamma * following, x, last, gamma, go_backwards=True)[::-1]


def two_taps(x, start):
    ys = sc.scan(lambda x, a, b: x + 0.5 * a - 0.25 * b, x, dict(initial=start, taps=[-1, -2]))
    return ys[::-1] * 2.0


def deep(x, start):
    return sc.scan(lambda x, a: x + 0.5 * a, x, dict(initial=start, taps=[-9]))[::-1]


def both(x, start):
    ys = sc.scan(lambda x, y: x + 0.5 * y, x, start)
    return ys[::-1], ys


def with_last(x, start):
    ys = sc.scan(lambda x, y: x + 0.5 * y, x, start)
    return ys[::-1], ys[-1]


def ended(x, start):
    return sc.scan(lambda x, y: (x + 0.5 * y, sc.until((x > 1.5).any())), x, start)[::-1]


SHAPES = [(), (3,), (40,), (600,), (4, 30)]


def same(f, *args):
    program = sc.jit(f)
    found, expected = program(*args), program(*args, mode="interpret")
    for a, b in zip(*((r,) if not isinstance(r, tuple) else r for r in (found, expected)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)
        assert a.flags.c_contiguous
    return str(program.lower(*args).explain())


@pytest.mark.parametrize("steps", [1, 2, 17])
@pytest.mark.parametrize("shape", SHAPES)
def test_one_tap(shape, steps):
    rng = np.random.default_rng(0)
    text = same(returns, rng.normal(size=(steps, *shape)), rng.normal(size=shape), 0.9)
    assert STORED in text or not shape  # one number may be solved in blocks


@pytest.mark.parametrize("shape", SHAPES)
def test_several_taps(shape):
    rng = np.random.default_rng(1)
    x = rng.normal(size=(20, *shape))
    assert STORED in same(two_taps, x, rng.normal(size=(2, *shape))) or not shape
    assert STORED in same(deep, x, rng.normal(size=(9, *shape)))


@pytest.mark.parametrize("f", [both, with_last, ended])
@pytest.mark.parametrize("shape", [(3,), (40,)])
def test_what_is_read_forwards_as_well(f, shape):
    rng = np.random.default_rng(2)
    assert STORED not in same(f, rng.normal(size=(12, *shape)), rng.normal(size=shape))


def test_no_steps():
    assert sc.jit(returns)(np.ones((0, 40)), np.ones(40), 0.9).shape == (0, 40)


@pytest.mark.parametrize("shape", [(), (40,)])
def test_gradients(shape):
    rng = np.random.default_rng(3)
    x, last = rng.normal(size=(9, *shape)), rng.normal(size=shape)
    d = sc.jit(sc.grad(lambda *args: (returns(*args) ** 2).sum(), (0, 1, 2)))
    for a, b in zip(d(x, last, 0.9), d(x, last, 0.9, mode="interpret"), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-11)
    text = d.lower(x, last, 0.9).loop_ir()
    assert "rows[" not in text.split(")")[0] or shape  # nothing is turned around, or multiplied by 2, in memory


def test_a_full_reversed_slice_is_a_flip():
    f = sc.jit(lambda x: sc.scan(lambda x: x * 2, x[::-1])[::-1])
    x = np.arange(5.0)
    assert "slice" not in f.lower(x).ir()
    np.testing.assert_array_equal(f(x), 2 * x)
