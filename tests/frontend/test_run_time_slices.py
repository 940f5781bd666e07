"""Slices whose bounds are known only when the program runs: as in NumPy; the loop ends with the last row read."""

import re

import numpy as np
import pytest

import scancc as sc
import scancc.theano.tensor as T
from scancc import theano

X = np.arange(10.0)


def decay(x):
    return sc.scan(lambda x, h: h * 0.5 + x, x, 0.0)


@pytest.mark.parametrize("mode", ["compiled", "interpret"])
def test_bounds_mean_what_they_do_in_numpy(mode):
    f = sc.jit(lambda x, a, b: (decay(x)[a:b], x[a:b], x[:b].sum(), x[a:], x[-b:]))
    ys = decay(X)
    for a in (-12, -3, 0, 2, 9, 15):
        for b in (-12, -3, 0, 2, 9, 15):
            for have, want in zip(f(X, a, b, mode=mode), (ys[a:b], X[a:b], X[:b].sum(), X[a:], X[-b:]), strict=True):
                assert np.array_equal(have, want), (a, b)


def test_other_axes_and_empty_arrays():
    x = np.arange(12.0).reshape(3, 4)
    f = sc.jit(lambda x, a, b: x[:, a:b])
    assert np.array_equal(f(x, 1, 3), x[:, 1:3])
    assert f(x[:0], 1, 3).shape == (0, 2)
    assert f(x[:, :0], 1, 3).shape == (3, 0)


def test_the_loop_ends_with_the_last_row_that_is_read():
    lowered = sc.jit(lambda x, k: decay(x)[:k]).lower(X, 4)
    count = re.search(r"steps (%\d+)", lowered.ir("shorten"))[1]
    smaller = re.search(rf"{count}: i64\[\] = minimum (%\d+) %\d+", lowered.ir("shorten"))[1]
    assert f"{smaller}: i64[] = dim %0 axis=0" in lowered.ir("shorten"), "the rows there are, or the bound"


def test_prints_of_steps_that_are_not_read_are_kept(capfd):
    def step(x, h):
        sc.debug_print("step")
        return h * 0.5 + x

    sc.jit(lambda x, k: sc.scan(step, x, 0.0)[:k])(X, 4)
    assert capfd.readouterr().out.count("step") == 10


def test_derivatives():
    g = sc.grad(lambda x, k: decay(x)[:k].sum())(X, 4)
    assert np.allclose(g, [1.875, 1.75, 1.5, 1, 0, 0, 0, 0, 0, 0])


def test_symbolic_bounds():
    v, k = T.dvector("v"), T.iscalar("k")
    f = theano.function([v, k], [v[:k], T.grad(v[k:].sum(), v)])
    head, g = f(X, 7)
    assert np.array_equal(head, X[:7])
    assert np.array_equal(g, X >= 7)


@pytest.mark.parametrize(
    ("f", "error", "text"),
    [
        (lambda x, k: x[:k:2], NotImplementedError, "a slice with traced bounds has step 1"),
        (lambda x, k: sc.scan(lambda t, x: x[:t].sum(), np.arange(3), None, [x]), NotImplementedError, "in a step"),
    ],
)
def test_errors(f, error, text):
    with pytest.raises(error, match=text):
        sc.jit(f)(X, 3)
