"""Launches and transfers that are counted without running are those of a run on the simulator."""

from __future__ import annotations

import numpy as np
import pytest

import scancc as sc
from scancc.backends.cuda.toolkit import TRAFFIC
from scancc.static.figures import figures_of

R = np.random.default_rng(0)
W = np.ones((20, 20)) / 20


def lanes(x):
    return sc.vmap(lambda row: sc.scan(lambda v, s: 0.5 * s + v, row, 0.0))(x)


def gradient(x, w):
    return sc.grad(lambda w: (sc.scan(lambda v, h: np.tanh(v + h @ w), x, np.zeros(20))[-1] ** 2).sum())(w)


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        (lambda x: sc.scan(lambda v, y: 0.5 * y + v, x, np.zeros(5)), (R.normal(size=(7, 5)),)),
        (lambda x, w: sc.scan(lambda v, h: np.tanh(v + h @ w), x, np.zeros(20)), (R.normal(size=(4, 20)), W)),
        (lambda i, t: sc.scan(lambda k, y: y + t[k], i, 0.0), (np.arange(4), np.arange(5.0))),
        (gradient, (R.normal(size=(3, 20)), W)),
        (lanes, (R.normal(size=(6, 9)),)),
    ],
    ids=["lane", "block", "may fail", "gradient", "lanes first"],
)
def test_counts_are_those_of_a_run(function, arguments):
    compiled = sc.jit(function, target="cuda")
    figures = figures_of(compiled.lower(*arguments))
    compiled(*arguments)  # constants go there once
    TRAFFIC.clear()
    compiled(*arguments)
    assert figures.launches == TRAFFIC["launch"]
    assert figures.transfers == TRAFFIC["to device"] + TRAFFIC["to host"]
    assert figures.hot is None and figures.loops >= 1
