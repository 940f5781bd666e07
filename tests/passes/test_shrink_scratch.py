"""Memory of one tile in place of memory for all lanes: equal numbers, and results as long as they were."""

from __future__ import annotations

import numpy as np
import pytest

import scancc as sc

R = np.random.default_rng(0)
LANES = 1000


def states(x, h):
    """Only the last rows are read, within the loop over tiles."""
    return sc.scan(lambda x, h2, h1: x + 0.5 * h1 - 0.3 * h2, x, [dict(initial=h, taps=[-2, -1])])[-1]


def path(x, h):
    """A path that is gone back over, and is a result as well."""
    ys = sc.scan(lambda x, h: h / (1.0 + h * h) + x, x, h[0])
    return ys, sc.scan(lambda y, g: 0.5 * g + y, ys[::-1], h[1])[-1]


def loss(x, h):
    return (sc.scan(lambda x, h: h / (1.0 + h * h) + x, x, h[0]) ** 2).sum()


def meeting(x, h):
    """States that lanes meet in after the loop."""
    y = sc.scan(lambda x, h: h / (1.0 + h * h) + x, x, h[0])[-1]
    return y - y[::-1]


def shapes(f, *args):
    made = f.lower(*args).compiled.lowered.allocated
    return {b.name: tuple(getattr(d, "value", None) for d in b.shape) for b in made}


@pytest.mark.parametrize("program", [states, path, sc.grad(loss), meeting])
def test_numbers(program):
    f = sc.jit(program, strict_fp=True)
    for steps in (1, 2, 9):
        x, h = R.normal(size=(steps, LANES)), R.normal(size=(2, LANES))
        x[0, 1], x[-1, -1] = np.nan, np.inf
        with np.errstate(invalid="ignore"):
            want = f(x, h, mode="interpret")
        for have, expected in zip(f(x, h), want, strict=True):
            np.testing.assert_array_equal(have, expected)


def test_memory():
    x, h = R.normal(size=(9, LANES)), R.normal(size=(2, LANES))
    assert sorted(shapes(sc.jit(states), x, h).values()) == [(3, LANES), (LANES,)]  # one tile has room for all states
    made = shapes(sc.jit(sc.grad(loss)), x, h)
    assert (None, 256) in made.values() and (None, LANES) in made.values()  # the path, and the derivatives by x
    assert sum(LANES in shape for shape in made.values()) == 1
    assert (None, LANES) in shapes(sc.jit(path), x, h).values()
    assert (2, LANES) in shapes(sc.jit(meeting), x, h).values()
