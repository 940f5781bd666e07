"""Loops over the same tiles as one: equal numbers, and no joining where lanes meet in between."""

from __future__ import annotations

import numpy as np
import pytest

import scancc as sc

R = np.random.default_rng(0)
STEPS = 9


def back_and_forth(x, h):
    """The second loop goes back over the rows of the first."""
    ys = sc.scan(lambda x, h: 0.5 * h + x, x, h)
    return sc.scan(lambda y, g: 0.25 * g + y, ys[::-1], 2.0 * ys[-1])


def two_results(x, h):
    """What is between the loops is read after them, too."""
    ys = sc.scan(lambda x, h: 0.5 * h + x, x, h)
    last = ys[-1]
    zs = sc.scan(lambda x, g: 0.25 * g - x, x, last * 3.0)
    return zs[-1] + last, ys[-2:], zs.sum(axis=0)


def loss(x, h):
    ys = sc.scan(lambda x, h: np.sin(0.5 * h + x), x, h)
    return (np.maximum(ys.mean(axis=0), 0.0) * h).sum()


gradient = sc.grad(loss, (0, 1))


def tupled(x):
    return x if isinstance(x, tuple) else (x,)


@pytest.mark.parametrize("lanes", [1, 513, 768])
@pytest.mark.parametrize("program", [back_and_forth, two_results, gradient])
def test_lanes(program, lanes):
    x, h = R.normal(size=(STEPS, lanes)), R.normal(size=lanes)
    f = sc.jit(program)
    for have, want in zip(tupled(f(x, h)), tupled(f(x, h, mode="interpret")), strict=True):
        assert np.allclose(have, want, rtol=1e-12, atol=1e-12)
    if lanes > 512:
        assert f.lower(x, h).source().count("lanes of") == 1


@pytest.mark.parametrize("program", [back_and_forth, two_results])
def test_bit_for_bit(program):
    f = sc.jit(program, strict_fp=True)
    for steps in (1, 2, 6, STEPS):
        x, h = R.normal(size=(steps, 600)), R.normal(size=600)
        x[0, 3], x[-1, 599], h[256] = np.nan, np.inf, 1e300
        for have, want in zip(tupled(f(x, h)), tupled(f(x, h, mode="interpret")), strict=True):
            np.testing.assert_array_equal(have, want)


def test_without_steps():
    with pytest.raises(sc.errors.ScanIndexError):
        sc.jit(back_and_forth)(np.empty((0, 600)), R.normal(size=600))
    f, x, h = sc.jit(gradient), np.empty((0, 600)), R.normal(size=600)
    with np.errstate(all="ignore"):
        for have, want in zip(f(x, h), f(x, h, mode="interpret"), strict=True):
            np.testing.assert_array_equal(have, want)


@pytest.mark.parametrize(
    "between",
    [
        lambda ys: ys[-1] - ys[-1].mean(),
        lambda ys: ys[-1][::-1] * 2.0,
        lambda ys: np.cumsum(ys[-1]) * 0.1,
        lambda ys: np.roll(ys[-1], 1),
    ],
)
def test_lanes_that_meet_in_between(between):
    def program(x, h):
        ys = sc.scan(lambda x, h: 0.5 * h + x, x, h)
        return sc.scan(lambda x, g: 0.25 * g + x, x, between(ys))[-1]

    x, h = R.normal(size=(STEPS, 1000)), R.normal(size=1000)
    f = sc.jit(program)
    assert np.allclose(f(x, h), f(x, h, mode="interpret"), rtol=1e-12, atol=1e-12)
    assert f.lower(x, h).source().count("lanes of") == 2
