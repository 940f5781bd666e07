"""Hares and lynxes: the parameters of the Lotka-Volterra equations, through the solver's own steps.

    hare' = a hare - b hare lynx,    lynx' = -c lynx + d hare lynx

Fourth-order Runge-Kutta with 50 steps a year; the misfit is that of the logarithms of the pelts taken by the Hudson's
Bay Company. The gradient flows through all 1,000 steps. Peers: scipy's solve_ivp for the trajectory, and finite
differences for the gradient.
"""

from __future__ import annotations

import sys

import numpy as np
import scipy.integrate
import scipy.optimize
from report import Agreement, load_column, show

import scancc as sc

STEPS = 50  # a year
START = np.log([0.55, 0.028, 0.8, 0.024, 34.0, 6.0])  # a, b, c, d, hare and lynx of 1900


def trajectory(p, years):
    """Hares and lynxes at the beginning of each year after the first, shape (years, 2)."""
    a, b, c, d = (np.exp(p[i]) for i in range(4))

    def rate(u, a, b, c, d):
        return np.stack([u[0] * (a - b * u[1]), u[1] * (d * u[0] - c)])

    def year(u, a, b, c, d):
        h = 1 / STEPS

        def step(u, a, b, c, d):
            k1 = rate(u, a, b, c, d)
            k2 = rate(u + h / 2 * k1, a, b, c, d)
            k3 = rate(u + h / 2 * k2, a, b, c, d)
            k4 = rate(u + h * k3, a, b, c, d)
            return u + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)

        return sc.scan(step, None, u, [a, b, c, d], STEPS)[-1]

    return sc.scan(year, None, np.exp(p[4:]), [a, b, c, d], years)


def misfit(p, pelts):
    path = np.concatenate([np.exp(p[4:])[None], trajectory(p, pelts.shape[0] - 1)])
    return ((np.log(path) - np.log(pelts)) ** 2).sum()


def fit(pelts: np.ndarray) -> tuple[np.ndarray, float]:
    loss = sc.value_and_grad(misfit)

    def objective(p: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = loss(p, pelts)
        return float(value), gradient

    found = scipy.optimize.minimize(objective, START, jac=True, method="BFGS")
    return found.x, found.fun


def compare() -> tuple[list[Agreement], list[str]]:
    pelts = np.stack([load_column("lynx_hare.csv", 1), load_column("lynx_hare.csv", 2)], axis=1)
    p, residual = fit(pelts)
    a, b, c, d = np.exp(p[:4])
    solved = scipy.integrate.solve_ivp(lambda t, u: [u[0] * (a - b * u[1]), u[1] * (d * u[0] - c)], (0, 20),
                                       np.exp(p[4:]), t_eval=np.arange(21), rtol=1e-11, atol=1e-11).y.T  # fmt: skip
    ours = sc.jit(lambda p: trajectory(p, 20))(p)
    numeric = scipy.optimize.approx_fprime(START, lambda q: float(sc.jit(misfit)(q, pelts)), 1e-7)
    exact = sc.grad(misfit)(START, pelts)
    rows = [
        Agreement("hares and lynxes, thousands", ours, "solve_ivp", solved[1:], tolerance=1e-6),
        Agreement("gradient at the start", exact, "finite differences", numeric, tolerance=1e-5),
        Agreement("gradient at the minimum", sc.grad(misfit)(p, pelts), "zero", np.zeros(6), tolerance=1e-4),
    ]
    note = f"a {a:.3f}, b {b:.4f}, c {c:.3f}, d {d:.4f}; root mean square of log residuals {np.sqrt(residual / 42):.3f}"
    return rows, [note]


def main() -> int:
    agreements, notes = compare()
    return 1 if show("Lynx and hare: Lotka-Volterra fitted", agreements, notes) else 0


if __name__ == "__main__":
    sys.exit(main())
