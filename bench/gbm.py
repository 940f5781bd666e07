"""Geometric Brownian motion: 10,000 paths of 252 days from given normals, float64; all prices, and an option's Greeks.

    S[t] = S[t-1] exp((rate - sigma^2 / 2) dt + sigma sqrt(dt) z[t])

The exponentials of a day do not wait for the day before, only the products do. NumPy adds up the exponents and takes
all exponentials at once. The Greeks are the derivatives of the price of an Asian call (on the mean of the path) by the
first price, the rate and the volatility; the hand-written loops carry them along with the price, one path-wise
derivative each. Times are per path and day.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np
import peers

import scancc as sc
from scancc.measure import Inputs, Workload

DAYS = 252
DT = 1.0 / DAYS
STRIKE = 100.0
NAMES = ("start", "rate", "sigma", "z")


def make_inputs(paths: int) -> dict[str, Any]:
    """z of shape (DAYS, paths), standard normal."""
    z = np.random.default_rng(252).normal(size=(DAYS, paths))
    return {"start": 100.0, "rate": 0.03, "sigma": 0.2, "z": z, "paths": paths}


@sc.jit
def gbm(start, rate, sigma, z):
    def day(z, S, rate, sigma):
        return S * np.exp((rate - sigma**2 / 2) * DT + sigma * np.sqrt(DT) * z)

    return sc.scan(day, z, start * np.ones(z.shape[1]), [rate, sigma])


@sc.jit
def asian_call(start, rate, sigma, z):
    mean = gbm(start, rate, sigma, z).mean(axis=0)
    return np.exp(-rate) * np.maximum(mean - STRIKE, 0.0).mean()


gbm_gradient = sc.jit(sc.grad(asian_call, (0, 1, 2)))


def scancc_example_inputs() -> dict[str, tuple]:
    arguments = tuple(make_inputs(10_000)[n] for n in NAMES)
    return {"gbm": arguments, "asian_call": arguments, "gbm_gradient": arguments}


def loop(start, rate, sigma, z):
    prices = np.empty_like(z)
    drift, scale = (rate - sigma * sigma / 2) * DT, sigma * math.sqrt(DT)
    for i in range(z.shape[1]):
        prices[0, i] = start * math.exp(drift + scale * z[0, i])
    for t in range(1, len(z)):
        for i in range(z.shape[1]):
            prices[t, i] = prices[t - 1, i] * math.exp(drift + scale * z[t, i])
    return prices


def greeks(start, rate, sigma, z):
    """Path by path in tiles of 64; d by start is S / start, by the rate S t, by sigma S (W - sigma t)."""
    drift, scale = (rate - sigma * sigma / 2) * DT, sigma * math.sqrt(DT)
    value = by_start = by_rate = by_sigma = 0.0
    S, W, total = np.empty(64), np.empty(64), np.empty(64)
    total_rate, total_sigma = np.empty(64), np.empty(64)
    for first in range(0, z.shape[1], 64):
        count = min(64, z.shape[1] - first)
        S[:], W[:], total[:], total_rate[:], total_sigma[:] = start, 0.0, 0.0, 0.0, 0.0
        for t in range(len(z)):
            time = (t + 1) * DT
            for i in range(count):
                step = z[t, first + i]
                S[i] *= math.exp(drift + scale * step)
                W[i] += math.sqrt(DT) * step
                total[i] += S[i]
                total_rate[i] += S[i] * time
                total_sigma[i] += S[i] * (W[i] - sigma * time)
        for i in range(count):
            if total[i] / len(z) > STRIKE:
                value += total[i] / len(z) - STRIKE
                by_start += total[i] / start
                by_rate += total_rate[i]
                by_sigma += total_sigma[i]
    share = math.exp(-rate) / z.shape[1]
    return share * by_start / len(z), share * (by_rate / len(z) - value), share * by_sigma / len(z)


C = """
#include <math.h>
void run(double start, double rate, double sigma, const double *restrict z, long paths, double *restrict prices) {
    double drift = (rate - sigma * sigma / 2) / 252, scale = sigma * sqrt(1.0 / 252);
    for (long i = 0; i < paths; i++) prices[i] = start * exp(drift + scale * z[i]);
    for (long t = 1; t < 252; t++)
        for (long i = 0; i < paths; i++) {
            long at = t * paths + i;
            prices[at] = prices[at - paths] * exp(drift + scale * z[at]);
        }
}
"""

C_GREEKS = """
#include <math.h>
void run(double start, double rate, double sigma, const double *restrict z, long paths,
         double *restrict g_start, double *restrict g_rate, double *restrict g_sigma) {
    double dt = 1.0 / 252, root = sqrt(dt), drift = (rate - sigma * sigma / 2) * dt, scale = sigma * root;
    double value = 0, by_start = 0, by_rate = 0, by_sigma = 0;
    for (long first = 0; first < paths; first += 64) {
        long count = paths - first < 64 ? paths - first : 64;
        double S[64], W[64], total[64], of_rate[64], of_sigma[64];
        for (int i = 0; i < 64; i++) { S[i] = start; W[i] = total[i] = of_rate[i] = of_sigma[i] = 0; }
        for (long t = 0; t < 252; t++) {
            const double *restrict row = z + t * paths + first;
            double time = (t + 1) * dt;
            for (long i = 0; i < count; i++) {
                S[i] *= exp(drift + scale * row[i]);
                W[i] += root * row[i];
                total[i] += S[i];
                of_rate[i] += S[i] * time;
                of_sigma[i] += S[i] * (W[i] - sigma * time);
            }
        }
        for (long i = 0; i < count; i++)
            if (total[i] / 252 > 100) {
                value += total[i] / 252 - 100; by_start += total[i] / start;
                by_rate += of_rate[i]; by_sigma += of_sigma[i];
            }
    }
    double share = exp(-rate) / paths;
    *g_start = share * by_start / 252; *g_rate = share * (by_rate / 252 - value); *g_sigma = share * by_sigma / 252;
}
"""


def by_jax(jax, start, rate, sigma, z, unroll=1):
    jnp = jax.numpy
    drift, scale = (rate - sigma**2 / 2) * DT, sigma * math.sqrt(DT)

    def day(S, z):
        S = S * jnp.exp(drift + scale * z)
        return S, S

    return jax.lax.scan(day, jnp.full(z.shape[1], start), z, unroll=unroll)[1]


def jax_cumsum(jax, start, rate, sigma, z):
    drift, scale = (rate - sigma**2 / 2) * DT, sigma * math.sqrt(DT)
    return start * jax.numpy.exp(jax.numpy.cumsum(drift + scale * z, axis=0))


def jax_call(jax, start, rate, sigma, z, prices=by_jax):
    mean = prices(jax, start, rate, sigma, z).mean(axis=0)
    return jax.numpy.exp(-rate) * jax.numpy.maximum(mean - STRIKE, 0.0).mean()


def by_pytensor(pytensor, start, rate, sigma, z):
    from pytensor import tensor

    def day(z, S, rate, sigma):
        return S * tensor.exp((rate - sigma**2 / 2) * DT + sigma * math.sqrt(DT) * z)

    return pytensor.scan(day, sequences=z, outputs_info=start * tensor.ones(z.shape[1]), non_sequences=[rate, sigma],
                         return_updates=False)  # fmt: skip


def pytensor_call(pytensor, start, rate, sigma, z):
    from pytensor import tensor

    mean = by_pytensor(pytensor, start, rate, sigma, z).mean(axis=0)
    return tensor.exp(-rate) * tensor.maximum(mean - STRIKE, 0.0).mean()


def by_numpy(start, rate, sigma, z):
    exponents = np.cumsum((rate - sigma**2 / 2) * DT + sigma * math.sqrt(DT) * z, axis=0)
    return start * np.exp(exponents, out=exponents)


def by_torch(torch, start, rate, sigma, z):
    return start * torch.exp(torch.cumsum((rate - sigma**2 / 2) * DT + sigma * math.sqrt(DT) * z, 0))


def workloads(quick: bool) -> list[Workload]:
    def numbers(inputs: Inputs) -> list[np.ndarray]:
        return [np.empty(()) for _ in range(3)]

    wrt = (0, 1, 2)
    forward = {
        "scancc": peers.by_scancc(gbm, *NAMES),
        "numba": peers.by_numba(loop, *NAMES),
        "c": peers.by_c(C, lambda inputs: [np.empty_like(inputs["z"])], *NAMES, "paths"),
        "jax": peers.by_jax(by_jax, *NAMES),
        "jax, cumsum": peers.by_jax(jax_cumsum, *NAMES),
        "pytensor": peers.by_pytensor(by_pytensor, *NAMES),
        "torch, cumsum": peers.by_torch(by_torch, *NAMES),
        "numpy, cumsum": peers.by_call(by_numpy, *NAMES),
    }
    gradient = {
        "scancc": peers.by_scancc(gbm_gradient, *NAMES),
        "numba": peers.by_numba(greeks, *NAMES),
        "c": peers.by_c(C_GREEKS, numbers, *NAMES, "paths"),
        "jax": peers.by_jax(peers.jax_gradient(jax_call, wrt), *NAMES),
        "jax, cumsum": peers.by_jax(peers.jax_gradient(partial(jax_call, prices=jax_cumsum), wrt), *NAMES),
        "pytensor": peers.by_pytensor(peers.pytensor_gradient(pytensor_call, wrt), *NAMES),
    }
    paths = 500 if quick else 10_000
    inputs = partial(make_inputs, paths)
    return [
        Workload(f"gbm/{paths}x{DAYS}", paths * DAYS, inputs, peers.raced(forward, quick), group="batch",
                 oracle=peers.interpreted(gbm, *NAMES)),
        Workload(f"gbm-gradient/{paths}x{DAYS}", paths * DAYS, inputs, peers.raced(gradient, quick), group="batch",
                 gradient=True, oracle=peers.interpreted(gbm_gradient, *NAMES)),
    ]  # fmt: skip
