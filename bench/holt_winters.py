"""Additive Holt-Winters smoothing with a period of 12, all states kept, float64; and the gradient of its squared
errors.

    e[t] = y[t] - (l[t-1] + b[t-1] + s[t-12])
    l[t] = alpha (y[t] - s[t-12]) + (1 - alpha) (l[t-1] + b[t-1])
    b[t] = beta (l[t] - l[t-1]) + (1 - beta) b[t-1]
    s[t] = gamma (y[t] - l[t-1] - b[t-1]) + (1 - gamma) s[t-12]

The gradient of the sum of e^2 is by alpha, beta and gamma, by which a model is fitted. statsmodels' compiled
recursion, which its `ExponentialSmoothing` runs at every evaluation, is a peer; it keeps the same four arrays.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import peers

import scancc as sc
from scancc.measure import Inputs, Workload

PERIOD = 12
NAMES = ("alpha", "beta", "gamma", "y", "l0", "b0", "s0")


def make_inputs(steps: int) -> dict[str, Any]:
    """y of shape (steps,): level, trend, season and noise; s0 = s[-12:0]."""
    r = np.random.default_rng(12)
    season = np.sin(2 * np.pi * np.arange(PERIOD) / PERIOD)
    y = 10 + 1e-3 * np.arange(steps) + np.resize(season, steps) + 0.3 * r.normal(size=steps)
    return {"y": y, "l0": 10.0, "b0": 0.0, "s0": season, "alpha": 0.2, "beta": 0.05, "gamma": 0.1, "steps": steps}


@sc.jit
def holt_winters(alpha, beta, gamma, y, l0, b0, s0):
    def step(y, level, trend, season, alpha, beta, gamma):
        error = y - (level + trend + season)
        new = alpha * (y - season) + (1 - alpha) * (level + trend)
        return (error, new, beta * (new - level) + (1 - beta) * trend,
                gamma * (y - level - trend) + (1 - gamma) * season)  # fmt: skip

    return sc.scan(step, y, [None, l0, b0, dict(initial=s0, taps=[-PERIOD])], [alpha, beta, gamma])


holt_winters_gradient = sc.jit(sc.grad(lambda *arguments: (holt_winters(*arguments)[0] ** 2).sum(), (0, 1, 2)))


def scancc_example_inputs() -> dict[str, tuple]:
    arguments = tuple(make_inputs(10**5)[n] for n in NAMES)
    return {"holt_winters": arguments, "holt_winters_gradient": arguments}


def loop(alpha, beta, gamma, y, l0, b0, s0):
    n = len(y)
    errors, levels, trends, seasons = np.empty(n), np.empty(n), np.empty(n), np.empty(n + PERIOD)
    seasons[:PERIOD] = s0
    for t in range(n):
        ahead = l0 + b0
        errors[t] = y[t] - (ahead + seasons[t])
        new = alpha * (y[t] - seasons[t]) + (1 - alpha) * ahead
        b0 = beta * (new - l0) + (1 - beta) * b0
        seasons[t + PERIOD] = gamma * (y[t] - ahead) + (1 - gamma) * seasons[t]
        levels[t], trends[t], l0 = new, b0, new
    return errors, levels, trends, seasons[PERIOD:]


def by_errors(alpha, beta, gamma, y, l0, b0, s0):
    """The same with every new state written as the old one and a share of the error: a shorter critical path."""
    n = len(y)
    errors, levels, trends, seasons = np.empty(n), np.empty(n), np.empty(n), np.empty(n + PERIOD)
    seasons[:PERIOD] = s0
    of_trend, of_season = alpha * beta, gamma
    for t in range(n):
        error = (y[t] - seasons[t]) - (l0 + b0)
        l0 = (l0 + b0) + alpha * error
        b0 = b0 + of_trend * error
        seasons[t + PERIOD] = seasons[t] + of_season * error
        errors[t], levels[t], trends[t] = error, l0, b0
    return errors, levels, trends, seasons[PERIOD:]


def adjoint(alpha, beta, gamma, y, l0, b0, s0):
    n = len(y)
    errors, levels, trends, seasons = np.empty(n), np.empty(n + 1), np.empty(n + 1), np.empty(n + PERIOD)
    levels[0], trends[0], seasons[:PERIOD] = l0, b0, s0
    for t in range(n):
        error = (y[t] - seasons[t]) - (l0 + b0)
        l0 = (l0 + b0) + alpha * error
        b0 = b0 + alpha * beta * error
        seasons[t + PERIOD] = seasons[t] + gamma * error
        errors[t], levels[t + 1], trends[t + 1] = error, l0, b0
    d_season = np.zeros(n + PERIOD)
    d_level = d_trend = by_level = by_product = by_season = 0.0
    for t in range(n - 1, -1, -1):
        d = d_season[t + PERIOD]
        by_level += d_level * errors[t]
        by_product += d_trend * errors[t]
        by_season += d * errors[t]
        d_error = 2 * errors[t] + (alpha * d_level + gamma * d) + alpha * beta * d_trend
        d_season[t] = d - d_error
        d_level, d_trend = d_level - d_error, d_level + d_trend - d_error
    return by_level + beta * by_product, alpha * by_product, by_season


C = """
void run(double alpha, double beta, double gamma, const double *restrict y, double l, double b,
         const double *restrict s0, long n,
         double *restrict errors, double *restrict levels, double *restrict trends, double *restrict seasons) {
    for (long t = 0; t < n; t++) {
        double s = t < 12 ? s0[t] : seasons[t - 12], ahead = l + b;
        errors[t] = y[t] - (ahead + s);
        double new = alpha * (y[t] - s) + (1 - alpha) * ahead;
        b = beta * (new - l) + (1 - beta) * b;
        seasons[t] = gamma * (y[t] - ahead) + (1 - gamma) * s;
        levels[t] = l = new; trends[t] = b;
    }
}
"""

C_BY_ERRORS = """
void run(double alpha, double beta, double gamma, const double *restrict y, double l, double b,
         const double *restrict s0, long n,
         double *restrict errors, double *restrict levels, double *restrict trends, double *restrict seasons) {
    double of_trend = alpha * beta;
    for (long t = 0; t < n; t++) {
        double s = t < 12 ? s0[t] : seasons[t - 12];
        double error = (y[t] - s) - (l + b);
        l = (l + b) + alpha * error;
        b = b + of_trend * error;
        seasons[t] = s + gamma * error;
        errors[t] = error; levels[t] = l; trends[t] = b;
    }
}
"""

C_ADJOINT = """
#include <stdlib.h>
void run(double alpha, double beta, double gamma, const double *restrict y, double l, double b,
         const double *restrict s0, long n,
         double *restrict g_alpha, double *restrict g_beta, double *restrict g_gamma) {
    double *restrict errors = malloc(n * sizeof(double)), *restrict s = malloc((n + 12) * sizeof(double));
    double *restrict ds = calloc(n + 12, sizeof(double));
    double dl = 0, db = 0, g0 = 0, g1 = 0, g2 = 0;
    for (int k = 0; k < 12; k++) s[k] = s0[k];
    for (long t = 0; t < n; t++) {
        double error = errors[t] = (y[t] - s[t]) - (l + b);
        l = (l + b) + alpha * error;
        b = b + alpha * beta * error;
        s[t + 12] = s[t] + gamma * error;
    }
    for (long t = n - 1; t >= 0; t--) {
        double d = ds[t + 12], error = errors[t];
        g0 += dl * error; g1 += db * error; g2 += d * error;
        double de = 2 * error + (alpha * dl + gamma * d) + alpha * beta * db;
        ds[t] = d - de;
        db = dl + db - de;
        dl = dl - de;
    }
    *g_alpha = g0 + beta * g1; *g_beta = alpha * g1; *g_gamma = g2;
    free(errors); free(s); free(ds);
}
"""


def by_jax(jax, alpha, beta, gamma, y, l0, b0, s0, unroll=1):
    """Seasons in a ring that the carry rotates: XLA moves twelve pointers, or registers where it unrolls."""

    def step(carry, y):
        level, trend, (season, *later) = carry
        error = (y - season) - (level + trend)
        new, turned = (level + trend) + alpha * error, trend + alpha * beta * error
        following = season + gamma * error
        return (new, turned, (*later, following)), (error, new, turned, following)

    return jax.lax.scan(step, (l0, b0, tuple(s0)), y, unroll=unroll)[1]


def jax_years(jax, alpha, beta, gamma, y, l0, b0, s0):
    """Twelve steps an iteration, so that the season of each is a number that is never moved; whole years only."""

    def year(carry, ys):
        level, trend, seasons = carry
        rows = []
        for k in range(PERIOD):
            error = (ys[k] - seasons[k]) - (level + trend)
            level, trend = (level + trend) + alpha * error, trend + alpha * beta * error
            rows.append((error, level, trend, seasons[k] + gamma * error))
        stacked = tuple(jax.numpy.stack(column) for column in zip(*rows, strict=True))
        return (level, trend, stacked[3]), stacked

    return tuple(part.reshape(-1) for part in jax.lax.scan(year, (l0, b0, s0), y.reshape(-1, PERIOD))[1])


def jax_loss(jax, *arguments, unroll=1):
    return (by_jax(jax, *arguments, unroll=unroll)[0] ** 2).sum()


def jax_years_loss(jax, *arguments):
    return (jax_years(jax, *arguments)[0] ** 2).sum()


def by_pytensor(pytensor, alpha, beta, gamma, y, l0, b0, s0):
    def step(y, level, trend, season, alpha, beta, gamma):
        error = y - (level + trend + season)
        new = alpha * (y - season) + (1 - alpha) * (level + trend)
        return (error, new, beta * (new - level) + (1 - beta) * trend,
                gamma * (y - level - trend) + (1 - gamma) * season)  # fmt: skip

    return pytensor.scan(step, sequences=y, outputs_info=[None, l0, b0, dict(initial=s0, taps=[-PERIOD])],
                         non_sequences=[alpha, beta, gamma], return_updates=False)  # fmt: skip


def pytensor_loss(pytensor, *symbols):
    return (by_pytensor(pytensor, *symbols)[0] ** 2).sum()


def by_statsmodels(inputs: Inputs) -> Callable[[], Any]:
    from statsmodels.tsa.holtwinters._exponential_smoothers import HoltWintersArgs, holt_win_add_add_dam

    n = inputs["steps"] + 1  # its states of row t come before y[t], so one more row holds the last ones
    y = np.append(inputs["y"], 0.0)
    fixed = np.array([inputs[name] for name in ("alpha", "beta", "gamma", "l0", "b0")] + [1.0, *inputs["s0"]])
    free, bounds = np.zeros(len(fixed), np.int64), np.column_stack([np.zeros(len(fixed)), np.ones(len(fixed))])

    def run():
        smoother = HoltWintersArgs(free, fixed.copy(), bounds, y, PERIOD, n, False)
        errors = holt_win_add_add_dam(np.empty(0), smoother)
        return (np.asarray(errors)[:-1], np.asarray(smoother.lvl)[1:], np.asarray(smoother.b)[1:],
                np.asarray(smoother.s)[PERIOD:])  # fmt: skip

    return run


def workloads(quick: bool) -> list[Workload]:
    def rows(inputs: Inputs) -> list[np.ndarray]:
        return [np.empty(inputs["steps"]) for _ in range(4)]

    wrt = (0, 1, 2)
    forward = {
        "scancc": peers.by_scancc(holt_winters, *NAMES),
        "numba": peers.by_numba(loop, *NAMES),
        "numba, by errors": peers.by_numba(by_errors, *NAMES),
        "c": peers.by_c(C, rows, *NAMES, "steps"),
        "c, by errors": peers.by_c(C_BY_ERRORS, rows, *NAMES, "steps"),
        "jax": peers.by_jax(by_jax, *NAMES),
        "jax, unroll=12": peers.by_jax(partial(by_jax, unroll=12), *NAMES),
        "jax, years": peers.by_jax(jax_years, *NAMES),
        "pytensor": peers.by_pytensor(by_pytensor, *NAMES),
        "statsmodels": by_statsmodels,
    }
    gradient = {
        "scancc": peers.by_scancc(holt_winters_gradient, *NAMES),
        "numba": peers.by_numba(adjoint, *NAMES),
        "c": peers.by_c(C_ADJOINT, lambda inputs: [np.empty(()) for _ in wrt], *NAMES, "steps"),
        "jax": peers.by_jax(peers.jax_gradient(jax_loss, wrt), *NAMES),
        "jax, unroll=12": peers.by_jax(peers.jax_gradient(partial(jax_loss, unroll=12), wrt), *NAMES),
        "jax, years": peers.by_jax(peers.jax_gradient(jax_years_loss, wrt), *NAMES),
        "pytensor": peers.by_pytensor(peers.pytensor_gradient(pytensor_loss, wrt), *NAMES),
    }
    size, steps = ("1.2e3", 1200) if quick else ("6e4", 60_000)
    inputs = partial(make_inputs, steps)
    return [
        Workload(f"holt_winters/{size}", steps, inputs, peers.raced(forward, quick), group="scalar",
                 oracle=peers.interpreted(holt_winters, *NAMES)),
        Workload(f"holt_winters-gradient/{size}", steps, inputs, peers.raced(gradient, quick), group="scalar",
                 gradient=True, oracle=peers.interpreted(holt_winters_gradient, *NAMES)),
    ]  # fmt: skip
