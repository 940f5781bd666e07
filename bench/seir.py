"""An SEIR epidemic in daily steps with a contact rate of each day, all four states kept, float64; and a gradient.

    infected  = S (1 - exp(-contacts[t] I))        S' = S - infected + waning R
    infectious = sigma E                           E' = E + infected - infectious
    recovered = gamma I                            I' = I + infectious - recovered
                                                   R' = R + recovered - waning R

S, E, I, R are shares of the population; immunity wanes, so that the epidemic does not die out. An exponential lies on
the critical path. The gradient of the squared difference of new cases from observed ones is by the contact rate of
every day, sigma and gamma, as one fits it.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np
import peers

import scancc as sc
from scancc.measure import Workload

NAMES = ("contacts", "sigma", "gamma", "waning", "start", "observed")


def make_inputs(steps: int) -> dict[str, Any]:
    """contacts and observed of shape (steps,), start = (S, E, I, R)."""
    r = np.random.default_rng(19)
    contacts = 0.4 * (1 + 0.2 * np.sin(2 * np.pi * np.arange(steps) / 365) + 0.05 * r.normal(size=steps))
    return {"contacts": contacts, "sigma": 0.25, "gamma": 0.125, "waning": 0.01,
            "start": np.array([0.97, 0.01, 0.01, 0.01]), "observed": 0.01 * np.exp(0.1 * r.normal(size=steps)),
            "steps": steps}  # fmt: skip


def step(contacts, S, E, I, R, sigma, gamma, waning, xp=np):  # noqa: E741
    infected = S * (1 - xp.exp(-contacts * I))
    infectious, recovered, lost = sigma * E, gamma * I, waning * R
    return S - infected + lost, E + infected - infectious, I + infectious - recovered, R + recovered - lost


@sc.jit
def seir(contacts, sigma, gamma, waning, start):
    return sc.scan(step, contacts, [start[0], start[1], start[2], start[3]], [sigma, gamma, waning])


def misfit(contacts, sigma, gamma, waning, start, observed):
    E = seir(contacts, sigma, gamma, waning, start)[1]
    return ((sigma * E - observed) ** 2).sum()


seir_gradient = sc.jit(sc.grad(misfit, (0, 1, 2)))


def scancc_example_inputs() -> dict[str, tuple]:
    arguments = tuple(make_inputs(10**4)[n] for n in NAMES)
    return {"seir": arguments[:-1], "seir_gradient": arguments}


def loop(contacts, sigma, gamma, waning, start):
    n = len(contacts)
    path_S, path_E, path_I, path_R = np.empty(n), np.empty(n), np.empty(n), np.empty(n)
    S, E, I, R = start  # noqa: E741
    for t in range(n):
        infected = S * (1 - math.exp(-contacts[t] * I))
        infectious, recovered, lost = sigma * E, gamma * I, waning * R
        S, E = S - infected + lost, E + infected - infectious
        I, R = I + infectious - recovered, R + recovered - lost  # noqa: E741
        path_S[t], path_E[t], path_I[t], path_R[t] = S, E, I, R
    return path_S, path_E, path_I, path_R


def adjoint(contacts, sigma, gamma, waning, start, observed):
    n = len(contacts)
    path, survived = np.empty((n + 1, 4)), np.empty(n)
    S, E, I, R = start  # noqa: E741
    path[0, 0], path[0, 1], path[0, 2], path[0, 3] = S, E, I, R
    for t in range(n):
        survived[t] = math.exp(-contacts[t] * I)
        infected = S * (1 - survived[t])
        infectious, recovered, lost = sigma * E, gamma * I, waning * R
        S, E = S - infected + lost, E + infected - infectious
        I, R = I + infectious - recovered, R + recovered - lost  # noqa: E741
        path[t + 1, 0], path[t + 1, 1], path[t + 1, 2], path[t + 1, 3] = S, E, I, R
    g_contacts = np.empty(n)
    dS = dE = dI = dR = g_sigma = g_gamma = 0.0
    for t in range(n - 1, -1, -1):
        d = 2 * (sigma * path[t + 1, 1] - observed[t])
        g_sigma += d * path[t + 1, 1]
        dE += d * sigma
        S, E, I = path[t, 0], path[t, 1], path[t, 2]  # noqa: E741
        d_infected, d_infectious, d_recovered = dE - dS, dI - dE, dR - dI
        g_sigma += d_infectious * E
        g_gamma += d_recovered * I
        slope = d_infected * S * survived[t]
        g_contacts[t] = slope * I
        dR += waning * (dS - dR)
        dS += d_infected * (1 - survived[t])
        dE += sigma * d_infectious
        dI += slope * contacts[t] + gamma * d_recovered
    return g_contacts, g_sigma, g_gamma


C = """
#include <math.h>
void run(const double *restrict contacts, double sigma, double gamma, double waning,
         const double *restrict start, long n,
         double *restrict path_S, double *restrict path_E, double *restrict path_I, double *restrict path_R) {
    double S = start[0], E = start[1], I = start[2], R = start[3];
    for (long t = 0; t < n; t++) {
        double infected = S * (1 - exp(-contacts[t] * I));
        double infectious = sigma * E, recovered = gamma * I, lost = waning * R;
        path_S[t] = S = S - infected + lost; path_E[t] = E = E + infected - infectious;
        path_I[t] = I = I + infectious - recovered; path_R[t] = R = R + recovered - lost;
    }
}
"""

C_ADJOINT = """
#include <math.h>
#include <stdlib.h>
void run(const double *restrict contacts, double sigma, double gamma, double waning, const double *restrict start,
         const double *restrict observed, long n,
         double *restrict g_contacts, double *restrict g_sigma, double *restrict g_gamma) {
    double *restrict path = malloc(4 * (n + 1) * sizeof(double));  /* S, E, I, and exp(-contacts I) */
    double S = start[0], E = start[1], I = start[2], R = start[3], g0 = 0, g1 = 0, dS = 0, dE = 0, dI = 0, dR = 0;
    for (long t = 0; t < n; t++) {
        double survived = exp(-contacts[t] * I), infected = S * (1 - survived);
        double infectious = sigma * E, recovered = gamma * I, lost = waning * R, *row = path + 4 * t;
        row[0] = S; row[1] = E; row[2] = I; row[3] = survived;
        S = S - infected + lost; E = E + infected - infectious;
        I = I + infectious - recovered; R = R + recovered - lost;
    }
    path[4 * n + 1] = E;
    for (long t = n - 1; t >= 0; t--) {
        const double *row = path + 4 * t;
        double d = 2 * (sigma * row[5] - observed[t]);
        g0 += d * row[5];
        dE += d * sigma;
        double d_infected = dE - dS, d_infectious = dI - dE, d_recovered = dR - dI;
        double slope = d_infected * row[0] * row[3];
        g0 += d_infectious * row[1]; g1 += d_recovered * row[2];
        g_contacts[t] = slope * row[2];
        dR += waning * (dS - dR);
        dS += d_infected * (1 - row[3]);
        dE += sigma * d_infectious;
        dI += slope * contacts[t] + gamma * d_recovered;
    }
    *g_sigma = g0; *g_gamma = g1;
    free(path);
}
"""


def by_jax(jax, contacts, sigma, gamma, waning, start, unroll=1):
    def one(state, contacts):
        state = step(contacts, *state, sigma, gamma, waning, jax.numpy)
        return state, state

    return jax.lax.scan(one, tuple(start), contacts, unroll=unroll)[1]


def jax_loss(jax, contacts, sigma, gamma, waning, start, observed, unroll=1):
    E = by_jax(jax, contacts, sigma, gamma, waning, start, unroll)[1]
    return ((sigma * E - observed) ** 2).sum()


def by_pytensor(pytensor, contacts, sigma, gamma, waning, start):
    from pytensor import tensor

    return pytensor.scan(lambda *values: step(*values, tensor), sequences=contacts,
                         outputs_info=[start[0], start[1], start[2], start[3]],
                         non_sequences=[sigma, gamma, waning], return_updates=False)  # fmt: skip


def pytensor_loss(pytensor, contacts, sigma, gamma, waning, start, observed):
    E = by_pytensor(pytensor, contacts, sigma, gamma, waning, start)[1]
    return ((sigma * E - observed) ** 2).sum()


def workloads(quick: bool) -> list[Workload]:
    given, wrt = NAMES[:-1], (0, 1, 2)
    forward = {
        "scancc": peers.by_scancc(seir, *given),
        "numba": peers.by_numba(loop, *given),
        "c": peers.by_c(C, lambda inputs: [np.empty(inputs["steps"]) for _ in range(4)], *given, "steps"),
        "jax": peers.by_jax(by_jax, *given),
        "jax, unroll=8": peers.by_jax(partial(by_jax, unroll=8), *given),
        "pytensor": peers.by_pytensor(by_pytensor, *given),
    }
    gradient = {
        "scancc": peers.by_scancc(seir_gradient, *NAMES),
        "numba": peers.by_numba(adjoint, *NAMES),
        "c": peers.by_c(C_ADJOINT, lambda inputs: [np.empty(inputs["steps"]), np.empty(()), np.empty(())],
                        *NAMES, "steps"),
        "jax": peers.by_jax(peers.jax_gradient(jax_loss, wrt), *NAMES),
        "jax, unroll=8": peers.by_jax(peers.jax_gradient(partial(jax_loss, unroll=8), wrt), *NAMES),
        "pytensor": peers.by_pytensor(peers.pytensor_gradient(pytensor_loss, wrt), *NAMES),
    }  # fmt: skip
    size, steps = ("1e3", 10**3) if quick else ("3e4", 3 * 10**4)
    inputs = partial(make_inputs, steps)
    return [
        Workload(f"seir/{size}", steps, inputs, peers.raced(forward, quick), group="scalar",
                 oracle=peers.interpreted(seir, *given)),
        Workload(f"seir-gradient/{size}", steps, inputs, peers.raced(gradient, quick), group="scalar", gradient=True,
                 oracle=peers.interpreted(seir_gradient, *NAMES)),
    ]  # fmt: skip
