"""Work of the front half of a compilation grows with the program, not with its square, and needs no deep recursion.

Work is the number of Python functions that are called (and of generators that are resumed), counted by a
profiler: the same on every machine. From a program of n to one of 4 n operations it may grow by 4 ** 1.2, with a little
slack. Nothing is run and no machine code is made.
"""

from __future__ import annotations

import cProfile
from collections.abc import Callable

import numpy as np
import pytest

import scancc as sc
from scancc.errors import UnsupportedError
from scancc.frontend import tracer
from scancc.ir.graph import Graph, spec_of
from scancc.passes.graph.cse import cse
from scancc.passes.graph.fuse import fuse
from scancc.passes.loops import linear_parts, shorten_chains
from scancc.passes.pipeline import Options, analyse

X = np.linspace(0.1, 1.0, 50)
MOST = 4**1.2 * 1.1


def traced(f: Callable, *args: np.ndarray) -> Graph:
    return sc.jit(f).trace(*args).graph


def of_step(step: Callable) -> Callable:
    return lambda x, a: sc.scan(step, x, np.zeros(x.shape[1:]), a).sum()


def chain(n: int) -> Callable:
    def step(x_t, y, a):
        for _ in range(n // 2):
            y = y * a + x_t
        return y

    return of_step(step)


def choices(n: int) -> Callable:
    def step(x_t, y, a):
        for _ in range(n // 3):
            y = np.where(y > x_t, y * a, y + x_t)
        return y

    return of_step(step)


def functions(n: int) -> Callable:
    def step(x_t, y, a):
        for _ in range(n // 3):
            y = np.tanh(np.exp(y * a) + x_t)
        return y

    return of_step(step)


def siblings(n: int) -> Callable:
    def f(x, a):
        total = 0.0
        for i in range(n // 5):
            y = sc.scan(lambda x_t, y, a, i=i: y * a + x_t * (i + 1.0), x, np.float64(0.5), a)
            total = total + ((y - x) ** 2).sum()
        return total

    return f


def one_after_another(n: int) -> Callable:
    def f(x, a):
        for _ in range(n // 3):
            x = sc.scan(lambda x_t, y, a: y * a + x_t, x, np.float64(0.5), a)
        return x.sum()

    return f


def inner_rows(n: int) -> Callable:
    def outer(x_t, y, a):
        def inner(u, v, h, a):
            for _ in range(n // 2):
                h = h * a + u
            return np.minimum(h + v, u)

        return sc.scan(inner, [x_t, y], np.float64(0.0), a)

    return of_step(outer)


def slices(n: int) -> Callable:
    def f(x, a):
        for _ in range(n // 3):
            x = x[1:] + x[:-1] * a
        return x.sum()

    return f


def sums_of_slices(n: int) -> Callable:
    def f(x, a):
        total = 0.0
        for i in range(n // 3):
            total = total + (x[: x.shape[0] - i] * a).sum()
        return total

    return f


def vector(n: int) -> Callable:
    def f(x, a):
        y = x
        for _ in range(n // 2):
            y = y * a + x
        return y.sum()

    return f


ROW, WIDE = np.ones((50, 4)), np.ones((50, 40))
FAMILIES = {
    "chain": (chain, X), "choices": (choices, X), "functions": (functions, X), "rows in registers": (functions, ROW),
    "rows in memory": (functions, WIDE), "siblings": (siblings, X), "one after another": (one_after_another, X),
    "inner rows": (inner_rows, np.ones((50, 20))), "slices": (slices, np.ones(500)),
    "sums of slices": (sums_of_slices, np.ones(500)), "vector": (vector, X),
}  # fmt: skip


def calls(work: Callable[[], object]) -> int:
    """How many Python functions `work` calls."""
    profile = cProfile.Profile(subcalls=False, builtins=False)
    profile.runcall(work)
    return sum(entry.callcount for entry in profile.getstats())


def front_half(f: Callable, x: np.ndarray) -> int:
    return calls(lambda: analyse(traced(f, x, np.float64(0.9)), "program", Options()))


@pytest.fixture
def all_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small loops get no closer look than large ones, which would hide how the rest grows."""
    monkeypatch.setattr(shorten_chains, "LARGE", 0)
    monkeypatch.setattr(linear_parts, "LARGEST", 10)


@pytest.mark.usefixtures("all_alike")
@pytest.mark.parametrize("derivative", [False, True], ids=["value", "gradient"])
@pytest.mark.parametrize("family", FAMILIES)
def test_work_grows_with_the_program(family: str, derivative: bool) -> None:
    program, x = FAMILIES[family]
    small, large = (front_half(sc.grad(f) if derivative else f, x) for f in (program(30), program(120)))
    assert large / small < MOST


@pytest.mark.usefixtures("all_alike")
def test_taps() -> None:
    def program(k: int) -> Callable:
        def step(*values):
            *past, a = values
            total = 0.0
            for i, p in enumerate(past):
                total = total + p / (i + 1.0)
            return total * a

        return lambda y0, a: sc.scan(step, None, dict(initial=y0, taps=list(range(-k, 0))), a, n_steps=30).sum()

    small, large = (front_half(program(k), np.ones(k)) for k in (30, 120))
    assert large / small < MOST


@pytest.mark.parametrize("program, x", [(chain, X), (functions, WIDE), (inner_rows, np.ones((50, 20))), (vector, X)],
                         ids=["chain", "rows", "inner rows", "vector"])  # fmt: skip
def test_long_chains_need_no_recursion(program: Callable, x: np.ndarray) -> None:
    analyse(traced(sc.grad(program(400)), x, np.float64(0.9)), "program", Options())


def test_unrolled_loops_are_refused_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracer, "MOST_OPERATIONS", 500)
    for program in (chain, vector):
        traced(program(450), X, np.float64(0.9))
        with pytest.raises(UnsupportedError, match="more than 500 operations(.|\n)*sc.scan"):
            traced(program(600), X, np.float64(0.9))


def test_loops_are_merged_up_to_a_size() -> None:
    graph = fuse(cse(traced(siblings(500), X, np.float64(0.9))))
    loops = [spec_of(n) for n in graph.nodes() if n.op == "scan"]
    assert 1 < len(loops) < 10
    assert sum(len(s.carries) for s in loops) == 100
