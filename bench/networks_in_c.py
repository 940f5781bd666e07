"""The recurrent networks of one sequence in C, forward, for few units: what one writes by hand for a small network.

All inputs of a block of steps are projected at once, in registers, then its steps run; a product with the state has
several sums side by side, so that it does not wait for one addition after the other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import peers

from scancc.measure import Inputs

SOURCE = """
#include <math.h>
#include <string.h>
enum { C = GATES * N / 16, BLOCK = 64, CHAINS = GATES == 1 ? 4 : 2, COLUMNS = GATES == 1 ? 2 : GATES == 3 ? 3 : 4 };
typedef float vec __attribute__((vector_size(64)));

/* out = b + x U for so many rows of x, which are constant where it is inlined. */
static inline __attribute__((always_inline)) void project(int rows, const float *x, const vec U[N][C], const vec b[C],
                                                          vec out[][C]) {
    for (int c = 0; c < C; c += COLUMNS) {
        vec sum[rows][COLUMNS];
        for (int r = 0; r < rows; r++) for (int k = 0; k < COLUMNS; k++) sum[r][k] = b[c + k];
        for (int i = 0; i < N; i++)
            for (int r = 0; r < rows; r++)
                for (int k = 0; k < COLUMNS; k++) sum[r][k] += x[r * N + i] * U[i][c + k];
        for (int r = 0; r < rows; r++) for (int k = 0; k < COLUMNS; k++) out[r][c + k] = sum[r][k];
    }
}

/* out = start + h W */
static inline void product(const float *h, const vec W[N][C], const vec start[C], vec out[C]) {
    vec sum[CHAINS][C] = {{{0}}};
    for (int c = 0; c < C; c++) sum[0][c] = start[c];
    for (int i = 0; i < N; i += CHAINS)
        for (int s = 0; s < CHAINS; s++)
            for (int c = 0; c < C; c++) sum[s][c] += h[i + s] * W[i + s][c];
    for (int c = 0; c < C; c++) {
        out[c] = sum[0][c];
        for (int s = 1; s < CHAINS; s++) out[c] += sum[s][c];
    }
}

static inline float sigmoid(float x) { return 1 / (1 + expf(-x)); }

void run(PARAMETERS, long steps, float *restrict out) {
    vec matrix[N][C], weights[N][C], bias[C], gates[BLOCK][C];
    memcpy(matrix, U, sizeof matrix); memcpy(weights, W, sizeof weights); memcpy(bias, b, sizeof bias);
    SETUP
    const float *h = h0;
    for (long first = 0; first < steps; first += BLOCK) {
        long count = steps - first < BLOCK ? steps - first : BLOCK, t = 0;
        for (; t + ROWS <= count; t += ROWS) project(ROWS, x + (first + t) * N, matrix, bias, gates + t);
        for (; t < count; t++) project(1, x + (first + t) * N, matrix, bias, gates + t);
        for (t = 0; t < count; t++) {
            float *new = out + (first + t) * N;
            STEP
            h = new;
        }
    }
}
"""

# network -> (what comes before the loop, a step)
CELLS = {
    "rnn": ("", """
            vec sum[C];
            product(h, weights, gates[t], sum);
            for (int j = 0; j < N; j++) new[j] = tanhf(((float *)sum)[j]);"""),
    "gru": ("vec by_state[C]; memcpy(by_state, d, sizeof by_state);", """
            vec sum[C];
            product(h, weights, by_state, sum);
            const float *g = (float *)gates[t], *a = (float *)sum;
            for (int j = 0; j < N; j++) {
                float r = sigmoid(g[j] + a[j]), z = sigmoid(g[N + j] + a[N + j]);
                float n = tanhf(g[2 * N + j] + r * a[2 * N + j]);
                new[j] = n + z * (h[j] - n);
            }"""),
    "lstm": ("float c[N]; memcpy(c, c0, sizeof c);", """
            vec sum[C];
            product(h, weights, gates[t], sum);
            const float *a = (float *)sum;
            for (int j = 0; j < N; j++) {
                c[j] = sigmoid(a[N + j]) * c[j] + sigmoid(a[j]) * tanhf(a[2 * N + j]);
                new[j] = sigmoid(a[3 * N + j]) * tanhf(c[j]);
            }"""),
}  # fmt: skip


def by_c(name: str, gates: int, names: tuple[str, ...], inputs: Inputs) -> Callable[[], Any]:
    steps, units = inputs["x"].shape
    given = ", ".join(f"const float *restrict {n}" for n in names)
    setup, step = CELLS[name]
    source = f"#define N {units}\n#define GATES {gates}\n#define ROWS {8 if gates == 1 else 4}\n{SOURCE}"
    for place, text in {"PARAMETERS": given, "SETUP": setup, "STEP": step}.items():
        source = source.replace(place, text)
    run = peers.by_c(source, lambda inputs: [np.empty_like(inputs["x"])], *names, "steps")
    return run(inputs | {"steps": steps})
