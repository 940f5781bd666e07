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


def product_by_hand(states):
    """out = w matrix of a known size, four rows at a time: LLVM vectorises along the row, and unrolls short ones."""

    def product(w, matrix, out):
        for j in range(states):
            out[j] = 0.0
        for i in range(0, states, 4):
            a, b, c, d = w[i], w[i + 1], w[i + 2], w[i + 3]
            for j in range(states):
                out[j] += (a * matrix[i, j] + b * matrix[i + 1, j]) + (c * matrix[i + 2, j] + d * matrix[i + 3, j])

    return product


def forward_by_hand(softmax, product, states):
    """What is multiplied is not scaled yet, the product is: it need not wait for the scale."""

    def run(logits, density, start):
        transition = softmax(logits)
        joint, following = start.copy(), np.empty(states)
        log_likelihood, scale = 0.0, 1.0
        for t in range(len(density)):
            product(joint, transition, following)
            total = 0.0
            for j in range(states):
                following[j] *= np.exp(density[t, j]) * scale
                total += following[j]
            scale = 1.0 / total
            joint, following = following, joint
            log_likelihood += np.log(total)
        return log_likelihood

    return run


def adjoint_by_hand(softmax, product, states):
    """The backward recursion: the derivative by transition[i, j] sums weights[i] d joint[j]: a matrix product."""

    def run(logits, density, start):
        transition = softmax(logits)
        steps = len(density)
        weights, scaled = np.empty((steps + 1, states)), np.exp(density)
        weights[0] = start
        joint, following, scale = start.copy(), np.empty(states), 1.0
        for t in range(steps):
            product(joint, transition, following)
            total = 0.0
            for j in range(states):
                following[j] *= scaled[t, j] * scale
                total += following[j]
            scale = 1.0 / total
            for j in range(states):
                weights[t + 1, j] = following[j] * scale
                scaled[t, j] *= scale
            joint, following = following, joint
        backward, back = np.ascontiguousarray(transition.T), np.ones(states)  # back: the usual beta, scaled
        for t in range(steps - 1, -1, -1):
            for j in range(states):
                scaled[t, j] *= back[j]
            product(scaled[t], backward, back)
        by_transition = np.dot(weights[:-1].T, scaled)
        return transition * (by_transition - (transition * by_transition).sum(axis=1).reshape(-1, 1))

    return run


def by_numba(make, inputs):
    njit = peers.numba().njit(fastmath=peers.FMA)
    states = len(inputs["start"])
    run = njit(make(njit(softmax_by_hand), njit(product_by_hand(states)), states))
    arguments = [inputs[n] for n in NAMES]
    return lambda: run(*arguments)


# -- C ---------------------------------------------------------------------------------------------------------------

C = """
#include <math.h>
#include <stdlib.h>
#include <string.h>
enum { G = K / 8, BLOCK = 64, CHAINS = K == 8 ? 4 : 1, ROWS = K == 8 ? 8 : 4, COLUMNS = K == 8 ? 1 : 4 };
typedef double vec __attribute__((vector_size(64)));

static void softmax(const double *logits, double out[K][K]) {
    for (int i = 0; i < K; i++) {
        double top = logits[i * K], total = 0;
        for (int j = 1; j < K; j++) top = fmax(top, logits[i * K + j]);
        for (int j = 0; j < K; j++) total += out[i][j] = exp(logits[i * K + j] - top);
        for (int j = 0; j < K; j++) out[i][j] /= total;
    }
}

static inline void product(const double *w, const vec matrix[K][G], vec out[G]) {
    vec sum[CHAINS][G] = {{{0}}};
    for (int i = 0; i < K; i += CHAINS)
        for (int c = 0; c < CHAINS; c++)
            for (int g = 0; g < G; g++) sum[c][g] += w[i + c] * matrix[i + c][g];
    for (int g = 0; g < G; g++) {
        out[g] = sum[0][g];
        for (int c = 1; c < CHAINS; c++) out[g] += sum[c][g];
    }
}

/* joint *= likelihood * scale, where scale is that of the step before: the product need not wait for it. */
static inline double weigh(vec joint[G], const vec *likelihood, double scale) {
    vec sum = {0};
    for (int g = 0; g < G; g++) sum += joint[g] *= likelihood[g] * scale;
    double total = 0;
    for (int j = 0; j < 8; j++) total += sum[j];
    return total;
}
"""

C_FORWARD = """
void run(const double *restrict logits, const double *restrict density, const double *restrict start, long steps,
         double *restrict out) {
    vec matrix[K][G], joint[G], next[G], likelihood[BLOCK][G];
    double totals[BLOCK], scale = 1, log_likelihood = 0;
    softmax(logits, (double (*)[K])matrix);
    memcpy(joint, start, sizeof joint);
    for (long first = 0; first < steps; first += BLOCK) {  /* so that exponentials and logarithms are vectorised */
        long count = steps - first < BLOCK ? steps - first : BLOCK;
        for (long i = 0; i < count * K; i++) ((double *)likelihood)[i] = exp(density[first * K + i]);
        for (long t = 0; t < count; t++) {
            product((double *)joint, matrix, next);
            totals[t] = weigh(next, likelihood[t], scale);
            scale = 1 / totals[t];
            memcpy(joint, next, sizeof joint);
        }
        for (long t = 0; t < count; t++) log_likelihood += log(totals[t]);
    }
    *out = log_likelihood;
}
"""

C_GRADIENT = """
/* sums += weights' slopes: in registers, of a block that the first cache holds. */
static void outer(long count, const double (*weights)[K], const vec (*slopes)[G], vec sums[K][G]) {
    for (int i = 0; i < K; i += ROWS)
        for (int g = 0; g < G; g += COLUMNS) {
            vec sum[ROWS][COLUMNS];
            for (int r = 0; r < ROWS; r++) for (int c = 0; c < COLUMNS; c++) sum[r][c] = sums[i + r][g + c];
            for (long t = 0; t < count; t++)
                for (int r = 0; r < ROWS; r++)
                    for (int c = 0; c < COLUMNS; c++) sum[r][c] += weights[t][i + r] * slopes[t][g + c];
            for (int r = 0; r < ROWS; r++) for (int c = 0; c < COLUMNS; c++) sums[i + r][g + c] = sum[r][c];
        }
}

void run(const double *restrict logits, const double *restrict density, const double *restrict start, long steps,
         double *restrict out) {
    vec matrix[K][G], transposed[K][G], sums[K][G], back[G], next[G];
    vec (*scaled)[G] = aligned_alloc(64, steps * sizeof *scaled);           /* likelihoods, then slopes */
    vec (*weights)[G] = aligned_alloc(64, (steps + 1) * sizeof *weights);
    double (*transition)[K] = (double (*)[K])matrix, scale = 1;
    softmax(logits, transition);
    for (int i = 0; i < K; i++) for (int j = 0; j < K; j++) ((double *)transposed[j])[i] = transition[i][j];
    memcpy(weights[0], start, sizeof weights[0]);
    memcpy(back, start, sizeof back);
    for (long i = 0; i < steps * K; i++) ((double *)scaled)[i] = exp(density[i]);
    for (long t = 0; t < steps; t++) {
        product((double *)back, matrix, next);
        double before = scale;
        scale = 1 / weigh(next, scaled[t], before);
        for (int g = 0; g < G; g++) {
            back[g] = next[g];
            weights[t + 1][g] = next[g] * scale;
            scaled[t][g] *= scale;
        }
    }
    memset(sums, 0, sizeof sums);
    for (int g = 0; g < G; g++) back[g] = (vec){0} + 1;
    for (long last = steps; last > 0; last -= BLOCK) {
        long first = last < BLOCK ? 0 : last - BLOCK;
        for (long t = last - 1; t >= first; t--) {
            for (int g = 0; g < G; g++) scaled[t][g] *= back[g];
            product((double *)scaled[t], transposed, back);
        }
        outer(last - first, (const double (*)[K])weights[first], (const vec (*)[G])scaled[first], sums);
    }
    for (int i = 0; i < K; i++) {
        const double *row = (double *)sums[i];
        double along = 0;
        for (int j = 0; j < K; j++) along += transition[i][j] * row[j];
        for (int j = 0; j < K; j++) out[i * K + j] = transition[i][j] * (row[j] - along);
    }
    free(scaled); free(weights);
}
"""


def by_c(inputs):
    source = f"#define K {len(inputs['start'])}\n{C}{C_FORWARD}"
    return peers.by_c(source, lambda inputs: [np.empty(())], *NAMES, "steps")(inputs)


def gradient_by_c(inputs):
    source = f"#define K {len(inputs['start'])}\n{C}{C_GRADIENT}"
    return peers.by_c(source, lambda inputs: [np.empty_like(inputs["logits"])], *NAMES, "steps")(inputs)


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
        "c": gradient_by_c,
        "jax": peers.by_jax(gradient_by_jax, *NAMES),
        "jax, unroll=4": peers.by_jax(partial(gradient_by_jax, unroll=4), *NAMES),
        "pytensor": peers.by_pytensor(gradient_by_pytensor, *NAMES),
    }
    if quick:
        del forward["pytensor"], gradient["pytensor"]
    made = []
    for size, (states, steps) in (QUICK if quick else SIZES).items():
        inputs = partial(make_inputs, states, steps)
        made += [
            Workload(f"hmm/{size}", steps, inputs, forward, group="matrix", oracle=peers.interpreted(hmm, *NAMES)),
            Workload(f"hmm-gradient/{size}", steps, inputs, gradient, group="matrix", gradient=True,
                     oracle=peers.interpreted(hmm_gradient, *NAMES)),
        ]  # fmt: skip
    return made
