"""AR(1) with its whole output kept: y[t] = x[t] + phi y[t-1], float64; and the gradient of its sum of squares.

The simplest recurrence with an input: one fused multiply-add a step. It is associative, so JAX is also given its
parallel prefix, which does more work to have a shorter critical path.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import peers

import scancc as sc
from scancc.measure import Inputs, Workload

PHI = 0.95
NAMES = ("phi", "y0", "x")


def make_inputs(steps: int) -> dict[str, Any]:
    """x of shape (steps,), phi, and y0 = y[-1]."""
    return {"x": np.random.default_rng(1).normal(size=steps), "y0": 0.25, "phi": PHI, "steps": steps}


@sc.jit
def ar1(phi, y0, x):
    return sc.scan(lambda x_t, y_tm1, phi: x_t + phi * y_tm1, x, y0, phi)


ar1_gradient = sc.jit(sc.grad(lambda *arguments: (ar1(*arguments) ** 2).sum(), (0, 1)))


def scancc_example_inputs() -> dict[str, tuple]:
    arguments = tuple(make_inputs(10**5)[n] for n in NAMES)
    return {"ar1": arguments, "ar1_gradient": arguments}


def loop(phi, y0, x):
    y = np.empty(len(x))
    for t in range(len(x)):
        y0 = x[t] + phi * y0
        y[t] = y0
    return y


def adjoint(phi, y0, x):
    y = np.empty(len(x) + 1)
    y[0] = y0
    for t in range(len(x)):
        y[t + 1] = x[t] + phi * y[t]
    d = g = 0.0
    for t in range(len(x) - 1, -1, -1):
        d = 2 * y[t + 1] + phi * d
        g += d * y[t]
    return g, phi * d


C = """
void run(double phi, double y0, const double *restrict x, long n, double *restrict y) {
    for (long t = 0; t < n; t++) y[t] = y0 = x[t] + phi * y0;
}
"""

C_ADJOINT = """
#include <stdlib.h>
void run(double phi, double y0, const double *restrict x, long n, double *restrict g_phi, double *restrict g_y0) {
    double *restrict y = malloc((n + 1) * sizeof(double)), d = 0, g = 0;
    y[0] = y0;
    for (long t = 0; t < n; t++) y[t + 1] = y0 = x[t] + phi * y0;
    for (long t = n - 1; t >= 0; t--) {
        d = 2 * y[t + 1] + phi * d;
        g += d * y[t];
    }
    *g_phi = g; *g_y0 = phi * d;
    free(y);
}
"""


def by_jax(jax, phi, y0, x, unroll=1):
    def step(y, x_t):
        y = x_t + phi * y
        return y, y

    return jax.lax.scan(step, y0, x, unroll=unroll)[1]


def jax_prefix(jax, phi, y0, x):
    def compose(first, second):
        return first[0] * second[0], first[1] * second[0] + second[1]

    slopes, offsets = jax.lax.associative_scan(compose, (jax.numpy.full_like(x, phi), x))
    return slopes * y0 + offsets


def jax_loss(jax, phi, y0, x, unroll=1):
    return (by_jax(jax, phi, y0, x, unroll) ** 2).sum()


def by_pytensor(pytensor, phi, y0, x):
    return pytensor.scan(lambda x_t, y, phi: x_t + phi * y, sequences=x, outputs_info=y0, non_sequences=phi,
                         return_updates=False)  # fmt: skip


def pytensor_loss(pytensor, *symbols):
    return (by_pytensor(pytensor, *symbols) ** 2).sum()


def lfilter(inputs: Inputs) -> Callable[[], Any]:
    from scipy import signal

    poles, state, x = np.array([1.0, -inputs["phi"]]), np.array([inputs["phi"] * inputs["y0"]]), inputs["x"]
    return lambda: signal.lfilter([1.0], poles, x, zi=state)[0]


def workloads(quick: bool) -> list[Workload]:
    forward = {
        "scancc": peers.by_scancc(ar1, *NAMES),
        "numba": peers.by_numba(loop, *NAMES),
        "c": peers.by_c(C, lambda inputs: [np.empty_like(inputs["x"])], *NAMES, "steps"),
        "jax": peers.by_jax(by_jax, *NAMES),
        "jax, unroll=8": peers.by_jax(partial(by_jax, unroll=8), *NAMES),
        "jax, associative_scan": peers.by_jax(jax_prefix, *NAMES),
        "pytensor": peers.by_pytensor(by_pytensor, *NAMES),
        "scipy, lfilter": lfilter,
    }
    gradient = {
        "scancc": peers.by_scancc(ar1_gradient, *NAMES),
        "numba": peers.by_numba(adjoint, *NAMES),
        "c": peers.by_c(C_ADJOINT, lambda inputs: [np.empty(()), np.empty(())], *NAMES, "steps"),
        "jax": peers.by_jax(peers.jax_gradient(jax_loss, (0, 1)), *NAMES),
        "jax, unroll=8": peers.by_jax(peers.jax_gradient(partial(jax_loss, unroll=8), (0, 1)), *NAMES),
        "pytensor": peers.by_pytensor(peers.pytensor_gradient(pytensor_loss, (0, 1)), *NAMES),
    }
    size, steps = ("1e4", 10**4) if quick else ("1e5", 10**5)
    inputs = partial(make_inputs, steps)
    return [
        Workload(f"ar1/{size}", steps, inputs, peers.raced(forward, quick), group="scalar",
                 oracle=peers.interpreted(ar1, *NAMES)),
        Workload(f"ar1-gradient/{size}", steps, inputs, peers.raced(gradient, quick), group="scalar", gradient=True,
                 oracle=peers.interpreted(ar1_gradient, *NAMES)),
    ]  # fmt: skip
