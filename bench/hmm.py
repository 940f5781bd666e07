"""The forward algorithm of a hidden Markov model, float64: log-likelihood, and its gradient by the transition logits.

    joint[j] = (sum_i weights[i] transition[i, j]) exp(density[t, j])
    total = sum_j joint[j],   weights = joint / total,   log L += log total

Scaled, not in logarithms, which take K exponentials more for each state and are what nobody needs here: the densities
are those of a mixture of normals, far from underflow within one step. L. Rabiner, "A tutorial on hidden Markov models"
(1989), section V.A. The transition is the softmax of the logits by rows. Sizes are numbers of states.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import peers

import scancc as sc
from scancc.measure import Workload

NAMES = ("logits", "density", "start")
SIZES = {"8": (8, 20_000), "64": (64, 5_000)}  # states, steps
QUICK = {"8": (8, 2_000), "64": (64, 500)}


def make_inputs(states: int, steps: int) -> dict[str, Any]:
    """logits (states, states), log densities (steps, states), start (states,), which sums to 1."""
    r = np.random.default_rng(states)
    logits = r.normal(size=(states, states)) + 3.0 * np.eye(states)  # states last for some steps
    means, observed = np.linspace(-3, 3, states), 2.0 * r.normal(size=(steps, 1))
    density = -0.5 * (observed - means) ** 2 - 0.5 * np.log(2 * np.pi)
    return {"logits": logits, "density": density, "start": np.full(states, 1 / states), "steps": steps}


def hmm_step(density_t, weights, transition):
    joint = weights @ transition * np.exp(density_t)
    total = joint.sum()
    return joint / total, np.log(total)


@sc.jit
def hmm(logits, density, start):
    _, logs = sc.scan(hmm_step, density, [start, None], [sc.softmax(logits, axis=1)])
    return logs.sum()


hmm_gradient = sc.jit(sc.grad(hmm, 0))


def scancc_example_inputs() -> dict[str, tuple]:
    arguments = tuple(make_inputs(*SIZES["8"])[n] for n in NAMES)
    return {"hmm": arguments, "hmm_gradient": arguments}


# -- Numba -----------------------------------------------------------------------------------------------------------


def softmax_by_hand(logits):
    transition = np.empty_like(logits)
    for i in range(len(logits)):
        top = logits[i].max()
        transition[i] = np.exp(logits[i] - top)
        transition[i] /= transition[i].sum()
    return transition


def forward_by_hand(softmax):
    def run(logits, density, start):
        transition = softmax(logits)
        states = len(start)
        weights, joint = start.copy(), np.empty(states)
        log_likelihood = 0.0
        for t in range(len(density)):
            joint[:] = 0.0
            for i in range(states):
                w = weights[i]
                for j in range(states):
                    joint[j] += w * transition[i, j]
            total = 0.0
            for j in range(states):
                joint[j] *= np.exp(density[t, j])
                total += joint[j]
            scale = 1.0 / total
            for j in range(states):
                weights[j] = joint[j] * scale
            log_likelihood += np.log(total)
        return log_likelihood

    return run


def adjoint_by_hand(softmax):
    """The backward recursion: the derivative by transition[i, j] sums weights[i] d joint[j]: a matrix product."""

    def run(logits, density, start):
        transition = softmax(logits)
        steps, states = density.shape
        weights, scaled, scales = np.empty((steps + 1, states)), np.exp(density), np.empty(steps)
        weights[0] = start
        joint = np.empty(states)
        for t in range(steps):
            joint[:] = 0.0
            for i in range(states):
                w = weights[t, i]
                for j in range(states):
                    joint[j] += w * transition[i, j]
            total = 0.0
            for j in range(states):
                joint[j] *= scaled[t, j]
                total += joint[j]
            scales[t] = 1.0 / total
            for j in range(states):
                weights[t + 1, j] = joint[j] * scales[t]
        backward, back = np.ascontiguousarray(transition.T), np.ones(states)  # back: the usual beta, scaled
        for t in range(steps - 1, -1, -1):
            joint[:] = 0.0
            for j in range(states):
                d = back[j] * scaled[t, j] * scales[t]
                scaled[t, j] = d
                for i in range(states):
                    joint[i] += d * backward[j, i]
            back[:] = joint
        by_transition = np.dot(weights[:-1].T, scaled)
        return transition * (by_transition - (transition * by_transition).sum(axis=1).reshape(-1, 1))

    return run


def by_numba(make, inputs):
    njit = peers.numba().njit(fastmath=peers.FMA)
    run = njit(make(njit(softmax_by_hand)))
    arguments = [inputs[n] for n in NAMES]
    return lambda: run(*arguments)


# -- C ---------------------------------------------------------------------------------------------------------------

C = """
#include <math.h>
enum { K = 8 };  /* the rows of the transition fit into registers */
void run(const double *restrict logits, const double *restrict density, const double *restrict start, long steps,
         double *restrict out) {
    double transition[K][K], weights[K], log_likelihood = 0;
    for (int i = 0; i < K; i++) {
        double top = logits[i * K], total = 0;
        for (int j = 1; j < K; j++) top = fmax(top, logits[i * K + j]);
        for (int j = 0; j < K; j++) total += transition[i][j] = exp(logits[i * K + j] - top);
        for (int j = 0; j < K; j++) transition[i][j] /= total;
        weights[i] = start[i];
    }
    for (long t = 0; t < steps; t++) {
        double joint[K] = {0}, total = 0;
        for (int i = 0; i < K; i++)
            for (int j = 0; j < K; j++) joint[j] += weights[i] * transition[i][j];
        for (int j = 0; j < K; j++) joint[j] *= exp(density[t * K + j]);
        for (int j = 0; j < K; j++) total += joint[j];
        double scale = 1 / total;
        for (int j = 0; j < K; j++) weights[j] = joint[j] * scale;
        log_likelihood += log(total);
    }
    out[0] = log_likelihood;
}
"""


def by_c(inputs):
    run = peers.by_c(C, lambda inputs: [np.empty(1)], *NAMES, "steps")(inputs)
    return lambda: run()[0][0]


# -- JAX and PyTensor ------------------------------------------------------------------------------------------------


def by_jax(jax, logits, density, start, unroll=1):
    jnp = jax.numpy
    transition = jax.nn.softmax(logits, axis=1)

    def step(weights, likelihood):
        joint = weights @ transition * likelihood
        total = joint.sum()
        return joint / total, total

    return jnp.log(jax.lax.scan(step, start, jnp.exp(density), unroll=unroll)[1]).sum()


def gradient_by_jax(jax, *inputs, unroll=1):
    return jax.grad(partial(by_jax, jax, unroll=unroll))(*inputs)


def by_pytensor(pytensor, logits, density, start):
    pt = pytensor.tensor

    def step(likelihood, weights, transition):
        joint = weights @ transition * likelihood
        total = joint.sum()
        return joint / total, total

    _, totals = pytensor.scan(step, pt.exp(density), [start, None], pt.special.softmax(logits, axis=1),
                              return_updates=False)  # fmt: skip
    return pt.log(totals).sum()


def gradient_by_pytensor(pytensor, logits, *inputs):
    return pytensor.grad(by_pytensor(pytensor, logits, *inputs), logits)


# -- workloads -------------------------------------------------------------------------------------------------------


def workloads(quick: bool) -> list[Workload]:
    forward = {
        "scancc": peers.by_scancc(hmm, *NAMES),
        "numba": partial(by_numba, forward_by_hand),
        "jax": peers.by_jax(by_jax, *NAMES),
        "jax, unroll=4": peers.by_jax(partial(by_jax, unroll=4), *NAMES),
        "pytensor": peers.by_pytensor(by_pytensor, *NAMES),
        "c": by_c,
    }
    gradient = {
        "scancc": peers.by_scancc(hmm_gradient, *NAMES),
        "numba": partial(by_numba, adjoint_by_hand),
        "jax": peers.by_jax(gradient_by_jax, *NAMES),
        "jax, unroll=4": peers.by_jax(partial(gradient_by_jax, unroll=4), *NAMES),
        "pytensor": peers.by_pytensor(gradient_by_pytensor, *NAMES),
    }
    if quick:
        del forward["pytensor"], gradient["pytensor"]
    made = []
    for size, (states, steps) in (QUICK if quick else SIZES).items():
        inputs = partial(make_inputs, states, steps)
        kept = {n: f for n, f in forward.items() if n != "c" or states == 8}  # its arrays have that size
        made += [
            Workload(f"hmm/{size}", steps, inputs, kept, group="matrix", oracle=peers.interpreted(hmm, *NAMES)),
            Workload(f"hmm-gradient/{size}", steps, inputs, gradient, group="matrix", gradient=True,
                     oracle=peers.interpreted(hmm_gradient, *NAMES)),
        ]  # fmt: skip
    return made
