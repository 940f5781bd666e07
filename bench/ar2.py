"""AR(2) with its whole output kept: y[t] = x[t] + a y[t-1] + b y[t-2], float64; and the gradient of its sum of
squares.

The shortest useful recurrence: its critical path is one fused multiply-add a step, if the sum is ordered so that the
youngest value comes last. The hand-written loops are ordered so; "numba, as written" is not. JAX's scan is also given
with eight steps an iteration, the most that helps on a CPU.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import peers

import scancc as sc
from scancc.measure import Inputs, Workload

A, B = 1.3, -0.5  # complex poles of modulus 0.71: stable, and no value underflows
NAMES = ("a", "b", "x", "y0")
INTERPRETED = 10**5  # steps; the interpreter takes 16 microseconds for one


def make_inputs(steps: int) -> dict[str, Any]:
    """x of shape (steps,), and y0 = (y[-2], y[-1])."""
    return {"x": np.random.default_rng(2).normal(size=steps), "y0": np.array([0.25, -0.5]), "a": A, "b": B}


@sc.jit
def ar2(a, b, x, y0):
    return sc.scan(lambda x_t, y_tm2, y_tm1, a, b: x_t + a * y_tm1 + b * y_tm2, x,
                   [dict(initial=y0, taps=[-2, -1])], [a, b])  # fmt: skip


ar2_gradient = sc.jit(sc.grad(lambda *arguments: (ar2(*arguments) ** 2).sum(), (0, 1)))


def scancc_example_inputs() -> dict[str, tuple]:
    arguments = tuple(make_inputs(10**5)[n] for n in NAMES)
    return {"ar2": arguments, "ar2_gradient": arguments}


def as_written(a, b, x, y0):
    y = np.empty(len(x))
    y2, y1 = y0
    for t in range(len(x)):
        y2, y1 = y1, x[t] + a * y1 + b * y2
        y[t] = y1
    return y


def in_order(a, b, x, y0):
    y = np.empty(len(x))
    y2, y1 = y0
    for t in range(len(x)):
        y2, y1 = y1, (x[t] + b * y2) + a * y1
        y[t] = y1
    return y


def adjoint(a, b, x, y0):
    y = np.empty(len(x) + 2)
    y[0], y[1] = y0
    for t in range(len(x)):
        y[t + 2] = (x[t] + b * y[t]) + a * y[t + 1]
    d1 = d2 = ga = gb = 0.0
    for t in range(len(x) - 1, -1, -1):
        d = (2 * y[t + 2] + b * d2) + a * d1
        ga += d * y[t + 1]
        gb += d * y[t]
        d2, d1 = d1, d
    return ga, gb


C = """
void run(double a, double b, const double *restrict x, const double *restrict y0, long n, double *restrict y) {
    double y2 = y0[0], y1 = y0[1];
    for (long t = 0; t < n; t++) {
        double new = (x[t] + b * y2) + a * y1;
        y[t] = new; y2 = y1; y1 = new;
    }
}
"""

C_ADJOINT = """
#include <stdlib.h>
void run(double a, double b, const double *restrict x, const double *restrict y0, long n,
         double *restrict g_a, double *restrict g_b) {
    double *restrict y = malloc((n + 2) * sizeof(double)), y2 = y0[0], y1 = y0[1], d1 = 0, d2 = 0, ga = 0, gb = 0;
    y[0] = y2; y[1] = y1;
    for (long t = 0; t < n; t++) {
        double new = (x[t] + b * y2) + a * y1;
        y[t + 2] = new; y2 = y1; y1 = new;
    }
    for (long t = n - 1; t >= 0; t--) {
        double d = (2 * y[t + 2] + b * d2) + a * d1;
        ga += d * y[t + 1]; gb += d * y[t];
        d2 = d1; d1 = d;
    }
    *g_a = ga; *g_b = gb;
    free(y);
}
"""


def by_jax(jax, a, b, x, y0, unroll=1):
    def step(carry, x_t):
        y2, y1 = carry
        y = (x_t + b * y2) + a * y1
        return (y1, y), y

    return jax.lax.scan(step, (y0[0], y0[1]), x, unroll=unroll)[1]


def jax_loss(jax, *arguments, unroll=1):
    return (by_jax(jax, *arguments, unroll=unroll) ** 2).sum()


def by_pytensor(pytensor, a, b, x, y0):
    return pytensor.scan(lambda x_t, y2, y1, a, b: x_t + a * y1 + b * y2, sequences=x,
                         outputs_info=[dict(initial=y0, taps=[-2, -1])], non_sequences=[a, b],
                         return_updates=False)  # fmt: skip


def pytensor_loss(pytensor, *symbols):
    return (by_pytensor(pytensor, *symbols) ** 2).sum()


def lfilter(inputs: Inputs) -> Callable[[], Any]:
    from scipy import signal

    poles = np.array([1.0, -inputs["a"], -inputs["b"]])
    state = signal.lfiltic([1.0], poles, inputs["y0"][::-1])
    x = inputs["x"]
    return lambda: signal.lfilter([1.0], poles, x, zi=state)[0]


def oracle(inputs: Inputs) -> Callable[[], Any]:
    """The interpreter; for many steps lfilter, a hundredth of its time, that it agrees with on the first 1e5."""
    first = inputs | {"x": inputs["x"][:INTERPRETED]}
    if len(first["x"]) == len(inputs["x"]):
        return peers.interpreted(ar2, *NAMES)(inputs)

    def run() -> Any:
        y = lfilter(inputs)()
        np.testing.assert_allclose(y[:INTERPRETED], peers.interpreted(ar2, *NAMES)(first)(), rtol=1e-9, atol=1e-12)
        return y

    return run


def workloads(quick: bool) -> list[Workload]:
    forward = {
        "scancc": peers.by_scancc(ar2, *NAMES),
        "numba": peers.by_numba(in_order, *NAMES),
        "numba, as written": peers.by_numba(as_written, *NAMES),
        "c": peers.by_c(C, lambda inputs: [np.empty_like(inputs["x"])], *NAMES, "steps"),
        "jax": peers.by_jax(by_jax, *NAMES),
        "jax, unroll=8": peers.by_jax(partial(by_jax, unroll=8), *NAMES),
        "pytensor": peers.by_pytensor(by_pytensor, *NAMES),
        "scipy, lfilter": lfilter,
    }
    gradient = {
        "scancc": peers.by_scancc(ar2_gradient, *NAMES),
        "numba": peers.by_numba(adjoint, *NAMES),
        "c": peers.by_c(C_ADJOINT, lambda inputs: [np.empty(()), np.empty(())], *NAMES, "steps"),
        "jax": peers.by_jax(peers.jax_gradient(jax_loss, (0, 1)), *NAMES),
        "jax, unroll=8": peers.by_jax(peers.jax_gradient(partial(jax_loss, unroll=8), (0, 1)), *NAMES),
        "pytensor": peers.by_pytensor(peers.pytensor_gradient(pytensor_loss, (0, 1)), *NAMES),
    }
    if quick:
        gradient.pop("pytensor")
    sizes = {"1e4": 10**4} if quick else {"1e5": 10**5, "1e7": 10**7}
    made = []
    for size, steps in sizes.items():
        inputs = partial(_inputs, steps)
        made.append(Workload(f"ar2/{size}", steps, inputs, forward, group="scalar", oracle=oracle))
        if steps <= INTERPRETED:
            made.append(Workload(f"ar2-gradient/{size}", steps, inputs, gradient, group="scalar", gradient=True,
                                 oracle=peers.interpreted(ar2_gradient, *NAMES)))  # fmt: skip
    return made


def _inputs(steps: int) -> dict[str, Any]:
    return make_inputs(steps) | {"steps": steps}
