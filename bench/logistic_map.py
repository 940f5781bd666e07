"""The logistic map x[t] = r x[t-1] (1 - x[t-1]), no input, whole output, float64; and the gradient of its sum.

Two dependent operations a step, whatever the order. r = 3.55 has an attracting cycle of eight values, so that
roundings die out; in the chaotic range no two implementations would agree after fifty steps.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import peers

import scancc as sc
from scancc.measure import Factory, Inputs, Workload

NAMES = ("r", "x0", "steps")


def make_inputs(steps: int) -> dict[str, Any]:
    return {"r": 3.55, "x0": 0.3, "steps": steps}


@sc.jit
def logistic_map(r, x0, steps):
    return sc.scan(lambda x, r: r * x * (1 - x), outputs_info=x0, non_sequences=r, n_steps=steps)


logistic_map_gradient = sc.jit(sc.grad(lambda *arguments: logistic_map(*arguments).sum(), (0, 1)))


def scancc_example_inputs() -> dict[str, tuple]:
    arguments = tuple(make_inputs(10**5)[n] for n in NAMES)
    return {"logistic_map": arguments, "logistic_map_gradient": arguments}


def loop(r, x0, steps):
    path = np.empty(steps)
    for t in range(steps):
        x0 = r * x0 * (1 - x0)
        path[t] = x0
    return path


def adjoint(r, x0, steps):
    path = np.empty(steps + 1)
    path[0] = x0
    for t in range(steps):
        x0 = r * x0 * (1 - x0)
        path[t + 1] = x0
    d = g = 0.0
    for t in range(steps - 1, -1, -1):
        x = path[t]
        d += 1.0
        g += d * x * (1 - x)
        d *= r * (1 - 2 * x)
    return g, d


C = """
void run(double r, double x, long n, double *restrict path) {
    for (long t = 0; t < n; t++) path[t] = x = r * x * (1 - x);
}
"""

C_ADJOINT = """
#include <stdlib.h>
void run(double r, double x, long n, double *restrict g_r, double *restrict g_x0) {
    double *restrict path = malloc((n + 1) * sizeof(double)), d = 0, g = 0;
    path[0] = x;
    for (long t = 0; t < n; t++) path[t + 1] = x = r * x * (1 - x);
    for (long t = n - 1; t >= 0; t--) {
        x = path[t];
        d += 1;
        g += d * x * (1 - x);
        d *= r * (1 - 2 * x);
    }
    *g_r = g; *g_x0 = d;
    free(path);
}
"""


def by_jax(jax, r, x0, steps, unroll=1):
    def step(x, _):
        x = r * x * (1 - x)
        return x, x

    return jax.lax.scan(step, x0, length=steps, unroll=unroll)[1]


def jax_gradient(jax, r, x0, steps, unroll=1):
    return jax.grad(lambda r, x0: by_jax(jax, r, x0, steps, unroll).sum(), (0, 1))(r, x0)


def of_known_length(function: Callable[..., Any], **options: Any) -> Factory:
    """XLA's scan without inputs has a number of steps that it knows: it compiles anew for another one."""

    def factory(inputs: Inputs) -> Callable[[], Any]:
        return peers.by_jax(partial(function, steps=inputs["steps"], **options), "r", "x0")(inputs)

    return factory


def by_pytensor(pytensor, r, x0, steps):
    return pytensor.scan(lambda x, r: r * x * (1 - x), outputs_info=x0, non_sequences=r, n_steps=steps,
                         return_updates=False)  # fmt: skip


def pytensor_loss(pytensor, *symbols):
    return by_pytensor(pytensor, *symbols).sum()


def workloads(quick: bool) -> list[Workload]:
    forward = {
        "scancc": peers.by_scancc(logistic_map, *NAMES),
        "numba": peers.by_numba(loop, *NAMES),
        "c": peers.by_c(C, lambda inputs: [np.empty(inputs["steps"])], *NAMES),
        "jax": of_known_length(by_jax),
        "jax, unroll=8": of_known_length(by_jax, unroll=8),
        "pytensor": peers.by_pytensor(by_pytensor, *NAMES),
    }
    gradient = {
        "scancc": peers.by_scancc(logistic_map_gradient, *NAMES),
        "numba": peers.by_numba(adjoint, *NAMES),
        "c": peers.by_c(C_ADJOINT, lambda inputs: [np.empty(()), np.empty(())], *NAMES),
        "jax": of_known_length(jax_gradient),
        "jax, unroll=8": of_known_length(jax_gradient, unroll=8),
        "pytensor": peers.by_pytensor(peers.pytensor_gradient(pytensor_loss, (0, 1)), *NAMES),
    }
    size, steps = ("1e4", 10**4) if quick else ("1e5", 10**5)
    inputs = partial(make_inputs, steps)
    return [
        Workload(f"logistic_map/{size}", steps, inputs, peers.raced(forward, quick), group="scalar",
                 oracle=peers.interpreted(logistic_map, *NAMES)),
        Workload(f"logistic_map-gradient/{size}", steps, inputs, peers.raced(gradient, quick), group="scalar",
                 gradient=True, oracle=peers.interpreted(logistic_map_gradient, *NAMES)),
    ]  # fmt: skip
