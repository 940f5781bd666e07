"""GARCH(1, 1): the path of the variance and the Gaussian log-likelihood, float64; and the gradient of the latter.

    s[t] = omega + alpha r[t-1]^2 + beta s[t-1]
    log L = -1/2 sum over t of (log 2 pi + log s[t] + r[t]^2 / s[t])

The residual and the variance before the sample are the backcast, as in `arch`, whose compiled recursion is a peer (its
likelihood is taken by NumPy, as it takes it itself). "in one loop" keeps no path where only the likelihood is wanted.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import peers

import scancc as sc
from scancc.measure import Inputs, Workload

NAMES = ("omega", "alpha", "beta", "r", "s0")
LOG_2PI = math.log(2.0 * math.pi)


def make_inputs(steps: int) -> dict[str, Any]:
    """r of shape (steps + 1,), where r[0]^2 = s0 is the backcast; parameters of daily returns in percent."""
    r = np.random.default_rng(11).standard_t(6, size=steps + 1)
    r[0] = 1.25
    return {"omega": 0.05, "alpha": 0.1, "beta": 0.85, "r": r, "s0": 1.25**2, "steps": steps}


def garch_and_density(omega, alpha, beta, r, s0, **options):
    def step(r_tm1, r_t, s_tm1, omega, alpha, beta):
        s = omega + alpha * r_tm1**2 + beta * s_tm1
        return s, -0.5 * (LOG_2PI + np.log(s) + r_t**2 / s)

    return sc.scan(step, dict(input=r, taps=[-1, 0]), [s0, None], [omega, alpha, beta], **options)


@sc.jit
def garch(omega, alpha, beta, r, s0):
    path, densities = garch_and_density(omega, alpha, beta, r, s0)
    return path, densities.sum()


@sc.jit
def garch_likelihood(omega, alpha, beta, r, s0):
    return garch_and_density(omega, alpha, beta, r, s0)[1].sum()


def checkpointed(omega, alpha, beta, r, s0):
    return garch_and_density(omega, alpha, beta, r, s0, checkpoint="sqrt")[1].sum()


garch_gradient = sc.jit(sc.grad(garch_likelihood, (0, 1, 2)))
garch_gradient_checkpointed = sc.jit(sc.grad(checkpointed, (0, 1, 2)))


def scancc_example_inputs() -> dict[str, tuple]:
    arguments = tuple(make_inputs(10**5)[n] for n in NAMES)
    return {"garch": arguments, "garch_likelihood": arguments, "garch_gradient": arguments,
            "garch_gradient_checkpointed": arguments}  # fmt: skip


def loop(omega, alpha, beta, r, s0):
    n = len(r) - 1
    path, total = np.empty(n), 0.0
    for t in range(n):
        s0 = (omega + alpha * r[t] * r[t]) + beta * s0
        path[t] = s0
        total += math.log(s0) + r[t + 1] * r[t + 1] / s0
    return path, -0.5 * (n * LOG_2PI + total)


def likelihood(omega, alpha, beta, r, s0):
    n = len(r) - 1
    total = 0.0
    for t in range(n):
        s0 = (omega + alpha * r[t] * r[t]) + beta * s0
        total += math.log(s0) + r[t + 1] * r[t + 1] / s0
    return -0.5 * (n * LOG_2PI + total)


def adjoint(omega, alpha, beta, r, s0):
    n = len(r) - 1
    path = np.empty(n + 1)
    path[0] = s0
    for t in range(n):
        path[t + 1] = (omega + alpha * r[t] * r[t]) + beta * path[t]
    d = g_omega = g_alpha = g_beta = 0.0
    for t in range(n - 1, -1, -1):
        inverse = 1.0 / path[t + 1]
        d = 0.5 * inverse * (r[t + 1] * r[t + 1] * inverse - 1.0) + beta * d
        g_omega += d
        g_alpha += d * r[t] * r[t]
        g_beta += d * path[t]
    return g_omega, g_alpha, g_beta


C = """
#include <math.h>
void run(double omega, double alpha, double beta, const double *restrict r, double s, long n,
         double *restrict path, double *restrict log_likelihood) {
    double total = 0;
    for (long t = 0; t < n; t++) path[t] = s = (omega + alpha * r[t] * r[t]) + beta * s;
    for (long t = 0; t < n; t++) total += log(path[t]) + r[t + 1] * r[t + 1] / path[t];
    *log_likelihood = -0.5 * (n * log(2 * M_PI) + total);
}
"""

C_LIKELIHOOD = """
#include <math.h>
void run(double omega, double alpha, double beta, const double *restrict r, double s, long n,
         double *restrict log_likelihood) {
    double total = 0, path[1024];  /* in blocks, so that the logarithms are vectorised */
    for (long start = 0; start < n; start += 1024) {
        long end = start + 1024 < n ? start + 1024 : n;
        for (long t = start; t < end; t++) path[t - start] = s = (omega + alpha * r[t] * r[t]) + beta * s;
        for (long t = start; t < end; t++) total += log(path[t - start]) + r[t + 1] * r[t + 1] / path[t - start];
    }
    *log_likelihood = -0.5 * (n * log(2 * M_PI) + total);
}
"""

C_ADJOINT = """
#include <stdlib.h>
void run(double omega, double alpha, double beta, const double *restrict r, double s, long n,
         double *restrict g_omega, double *restrict g_alpha, double *restrict g_beta) {
    double *restrict path = malloc((n + 1) * sizeof(double)), *restrict slope = malloc(n * sizeof(double));
    double d = 0, g0 = 0, g1 = 0, g2 = 0;
    path[0] = s;
    for (long t = 0; t < n; t++) path[t + 1] = s = (omega + alpha * r[t] * r[t]) + beta * s;
    for (long t = 0; t < n; t++) {  /* vectorised */
        double inverse = 1 / path[t + 1];
        slope[t] = 0.5 * inverse * (r[t + 1] * r[t + 1] * inverse - 1);
    }
    for (long t = n - 1; t >= 0; t--) {
        d = slope[t] + beta * d;
        g0 += d; g1 += d * r[t] * r[t]; g2 += d * path[t];
    }
    *g_omega = g0; *g_alpha = g1; *g_beta = g2;
    free(path); free(slope);
}
"""


def by_jax(jax, omega, alpha, beta, r, s0, unroll=1):
    """The logarithms of all steps after the loop, where they are vectorised."""

    def step(s, square):
        s = (omega + alpha * square) + beta * s
        return s, s

    path = jax.lax.scan(step, s0, r[:-1] ** 2, unroll=unroll)[1]
    return path, -0.5 * (LOG_2PI + jax.numpy.log(path) + r[1:] ** 2 / path).sum()


def jax_in_one_loop(jax, omega, alpha, beta, r, s0):
    def step(carry, residuals):
        s, total = carry
        s = (omega + alpha * residuals[0] ** 2) + beta * s
        return (s, total - 0.5 * (LOG_2PI + jax.numpy.log(s) + residuals[1] ** 2 / s)), None

    return jax.lax.scan(step, (s0, 0.0), (r[:-1], r[1:]))[0][1]


def jax_likelihood(jax, *arguments, unroll=1):
    return by_jax(jax, *arguments, unroll=unroll)[1]


def by_pytensor(pytensor, omega, alpha, beta, r, s0):
    from pytensor import tensor

    def step(r_tm1, r_t, s_tm1, omega, alpha, beta):
        s = omega + alpha * r_tm1**2 + beta * s_tm1
        return s, -0.5 * (LOG_2PI + tensor.log(s) + r_t**2 / s)

    path, densities = pytensor.scan(step, sequences=dict(input=r, taps=[-1, 0]), outputs_info=[s0, None],
                                    non_sequences=[omega, alpha, beta], return_updates=False)  # fmt: skip
    return path, densities.sum()


def pytensor_likelihood(pytensor, *symbols):
    return by_pytensor(pytensor, *symbols)[1]


def by_arch(inputs: Inputs) -> Callable[[], Any]:
    from arch.univariate.recursions import garch_recursion

    parameters, residuals = np.array([inputs[n] for n in ("omega", "alpha", "beta")]), inputs["r"][1:]
    n, backcast = len(residuals), inputs["s0"]
    squares, signs = residuals**2, np.sign(residuals)
    bounds = np.column_stack([np.zeros(n), np.full(n, np.inf)])

    def run():
        path = garch_recursion(parameters, squares, signs, np.empty(n), 1, 0, 1, n, backcast, bounds)
        return path, -0.5 * (LOG_2PI + np.log(path) + squares / path).sum()

    return run


def workloads(quick: bool) -> list[Workload]:
    def numbers(count: int) -> Callable[[Inputs], list[np.ndarray]]:
        return lambda inputs: [np.empty(()) for _ in range(count)]

    forward = {
        "scancc": peers.by_scancc(garch, *NAMES),
        "numba": peers.by_numba(loop, *NAMES),
        "c": peers.by_c(C, lambda inputs: [np.empty(inputs["steps"]), np.empty(())], *NAMES, "steps"),
        "jax": peers.by_jax(by_jax, *NAMES),
        "jax, unroll=8": peers.by_jax(partial(by_jax, unroll=8), *NAMES),
        "pytensor": peers.by_pytensor(by_pytensor, *NAMES),
        "arch": by_arch,
    }
    of_likelihood = {
        "scancc": peers.by_scancc(garch_likelihood, *NAMES),
        "numba": peers.by_numba(likelihood, *NAMES),
        "c": peers.by_c(C_LIKELIHOOD, numbers(1), *NAMES, "steps"),
        "jax": peers.by_jax(jax_likelihood, *NAMES),
        "jax, unroll=8": peers.by_jax(partial(jax_likelihood, unroll=8), *NAMES),
        "jax, in one loop": peers.by_jax(jax_in_one_loop, *NAMES),
        "pytensor": peers.by_pytensor(pytensor_likelihood, *NAMES),
    }
    wrt = (0, 1, 2)
    gradient = {
        "scancc": peers.by_scancc(garch_gradient, *NAMES),
        "scancc, checkpoint": peers.by_scancc(garch_gradient_checkpointed, *NAMES),
        "numba": peers.by_numba(adjoint, *NAMES),
        "c": peers.by_c(C_ADJOINT, numbers(3), *NAMES, "steps"),
        "jax": peers.by_jax(peers.jax_gradient(jax_likelihood, wrt), *NAMES),
        "jax, unroll=8": peers.by_jax(peers.jax_gradient(partial(jax_likelihood, unroll=8), wrt), *NAMES),
        "jax, in one loop": peers.by_jax(peers.jax_gradient(jax_in_one_loop, wrt), *NAMES),
        "pytensor": peers.by_pytensor(peers.pytensor_gradient(pytensor_likelihood, wrt), *NAMES),
    }
    size, steps = ("1e4", 10**4) if quick else ("1e5", 10**5)
    inputs = partial(make_inputs, steps)
    return [
        Workload(f"garch/{size}", steps, inputs, peers.raced(forward, quick), group="scalar",
                 oracle=peers.interpreted(garch, *NAMES)),
        Workload(f"garch-likelihood/{size}", steps, inputs, peers.raced(of_likelihood, quick), group="scalar",
                 oracle=peers.interpreted(garch_likelihood, *NAMES)),
        Workload(f"garch-gradient/{size}", steps, inputs, peers.raced(gradient, quick), group="scalar", gradient=True,
                 oracle=peers.interpreted(garch_gradient, *NAMES)),
    ]  # fmt: skip
