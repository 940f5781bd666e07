"""The exponentially weighted moving average: s[t] = alpha x[t] + (1 - alpha) s[t-1] from s[0] = x[0], float64.

Its whole output, as `Series.ewm(adjust=False).mean()` of pandas gives it; and the derivative by alpha of the sum of
squared errors of its one-step forecasts, sum over t of (x[t+1] - s[t])^2, by which alpha is fitted.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import peers

import scancc as sc
from scancc.measure import Inputs, Workload

ALPHA = 0.06
NAMES = ("alpha", "x")


def make_inputs(steps: int) -> dict[str, Any]:
    """x of shape (steps,), a random walk with noise."""
    r = np.random.default_rng(3)
    return {"x": 0.1 * r.normal(size=steps).cumsum() + r.normal(size=steps), "alpha": ALPHA, "steps": steps}


@sc.jit
def ewma(alpha, x):
    return sc.scan(lambda x_t, s_tm1, alpha: alpha * x_t + (1 - alpha) * s_tm1, x, x[0], alpha)


def forecast_errors(alpha, x):
    return ((x[1:] - ewma(alpha, x)[:-1]) ** 2).sum()


ewma_gradient = sc.jit(sc.grad(forecast_errors))


def scancc_example_inputs() -> dict[str, tuple]:
    arguments = tuple(make_inputs(10**5)[n] for n in NAMES)
    return {"ewma": arguments, "ewma_gradient": arguments}


def loop(alpha, x):
    s = np.empty(len(x))
    last, rest = x[0], 1 - alpha
    for t in range(len(x)):
        last = alpha * x[t] + rest * last
        s[t] = last
    return s


def adjoint(alpha, x):
    n, rest = len(x), 1 - alpha
    s = np.empty(n + 1)
    s[0] = x[0]
    for t in range(n):
        s[t + 1] = alpha * x[t] + rest * s[t]
    d = g = 0.0
    for t in range(n - 2, -1, -1):
        d = 2 * (s[t + 1] - x[t + 1]) + rest * d
        g += d * (x[t] - s[t])
    return g


C = """
void run(double alpha, const double *restrict x, long n, double *restrict s) {
    double last = x[0], rest = 1 - alpha;
    for (long t = 0; t < n; t++) s[t] = last = alpha * x[t] + rest * last;
}
"""

C_ADJOINT = """
#include <stdlib.h>
void run(double alpha, const double *restrict x, long n, double *restrict gradient) {
    double *restrict s = malloc((n + 1) * sizeof(double));
    double last = x[0], rest = 1 - alpha, d = 0, g = 0;
    s[0] = last;
    for (long t = 0; t < n; t++) s[t + 1] = last = alpha * x[t] + rest * last;
    for (long t = n - 2; t >= 0; t--) {
        d = 2 * (s[t + 1] - x[t + 1]) + rest * d;
        g += d * (x[t] - s[t]);
    }
    *gradient = g;
    free(s);
}
"""


def by_jax(jax, alpha, x, unroll=1):
    def step(s, x_t):
        s = alpha * x_t + (1 - alpha) * s
        return s, s

    return jax.lax.scan(step, x[0], x, unroll=unroll)[1]


def jax_prefix(jax, alpha, x):
    def compose(first, second):
        return first[0] * second[0], first[1] * second[0] + second[1]

    slopes, offsets = jax.lax.associative_scan(compose, (jax.numpy.full_like(x, 1 - alpha), alpha * x))
    return slopes * x[0] + offsets


def jax_loss(jax, alpha, x, unroll=1):
    return ((x[1:] - by_jax(jax, alpha, x, unroll)[:-1]) ** 2).sum()


def by_pytensor(pytensor, alpha, x):
    return pytensor.scan(lambda x_t, s, alpha: alpha * x_t + (1 - alpha) * s, sequences=x, outputs_info=x[0],
                         non_sequences=alpha, return_updates=False)  # fmt: skip


def pytensor_loss(pytensor, alpha, x):
    return ((x[1:] - by_pytensor(pytensor, alpha, x)[:-1]) ** 2).sum()


def lfilter(inputs: Inputs) -> Callable[[], Any]:
    from scipy import signal

    alpha, x = inputs["alpha"], inputs["x"]
    poles, state = np.array([1.0, alpha - 1]), np.array([(1 - alpha) * x[0]])
    return lambda: signal.lfilter([alpha], poles, x, zi=state)[0]


def by_pandas(inputs: Inputs) -> Callable[[], Any]:
    import pandas

    series, alpha = pandas.Series(inputs["x"]), inputs["alpha"]
    return lambda: series.ewm(alpha=alpha, adjust=False).mean().to_numpy()


def workloads(quick: bool) -> list[Workload]:
    forward = {
        "scancc": peers.by_scancc(ewma, *NAMES),
        "numba": peers.by_numba(loop, *NAMES),
        "c": peers.by_c(C, lambda inputs: [np.empty_like(inputs["x"])], *NAMES, "steps"),
        "jax": peers.by_jax(by_jax, *NAMES),
        "jax, unroll=8": peers.by_jax(partial(by_jax, unroll=8), *NAMES),
        "jax, associative_scan": peers.by_jax(jax_prefix, *NAMES),
        "pytensor": peers.by_pytensor(by_pytensor, *NAMES),
        "scipy, lfilter": lfilter,
        "pandas": by_pandas,
    }
    gradient = {
        "scancc": peers.by_scancc(ewma_gradient, *NAMES),
        "numba": peers.by_numba(adjoint, *NAMES),
        "c": peers.by_c(C_ADJOINT, lambda inputs: [np.empty(())], *NAMES, "steps"),
        "jax": peers.by_jax(peers.jax_gradient(jax_loss, 0), *NAMES),
        "jax, unroll=8": peers.by_jax(peers.jax_gradient(partial(jax_loss, unroll=8), 0), *NAMES),
        "pytensor": peers.by_pytensor(peers.pytensor_gradient(pytensor_loss, 0), *NAMES),
    }
    size, steps = ("1e4", 10**4) if quick else ("1e5", 10**5)
    inputs = partial(make_inputs, steps)
    return [
        Workload(f"ewma/{size}", steps, inputs, peers.raced(forward, quick), group="scalar",
                 oracle=peers.interpreted(ewma, *NAMES)),
        Workload(f"ewma-gradient/{size}", steps, inputs, peers.raced(gradient, quick), group="scalar", gradient=True,
                 oracle=peers.interpreted(ewma_gradient, *NAMES)),
    ]  # fmt: skip
