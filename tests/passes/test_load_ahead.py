"""Loops of devices that read for several iterations at once: what is read early, and what is not."""

from __future__ import annotations

import numpy as np
import pytest

import scancc as sc
from scancc.ir.loop import (
    Assign,
    Buffer,
    Const,
    For,
    Kernel,
    Let,
    Load,
    Op,
    Store,
    Var,
    add,
    const_int,
    show_kernel,
    sub,
)
from scancc.passes.devices.load_ahead import AHEAD, load_ahead

R = np.random.default_rng(0)
F, I, B = np.dtype("float64"), np.dtype("int64"), np.dtype(bool)  # noqa: E741
N, T, Y = Var("n", I), Var("t", I), Var("y", F)
X, OUT = Buffer("x", F, (N,), "input"), Buffer("out", F, (N,), "output")


def kernel(*body, stop=N):
    return Kernel("k", [X, OUT, N, Y], [For(T, const_int(0), stop, list(body), "steps of k")], [])


def loops(k):
    return [s for s in k.body if isinstance(s, For)]


def test_reads_of_all_iterations_come_first():
    v = Var("v", F)
    made = load_ahead(kernel(Let(v, Load(X, (T,))), Assign(Y, Op("add", (Y, v), F)), Store(OUT, (T,), Y)))
    many, rest = loops(made)
    kinds = [type(s) for s in many.body if not isinstance(s, Let)]
    assert kinds == [Assign, Store] * AHEAD
    reads = [i for i, s in enumerate(many.body) if isinstance(s, Let) and isinstance(s.expr, Load)]
    assert len(reads) == AHEAD and max(reads) < next(i for i, s in enumerate(many.body) if isinstance(s, Assign))
    assert rest.body[0].expr == Load(X, (T,))


@pytest.mark.parametrize(
    "value",
    [
        Load(OUT, (sub(T, 1),)),  # written by the loop
        Op("where", (Op("less", (T, const_int(3)), B), Load(X, (T,)), Const(0.0, F)), F),  # not always read
        Load(X, (const_int(0),)),  # the same in every iteration
    ],
    ids=["written", "guarded", "same"],
)
def test_loops_that_stay_as_they_are(value):
    before = kernel(Store(OUT, (T,), value))
    shown = show_kernel(before)
    assert show_kernel(load_ahead(before)) == shown


def test_short_loops_stay():
    before = kernel(Store(OUT, (T,), Load(X, (T,))), stop=const_int(AHEAD - 1))
    assert len(loops(load_ahead(before))) == 1


def test_whole_numbers_of_iterations_leave_nothing():
    made = load_ahead(kernel(Store(OUT, (T,), Load(X, (add(T, 1),))), stop=const_int(2 * AHEAD)))
    (loop,) = loops(made)
    assert loop.stop == Op("floor_divide", (const_int(2 * AHEAD), const_int(AHEAD)), I)


@pytest.mark.parametrize("steps", [0, 1, AHEAD - 1, AHEAD, AHEAD + 1, 3 * AHEAD + 5])
def test_every_number_of_steps(steps):
    def f(x, h):
        def step(x, h2, h1, y):
            return h1 * 0.5 + x - 0.1 * h2, np.where(x > 0, h1, y) + 1

        return sc.scan(step, x, [dict(initial=np.stack([h, 2 * h]), taps=[-2, -1]), h])

    x, h = R.normal(size=(steps, 3)), R.normal(size=3)
    g = sc.jit(sc.vmap(f, in_axes=(1, 0)), target="cuda")
    for have, want in zip(g(x, h), g(x, h, mode="interpret"), strict=True):
        np.testing.assert_allclose(have, want, rtol=1e-13)
    if steps:
        assert f"{AHEAD} steps of step at once" in g.lower(x, h).source()
