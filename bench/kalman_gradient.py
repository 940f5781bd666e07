"""The gradient of the Kalman log-likelihood by the model as one writes it by hand: a sweep back over what is kept.

With G and M the derivatives by the updated covariance and mean, both symmetric where their matrix is, and w = S^-1 v:

    E, e = K' G, K' M
    S* = E K - (e w' + w e') / 2 + (w w' - S^-1) / 2,    v* = e - w            by S and v
    V = w M' / 2 - E,    m* = M - H' v*,                                       by the predicted mean
    P* = G + H' (V + S* H / 2) + (V + S* H / 2)' H                             by the predicted covariance
    dH += 2 (V + S* H) P - v* m',    dF += 2 P* F P + m* m',    dQ += P*,    dR += S*
    G, M = F' P* F, F' m*

where dH has the predicted m and P, and dF those of the step before. "straight line" has an assignment an entry, for
Numba and C alike, and computes one triangle of symmetric matrices; the other C has vectors for the rows of matrices.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import peers
import straight_line
from straight_line import Matrix, Writer, entries, transpose

from scancc.measure import Inputs

NAMES = ("y", "m0", "P0", "F", "H", "Q", "R")


def model(w: Writer, states: int, observed: int) -> tuple[Matrix, Matrix, Matrix, Matrix]:
    """F, H, Q and R as locals."""
    return (w.assign(entries("F", states, states), "f"), w.assign(entries("H", observed, states), "h"),
            w.assign(entries("Q", states, states), "q", symmetric=True),
            w.assign(entries("R", observed, observed), "r", symmetric=True))  # fmt: skip


def forward(w: Writer, F: Matrix, H: Matrix, Q: Matrix, R: Matrix, m: Matrix, P: Matrix) -> list[Matrix]:
    """A step of the filter, which ends in m and P; what the sweep back reads, symmetric matrices among it."""
    before = [w.assign(m), w.assign(P, symmetric=True)]
    mean = w.product(F, m)
    predicted = w.sum(w.product(w.product(F, P), transpose(F), symmetric=True), Q, symmetric=True)
    v = w.sum([[f"y[t, {i}]"] for i in range(len(H))], w.product(H, mean), "-")
    cross = w.product(predicted, transpose(H))
    inverse, _ = w.inverse(w.sum(w.product(H, cross, symmetric=True), R, symmetric=True), symmetric=True)
    K = w.product(cross, inverse)
    w.assign(w.sum(mean, w.product(K, v)), "m")
    correction = w.product(K, transpose(cross), symmetric=True)
    w.assign(w.sum(predicted, correction, "-", symmetric=True), "p", symmetric=True)
    return [*before, mean, predicted, K, w.product(inverse, v), inverse]


def back(w: Writer, F: Matrix, H: Matrix, G: Matrix, M: Matrix, kept: list[Matrix]) -> None:
    m, P, mean, predicted, K, weighted, inverse = kept
    half = w.assign([[f"0.5 * {row[0]}"] for row in weighted])
    E, e = w.product(transpose(K), G), w.product(transpose(K), M)
    by_v = w.sum(e, weighted, "-")
    by_S = w.product(E, K, symmetric=True)
    by_S = w.assign([[f"{by_S[i][j]} - ({half[i][0]} * {by_v[j][0]} + {e[i][0]} * {half[j][0]} + 0.5 * {inverse[i][j]})"
                      for j in range(len(H))] for i in range(len(H))], symmetric=True)  # fmt: skip
    by_mean = w.sum(M, w.product(transpose(H), by_v), "-")
    V = w.sum(w.product(half, transpose(M)), E, "-")
    SH = w.product(by_S, H)
    W = w.assign([[f"{v} + 0.5 * {s}" for v, s in zip(*rows, strict=True)] for rows in zip(V, SH, strict=True)])
    HW = w.product(transpose(H), W)
    by_P = w.assign([[f"{G[i][j]} + ({HW[i][j]} + {HW[j][i]})" for j in range(len(F))] for i in range(len(F))],
                    symmetric=True)  # fmt: skip
    D = w.product(by_P, F)
    accumulate(w, "gh", w.product(w.sum(V, SH), predicted), by_v, mean, "-")
    accumulate(w, "gf", w.product(D, P), by_mean, m, "+")
    for name, term in (("gq", by_P), ("gr", by_S)):
        w.assign([[f"{name}_{i}_{j} + {x}" for j, x in enumerate(row)] for i, row in enumerate(term)], name,
                 symmetric=True)  # fmt: skip
    w.assign(w.product(transpose(F), D, symmetric=True), "g", symmetric=True)
    w.assign(w.product(transpose(F), by_mean), "d")


def accumulate(w: Writer, name: str, product: Matrix, left: Matrix, right: Matrix, sign: str) -> None:
    """Half of the derivative: product +- left right' / 2."""
    w.assign([[f"{name}_{i}_{j} + ({x} {sign} 0.5 * {left[i][0]} * {right[j][0]})" for j, x in enumerate(row)]
              for i, row in enumerate(product)], name)  # fmt: skip


def written_out(states: int, observed: int) -> tuple[list[str], list[str], list[str], list[str], list[str], int]:
    """(before the loops, a step forward, between them, a step back, the results, numbers that are kept of a step)."""
    setup, on, turn, off, end = (Writer() for _ in range(5))
    F, H, Q, R = model(setup, states, observed)
    m = setup.assign([[f"m0[{i}]"] for i in range(states)], "m")
    P = setup.assign(entries("P0", states, states), "p", symmetric=True)
    kept = forward(on, F, H, Q, R, m, P)
    names = list(dict.fromkeys(name for matrix in kept for row in matrix for name in row))
    on.lines += [f"kept[t, {i}] = {name}" for i, name in enumerate(names)]
    zeros = {n: turn.assign([["0.0"] * columns for _ in range(rows)], n, symmetric=n in ("g", "gq", "gr"))
             for n, rows, columns in (("g", states, states), ("d", states, 1), ("gf", states, states),
                                      ("gh", observed, states), ("gq", states, states),
                                      ("gr", observed, observed))}  # fmt: skip
    place = {name: f"kept[t, {i}]" for i, name in enumerate(names)}
    loaded = {name: f"k_{i}" for i, name in enumerate(names)}
    off.lines += [f"{loaded[n]} = {place[n]}" for n in names]
    back(off, F, H, zeros["g"], zeros["d"], [[[loaded[n] for n in row] for row in matrix] for matrix in kept])
    for n, out, scale in (("gf", "by_F", "2.0 * "), ("gh", "by_H", "2.0 * "), ("gq", "by_Q", ""), ("gr", "by_R", "")):
        end.lines += [f"{out}[{i}, {j}] = {scale}{x}" for i, row in enumerate(zeros[n]) for j, x in enumerate(row)]
    return setup.lines, on.lines, turn.lines, off.lines, end.lines, len(names)


def by_numba(states: int, observed: int, inputs: Inputs) -> Callable[[], Any]:
    setup, on, turn, off, end, width = written_out(states, observed)
    source = "\n".join([
        f"def run({', '.join(NAMES)}):",
        f"    kept = np.empty((len(y), {width}))",
        "    by_F, by_H, by_Q, by_R = np.empty_like(F), np.empty_like(H), np.empty_like(Q), np.empty_like(R)",
        *("    " + line for line in setup),
        "    for t in range(len(y)):",
        *("        " + line for line in on),
        *("    " + line for line in turn),
        "    for t in range(len(y) - 1, -1, -1):",
        *("        " + line for line in off),
        *("    " + line for line in end),
        "    return by_F, by_H, by_Q, by_R",
    ])  # fmt: skip
    namespace: dict[str, Any] = {"np": np}
    exec(source, namespace)
    return peers.by_numba(namespace["run"], *NAMES)(inputs)


def results(inputs: Inputs) -> list[np.ndarray]:
    return [np.empty_like(inputs[n]) for n in ("F", "H", "Q", "R")]


HEADER = (
    f"void run({', '.join(f'const double *restrict {n}' for n in NAMES)}, long n,\n"
    "         double *restrict by_F, double *restrict by_H, double *restrict by_Q, double *restrict by_R)"
)


def by_c_straight(states: int, observed: int, inputs: Inputs) -> Callable[[], Any]:
    setup, on, turn, off, end, width = written_out(states, observed)
    widths = {"y": observed, "kept": width} | {n: inputs[n].shape[-1] for n in NAMES[2:]}
    widths |= {f"by_{n}": widths[n] for n in "FHQR"}
    known = {line.partition(" = ")[0] for line in setup}
    before, forward_step = straight_line.in_c([setup, on], widths, assigned=set())
    between, back_step, after = straight_line.in_c([turn, off, end], widths, assigned=known)
    source = "\n".join([
        "#include <stdlib.h>", HEADER, "{",
        f"    double *restrict kept = malloc(n * {width} * sizeof(double));",
        *before,
        "    for (long t = 0; t < n; t++) {", *forward_step, "    }",
        *between,
        "    for (long t = n - 1; t >= 0; t--) {", *back_step, "    }",
        *after,
        "    free(kept);", "}",
    ])  # fmt: skip
    return peers.by_c(source, results, *NAMES, "steps")(inputs)


C_ROWS = """
#include <stdlib.h>
typedef double row __attribute__((vector_size(N * 8)));
typedef struct { row m, P[N], mean, predicted[N], K[O]; double w[O], inverse[O][O]; } step;  /* K is transposed */

static inline double dot(row a, row b) {
    double total = 0;
    for (int i = 0; i < N; i++) total += a[i] * b[i];
    return total;
}

static inline void invert(double S[O][O], double inverse[O][O]) {
#if O == 1
    inverse[0][0] = 1 / S[0][0];
#else
    double scale = 1 / (S[0][0] * S[1][1] - S[0][1] * S[0][1]);
    inverse[0][0] = S[1][1] * scale; inverse[1][1] = S[0][0] * scale;
    inverse[0][1] = inverse[1][0] = -S[0][1] * scale;
#endif
}

HEADER
{
    step *kept = aligned_alloc(64, (n * sizeof(step) + 63) / 64 * 64);
    row f[N], ft[N], q[N], h[O], m, P[N];
    for (int i = 0; i < N; i++) {
        m[i] = m0[i];
        for (int j = 0; j < N; j++) {
            f[i][j] = F[i * N + j]; ft[j][i] = F[i * N + j]; q[i][j] = Q[i * N + j]; P[i][j] = P0[i * N + j];
        }
    }
    for (int a = 0; a < O; a++) for (int j = 0; j < N; j++) h[a][j] = H[a * N + j];
    for (long t = 0; t < n; t++) {
        step *s = kept + t;
        row fp[N], mean = {0}, predicted[N], cross[O], K[O];
        double v[O], S[O][O], inverse[O][O];
        s->m = m;
        for (int i = 0; i < N; i++) {
            s->P[i] = P[i];
            mean += m[i] * ft[i];
            fp[i] = f[i][0] * P[0];
            for (int k = 1; k < N; k++) fp[i] += f[i][k] * P[k];
        }
        for (int i = 0; i < N; i++) {
            predicted[i] = q[i];
            for (int k = 0; k < N; k++) predicted[i] += fp[i][k] * ft[k];
        }
        for (int a = 0; a < O; a++) {
            cross[a] = h[a][0] * predicted[0];
            for (int k = 1; k < N; k++) cross[a] += h[a][k] * predicted[k];
            v[a] = y[t * O + a] - dot(h[a], mean);
            for (int b = 0; b <= a; b++) S[a][b] = S[b][a] = dot(cross[a], h[b]) + R[a * O + b];
        }
        invert(S, inverse);
        m = mean;
        for (int a = 0; a < O; a++) {
            double w = 0;
            K[a] = (row){0};
            for (int b = 0; b < O; b++) { w += inverse[a][b] * v[b]; K[a] += inverse[a][b] * cross[b]; }
            m += v[a] * K[a];
            s->w[a] = w; s->K[a] = K[a];
            for (int b = 0; b < O; b++) s->inverse[a][b] = inverse[a][b];
        }
        s->mean = mean;
        for (int i = 0; i < N; i++) {
            s->predicted[i] = P[i] = predicted[i];
            for (int a = 0; a < O; a++) P[i] -= K[a][i] * cross[a];
        }
    }
    row G[N] = {{0}}, M = {0}, gf[N] = {{0}}, gq[N] = {{0}}, gh[O] = {{0}};
    double gr[O][O] = {{0}};
    for (long t = n - 1; t >= 0; t--) {
        const step *s = kept + t;
        row E[O], by_mean = M, V[O], U[O], W[O], by_cov[N], D[N];
        double e[O], by_v[O], by_s[O][O];
        for (int a = 0; a < O; a++) {
            E[a] = s->K[a][0] * G[0];
            for (int k = 1; k < N; k++) E[a] += s->K[a][k] * G[k];
            e[a] = dot(s->K[a], M);
            by_v[a] = e[a] - s->w[a];
            by_mean -= by_v[a] * h[a];
            V[a] = 0.5 * s->w[a] * M - E[a];
        }
        for (int a = 0; a < O; a++)
            for (int b = 0; b <= a; b++) {
                double outer = s->w[a] * by_v[b] + e[a] * s->w[b];
                by_s[a][b] = by_s[b][a] = dot(E[a], s->K[b]) - 0.5 * (outer + s->inverse[a][b]);
            }
        for (int a = 0; a < O; a++) {
            row sh = by_s[a][0] * h[0];
            for (int b = 1; b < O; b++) sh += by_s[a][b] * h[b];
            U[a] = V[a] + sh; W[a] = V[a] + 0.5 * sh;
            gh[a] -= 0.5 * by_v[a] * s->mean;
            for (int k = 0; k < N; k++) gh[a] += U[a][k] * s->predicted[k];
            for (int b = 0; b < O; b++) gr[a][b] += by_s[a][b];
        }
        for (int i = 0; i < N; i++) {
            by_cov[i] = G[i];
            for (int a = 0; a < O; a++) by_cov[i] += h[a][i] * W[a] + W[a][i] * h[a];
            gq[i] += by_cov[i];
            D[i] = by_cov[i][0] * f[0];
            for (int k = 1; k < N; k++) D[i] += by_cov[i][k] * f[k];
            gf[i] += 0.5 * by_mean[i] * s->m;
            for (int k = 0; k < N; k++) gf[i] += D[i][k] * s->P[k];
        }
        M = (row){0};
        for (int i = 0; i < N; i++) {
            M += by_mean[i] * f[i];
            G[i] = f[0][i] * D[0];
            for (int k = 1; k < N; k++) G[i] += f[k][i] * D[k];
        }
    }
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) { by_F[i * N + j] = 2 * gf[i][j]; by_Q[i * N + j] = gq[i][j]; }
    for (int a = 0; a < O; a++) {
        for (int j = 0; j < N; j++) by_H[a * N + j] = 2 * gh[a][j];
        for (int b = 0; b < O; b++) by_R[a * O + b] = gr[a][b];
    }
    free(kept);
}
"""


def by_c_rows(states: int, observed: int, inputs: Inputs) -> Callable[[], Any]:
    source = f"#define N {states}\n#define O {observed}\n" + C_ROWS.replace("HEADER", HEADER)
    return peers.by_c(source, results, *NAMES, "steps")(inputs)
