"""Scanned axes may have any length, wherever they are, whatever else a function does with the array."""

from __future__ import annotations

import numpy as np
import pytest

import scancc as sc

R = np.random.default_rng(0)
X, W, M = R.normal(size=(3, 6)), R.normal(size=6), R.normal(size=(6, 2))


def scanned(rows):
    return sc.scan(lambda v, h: np.tanh(h) + v, rows, np.zeros(rows.shape[1:]))


PROGRAMS = {
    "vector": lambda x: scanned(x.T).sum() + x @ W,
    "matrix": lambda x: scanned(x.T).sum() + x @ M,
    "flat": lambda x: scanned(x.T).sum() + x.reshape(-1),
    "reshape": lambda x: scanned(x.T).sum() + x.reshape(2, 9),
    "mean": lambda x: scanned(x.T).sum() + x.mean(axis=1),
    "slice": lambda x: scanned(x.T).sum() + x[:, :2],
    "index": lambda x: scanned(x.T).sum() + x[:, 5],
    "join": lambda x: np.concatenate([x, x], axis=1) * scanned(x.T)[-1].sum(),
    "plus": lambda x: scanned(x.T) + W[:, None],
    "gather": lambda x: scanned(x.T).sum() + x[:, [0, 5, 2]],
    "cumsum": lambda x: scanned(x.T).sum() + np.cumsum(x, axis=1),
    "einsum": lambda x: np.einsum("ij,jk->ik", x, M) + scanned(x.T).sum(),
    "centred": lambda x: scanned((x - x.mean(axis=1, keepdims=True)).T),
    "reversed": lambda x: scanned(x[:, ::-1].T),
    "shape": lambda x: scanned(x.T).sum() + x.shape[1],
    "row": lambda x: scanned(x[0]).sum() + (x @ W).sum(),
}
ASKED = {
    "roll": lambda x: scanned(x.T).sum() + np.roll(x, 1, axis=1),
    "range": lambda x: scanned(x.T).sum() + np.arange(x.shape[1]),
    "zeros": lambda x: scanned(x.T).sum() + np.zeros(x.shape),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_lengths_that_nobody_asks_for_compile_once(name):
    f = sc.jit(PROGRAMS[name])
    assert np.allclose(f(X), f(X, mode="interpret"))
    assert len(f.programs) == 1
    loss = sc.jit(sc.grad(lambda x: (PROGRAMS[name](x) ** 2).sum()))
    assert loss(X).shape == X.shape


@pytest.mark.parametrize("name", ["flat", "mean", "slice", "join", "centred", "reversed", "shape"])
def test_other_lengths(name):
    f = sc.jit(PROGRAMS[name])
    for steps in (6, 9, 2):
        x = R.normal(size=(3, steps))
        assert np.allclose(f(x), f(x, mode="interpret"))
    assert len(f.programs) == 1


@pytest.mark.parametrize("name", ASKED)
def test_lengths_that_python_is_asked_for_are_compiled(name):
    f = sc.jit(ASKED[name])
    for steps in (6, 9):
        x = R.normal(size=(3, steps))
        assert np.allclose(f(x), f(x, mode="interpret"))
    assert len(f.programs) == 2
