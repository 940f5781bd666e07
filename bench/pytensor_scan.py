"""The recurrences that PyTensor benchmarks its own scan with (its tests/benchmarks/test_scan.py), float64.

    mix         y[t] = (y[t-2] + s2[t] + y[t-1] + s1[t]) / sqrt(4) and z[t] = (z[t-1] + y[t]) / sqrt(2), both kept:
                two sequences, one state with two taps and one that reads the other's new value
    counter     x[t] = x[t-1] + 1 for vectors, of which the last row, the last three, or all rows are read;
                "counter-last/512x256" makes 512 rows, the start included, of 256 elements

Ten rows of two elements take less time than calling anything from Python does: that row compares what a call costs.
The derivative of a counter is one, so only the mix has a gradient: of the sum of squares of both results, by both
sequences and both starts.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np
import peers

import scancc as sc
from scancc.measure import Workload

MIX = ("s1", "s2", "y0", "z0")
COUNTER = ("x0", "steps")
COUNTERS = {"10x2": (10, 2), "512x2": (512, 2), "512x256": (512, 256)}  # rows, elements
VIEWS = {"last": np.s_[-1], "last-3": np.s_[-3:], "whole": np.s_[:]}


def make_mix_inputs(steps: int) -> dict[str, Any]:
    """s1, s2 (steps,), y0 = (y[-2], y[-1]), z0."""
    r = np.random.default_rng(474)
    return {"s1": r.normal(size=steps), "s2": r.normal(size=steps), "y0": r.normal(size=2), "z0": r.normal(),
            "steps": steps}  # fmt: skip


def make_counter_inputs(rows: int, elements: int) -> dict[str, Any]:
    return {"x0": np.zeros(elements), "steps": rows - 1}


# -- mix -------------------------------------------------------------------------------------------------------------


def mix_step(s1, s2, y_tm2, y_tm1, z_tm1):
    y = (y_tm2 + s2 + y_tm1 + s1) / np.sqrt(4)
    return y, (z_tm1 + y) / np.sqrt(2)


@sc.jit
def mix(s1, s2, y0, z0):
    return sc.scan(mix_step, [s1, s2], [dict(initial=y0, taps=[-2, -1]), z0])


def squares(y, z):
    return (y**2).sum() + (z**2).sum()


mix_gradient = sc.jit(sc.grad(lambda *inputs: squares(*mix(*inputs)), (0, 1, 2, 3)))


def mix_by_hand(s1, s2, y0, z0):
    ys, zs = np.empty(len(s1)), np.empty(len(s1))
    y2, y1 = y0
    z = z0
    half, root = 0.5, 1 / math.sqrt(2)
    for t in range(len(s1)):
        y2, y1 = y1, half * (s1[t] + s2[t] + y2) + half * y1
        z = root * y1 + root * z
        ys[t] = y1
        zs[t] = z
    return ys, zs


def mix_adjoint(s1, s2, y0, z0):
    n = len(s1)
    ys, zs = np.empty(n), np.empty(n)
    y2, y1 = y0
    z = z0
    half, root = 0.5, 1 / math.sqrt(2)
    for t in range(n):
        y2, y1 = y1, half * (s1[t] + s2[t] + y2) + half * y1
        z = root * y1 + root * z
        ys[t] = y1
        zs[t] = z
    g, g_next, dz = np.empty(n), 0.0, 0.0  # g = half * d loss / d y[t]
    g_after = 0.0
    for t in range(n - 1, -1, -1):
        dz = root * (2 * zs[t]) + root * dz
        g_new = half * (2 * ys[t] + dz + g_after) + half * g_next
        g_after, g_next = g_next, g_new
        g[t] = g_new
    return g, g.copy(), np.array([g_next, g_next + g_after]), dz


C_MIX = """
void run(const double *restrict s1, const double *restrict s2, const double *restrict y0, double z, long n,
         double *restrict ys, double *restrict zs) {
    const double root = 0.70710678118654752440;
    double y2 = y0[0], y1 = y0[1];
    for (long t = 0; t < n; t++) {
        double y = 0.5 * (s1[t] + s2[t] + y2) + 0.5 * y1;
        z = root * y + root * z;
        ys[t] = y; zs[t] = z; y2 = y1; y1 = y;
    }
}
"""


def mix_by_jax(jax, s1, s2, y0, z0, unroll=1):
    def step(carry, s):
        y2, y1, z = carry
        y = (y2 + s[1] + s[0]) / 2 + y1 / 2
        z = y / math.sqrt(2) + z / math.sqrt(2)
        return (y1, y, z), (y, z)

    return jax.lax.scan(step, (y0[0], y0[1], z0), (s1, s2), unroll=unroll)[1]


def mix_gradient_by_jax(jax, *arguments, unroll=1):
    return jax.grad(lambda *inputs: squares(*mix_by_jax(jax, *inputs, unroll=unroll)), (0, 1, 2, 3))(*arguments)


def mix_by_pytensor(pytensor, s1, s2, y0, z0):
    return pytensor.scan(mix_step, [s1, s2], [dict(initial=y0, taps=[-2, -1]), z0], return_updates=False)


def mix_gradient_by_pytensor(pytensor, *arguments):
    return pytensor.grad(squares(*mix_by_pytensor(pytensor, *arguments)), list(arguments))


# -- counter ---------------------------------------------------------------------------------------------------------


def counter(x0, steps):
    return sc.scan(lambda x: x + 1, outputs_info=x0, n_steps=steps)


@sc.jit
def counter_last(x0, steps):
    return counter(x0, steps)[-1]


@sc.jit
def counter_last_3(x0, steps):
    return counter(x0, steps)[-3:]


@sc.jit
def counter_whole(x0, steps):
    return counter(x0, steps)


COMPILED = {"last": counter_last, "last-3": counter_last_3, "whole": counter_whole}


def last_by_hand(x0, steps):
    x = x0.copy()
    for _ in range(steps):
        for i in range(len(x)):
            x[i] += 1
    return x


def last_3_by_hand(x0, steps):
    x, kept = x0.copy(), np.empty((3, len(x0)))
    for t in range(steps):
        for i in range(len(x)):
            x[i] += 1
        if t >= steps - 3:
            kept[t - steps + 3] = x
    return kept


def whole_by_hand(x0, steps):
    xs = np.empty((steps, len(x0)))
    xs[0] = x0 + 1
    for t in range(1, steps):
        for i in range(len(x0)):
            xs[t, i] = xs[t - 1, i] + 1
    return xs


BY_HAND = {"last": last_by_hand, "last-3": last_3_by_hand, "whole": whole_by_hand}


def counter_by_jax(jax, x0, view, steps, unroll=1):
    if view == "last":  # nothing to gather: the carry is the result
        return jax.lax.fori_loop(0, steps, lambda _, x: x + 1, x0, unroll=unroll)
    return jax.lax.scan(lambda x, _: (x + 1, x + 1), x0, None, steps, unroll=unroll)[1][VIEWS[view]]


def counter_by_pytensor(pytensor, x0, view, steps):
    return pytensor.scan(lambda x: x + 1, outputs_info=[x0], n_steps=steps, return_updates=False)[VIEWS[view]]


def scancc_example_inputs() -> dict[str, tuple]:
    arguments = tuple(make_mix_inputs(10**5)[n] for n in MIX)
    start = tuple(make_counter_inputs(*COUNTERS["512x256"])[n] for n in COUNTER)
    return {"mix": arguments, "mix_gradient": arguments} | {f.name: start for f in COMPILED.values()}


# -- workloads -------------------------------------------------------------------------------------------------------


def workloads(quick: bool) -> list[Workload]:
    made = [w for size, steps in {"1e3": 10**3, **({} if quick else {"1e5": 10**5})}.items()
            for w in mix_workloads(size, steps, quick)]  # fmt: skip
    counters = ["512x2"] if quick else list(COUNTERS)
    return made + [counter_workload(size, view, quick) for size in counters for view in VIEWS]


def mix_workloads(size: str, steps: int, quick: bool) -> list[Workload]:
    forward = {
        "scancc": peers.by_scancc(mix, *MIX),
        "numba": peers.by_numba(mix_by_hand, *MIX),
        "c": peers.by_c(C_MIX, lambda inputs: [np.empty(steps), np.empty(steps)], *MIX, "steps"),
        "jax": peers.by_jax(mix_by_jax, *MIX),
        "jax, unroll=8": peers.by_jax(partial(mix_by_jax, unroll=8), *MIX),
        "pytensor": peers.by_pytensor(mix_by_pytensor, *MIX),
    }
    gradient = {
        "scancc": peers.by_scancc(mix_gradient, *MIX),
        "numba": peers.by_numba(mix_adjoint, *MIX),
        "jax": peers.by_jax(mix_gradient_by_jax, *MIX),
        "jax, unroll=8": peers.by_jax(partial(mix_gradient_by_jax, unroll=8), *MIX),
        "pytensor": peers.by_pytensor(mix_gradient_by_pytensor, *MIX),
    }
    if quick:
        forward.pop("pytensor")
        gradient.pop("pytensor")
    inputs = partial(make_mix_inputs, steps)
    return [
        Workload(f"pytensor_scan/mix-{size}", steps, inputs, forward, group="scalar",
                 oracle=peers.interpreted(mix, *MIX)),
        Workload(f"pytensor_scan-gradient/mix-{size}", steps, inputs, gradient, group="scalar", gradient=True,
                 oracle=peers.interpreted(mix_gradient, *MIX)),
    ]  # fmt: skip


def counter_workload(size: str, view: str, quick: bool) -> Workload:
    rows, elements = COUNTERS[size]
    fixed = {"view": view, "steps": rows - 1}
    implementations = {
        "scancc": peers.by_scancc(COMPILED[view], *COUNTER),
        "numba": peers.by_numba(BY_HAND[view], *COUNTER),
        "jax": peers.by_jax(partial(counter_by_jax, **fixed), "x0"),
        "jax, unroll=8": peers.by_jax(partial(counter_by_jax, **fixed, unroll=8), "x0"),
        "pytensor": peers.by_pytensor(partial(counter_by_pytensor, **fixed), "x0"),
    }
    if quick:
        implementations.pop("pytensor")
    return Workload(f"pytensor_scan/{view}-{size}", rows - 1, partial(make_counter_inputs, rows, elements),
                    implementations, group="matrix" if elements > 16 else "scalar",
                    oracle=peers.interpreted(COMPILED[view], *COUNTER))  # fmt: skip
