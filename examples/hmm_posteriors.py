"""Posteriors of a hidden Markov model as derivatives of its log-likelihood: no backward recursion is written.

The data are the daily returns of the S&P 500 in a calm and a wild regime. With log densities l[t, k] of day t in regime
k, the derivative of log p(returns) with respect to l[t, k] is the probability of regime k on day t given all returns:
reverse mode of the forward recursion *is* the backward recursion. Peer: the textbook recursion, in NumPy.
"""

from __future__ import annotations

import sys

import numpy as np
from report import Agreement, load_column, show

import scancc as sc

TRANSITION = np.array([[0.99, 0.01], [0.03, 0.97]])
INITIAL = np.array([0.5, 0.5])
SCALES = np.array([0.7, 2.0])  # % a day


def log_likelihood(densities, transition, initial):
    """log p of observations with log densities of shape (days, regimes), by the scaled forward recursion."""

    def step(density, weights, transition):
        joint = weights * np.exp(density)
        total = joint.sum()
        return joint / total @ transition, np.log(total)

    _, logs = sc.scan(step, densities, [initial, None], [transition])
    return logs.sum()


def densities(returns: np.ndarray) -> np.ndarray:
    return -0.5 * (returns[:, None] / SCALES) ** 2 - np.log(SCALES) - 0.5 * np.log(2 * np.pi)


def textbook(log_density: np.ndarray) -> tuple[np.ndarray, float]:
    """(posteriors, log-likelihood) by L. Rabiner's scaled forward and backward recursions (1989)."""
    density = np.exp(log_density)
    days = len(density)
    alpha, beta, scale = np.empty_like(density), np.ones_like(density), np.empty(days)
    weights = INITIAL
    for t in range(days):
        joint = weights * density[t]
        scale[t] = joint.sum()
        alpha[t] = joint / scale[t]
        weights = alpha[t] @ TRANSITION
    for t in range(days - 2, -1, -1):
        beta[t] = TRANSITION @ (density[t + 1] * beta[t + 1]) / scale[t + 1]
    return alpha * beta, float(np.log(scale).sum())


def compare() -> tuple[list[Agreement], list[str]]:
    log_density = densities(load_column("sp500.csv", 1))
    value, posteriors = sc.value_and_grad(log_likelihood)(log_density, TRANSITION, INITIAL)
    expected, likelihood = textbook(log_density)
    rows = [
        Agreement("log-likelihood", value, "forward recursion", likelihood),
        Agreement("probability of each regime", posteriors, "forward-backward", expected),
    ]
    return rows, [f"the wild regime holds on {100 * posteriors[:, 1].mean():.1f} % of days"]


def main() -> int:
    agreements, notes = compare()
    return 1 if show("S&P 500: posteriors by gradient", agreements, notes) else 0


if __name__ == "__main__":
    sys.exit(main())
