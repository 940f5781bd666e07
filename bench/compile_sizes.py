"""Programs of growing size, such as generated code and Python loops make: programs of the compile-time benchmark."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from compile_programs import Library, Program, by_random

STEPS = 50
ROWS = by_random((STEPS,), ())


def statements(count: int, lib: Library, x: Any, a: Any) -> Any:
    """A step of so many statements on four states: products, sums and now and then a sine."""

    def step(state, x):
        state = list(state)
        for i in range(count):
            here, there = state[i % 4], state[(i + 1) % 4]
            state[i % 4] = lib.np.sin(here) + 0.3 * there if i % 10 == 9 else (0.5 + 0.1 * (i % 7)) * here - a * there
        state[0] = lib.np.sin(state[0] + x)
        return tuple(state), None

    return sum(lib.lax.scan(step, (0.1, 0.2, 0.3, 0.4), x)[0])


def choices(count: int, lib: Library, x: Any, a: Any) -> Any:
    """A step of so many `where` in a chain."""

    def step(h, x):
        h = h + x
        for i in range(count):
            h = lib.np.where(h > 0.01 * (i % 17), h * a, h + 0.1)
        return h, h

    return lib.lax.scan(step, 0.5, x)[1].sum()


def chain(count: int, lib: Library, x: Any, a: Any) -> Any:
    """So many operations on one array, each of the one before."""
    for i in range(count // 2):
        x = (x + a) * (0.9 + 0.01 * (i % 9))
    return x.sum()


def scans(count: int, lib: Library, x: Any, a: Any, stacked: bool = False) -> Any:
    """So many loops over the same rows, which know nothing of one another: the sum of what they make, or all of it."""

    def one(rate):
        return lib.lax.scan(lambda h, x: (lib.np.tanh(rate * h + a * x), h), 0.1, x)[1]

    made = [one(0.9 * i / count) for i in range(count)]
    return lib.np.stack(made) if stacked else sum(y.sum() for y in made)


def products(count: int, lib: Library, A: Any, B: Any) -> Any:
    """So many products of small matrices, one after the other."""
    for _ in range(count):
        A = A @ B
    return A.sum()


def slices(count: int, lib: Library, x: Any, a: Any) -> Any:
    """A triangle of differences: each row is shorter by one than the row above."""
    for _ in range(count):
        x = x[1:] - a * x[:-1]
    return (x**2).sum()


def taps(count: int, lib: Library, x: Any, start: Any, weights: Any) -> Any:
    """Each value is of so many values before it."""
    if lib.name == "jax":

        def step(window, x):
            y = lib.np.tanh(x + weights @ window)
            return lib.np.concatenate([window[1:], y[None]]), y

        return lib.lax.scan(step, start, x)[1].sum()

    import scancc as sc

    def tapped(x, *before):
        total = x
        for i, y in enumerate(before):
            total = total + weights[i] * y
        return np.tanh(total)

    return sc.scan(tapped, x, [dict(initial=start, taps=list(range(-count, 0)))]).sum()


def programs() -> list[Program]:
    def series(name: str, function: Any, counts: tuple[int, ...], inputs: Any, **more: Any) -> list[Program]:
        return [Program(f"{name}/{n}", partial(function, n), inputs, size=n, **more) for n in counts]

    by_both = {"wrt": (0, 1)}
    return [
        *series("statements", statements, (100, 300), ROWS, **by_both),
        *series("statements", statements, (1000, 3000), ROWS),
        *series("statements", statements, (1000,), ROWS, value=False, all_only=True, **by_both),
        *series("where", choices, (30, 100, 300, 1000), ROWS, **by_both),
        *series("where", choices, (3000,), ROWS, all_only=True, **by_both),
        *series("chain", chain, (1000, 5000), by_random((1000,), ())),
        *series("chain", chain, (50_000,), by_random((1000,), ()), all_only=True),
        *series("scans", scans, (30, 60, 100), ROWS),
        *series("scans", scans, (60,), ROWS, value=False, **by_both),
        *series("scans-stacked", partial(scans, stacked=True), (30, 60, 100), ROWS),
        *series("products", products, (100,), by_random((4, 4), (4, 4)), **by_both),
        *series("products", products, (600,), by_random((4, 4), (4, 4))),
        *series("slices", slices, (30, 60), by_random((100,), ()), **by_both),
        *series("taps", taps, (30,), by_random((STEPS,), (30,), (30,), scale=0.1), wrt=(2,)),
        *series("taps", taps, (100,), by_random((STEPS,), (100,), (100,), scale=0.1), wrt=(2,)),
        *series("taps", taps, (1000,), by_random((STEPS,), (1000,), (1000,), scale=0.03)),
    ]  # fmt: skip
