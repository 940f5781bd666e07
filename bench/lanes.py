"""10,000 lanes of AR(2) over 100 steps, float64: `vmap` of one lane, of which different rows are read.

    whole   y[t] of all steps        last   the last only        loss   a sum of squares over the steps of each lane

The inputs have the lanes last, so that those of a step are neighbours. The hand-written loops run tiles of lanes
through all steps where no path is kept. The gradient is that of the sum of all losses by the two coefficients.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import peers

import scancc as sc
from scancc.measure import Inputs, Workload

NAMES = ("x", "y0", "a", "b")
AXES = (1, 0, None, None)
STEPS = 100


def make_inputs(lanes: int) -> dict[str, Any]:
    """x of shape (STEPS, lanes), y0 (lanes, 2)."""
    r = np.random.default_rng(100)
    return {"x": r.normal(size=(STEPS, lanes)), "y0": r.normal(size=(lanes, 2)), "a": 0.5, "b": -0.3, "lanes": lanes}


def lane(x, y0, a, b):
    return sc.scan(lambda x, y2, y1, a, b: x + a * y1 + b * y2, x, [dict(initial=y0, taps=[-2, -1])], [a, b])


def last_of_lane(*arguments):
    return lane(*arguments)[-1]


def loss_of_lane(*arguments):
    return (lane(*arguments) ** 2).sum()


lanes_whole = sc.jit(sc.vmap(lane, in_axes=AXES, out_axes=-1))
lanes_last = sc.jit(sc.vmap(last_of_lane, in_axes=AXES))
lanes_loss = sc.jit(sc.vmap(loss_of_lane, in_axes=AXES))
lanes_gradient = sc.jit(sc.grad(lambda *arguments: lanes_loss(*arguments).sum(), (2, 3)))


def scancc_example_inputs() -> dict[str, tuple]:
    arguments = tuple(make_inputs(10_000)[n] for n in NAMES)
    return {"lanes_whole": arguments, "lanes_last": arguments, "lanes_loss": arguments, "lanes_gradient": arguments}


def whole(x, y0, a, b):
    y = np.empty_like(x)
    for i in range(x.shape[1]):
        y[0, i] = (x[0, i] + b * y0[i, 0]) + a * y0[i, 1]
    for i in range(x.shape[1]):
        y[1, i] = (x[1, i] + b * y0[i, 1]) + a * y[0, i]
    for t in range(2, len(x)):
        for i in range(x.shape[1]):
            y[t, i] = (x[t, i] + b * y[t - 2, i]) + a * y[t - 1, i]
    return y


def last(x, y0, a, b):
    out = np.empty(x.shape[1])
    y2, y1 = np.empty(256), np.empty(256)
    for first in range(0, x.shape[1], 256):
        count = min(256, x.shape[1] - first)
        for i in range(count):
            y2[i], y1[i] = y0[first + i, 0], y0[first + i, 1]
        for t in range(len(x)):
            for i in range(count):
                new = (x[t, first + i] + b * y2[i]) + a * y1[i]
                y2[i], y1[i] = y1[i], new
        out[first : first + count] = y1[:count]
    return out


def loss(x, y0, a, b):
    out = np.empty(x.shape[1])
    y2, y1, total = np.empty(256), np.empty(256), np.empty(256)
    for first in range(0, x.shape[1], 256):
        count = min(256, x.shape[1] - first)
        for i in range(count):
            y2[i], y1[i], total[i] = y0[first + i, 0], y0[first + i, 1], 0.0
        for t in range(len(x)):
            for i in range(count):
                new = (x[t, first + i] + b * y2[i]) + a * y1[i]
                total[i] += new * new
                y2[i], y1[i] = y1[i], new
        out[first : first + count] = total[:count]
    return out


def adjoint(x, y0, a, b):
    """Tile by tile, so that the path of a tile stays in the cache; the gradient's terms are added up lane by lane."""
    n = len(x)
    y, d = np.empty((n + 2, 256)), np.empty((n + 2, 256))
    ga, gb = np.zeros(256), np.zeros(256)
    for first in range(0, x.shape[1], 256):
        count = min(256, x.shape[1] - first)
        for i in range(count):
            y[0, i], y[1, i] = y0[first + i, 0], y0[first + i, 1]
        for t in range(n):
            for i in range(count):
                y[t + 2, i] = (x[t, first + i] + b * y[t, i]) + a * y[t + 1, i]
        d[n:] = 0.0
        for t in range(n - 1, -1, -1):
            for i in range(count):
                new = (2 * y[t + 2, i] + b * d[t + 2, i]) + a * d[t + 1, i]
                d[t, i] = new
                ga[i] += new * y[t + 1, i]
                gb[i] += new * y[t, i]
    return ga.sum(), gb.sum()


LOOPS = {"whole": whole, "last": last, "loss": loss}


def jax_lanes(jax, x, y0, a, b, view="whole"):
    def lane(x, y0, a, b):
        def step(carry, x):
            y2, y1 = carry
            y = (x + b * y2) + a * y1
            return (y1, y), y

        return jax.lax.scan(step, (y0[0], y0[1]), x)[1]

    views = {"whole": lambda y: y, "last": lambda y: y[-1], "loss": lambda y: (y * y).sum()}
    return jax.vmap(lambda *one: views[view](lane(*one)), in_axes=AXES, out_axes=-1)(x, y0, a, b)


def jax_loss(jax, *arguments):
    return jax_lanes(jax, *arguments, view="loss").sum()


C_WHOLE = """
void run(const double *restrict x, const double *restrict y0, double a, double b, long lanes, double *restrict y) {
    for (long i = 0; i < lanes; i++) {
        y[i] = (x[i] + b * y0[2 * i]) + a * y0[2 * i + 1];
        y[lanes + i] = (x[lanes + i] + b * y0[2 * i + 1]) + a * y[i];
    }
    for (long t = 2; t < 100; t++)
        for (long i = 0; i < lanes; i++) {
            long at = t * lanes + i;
            y[at] = (x[at] + b * y[at - 2 * lanes]) + a * y[at - lanes];
        }
}
"""

C_TILES = """
void run(const double *restrict x, const double *restrict y0, double a, double b, long lanes, double *restrict out) {
    for (long first = 0; first < lanes; first += 256) {
        long count = lanes - first < 256 ? lanes - first : 256;
        double y2[256], y1[256], total[256];
        for (long i = 0; i < count; i++) {
            y2[i] = y0[2 * (first + i)]; y1[i] = y0[2 * (first + i) + 1]; total[i] = 0;
        }
        for (long t = 0; t < 100; t++) {
            const double *restrict row = x + t * lanes + first;
            for (long i = 0; i < count; i++) {
                double new = (row[i] + b * y2[i]) + a * y1[i];
                if (LOSS) total[i] += new * new;
                y2[i] = y1[i]; y1[i] = new;
            }
        }
        for (long i = 0; i < count; i++) out[first + i] = LOSS ? total[i] : y1[i];
    }
}
"""

SOURCES = {"whole": C_WHOLE, "last": C_TILES.replace("LOSS", "0"), "loss": C_TILES.replace("LOSS", "1")}


def outputs_of(view: str) -> Callable[[Inputs], list[np.ndarray]]:
    return lambda inputs: [np.empty_like(inputs["x"] if view == "whole" else inputs["x"][0])]


def workloads(quick: bool) -> list[Workload]:
    lanes = 500 if quick else 10_000
    inputs, made = partial(make_inputs, lanes), []
    for view, function in (("whole", lanes_whole), ("last", lanes_last), ("loss", lanes_loss)):
        implementations = {
            "scancc": peers.by_scancc(function, *NAMES),
            "numba": peers.by_numba(LOOPS[view], *NAMES),
            "c": peers.by_c(SOURCES[view], outputs_of(view), *NAMES, "lanes"),
            "jax, vmap": peers.by_jax(partial(jax_lanes, view=view), *NAMES),
        }
        made.append(Workload(f"lanes-{view}/{lanes}x{STEPS}", lanes * STEPS, inputs, implementations, group="batch",
                             oracle=peers.interpreted(function, *NAMES)))  # fmt: skip
    gradient = {
        "scancc": peers.by_scancc(lanes_gradient, *NAMES),
        "numba": peers.by_numba(adjoint, *NAMES),
        "jax, vmap": peers.by_jax(peers.jax_gradient(jax_loss, (2, 3)), *NAMES),
    }
    made.append(Workload(f"lanes-gradient/{lanes}x{STEPS}", lanes * STEPS, inputs, gradient, group="batch",
                         gradient=True, oracle=peers.interpreted(lanes_gradient, *NAMES)))  # fmt: skip
    return made
