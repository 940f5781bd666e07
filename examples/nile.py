"""The annual flow of the Nile, 1871 to 1970: the local-level Kalman filter and its log-likelihood.

    flow[t]  = level[t] + eps[t],      eps ~ N(0, 15099)
    level[t] = level[t-1] + eta[t],    eta ~ N(0, 1469.1)

The variances are the maximum-likelihood estimates of J. Durbin and S. J. Koopman, "Time Series Analysis by
State Space Methods". As in statsmodels the level starts at 0 with variance 1e6, and the first observation,
which only says where the level is, does not count in the log-likelihood. Peers: a plain Python loop and
statsmodels' UnobservedComponents.
"""

from __future__ import annotations

import math
import sys
from typing import Any

import numpy as np
from report import Agreement, Contenders, load_column, missing_peers, optional, show

import scancc as sc

SIGMA2_EPS, SIGMA2_ETA = 15099.0, 1469.1  # (10^8 m^3)^2
INITIAL_LEVEL, INITIAL_VARIANCE = 0.0, 1e6
OUTPUTS_INFO = [INITIAL_LEVEL, INITIAL_VARIANCE, None, None]


def filter_step(flow_t, level, variance, sigma2_eps, sigma2_eta):
    """One update and one prediction.

    Returns (filtered level, variance predicted for t+1, filtered variance, log density). The filtered level
    is also the prediction of the next one, because the level is a random walk.
    """
    innovation = flow_t - level
    innovation_variance = variance + sigma2_eps
    gain = variance / innovation_variance
    filtered_variance = variance * (1.0 - gain)
    log_density = -0.5 * (np.log(2.0 * math.pi * innovation_variance) + innovation**2 / innovation_variance)
    return level + gain * innovation, filtered_variance + sigma2_eta, filtered_variance, log_density


local_level = sc.scan_compile(filter_step)


@sc.jit
def log_likelihood(flow, sigma2_eps, sigma2_eta):
    """What an optimiser calls: the compiler sees that levels and variances are not kept."""
    *_, log_density = sc.scan(
        filter_step, sequences=flow, outputs_info=OUTPUTS_INFO, non_sequences=[sigma2_eps, sigma2_eta]
    )
    return np.sum(log_density[1:])


def python_filter(
    flow: np.ndarray, sigma2_eps: float, sigma2_eta: float
) -> tuple[np.ndarray, np.ndarray, float]:
    """(filtered levels, filtered variances, log-likelihood) by a loop over scalars."""
    levels, variances = np.empty(len(flow)), np.empty(len(flow))
    level, variance, likelihood = INITIAL_LEVEL, INITIAL_VARIANCE, 0.0
    for t in range(len(flow)):
        innovation, innovation_variance = flow[t] - level, variance + sigma2_eps
        gain = variance / innovation_variance
        level += gain * innovation
        filtered_variance = variance * (1.0 - gain)
        levels[t], variances[t] = level, filtered_variance
        variance = filtered_variance + sigma2_eta
        if t > 0:
            likelihood -= 0.5 * (
                math.log(2.0 * math.pi * innovation_variance) + innovation**2 / innovation_variance
            )
    return levels, variances, likelihood


def compare() -> tuple[list[Agreement], list[str]]:
    """Every quantity of the example beside its peers', and the peers that are missing."""
    flow = load_column("nile.csv", 1)
    variances = [SIGMA2_EPS, SIGMA2_ETA]
    level, _, variance, log_density = local_level(
        sequences=flow, outputs_info=OUTPUTS_INFO, non_sequences=variances
    )
    likelihood = log_likelihood(flow, *variances)
    answers = {"Python loop": python_filter(flow, *variances)}
    if statespace := optional("statsmodels.tsa.statespace.structural"):
        theirs = statespace.UnobservedComponents(flow, "local level").filter(variances)
        answers["statsmodels"] = theirs.filtered_state[0], theirs.filtered_state_cov[0, 0], theirs.llf
    rows: list[Agreement] = []
    for peer, (levels, filtered_variances, llf) in answers.items():
        rows += [
            Agreement("filtered level, 10^8 m^3", level, peer, levels),
            Agreement("its variance", variance, peer, filtered_variances),
            Agreement("log-likelihood from rows", log_density[1:].sum(), peer, llf),
            Agreement("log-likelihood, jitted", likelihood, peer, llf),
        ]
    return rows, missing_peers("statsmodels")


def contenders(steps: int = 100_000) -> Contenders:
    """The filter over the Nile's record repeated to `steps` years; all levels and variances are kept."""
    flow = np.resize(load_column("nile.csv", 1), steps)
    variances = [SIGMA2_EPS, SIGMA2_ETA]
    found: Contenders = {
        "Python loop": lambda: python_filter(flow, *variances),
        "scancc": lambda: local_level(sequences=flow, outputs_info=OUTPUTS_INFO, non_sequences=variances),
    }
    if numba := optional("numba"):
        compiled = numba.njit(python_filter)
        found["njit"] = lambda: compiled(flow, *variances)
    if jax := optional("jax"):
        jax.config.update("jax_enable_x64", True)
        jnp = jax.numpy

        @jax.jit
        def scan(flow, sigma2_eps, sigma2_eta):
            def step(carry, flow_t):
                level, variance = carry
                innovation, total = flow_t - level, variance + sigma2_eps
                gain = variance / total
                level, filtered = level + gain * innovation, variance * (1.0 - gain)
                log_density = -0.5 * (jnp.log(2.0 * math.pi * total) + innovation**2 / total)
                return (level, filtered + sigma2_eta), (level, filtered, log_density)

            levels, filtered, log_density = jax.lax.scan(step, (INITIAL_LEVEL, INITIAL_VARIANCE), flow)[1]
            return levels, filtered, log_density[1:].sum()

        found["JAX"] = lambda: jax.block_until_ready(scan(flow, *variances))
    return found


def scancc_example_inputs() -> dict[str, dict[str, Any]]:
    """Arguments that each decorated step of this file can be compiled and run with."""
    return {
        "local_level": dict(
            sequences=load_column("nile.csv", 1),
            outputs_info=OUTPUTS_INFO,
            non_sequences=[SIGMA2_EPS, SIGMA2_ETA],
        )
    }


def __getattr__(name: str) -> Any:
    if name == "SCANCC_EXAMPLE_INPUTS":  # built when asked for, so that importing the example reads no file
        return scancc_example_inputs()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def main() -> int:
    agreements, notes = compare()
    return 1 if show("Nile: local-level Kalman filter", agreements, notes) else 0


if __name__ == "__main__":
    sys.exit(main())
