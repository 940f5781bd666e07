"""PyTensor's own benchmark of scan with taps: two sequences mixed into an output with two taps and a second output.

    y[t] = (y[t-2] + u[t] + y[t-1] + v[t]) / 2
    z[t] = (z[t-1] + y[t]) / sqrt 2

After `test_vector_taps_benchmark` of PyTensor's suite, which makes 1,000 steps; both outputs are kept, float64. The
gradient is that of their sum of squares by the initial values.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np
import peers

import scancc as sc
from scancc.measure import Inputs, Workload

ROOT = math.sqrt(2.0)
NAMES = ("y0", "z0", "u", "v")


def make_inputs(steps: int) -> dict[str, Any]:
    """u and v of shape (steps,), y0 = (y[-2], y[-1]), z0 = z[-1]."""
    r = np.random.default_rng(474)
    return {"u": r.normal(size=steps), "v": r.normal(size=steps), "y0": r.normal(size=2), "z0": r.normal(),
            "steps": steps}  # fmt: skip


@sc.jit
def two_tap_mix(y0, z0, u, v):
    def step(u, v, y_tm2, y_tm1, z_tm1):
        y = (y_tm2 + u + y_tm1 + v) / np.sqrt(4)
        return y, (z_tm1 + y) / np.sqrt(2)

    return sc.scan(step, [u, v], [dict(initial=y0, taps=[-2, -1]), z0])


def sum_of_squares(*arguments):
    y, z = two_tap_mix(*arguments)
    return (y**2).sum() + (z**2).sum()


two_tap_mix_gradient = sc.jit(sc.grad(sum_of_squares, (0, 1)))


def scancc_example_inputs() -> dict[str, tuple]:
    arguments = tuple(make_inputs(10**5)[n] for n in NAMES)
    return {"two_tap_mix": arguments, "two_tap_mix_gradient": arguments}


def loop(y0, z0, u, v):
    y, z = np.empty(len(u)), np.empty(len(u))
    y2, y1 = y0
    share = 1 / ROOT
    for t in range(len(u)):
        y2, y1 = y1, ((u[t] + v[t]) * 0.5 + 0.5 * y2) + 0.5 * y1
        z0 = share * y1 + share * z0
        y[t], z[t] = y1, z0
    return y, z


def adjoint(y0, z0, u, v):
    n = len(u)
    y, z = np.empty(n), np.empty(n)
    y2, y1 = y0
    share = 1 / ROOT
    for t in range(n):
        y2, y1 = y1, ((u[t] + v[t]) * 0.5 + 0.5 * y2) + 0.5 * y1
        z0 = share * y1 + share * z0
        y[t], z[t] = y1, z0
    dz = d1 = d2 = 0.0  # d1 and d2 are the derivatives of the outputs one and two steps later
    for t in range(n - 1, -1, -1):
        dz = 2 * z[t] + share * dz
        d = (2 * y[t] + share * dz + 0.5 * d2) + 0.5 * d1
        d2, d1 = d1, d
    return np.array([0.5 * d1, 0.5 * d1 + 0.5 * d2]), share * dz


C = """
void run(const double *restrict y0, double z0, const double *restrict u, const double *restrict v, long n,
         double *restrict y, double *restrict z) {
    double y2 = y0[0], y1 = y0[1], share = 0.70710678118654752440;
    for (long t = 0; t < n; t++) {
        double new = ((u[t] + v[t]) * 0.5 + 0.5 * y2) + 0.5 * y1;
        y2 = y1; y[t] = y1 = new;
        z[t] = z0 = share * new + share * z0;
    }
}
"""

C_ADJOINT = """
#include <stdlib.h>
void run(const double *restrict y0, double z0, const double *restrict u, const double *restrict v, long n,
         double *restrict g_y0, double *restrict g_z0) {
    double *restrict y = malloc(n * sizeof(double)), *restrict z = malloc(n * sizeof(double));
    double y2 = y0[0], y1 = y0[1], share = 0.70710678118654752440, dz = 0, d1 = 0, d2 = 0;
    for (long t = 0; t < n; t++) {
        double new = ((u[t] + v[t]) * 0.5 + 0.5 * y2) + 0.5 * y1;
        y2 = y1; y[t] = y1 = new;
        z[t] = z0 = share * new + share * z0;
    }
    for (long t = n - 1; t >= 0; t--) {
        dz = 2 * z[t] + share * dz;
        double d = (2 * y[t] + share * dz + 0.5 * d2) + 0.5 * d1;
        d2 = d1; d1 = d;
    }
    g_y0[0] = 0.5 * d1; g_y0[1] = 0.5 * d1 + 0.5 * d2; *g_z0 = share * dz;
    free(y); free(z);
}
"""


def by_jax(jax, y0, z0, u, v, unroll=1):
    share = 1 / ROOT

    def step(carry, x):
        y2, y1, z = carry
        y = (x + 0.5 * y2) + 0.5 * y1
        z = share * y + share * z
        return (y1, y, z), (y, z)

    return jax.lax.scan(step, (y0[0], y0[1], z0), (u + v) * 0.5, unroll=unroll)[1]


def jax_loss(jax, *arguments, unroll=1):
    y, z = by_jax(jax, *arguments, unroll=unroll)
    return (y**2).sum() + (z**2).sum()


def by_pytensor(pytensor, y0, z0, u, v):
    def step(u, v, y_tm2, y_tm1, z_tm1):
        y = (y_tm2 + u + y_tm1 + v) / np.sqrt(4)
        return y, (z_tm1 + y) / np.sqrt(2)

    return pytensor.scan(step, sequences=[u, v], outputs_info=[dict(initial=y0, taps=[-2, -1]), z0],
                         return_updates=False)  # fmt: skip


def pytensor_loss(pytensor, *symbols):
    y, z = by_pytensor(pytensor, *symbols)
    return (y**2).sum() + (z**2).sum()


def workloads(quick: bool) -> list[Workload]:
    forward = {
        "scancc": peers.by_scancc(two_tap_mix, *NAMES),
        "numba": peers.by_numba(loop, *NAMES),
        "c": peers.by_c(C, lambda inputs: [np.empty_like(inputs["u"]) for _ in range(2)], *NAMES, "steps"),
        "jax": peers.by_jax(by_jax, *NAMES),
        "jax, unroll=8": peers.by_jax(partial(by_jax, unroll=8), *NAMES),
        "pytensor": peers.by_pytensor(by_pytensor, *NAMES),
    }
    gradient = {
        "scancc": peers.by_scancc(two_tap_mix_gradient, *NAMES),
        "numba": peers.by_numba(adjoint, *NAMES),
        "c": peers.by_c(C_ADJOINT, lambda inputs: [np.empty(2), np.empty(())], *NAMES, "steps"),
        "jax": peers.by_jax(peers.jax_gradient(jax_loss, (0, 1)), *NAMES),
        "jax, unroll=8": peers.by_jax(peers.jax_gradient(partial(jax_loss, unroll=8), (0, 1)), *NAMES),
        "pytensor": peers.by_pytensor(peers.pytensor_gradient(pytensor_loss, (0, 1)), *NAMES),
    }
    sizes = {"1e3": 10**3} if quick else {"1e3": 10**3, "1e5": 10**5}
    made = []
    for size, steps in sizes.items():
        inputs = partial(make_inputs, steps)
        made.append(Workload(f"two_tap_mix/{size}", steps, inputs, peers.raced(forward, quick), group="scalar",
                             oracle=peers.interpreted(two_tap_mix, *NAMES)))  # fmt: skip
    made.append(Workload(f"two_tap_mix-gradient/{size}", steps, inputs, peers.raced(gradient, quick), group="scalar",
                         gradient=True, oracle=peers.interpreted(two_tap_mix_gradient, *NAMES)))  # fmt: skip
    return made
