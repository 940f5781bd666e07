"""Models of the Nile's flow fitted by the likelihood of their Kalman filters, with exact gradients.

    local level   flow[t] = level[t] + eps[t],    level[t+1] = level[t] + eta[t]
    ARMA(1, 1)    flow[t] - mu = phi (flow[t-1] - mu) + e[t] + theta e[t-1]

One filter serves both: state space models with a state of up to two numbers, whose loop and its way back are straight
scalar code. Peer: statsmodels.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.optimize
from report import Agreement, load_column, missing_peers, optional, show

import scancc as sc


def log_likelihood(y, F, Q, H, R, state, variance, burn):
    """Of a linear Gaussian model: states F, noise Q; observations H state, noise R; the first `burn` do not count."""

    def step(y_t, m, P, F, Q, H, R):
        innovation = y_t - H @ m
        s = H @ P @ H + R
        gain = P @ H / s
        m, P = m + gain * innovation, P - np.outer(gain, gain) * s
        return F @ m, F @ P @ F.T + Q, -0.5 * (math.log(2 * math.pi) + np.log(s) + innovation**2 / s)

    *_, density = sc.scan(step, y, [state, variance, None], [F, Q, H, R])
    return density[burn:].sum()


def local_level(p, y):
    """p: logarithms of the variances of eps and eta."""
    eps, eta = np.exp(p[0]), np.exp(p[1])
    one = np.ones((1, 1))
    return -log_likelihood(y, one, one * eta, np.ones(1), eps, np.zeros(1), one * 1e6, 1)


def arma(p, y):
    """p: mean / 100, phi, theta, logarithm of the variance of e. The state starts stationary, as statsmodels has it."""
    mu, phi, theta, sigma2 = 100 * p[0], p[1], p[2], np.exp(p[3])
    F = np.stack([np.stack([phi, 1.0 + 0 * phi]), np.zeros(2)])
    g = np.stack([1.0 + 0 * theta, theta])
    Q = sigma2 * np.outer(g, g)
    # The stationary variance solves P = F P F' + Q, here a triangular system of three unknowns.
    p22 = Q[1, 1]
    p12 = phi * 0 * p22 + Q[0, 1]
    p11 = (2 * phi * p12 + p22 + Q[0, 0]) / (1 - phi**2)
    P = np.stack([np.stack([p11, p12]), np.stack([p12, p22])])
    return -log_likelihood(y - mu, F, Q, np.array([1.0, 0.0]), np.zeros(()), np.zeros(2), P, 0)


def fit(model: Callable, start: list[float], y: np.ndarray) -> tuple[np.ndarray, float]:
    loss = sc.value_and_grad(model)

    def objective(p: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = loss(p, y)
        return float(value), gradient

    found = scipy.optimize.minimize(objective, np.array(start), jac=True, method="BFGS", options={"gtol": 1e-8})
    return found.x, -found.fun


def best(model: Any) -> Any:
    """statsmodels' estimates. Its default search stops early on the flat likelihoods of the Nile: a simplex goes on."""
    start = model.fit(disp=0).params
    for _ in range(3):
        start = model.fit(start, disp=0, method="nm", maxiter=20000, xtol=1e-12, ftol=1e-14).params
    return model.fit(start, disp=0, method="nm", maxiter=20000, xtol=1e-12, ftol=1e-14)


def compare() -> tuple[list[Agreement], list[str]]:
    y = load_column("nile.csv", 1)
    level, level_likelihood = fit(local_level, [9.0, 7.0], y)
    mixed, mixed_likelihood = fit(arma, [9.0, 0.8, -0.4, 9.9], y)
    rows: list[Agreement] = []
    if optional("statsmodels"):
        import statsmodels.api as sm

        theirs = best(sm.tsa.UnobservedComponents(y, "local level"))
        rows.append(Agreement("variance of eps", np.exp(level[0]), "statsmodels", theirs.params[0], tolerance=1e-3))
        rows.append(Agreement("variance of eta", np.exp(level[1]), "statsmodels", theirs.params[1], tolerance=1e-3))
        rows.append(Agreement("log-likelihood", level_likelihood, "statsmodels", theirs.llf, tolerance=1e-7))
        theirs = best(sm.tsa.SARIMAX(y, order=(1, 0, 1), trend="c"))
        intercept, phi, theta, sigma2 = theirs.params
        for name, ours, peer in (("mean", 100 * mixed[0], intercept / (1 - phi)), ("phi", mixed[1], phi),
                                 ("theta", mixed[2], theta), ("variance of e", np.exp(mixed[3]), sigma2)):  # fmt: skip
            rows.append(Agreement(name, ours, "statsmodels", peer, tolerance=1e-3))
        rows.append(Agreement("log-likelihood", mixed_likelihood, "statsmodels", theirs.llf, tolerance=1e-7))
    fitted = [
        f"local level: variances {np.exp(level[0]):.0f} and {np.exp(level[1]):.0f}, "
        f"log-likelihood {level_likelihood:.3f}",
        f"ARMA: mean {100 * mixed[0]:.1f}, phi {mixed[1]:.4f}, theta {mixed[2]:.4f}, "
        f"log-likelihood {mixed_likelihood:.3f}",
    ]
    return rows, [*fitted, *missing_peers("statsmodels")]


def main() -> int:
    agreements, notes = compare()
    return 1 if show("Nile: local level and ARMA(1, 1) fitted", agreements, notes) else 0


if __name__ == "__main__":
    sys.exit(main())
