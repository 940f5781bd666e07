"""Losses over the outputs of a loop are summed in it: no trace of the outputs is made."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

import scancc as sc

R = np.random.default_rng(0)


def step(x, h):
    return np.sin(h) * 0.5 + x


LOSSES = {
    "squares": lambda ys, target, scale: (ys**2).sum(),
    "errors": lambda ys, target, scale: ((ys - target) ** 2 * scale).mean(),
    "largest": lambda ys, target, scale: np.abs(ys - target).max(),
    "all": lambda ys, target, scale: (ys < scale).all(),
    "two": lambda ys, target, scale: (ys * target).sum() / (ys * ys + 1).sum(),
    "shared": lambda ys, target, scale: np.exp(ys).sum() + ys[-1],
}


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("n", [1, 2, 1000])
def test_equal_to_the_interpreter_without_a_trace(name, n):
    f = sc.jit(lambda x, target, scale: LOSSES[name](sc.scan(step, x, 0.0), target, scale))
    x, target = R.normal(size=n), R.normal(size=n)
    assert np.allclose(f(x, target, 1.5), f(x, target, 1.5, mode="interpret"), rtol=1e-12)
    if n > 1:  # a target of one element is broadcast: it is no sequence
        assert "h_rows" not in f.lower(x, target, 1.5).source()


def test_memory():
    f = sc.jit(lambda x, target: ((sc.scan(step, x, 0.0) - target) ** 2).sum())
    x = R.normal(size=1_000_000)
    for _ in range(2):  # the second call makes what the next ones need
        f(x, x)
    tracemalloc.start()
    f(x, x)
    assert tracemalloc.get_traced_memory()[1] < 20_000
    tracemalloc.stop()


def test_lengths_that_differ_are_still_an_error():
    f = sc.jit(lambda x, target: ((sc.scan(step, x, 0.0) - target) ** 2).sum())
    with pytest.raises(ValueError):
        f(np.ones(5), np.ones(6))


def test_loops_that_end_early():
    @sc.jit
    def f(x):
        ys = sc.scan(lambda x, h: (h + x * x, sc.until(h > 3)), x, 0.0)
        return (ys**2).sum(), ys.shape[0]

    x = R.normal(size=50)
    assert np.allclose(f(x), f(x, mode="interpret"))


def test_what_needs_the_loop_stays_outside():
    """Deviations from the mean need the mean, which needs the loop."""
    f = sc.jit(lambda x: ((ys := sc.scan(step, x, 0.0)) - ys.mean()).max())
    x = R.normal(size=50)
    assert np.isclose(f(x), f(x, mode="interpret"))
