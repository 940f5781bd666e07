"""A few lanes of many steps: each lane's steps in tiles, as those of one sequence."""

from __future__ import annotations

import numpy as np
import pytest
from schedules import permuted

import scancc as sc
from scancc.backends.cuda.toolkit import TRAFFIC
from scancc.passes.graph import mark_prefixes

R = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def few_steps_are_many(monkeypatch):
    monkeypatch.setattr(mark_prefixes, "FEWEST_STEPS", 8)


def diagonal(x, a):
    return sc.scan(lambda x, h, a: h * a + x * 1.25, x, np.zeros(5), [a])


def ar2(x):
    return sc.scan(lambda x, b, a: 0.5 * a - 0.3 * b + x * 1.25, x, [dict(initial=np.zeros(2), taps=[-2, -1])])


def loss(x, a):
    return (diagonal(x, a) ** 2).sum()


X, A = R.normal(size=(21, 5)), R.uniform(-0.9, 0.9, 5)
PREFIX = {"parallel": "prefix"}
# name: function, options, arguments, launches
PROGRAMS = {
    "diagonal": (diagonal, PREFIX, (X, A), 2),
    "constant": (lambda x: sc.scan(lambda x, h: h * 0.75 + x, x, np.ones(5)), {}, (X,), 2),
    "last": (lambda x: sc.scan(lambda x, h: h * 0.625 + x, x, np.ones(5))[-1], {}, (X,), 3),
    "lanes": (sc.vmap(lambda x: sc.scan(lambda x, h: h * 0.375 + x, x, 1.0)), {}, (X.T,), 1),
    "coefficients of lanes": (sc.vmap(lambda x, a: sc.scan(lambda x, h: h * a + x, x, 1.0)), PREFIX, (X.T, A), 1),
    "two taps": (sc.vmap(ar2), {}, (X.T,), 1),
    "sums": (sc.vmap(lambda x: sc.lax.cumsum(x * 1.5)), {}, (X.T,), None),
    "extremes": (lambda x: sc.scan(lambda x, m: np.maximum(m, x * 1.5), x, np.full(5, -np.inf)), {}, (X,), 2),
    "as told": (lambda x: sc.associative_scan(np.maximum, x + 0.5), {}, (X,), None),
    "one lane's input": (lambda x: sc.scan(lambda x, h: h * 0.5 + x * A, x, np.zeros(5)), {}, (X[:, 0],), 1),
    "loss": (loss, PREFIX, (X, A), None),
    "gradient": (sc.grad(loss, (0, 1)), PREFIX, (X, A), None),
    "float16": (lambda x: sc.scan(lambda x, h: h * 0.5 + x, x, np.zeros(5, "f")), {}, (X.astype(np.float16),), None),
}


def same(have, want):
    have, want = (v if isinstance(v, tuple) else (v,) for v in (have, want))
    for h, w in zip(have, want, strict=True):
        assert (h.shape, h.dtype) == (w.shape, w.dtype)
        assert np.allclose(h, w, rtol=1e-9 if h.dtype == np.float64 else 1e-5)


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs(name):
    f, options, args, launches = PROGRAMS[name]
    g = sc.jit(f, target="cuda", **options)
    assert "independent lanes, many runs of steps of each" in g.lower(*args).explain()
    want = g(*args, mode="interpret")
    TRAFFIC.clear()
    same(g(*args), want)
    assert launches in (None, TRAFFIC["launch"])
    if name in ("diagonal", "last", "two taps", "extremes", "gradient"):  # which has every form of launch
        with permuted(1):
            same(g(*args), want)


@pytest.mark.parametrize("steps", [8, 9, 16, 31, 33])
def test_every_length_of_the_last_tile(steps):
    g = sc.jit(diagonal, target="cuda", parallel="prefix")
    x = R.normal(size=(steps, 5))
    same(g(x, A), g(x, A, mode="interpret"))


def test_many_lanes_have_a_thread_each():
    """A device is busy without tiles."""
    x = np.ones((30, mark_prefixes.MOST_LANES + 1))
    f = sc.jit(lambda x: sc.scan(lambda x, h: h * 0.5 + x, x, x[0]), target="cuda")
    assert "strategy: lane" in f.lower(x).explain()


def test_few_steps_are_done_in_turn():
    f = sc.jit(lambda x: sc.scan(lambda x, h: h * 0.5 + x, x, x[0] * 3), target="cuda")
    assert "strategy: lane" in f.lower(np.ones((7, 5))).explain()


def test_lanes_that_meet_are_no_lanes():
    f = sc.jit(lambda x: sc.scan(lambda x, h: h[::-1] * 0.5 + x, x, x[0]), target="cuda")
    assert "strategy: prefix" not in f.lower(X).explain()
    same(f(X), f(X, mode="interpret"))
