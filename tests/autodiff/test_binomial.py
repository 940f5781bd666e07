"""Binomial checkpoints: the optimum of Griewank and Walther, found here by trying every split, and memory budgets."""

from __future__ import annotations

import functools
import tracemalloc

import numpy as np
import pytest
from scancc_runtime import revolve

import scancc as sc
from scancc.autodiff import binomial
from scancc.interpreter import _split_steps

X = np.random.default_rng(0).normal(size=400)


@functools.cache
def least(n: int, s: int) -> int:
    """Steps forward that reversing n steps takes at least, with s states kept of which the first is one."""
    if n <= 1:
        return 0
    if s == 1:
        return n * (n - 1) // 2
    return min(m + least(n - m, s - 1) + least(m, s) for m in range(1, n))


@pytest.mark.parametrize("split", [revolve.split, _split_steps])
def test_splits_are_optimal(split):
    @functools.cache
    def made(n: int, s: int) -> int:
        if n <= 1:
            return 0
        m = int(split(n, s))
        assert 1 <= m < n
        return n * (n - 1) // 2 if s == 1 else m + made(n - m, s - 1) + made(m, s)

    for s in range(1, 9):
        for n in range(1, 90):
            assert made(n, s) == least(n, s), (n, s)


def test_the_closed_form_of_the_optimum():
    import math

    for s in range(1, 6):
        for n in range(2, 60):
            r = next(r for r in range(1, n) if math.comb(s + r, s) >= n)
            assert least(n, s) == r * n - math.comb(s + r, r - 1)


def test_long_splits_do_not_overflow():
    for n in (10**6, 10**9, 10**12):
        for s in (2, 3, 10, 100, 10**4, 10**6):
            assert revolve.split(n, s) == _split_steps(n, s)


def loss(w, x, **options):
    return sc.scan(lambda x, h, w: np.sin(h * w + x), x, 0.3, [w], **options).sum()


@pytest.mark.parametrize("steps", [1, 2, 7, 8, 23, 64, 100])
@pytest.mark.parametrize("states", [1, 2, 3, 5])
def test_steps_that_are_made_again(monkeypatch, steps, states):
    """Those of the forward loop count as the first sweep: what is left is the optimum less that sweep."""
    from scancc.ir import build

    monkeypatch.setattr(binomial.Binomial, "_sizes", lambda self, most: (build.integer(1), build.integer(states)))
    x = X[:steps]
    with sc.trace_steps() as made:
        value = sc.jit(sc.grad(lambda w: loss(w, x, checkpoint="binomial")))(0.7, mode="interpret")
    # A segment of one step is made forward once for its history, and is not an advance.
    scans = [m.scan for m in made]
    again = sum(s.endswith("_segment") for s in scans)
    assert again == least(steps, min(states, steps)) - (steps - 1)
    assert np.isclose(value, sc.grad(lambda w: loss(w, x))(0.7), rtol=1e-12)


@pytest.mark.parametrize("steps", [0, 1, 2, 5, 63, 400])
@pytest.mark.parametrize("budget", [None, "1B", "300B", "2kB", "1MB"])
def test_every_length_and_budget(steps, budget):
    x = X[:steps]
    for checkpoint in ("binomial", None) if budget else ("binomial",):
        f = sc.grad(lambda w, x, c=checkpoint: loss(w, x, checkpoint=c, memory_budget=budget), (0, 1))
        for have, want in zip(f(0.7, x), sc.grad(loss, (0, 1))(0.7, x), strict=True):
            assert np.allclose(have, want, rtol=1e-11, atol=1e-13)


def test_a_condition_ends_the_loop():
    def f(w, x, **options):
        def step(x, h, w):
            h = h * w + x * x
            return h, sc.until(h > 40)

        return (sc.scan(step, x, 0.3, [w], **options) ** 2).sum()

    for n in (0, 1, 5, 100, 400):
        have, want = (sc.grad(lambda w, x, o=o: f(w, x, **o))(1.05, X[:n]) for o in ({"checkpoint": "binomial"}, {}))
        assert np.isclose(have, want, rtol=1e-11)


def test_a_budget_is_kept():
    """What Python itself takes for a call is 6 kB."""
    x = np.random.default_rng(1).normal(size=300_000)
    want = None
    for budget in (3_000, 30_000, 300_000, 3_000_000):
        f = sc.value_and_grad(lambda w, x, b=budget: loss(w, x, memory_budget=b))
        for _ in range(2):  # the second call makes what the next ones need
            value = f(0.7, x)
        tracemalloc.start()
        f(0.7, x)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert most < budget + 6_000
        assert want is None or np.allclose(value, want, rtol=1e-10)
        want = value


def test_a_budget_holds_for_work_on_sequences():
    """Products of all rows with a matrix are not made before the loop: they would be ten times the budget."""
    rng = np.random.default_rng(2)
    w, u, x = 0.3 * rng.normal(size=(8, 24)), 0.3 * rng.normal(size=(8, 24)), rng.normal(size=(10_000, 8))

    def gru(w, u, x, **options):
        def step(x, h, w, u):
            a, b = x @ u, h @ w
            r, z = sc.expit(a[:8] + b[:8]), sc.expit(a[8:16] + b[8:16])
            return (1 - z) * np.tanh(a[16:] + r * b[16:]) + z * h

        return (sc.scan(step, x, np.zeros(8), [w, u], **options)[-1] ** 2).sum()

    budget = 200_000
    f = sc.grad(lambda w, u, x: gru(w, u, x, memory_budget=budget), (0, 1))
    for _ in range(2):
        found = f(w, u, x)
    tracemalloc.start()
    f(w, u, x)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 1.2 * budget + w.nbytes + u.nbytes + 6_000
    for have, want in zip(found, sc.grad(gru, (0, 1))(w, u, x), strict=True):
        assert np.allclose(have, want, rtol=1e-9, atol=1e-12)


def test_batches_and_second_derivatives():
    f = sc.vmap(sc.grad(lambda w: loss(w, X[:30], checkpoint="binomial")))
    ws = np.linspace(-1, 1, 5)
    assert np.allclose(f(ws), [sc.grad(lambda w: loss(w, X[:30]))(w) for w in ws], rtol=1e-10)
    second = sc.grad(sc.grad(lambda w: loss(w, X[:30], checkpoint="binomial")))
    assert np.isclose(second(0.7), sc.grad(sc.grad(lambda w: loss(w, X[:30])))(0.7), rtol=1e-9)
