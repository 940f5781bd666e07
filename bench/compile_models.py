"""Models that people fit and simulate: statistics, finance, physics, control. Programs of the compile-time benchmark.

Sequences have fifty rows, since only compilation is timed; all is float64.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from compile_programs import Library, Program

STEPS = 50
LOG_2PI = np.log(2 * np.pi)


# -- volatility ------------------------------------------------------------------------------------------------------


def garch(lib: Library, parameters: Any, returns: Any) -> Any:
    """The negative log-likelihood of a GARCH(1,1); parameters omega, alpha, beta."""
    omega, alpha, beta = parameters[0], parameters[1], parameters[2]

    def step(h, r):
        return omega + alpha * r**2 + beta * h, lib.np.log(h) + r**2 / h

    return 0.5 * lib.lax.scan(step, omega / (1 - alpha - beta), returns)[1].sum()


def garch_hessian(lib: Library, parameters: Any, returns: Any) -> Any:
    return lib.hessian(partial(garch, lib))(parameters, returns)


def garch_inputs() -> tuple:
    return np.array([0.1, 0.08, 0.85]), np.random.default_rng(7).normal(size=STEPS)


def dcc_garch(lib: Library, omega: Any, alpha: Any, beta: Any, a: Any, b: Any, S: Any, returns: Any) -> Any:
    """Dynamic conditional correlations (R. Engle, 2002); omega, alpha, beta (n,), S (n, n), returns (steps, n)."""

    def step(carry, r):
        h, Q = carry
        scale = 1 / lib.np.sqrt(lib.np.diagonal(Q))
        R = Q * scale[:, None] * scale
        z = r / lib.np.sqrt(h)
        loss = lib.np.log(h).sum() + lib.np.linalg.slogdet(R)[1] + z @ lib.np.linalg.solve(R, z)
        return (omega + alpha * r**2 + beta * h, (1 - a - b) * S + a * lib.np.outer(z, z) + b * Q), loss

    return 0.5 * lib.lax.scan(step, (omega / (1 - alpha - beta), S), returns)[1].sum()


def dcc_inputs(n: int) -> tuple:
    r = np.random.default_rng(7)
    S = 0.3 * np.ones((n, n)) + 0.7 * np.eye(n)
    return (np.full(n, 0.1), np.full(n, 0.08), np.full(n, 0.85), 0.05, 0.9, S, r.normal(size=(STEPS, n)))


def heston(lib: Library, kappa: Any, theta: Any, xi: Any, rho: Any, z: Any) -> Any:
    """The price of a call under stochastic variance, by full truncation; z (days, 2, paths)."""
    start = lib.np.zeros(z.shape[2]), lib.np.full(z.shape[2], 0.04)

    def step(carry, z):
        log_price, v = carry
        positive = lib.np.maximum(v, 1e-8)
        root = lib.np.sqrt(positive / 252)
        log_price = log_price - positive / 504 + root * (rho * z[0] + lib.np.sqrt(1 - rho**2) * z[1])
        return (log_price, v + kappa * (theta - positive) / 252 + xi * root * z[0]), None

    (log_price, _), _ = lib.lax.scan(step, start, z)
    return lib.np.maximum(100 * lib.np.exp(log_price) - 100, 0).mean()


def heston_inputs() -> tuple:
    return 2.0, 0.04, 0.5, -0.7, np.random.default_rng(7).normal(size=(STEPS, 2, 200))


# -- filters and hidden states -----------------------------------------------------------------------------------------


def kalman(lib: Library, y: Any, F: Any, H: Any, Q: Any, R: Any) -> Any:
    """The negative log-likelihood; y (steps, k), F, Q (n, n), H (k, n), R (k, k)."""
    start = lib.np.zeros(F.shape[0]), lib.np.eye(F.shape[0])

    def step(carry, y):
        m, P = carry
        m, P = F @ m, F @ P @ F.T + Q
        v, S = y - H @ m, H @ P @ H.T + R
        inverse = lib.np.linalg.inv(S)
        K = P @ H.T @ inverse
        return (m + K @ v, P - K @ S @ K.T), v @ inverse @ v + lib.np.linalg.slogdet(S)[1] + len(v) * LOG_2PI

    return 0.5 * lib.lax.scan(step, start, y)[1].sum()


def kalman_lanes(lib: Library, y: Any, F: Any, H: Any, Q: Any, R: Any) -> Any:
    """Many series, each with a transition of its own."""
    return lib.vmap(partial(kalman, lib), in_axes=(0, 0, None, None, None))(y, F, H, Q, R).sum()


def kalman_inputs(lanes: int | None = None) -> tuple:
    """Four states, two of them observed."""
    F, H = np.kron([[1.0, 0.1], [0.0, 0.98]], np.eye(2)), np.kron([[1.0, 0.0]], np.eye(2))
    y = np.random.default_rng(7).normal(size=(STEPS, 2) if lanes is None else (lanes, STEPS, 2))
    if lanes is not None:
        F = np.linspace(0.9, 1, lanes)[:, None, None] * F
    return y, F, H, 0.1 * np.eye(4), np.array([[0.5, 0.1], [0.1, 0.4]])


def hmm(lib: Library, density: Any, transition: Any) -> Any:
    """The log-likelihood, all in logarithms; density (steps, K), transition (K, K)."""

    def step(a, d):
        return lib.logsumexp(a[:, None] + transition, axis=0) + d, None

    return lib.logsumexp(lib.lax.scan(step, density[0], density[1:])[0])


def forward_backward(lib: Library, density: Any, transition: Any) -> Any:
    """The probabilities of the states: the gradient of the log-likelihood by the log densities."""
    return lib.grad(partial(hmm, lib))(density, transition)


def crf(lib: Library, scores: Any, transition: Any, tags: Any) -> Any:
    """The loss of a conditional random field over a sequence of tags; `tags` one-hot, (steps, K)."""
    path = (scores * tags).sum() + ((tags[:-1] @ transition) * tags[1:]).sum()
    return hmm(lib, scores, transition) - path


def crf_inputs(count: int) -> tuple:
    r = np.random.default_rng(7)
    return r.normal(size=(STEPS, count)), r.normal(size=(count, count)), np.eye(count)[r.integers(count, size=STEPS)]


def viterbi(lib: Library, density: Any, transition: Any) -> Any:
    """The likeliest path and its score."""

    def step(best, d):
        scores = best[:, None] + transition
        return lib.np.max(scores, axis=0) + d, lib.np.argmax(scores, axis=0)

    best, back = lib.lax.scan(step, density[0], density[1:])
    last = lib.np.argmax(best)

    def follow(state, row):
        state = lib.take(row, state)
        return state, state

    _, path = lib.lax.scan(follow, last, back, reverse=True)
    return lib.np.max(best), path, last


def particle_filter(lib: Library, y: Any, noise: Any, u: Any, drift: Any) -> Any:
    """A bootstrap filter with systematic resampling: log-likelihood and means; noise (steps, n), u, y (steps,)."""
    n = noise.shape[1]
    grid = np.arange(n) / n

    def step(x, row):
        y, noise, u = row
        x = drift * x + noise
        log_weight = -0.5 * (y - x) ** 2
        total = lib.logsumexp(log_weight)
        weight = lib.np.exp(log_weight - total)
        chosen = ((grid + u / n)[:, None] > lib.np.cumsum(weight)).sum(axis=1)
        return lib.take(x, lib.np.minimum(chosen, n - 1), axis=0), (total, (weight * x).sum())

    logs, means = lib.lax.scan(step, lib.np.zeros(n), (y, noise, u))[1]
    return logs.sum(), means


def particle_inputs() -> tuple:
    r = np.random.default_rng(7)
    return r.normal(size=STEPS), r.normal(size=(STEPS, 100)), r.uniform(size=STEPS), 0.9


# -- dynamics ----------------------------------------------------------------------------------------------------------


def runge_kutta(slope: Any, y: tuple, dt: float) -> tuple:
    """One step of fourth order; a state is a tuple of arrays."""

    def after(k: tuple, by: float) -> tuple:
        return tuple(a + by * b for a, b in zip(y, k, strict=True))

    k1 = slope(y)
    k2 = slope(after(k1, dt / 2))
    k3 = slope(after(k2, dt / 2))
    k4 = slope(after(k3, dt))
    return tuple(a + dt / 6 * (p + 2 * q + 2 * r + s) for a, p, q, r, s in zip(y, k1, k2, k3, k4, strict=True))


def lotka_volterra(lib: Library, rates: Any, start: Any, observed: Any) -> Any:
    def slope(y):
        hares, lynxes = y
        return rates[0] * hares - rates[1] * hares * lynxes, rates[2] * hares * lynxes - rates[3] * lynxes

    def step(y, row):
        y = runge_kutta(slope, y, 0.1)
        return y, (y[0] - row[0]) ** 2 + (y[1] - row[1]) ** 2

    return lib.lax.scan(step, (start[0], start[1]), observed)[1].sum()


def lotka_inputs() -> tuple:
    return (np.array([1.1, 0.4, 0.1, 0.4]), np.array([10.0, 5.0]),
            np.random.default_rng(7).uniform(5, 10, size=(STEPS, 2)))  # fmt: skip


def three_bodies(lib: Library, place: Any, velocity: Any, mass: Any) -> Any:
    """Where they are after a while, by Runge and Kutta; place, velocity (3, 2), mass (3,)."""

    def slope(y):
        place, velocity = y
        apart = place[None, :, :] - place[:, None, :]
        distance = lib.np.sqrt((apart**2).sum(axis=-1) + 1e-3)
        return velocity, (mass[None, :, None] * apart / distance[:, :, None] ** 3).sum(axis=1)

    def step(y, _):
        return runge_kutta(slope, y, 0.01), None

    (place, _), _ = lib.lax.scan(step, (place, velocity), None, length=STEPS)
    return (place**2).sum()


def bodies_inputs() -> tuple:
    place = np.array([[1.0, 0.0], [-0.5, 0.9], [-0.5, -0.9]])
    return place, np.array([[0.0, 0.7], [-0.6, -0.3], [0.6, -0.3]]), np.array([1.0, 0.8, 0.5])


def seir(lib: Library, contacts: Any, sigma: Any, gamma: Any, observed: Any) -> Any:
    """An epidemic in one region against its cases; contacts (), observed (steps,)."""

    def step(state, cases):
        S, E, I, R = state  # noqa: E741
        infected = S * (1 - lib.np.exp(-contacts * I))
        infectious, recovered = sigma * E, gamma * I
        state = S - infected, E + infected - infectious, I + infectious - recovered, R + recovered
        return state, (infectious - cases) ** 2

    return lib.lax.scan(step, (0.97, 0.01, 0.01, 0.01), observed)[1].sum()


def regions(lib: Library, contacts: Any, sigma: Any, gamma: Any, observed: Any) -> Any:
    """A hundred of them, which share all but their contacts."""
    return lib.vmap(partial(seir, lib), in_axes=(0, None, None, 0))(contacts, sigma, gamma, observed).sum()


def region_inputs() -> tuple:
    r = np.random.default_rng(7)
    return r.uniform(0.3, 0.6, size=100), 0.25, 0.125, r.uniform(0, 0.02, size=(100, STEPS))


def pid(lib: Library, gains: Any, wanted: Any) -> Any:
    """A heater that is controlled, whose integral stops where its power does; gains (3,), wanted (steps,)."""

    def step(carry, wanted):
        heat, total, before = carry
        error = wanted - heat
        power = gains[0] * error + gains[1] * total + gains[2] * (error - before)
        limited = lib.np.clip(power, 0.0, 2.0)
        total = lib.np.where(power == limited, total + error, total)
        return (heat + 0.1 * (limited - 0.5 * heat), total, error), error**2

    return lib.lax.scan(step, (0.1, 0.0, 0.0), wanted)[1].sum()


def pid_inputs() -> tuple:
    return np.array([1.0, 0.2, 0.1]), np.linspace(0.5, 1.5, STEPS)


def ets(lib: Library, smoothing: Any, level: Any, trend: Any, season: Any, y: Any) -> Any:
    """Holt-Winters with multiplicative seasons and a damped trend; smoothing (4,), season (12,), y (steps,)."""
    alpha, beta, gamma, damping = (smoothing[i] for i in range(4))

    def step(carry, y):
        level, trend, season = carry
        trend = damping * trend
        expected = (level + trend) * season[0]
        new = alpha * y / season[0] + (1 - alpha) * (level + trend)
        trend = beta * (new - level) + (1 - beta) * trend
        latest = gamma * y / new + (1 - gamma) * season[0]
        return (new, trend, lib.np.concatenate([season[1:], latest[None]])), (y - expected) ** 2

    return lib.lax.scan(step, (level, trend, season), y)[1].sum()


def ets_inputs() -> tuple:
    y = np.random.default_rng(7).uniform(80, 120, size=STEPS)
    return np.array([0.3, 0.1, 0.2, 0.98]), 100.0, 0.5, np.linspace(0.9, 1.1, 12), y


def programs() -> list[Program]:
    return [
        Program("garch", garch, garch_inputs, (0,)),
        Program("garch-hessian", garch_hessian, garch_inputs),
        Program("dcc-garch/4", dcc_garch, partial(dcc_inputs, 4), (0, 1, 2, 3, 4)),
        Program("heston", heston, heston_inputs, (0, 1, 2, 3)),
        Program("kalman/4x2", kalman, kalman_inputs, (1, 2, 3, 4)),
        Program("kalman-vmap/64", kalman_lanes, partial(kalman_inputs, 64), (1, 2, 3, 4)),
        Program("hmm", hmm, lambda: crf_inputs(8)[:2], (0, 1)),
        Program("forward-backward", forward_backward, lambda: crf_inputs(8)[:2]),
        Program("crf/20", crf, partial(crf_inputs, 20), (0, 1)),
        Program("viterbi", viterbi, lambda: crf_inputs(8)[:2]),
        Program("particle-filter", particle_filter, particle_inputs),
        Program("lotka-volterra", lotka_volterra, lotka_inputs, (0, 1)),
        Program("three-bodies", three_bodies, bodies_inputs, (0, 1, 2)),
        Program("seir-vmap/100", regions, region_inputs, (0, 1, 2)),
        Program("pid", pid, pid_inputs, (0,)),
        Program("ets", ets, ets_inputs, (0, 1, 2, 3)),
    ]
