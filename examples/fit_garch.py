"""GARCH(1,1) fitted to the returns of the S&P 500 by maximum likelihood with exact gradients.

    r[t] = mu + sqrt(sigma2[t]) z[t],    sigma2[t] = omega + alpha (r[t-1] - mu)^2 + beta sigma2[t-1]

`sc.value_and_grad` gives scipy's optimiser the value and the gradient of one compiled loop forward and one back, which
keeps no more than every n-th variance (`checkpoint="sqrt"`). Peer: the arch package, which approximates gradients.
"""

from __future__ import annotations

import math
import sys

import numpy as np
import scipy.optimize
from report import Agreement, load_column, missing_peers, optional, show
from sp500 import backcast

import scancc as sc

START = np.array([0.05, 0.05, 0.1, 0.8])  # mu, omega, alpha, beta
BOUNDS = [(-1, 1), (1e-6, 10), (0, 1), (0, 0.9999)]


def negative_log_likelihood(parameters, returns, start):
    mu, omega, alpha, beta = parameters

    def step(r, sigma2, square, mu, omega, alpha, beta):
        sigma2 = omega + alpha * square + beta * sigma2
        square = (r - mu) ** 2
        return sigma2, square, np.log(sigma2) + square / sigma2

    *_, loss = sc.scan(step, returns, [start, start, None], [mu, omega, alpha, beta], checkpoint="sqrt")
    return 0.5 * (loss.sum() + returns.shape[0] * math.log(2 * math.pi))


def fit(returns: np.ndarray) -> tuple[np.ndarray, float]:
    """(parameters, log-likelihood) at the maximum."""
    start = backcast(returns)
    loss = sc.value_and_grad(negative_log_likelihood)

    def objective(p: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = loss(p, returns, start)
        return float(value), gradient

    found = scipy.optimize.minimize(objective, START, jac=True, bounds=BOUNDS, method="L-BFGS-B",
                                    options={"ftol": 1e-15, "gtol": 1e-7, "maxiter": 500})  # fmt: skip
    return found.x, -found.fun


def compare() -> tuple[list[Agreement], list[str]]:
    returns = load_column("sp500.csv", 1)
    parameters, likelihood = fit(returns)
    rows: list[Agreement] = []
    if arch := optional("arch"):
        model = arch.arch_model(returns, mean="Constant", vol="GARCH", p=1, q=1)
        theirs = model.fit(disp="off", tol=1e-12, options={"maxiter": 1000})
        for name, ours, peer in zip(("mu", "omega", "alpha", "beta"), parameters, theirs.params, strict=True):
            rows.append(Agreement(name, ours, "arch", peer, tolerance=1e-4))
        rows.append(Agreement("log-likelihood", likelihood, "arch", theirs.loglikelihood, tolerance=1e-8))
    mu, omega, alpha, beta = parameters
    fitted = f"mu {mu:.4f}, omega {omega:.4f}, alpha {alpha:.4f}, beta {beta:.4f}; log-likelihood {likelihood:.3f}"
    return rows, [fitted, *missing_peers("arch")]


def main() -> int:
    agreements, notes = compare()
    return 1 if show("S&P 500: GARCH(1,1) fitted", agreements, notes) else 0


if __name__ == "__main__":
    sys.exit(main())
