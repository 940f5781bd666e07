"""Autoregressions of any order on the yearly sunspot numbers: fitted, inverted, forecast and simulated.

Four scans over one model, y[t] = c + a1 y[t-1] + ... + ap y[t-p] + e[t]:

    residuals    e from y     the past is read through taps of a sequence, nothing feeds back
    synthesis    y from e     the past is read through taps of the output: the recurrence itself
    forecast     e = 0        no sequence at all: the number of steps is given
    simulation   1,000 futures at once, each carry a vector

The model is that of G. U. Yule (1927), who invented it for this series. Peers: scipy.signal.lfilter and
statsmodels.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from report import Agreement, Contenders, load_column, missing_peers, optional, show
from scipy.signal import lfilter, lfiltic

import scancc as sc

HORIZON = 50  # years
ORDERS = (2, 9)


@sc.scan_compile
def ar2(e_t, y_tm2, y_tm1, c, a1, a2):
    return c + e_t + a1 * y_tm1 + a2 * y_tm2


@sc.scan_compile
def ar2_residual(y_tm2, y_tm1, y_t, c, a1, a2):
    return y_t - (c + a1 * y_tm1 + a2 * y_tm2)


# The same for any order: `past` is what the taps read, oldest first, so a[0] multiplies past[-1].
def predicted(past, c, a):
    return c + sum(a[k] * y for k, y in enumerate(reversed(past)))


def ar_residual(*arguments):
    *past, y_t, c, a = arguments
    return y_t - predicted(past, c, a)


def ar_synthesis(e_t, *arguments):
    *past, c, a = arguments
    return e_t + predicted(past, c, a)


def ar_forecast(*arguments):
    *past, c, a = arguments
    return predicted(past, c, a)


def fit(y: np.ndarray, order: int) -> tuple[float, np.ndarray]:
    """Ordinary least squares on the lagged values: the constant and the coefficients of lags 1 to `order`."""
    lags = sliding_window_view(y, order)[:-1, ::-1]
    solution = np.linalg.lstsq(np.column_stack([np.ones(len(lags)), lags]), y[order:], rcond=None)[0]
    return float(solution[0]), solution[1:]


def residuals(y: np.ndarray, c: float, a: np.ndarray) -> np.ndarray:
    """One-step errors of shape (len(y) - p,)."""
    taps = list(range(-len(a), 1))
    return sc.scan(ar_residual, sequences=dict(input=y, taps=taps), non_sequences=[c, a])


def synthesis(e: np.ndarray, start: np.ndarray, c: float, a: np.ndarray) -> np.ndarray:
    """The series that shocks of shape (T, ...) drive from the p values `start`, of shape (p, ...)."""
    output = dict(initial=start, taps=list(range(-len(a), 0)))
    return sc.scan(ar_synthesis, sequences=e, outputs_info=output, non_sequences=[c, a])


def forecast(y: np.ndarray, c: float, a: np.ndarray, horizon: int = HORIZON) -> np.ndarray:
    """The `horizon` values after the end of y, each from the ones before it."""
    output = dict(initial=y[-len(a) :], taps=list(range(-len(a), 0)))
    return sc.scan(ar_forecast, outputs_info=output, non_sequences=[c, a], n_steps=horizon)


def filtered(e: np.ndarray, start: np.ndarray, c: float, a: np.ndarray) -> np.ndarray:
    """`synthesis` by scipy: an all-pole filter whose state is set from the values before the first step."""
    poles = np.concatenate([[1.0], -a])
    if start.ndim == 1:
        return lfilter([1.0], poles, e + c, zi=lfiltic([1.0], poles, start[::-1]))[0]
    state = np.stack([lfiltic([1.0], poles, column[::-1]) for column in start.T], axis=1)
    return lfilter([1.0], poles, e + c, axis=0, zi=state)[0]


def python_ar2(e: np.ndarray, start: np.ndarray, c: float, a1: float, a2: float) -> np.ndarray:
    y = np.empty(len(e))
    y2, y1 = start
    for t in range(len(e)):
        y2, y1 = y1, c + e[t] + a1 * y1 + a2 * y2
        y[t] = y1
    return y


def compare() -> tuple[list[Agreement], list[str]]:
    """Every quantity of the example beside its peers', and the peers that are missing."""
    y = load_column("sunspots.csv", 1)
    autoregression = optional("statsmodels.tsa.ar_model")
    rows: list[Agreement] = []
    for order in ORDERS:
        c, a = fit(y, order)
        e, ahead = residuals(y, c, a), forecast(y, c, a)
        shocks = np.random.default_rng(1927).choice(e, (HORIZON, 1000))
        start = np.repeat(y[-order:, None], 1000, axis=1)
        futures = synthesis(shocks, start, c, a)
        name = f"AR({order})"
        rows += [
            Agreement(f"{name} residuals", e, "lfilter", lfilter([1.0, *-a], [1.0], y)[order:] - c),
            Agreement(f"{name} series from residuals", synthesis(e, y[:order], c, a), "the data", y[order:]),
            Agreement(f"{name} forecast to {2008 + HORIZON}", ahead, "lfilter",
                      filtered(np.zeros(HORIZON), y[-order:], c, a)),
            Agreement(f"{name} simulated futures", futures, "lfilter", filtered(shocks, start, c, a)),
        ]  # fmt: skip
        if autoregression:
            model = autoregression.AutoReg(y, lags=order).fit()
            theirs = model.predict(len(y), len(y) + HORIZON - 1)
            rows += [
                Agreement(f"{name} coefficients", np.array([c, *a]), "statsmodels", model.params),
                Agreement(f"{name} residuals", e, "statsmodels", model.resid),
                Agreement(f"{name} forecast to {2008 + HORIZON}", ahead, "statsmodels", theirs),
            ]
    c, a = fit(y, 2)
    e = ar2_residual(sequences=dict(input=y, taps=[-2, -1, 0]), non_sequences=[c, *a])
    back = ar2(sequences=e, outputs_info=[dict(initial=y[:2], taps=[-2, -1])], non_sequences=[c, *a])
    rows.append(Agreement("AR(2) as a decorated step", back, "Python loop", python_ar2(e, y[:2], c, *a)))
    return rows, missing_peers("statsmodels")


def contenders(steps: int = 100_000) -> Contenders:
    """AR(2) over the sunspots' own residuals, repeated to `steps` steps."""
    y = load_column("sunspots.csv", 1)
    c, a = fit(y, 2)
    e, start, (a1, a2) = np.resize(residuals(y, c, a), steps), y[:2].copy(), a
    output = [dict(initial=start, taps=[-2, -1])]
    found: Contenders = {
        "Python loop": lambda: python_ar2(e, start, c, a1, a2),
        "scancc": lambda: ar2(sequences=e, outputs_info=output, non_sequences=[c, a1, a2]),
    }
    if numba := optional("numba"):
        compiled = numba.njit(python_ar2)
        found["njit"] = lambda: compiled(e, start, c, a1, a2)
    if jax := optional("jax"):
        jax.config.update("jax_enable_x64", True)

        @jax.jit
        def scan(e, start, c, a1, a2):
            def step(carry, e_t):
                y2, y1 = carry
                y = c + e_t + a1 * y1 + a2 * y2
                return (y1, y), y

            return jax.lax.scan(step, (start[0], start[1]), e)[1]

        found["JAX"] = lambda: scan(e, start, c, a1, a2).block_until_ready()
    return found


def scancc_example_inputs() -> dict[str, dict[str, Any]]:
    """Arguments that each decorated step of this file can be compiled and run with."""
    y = load_column("sunspots.csv", 1)
    c, a = fit(y, 2)
    past = dict(initial=y[-2:], taps=[-2, -1])
    present_and_past = dict(input=y, taps=[-2, -1, 0])
    return {
        "ar2": dict(sequences=np.zeros(HORIZON), outputs_info=[past], non_sequences=[c, *a]),
        "ar2_residual": dict(sequences=present_and_past, outputs_info=None, non_sequences=[c, *a]),
    }


def __getattr__(name: str) -> Any:
    if name == "SCANCC_EXAMPLE_INPUTS":  # built when asked for, so that importing the example reads no file
        return scancc_example_inputs()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def main() -> int:
    agreements, notes = compare()
    return 1 if show("Sunspots: autoregressions of order 2 and 9", agreements, notes) else 0


if __name__ == "__main__":
    sys.exit(main())
