"""Daily returns of the S&P 500, 1999 to 2018: the GARCH(1,1) variance path and its Gaussian log-likelihood.

    e[t]       = r[t] - mu
    sigma2[t]  = omega + alpha e[t-1]^2 + beta sigma2[t-1]                (T. Bollerslev, 1986)
    log L      = -1/2 sum(log 2 pi + log sigma2[t] + e[t]^2 / sigma2[t])

Both values before the first day are arch's "backcast", an exponentially weighted mean of the first 75 squared
residuals. Returns are in percent, so sigma is in percent a day. Peers: a plain Python loop and the `arch`
package, which also estimates the parameters where it is installed; elsewhere its recorded estimates are used.
"""

from __future__ import annotations

import math
import sys
from typing import Any

import numpy as np
from report import Agreement, Contenders, load_column, missing_peers, optional, show

import scancc as sc

LOG_2PI = math.log(2.0 * math.pi)
# mu, omega, alpha, beta, by arch 8.0
ESTIMATES: tuple[float, ...] = (0.0563530768, 0.0175067518, 0.1021500165, 0.8852055845)


def garch_step(return_t, sigma2_tm1, square_tm1, mu, omega, alpha, beta):
    """(variance of day t, its squared residual, the log density of its return)."""
    sigma2 = omega + alpha * square_tm1 + beta * sigma2_tm1
    square = (return_t - mu) ** 2
    return sigma2, square, -0.5 * (LOG_2PI + np.log(sigma2) + square / sigma2)


garch = sc.scan_compile(garch_step)


@sc.jit
def log_likelihood(returns, start, mu, omega, alpha, beta):
    """What an optimiser calls: the compiler sees that the variance path is not kept."""
    *_, log_density = sc.scan(
        garch_step,
        sequences=returns,
        outputs_info=[start, start, None],
        non_sequences=[mu, omega, alpha, beta],
    )
    return np.sum(log_density)


def backcast(returns: np.ndarray) -> float:
    """arch's value for the variance and the squared residual before the first day."""
    weights = 0.94 ** np.arange(min(75, len(returns)))
    residuals = returns - returns.mean()
    return float(np.sum(residuals[: len(weights)] ** 2 * (weights / weights.sum())))


def python_garch(
    returns: np.ndarray, start: float, mu: float, omega: float, alpha: float, beta: float
) -> tuple[np.ndarray, float]:
    """(variances, log-likelihood) by a loop over scalars."""
    variances = np.empty(len(returns))
    sigma2 = square = start
    likelihood = 0.0
    for t in range(len(returns)):
        sigma2 = omega + alpha * square + beta * sigma2
        square = (returns[t] - mu) ** 2
        variances[t] = sigma2
        likelihood -= 0.5 * (LOG_2PI + math.log(sigma2) + square / sigma2)
    return variances, likelihood


def compare() -> tuple[list[Agreement], list[str]]:
    """Every quantity of the example beside its peers', and the peers that are missing."""
    returns = load_column("sp500.csv", 1)
    start, parameters, answers = backcast(returns), ESTIMATES, {}
    if arch := optional("arch"):
        fitted = arch.arch_model(returns, mean="Constant", vol="GARCH", p=1, q=1).fit(disp="off")
        parameters = tuple(map(float, fitted.params))
        answers["arch"] = fitted.conditional_volatility**2, fitted.loglikelihood
    answers["Python loop"] = python_garch(returns, start, *parameters)
    sigma2, _, log_density = garch(
        sequences=returns, outputs_info=[start, start, None], non_sequences=list(parameters)
    )
    likelihood = log_likelihood(returns, start, *parameters)
    rows: list[Agreement] = []
    for peer, (variances, llf) in answers.items():
        rows += [
            Agreement("volatility, % a day", np.sqrt(sigma2), peer, np.sqrt(variances)),
            Agreement("log-likelihood from rows", log_density.sum(), peer, llf),
            Agreement("log-likelihood, jitted", likelihood, peer, llf),
        ]
    return rows, missing_peers("arch")


def contenders(steps: int = 100_000) -> Contenders:
    """Variances and log-likelihood over the returns repeated to `steps` days."""
    returns = load_column("sp500.csv", 1)
    start, parameters = backcast(returns), list(ESTIMATES)
    returns = np.resize(returns, steps)
    output = [start, start, None]
    found: Contenders = {
        "Python loop": lambda: python_garch(returns, start, *parameters),
        "scancc": lambda: garch(sequences=returns, outputs_info=output, non_sequences=parameters),
    }
    if numba := optional("numba"):
        compiled = numba.njit(python_garch)
        found["njit"] = lambda: compiled(returns, start, *parameters)
    if jax := optional("jax"):
        jax.config.update("jax_enable_x64", True)
        jnp = jax.numpy

        # As a JAX user would write it: only the variance recurs, everything else is vectorised around it.
        @jax.jit
        def scan(returns, start, mu, omega, alpha, beta):
            squares = (returns - mu) ** 2
            news = omega + alpha * jnp.concatenate([start[None], squares[:-1]])

            def step(sigma2, news_t):
                sigma2 = news_t + beta * sigma2
                return sigma2, sigma2

            sigma2 = jax.lax.scan(step, start, news)[1]
            return sigma2, -0.5 * jnp.sum(LOG_2PI + jnp.log(sigma2) + squares / sigma2)

        first = np.float64(start)
        found["JAX"] = lambda: jax.block_until_ready(scan(returns, first, *parameters))
    return found


def scancc_example_inputs() -> dict[str, dict[str, Any]]:
    """Arguments that each decorated step of this file can be compiled and run with."""
    returns = load_column("sp500.csv", 1)
    start = backcast(returns)
    return {
        "garch": dict(sequences=returns, outputs_info=[start, start, None], non_sequences=list(ESTIMATES))
    }


def __getattr__(name: str) -> Any:
    if name == "SCANCC_EXAMPLE_INPUTS":  # built when asked for, so that importing the example reads no file
        return scancc_example_inputs()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def main() -> int:
    agreements, notes = compare()
    return 1 if show("S&P 500: GARCH(1,1)", agreements, notes) else 0


if __name__ == "__main__":
    sys.exit(main())
