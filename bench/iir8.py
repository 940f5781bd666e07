"""A recursive filter of order 8, direct form, its whole output kept, float64; and the gradient by its coefficients.

    y[t] = sum over k = 0..8 of b[k] x[t-k]  -  sum over k = 1..8 of a[k] y[t-k]

b and a are those of a Butterworth low-pass filter. Nine multiply-adds of a step do not wait for the step before, which
the hand-written loops compute first; of the other eight only that of y[t-1] lies on the critical path, if it is added
last. SciPy has the transposed form (`lfilter`) and second-order sections (`sosfilt`), which are another computation
with the same result. The gradient is that of the output's sum of squares.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import peers
from scipy import signal

import scancc as sc
from scancc.measure import Inputs, Workload

ORDER, CUTOFF = 8, 0.3  # of the Nyquist frequency
NAMES = ("b", "a", "x")


def make_inputs(steps: int) -> dict[str, Any]:
    """b (9,) and a (9,) with a[0] = 1, x (steps,); before the first step everything is 0."""
    b, a = signal.butter(ORDER, CUTOFF)
    return {"x": np.random.default_rng(8).normal(size=steps), "b": b, "a": a, "steps": steps}


@sc.jit
def iir8(b, a, x):
    def step(*values):
        x, y, (b, a) = values[:9], values[9:17], values[17:]
        return sum(b[k] * x[-1 - k] for k in range(ORDER + 1)) - sum(a[k] * y[-k] for k in range(1, ORDER + 1))

    padded = np.concatenate([np.zeros(ORDER), x])
    return sc.scan(step, dict(input=padded, taps=list(range(-ORDER, 1))),
                   dict(initial=np.zeros(ORDER), taps=list(range(-ORDER, 0))), [b, a])  # fmt: skip


iir8_gradient = sc.jit(sc.grad(lambda b, a, x: (iir8(b, a, x) ** 2).sum(), (0, 1)))


def scancc_example_inputs() -> dict[str, tuple]:
    arguments = tuple(make_inputs(10**5)[n] for n in NAMES)
    return {"iir8": arguments, "iir8_gradient": arguments}


def loop(b, a, x):
    n = len(x)
    padded, y = np.zeros(n + 8), np.empty(n)
    padded[8:] = x
    b0, b1, b2, b3, b4, b5, b6, b7, b8 = b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8]
    a1, a2, a3, a4, a5, a6, a7, a8 = a[1], a[2], a[3], a[4], a[5], a[6], a[7], a[8]
    for t in range(n):  # vectorised
        p = padded[t : t + 9]
        y[t] = (b0 * p[8] + b1 * p[7] + b2 * p[6]) + (b3 * p[5] + b4 * p[4] + b5 * p[3]) + (
            b6 * p[2] + b7 * p[1] + b8 * p[0])  # fmt: skip
    y1 = y2 = y3 = y4 = y5 = y6 = y7 = y8 = 0.0
    for t in range(n):
        old = (a2 * y2 + a3 * y3 + a4 * y4) + (a5 * y5 + a6 * y6 + a7 * y7 + a8 * y8)
        new = (y[t] - old) - a1 * y1
        y8, y7, y6, y5, y4, y3, y2, y1 = y7, y6, y5, y4, y3, y2, y1, new
        y[t] = new
    return y


def transposed(b, a, x):
    """Every state is one multiply-add of the input, one of the output, and the next state."""
    y, z = np.empty(len(x)), np.zeros(ORDER + 1)
    for t in range(len(x)):
        x_t = x[t]
        new = z[0] + b[0] * x_t
        for k in range(ORDER):
            z[k] = (z[k + 1] + b[k + 1] * x_t) - a[k + 1] * new
        y[t] = new
    return y


def adjoint(b, a, x):
    n = len(x)
    padded, y, d = np.zeros(n + 8), np.zeros(n + 8), np.zeros(n + 8)
    padded[8:] = x
    gb, ga = np.zeros(9), np.zeros(9)
    for t in range(n):
        total = 0.0
        for k in range(9):
            total += b[k] * padded[t + 8 - k]
        for k in range(8, 0, -1):
            total -= a[k] * y[t + 8 - k]
        y[t + 8] = total
    for t in range(n - 1, -1, -1):
        total = 2 * y[t + 8]
        for k in range(8, 0, -1):
            total -= a[k] * d[t + k]
        d[t] = total
    for k in range(9):  # vectorised
        for t in range(n):
            gb[k] += d[t] * padded[t + 8 - k]
            ga[k] -= d[t] * y[t + 8 - k]
    ga[0] = 0.0
    return gb, ga


C = """
void run(const double *restrict b, const double *restrict a, const double *restrict x, long n, double *restrict y) {
    for (long t = 0; t < n; t++) {
        double sum = 0;
        if (t >= 8) for (int k = 0; k < 9; k++) sum += b[k] * x[t - k];
        else for (int k = 0; k <= t; k++) sum += b[k] * x[t - k];
        y[t] = sum;
    }
    double a1 = a[1], a2 = a[2], a3 = a[3], a4 = a[4], a5 = a[5], a6 = a[6], a7 = a[7], a8 = a[8];
    double y1 = 0, y2 = 0, y3 = 0, y4 = 0, y5 = 0, y6 = 0, y7 = 0, y8 = 0;
    for (long t = 0; t < n; t++) {
        double old = (a2 * y2 + a3 * y3 + a4 * y4) + (a5 * y5 + a6 * y6 + a7 * y7 + a8 * y8);
        double new = (y[t] - old) - a1 * y1;
        y8 = y7; y7 = y6; y6 = y5; y5 = y4; y4 = y3; y3 = y2; y2 = y1; y1 = new;
        y[t] = new;
    }
}
"""

C_ADJOINT = """
#include <stdlib.h>
void run(const double *restrict b, const double *restrict a, const double *restrict x, long n,
         double *restrict gb, double *restrict ga) {
    double *restrict room = calloc(3 * (n + 8), sizeof(double));
    double *restrict p = room + 8, *restrict y = p + n + 8, *restrict d = y + n;
    for (long t = 0; t < n; t++) p[t] = x[t];
    for (long t = 0; t < n; t++) {
        double sum = 0;
        for (int k = 0; k < 9; k++) sum += b[k] * p[t - k];
        for (int k = 8; k > 0; k--) sum -= a[k] * y[t - k];
        y[t] = sum;
    }
    for (long t = n - 1; t >= 0; t--) {
        double sum = 2 * y[t];
        for (int k = 8; k > 0; k--) sum -= a[k] * d[t + k];
        d[t] = sum;
    }
    for (int k = 0; k < 9; k++) {
        double of_b = 0, of_a = 0;
        for (long t = 0; t < n; t++) { of_b += d[t] * p[t - k]; of_a -= d[t] * y[t - k]; }
        gb[k] = of_b; ga[k] = k ? of_a : 0;
    }
    free(room);
}
"""


def by_jax(jax, b, a, x, unroll=1):
    """The moving average for all steps before the loop, which carries eight numbers."""
    padded = jax.numpy.concatenate([jax.numpy.zeros(ORDER), x])
    inputs = sum(b[k] * padded[ORDER - k : len(x) + ORDER - k] for k in range(ORDER + 1))

    def step(last, x_t):  # last[k - 1] is y[t - k]
        y = (x_t - sum(a[k] * last[k - 1] for k in range(ORDER, 1, -1))) - a[1] * last[0]
        return (y, *last[:-1]), y

    return jax.lax.scan(step, (jax.numpy.zeros(()),) * ORDER, inputs, unroll=unroll)[1]


def jax_transposed(jax, b, a, x):
    """The same as one vector operation a step."""

    def step(z, x_t):
        y = z[0] + b[0] * x_t
        return jax.numpy.append(z[1:], 0.0) + b[1:] * x_t - a[1:] * y, y

    return jax.lax.scan(step, jax.numpy.zeros(ORDER), x)[1]


def jax_loss(jax, b, a, x, unroll=1):
    return (by_jax(jax, b, a, x, unroll) ** 2).sum()


def by_pytensor(pytensor, b, a, x):
    from pytensor import tensor

    def step(*values):
        x, y, (b, a) = values[:9], values[9:17], values[17:]
        return sum(b[k] * x[-1 - k] for k in range(ORDER + 1)) - sum(a[k] * y[-k] for k in range(1, ORDER + 1))

    padded = tensor.concatenate([tensor.zeros(ORDER), x])
    return pytensor.scan(step, sequences=dict(input=padded, taps=list(range(-ORDER, 1))),
                         outputs_info=[dict(initial=tensor.zeros(ORDER), taps=list(range(-ORDER, 0)))],
                         non_sequences=[b, a], return_updates=False)  # fmt: skip


def pytensor_loss(pytensor, *symbols):
    return (by_pytensor(pytensor, *symbols) ** 2).sum()


def sections(inputs: Inputs) -> Callable[[], Any]:
    sos, x = signal.butter(ORDER, CUTOFF, output="sos"), inputs["x"]
    return lambda: signal.sosfilt(sos, x)


def workloads(quick: bool) -> list[Workload]:
    forward = {
        "scancc": peers.by_scancc(iir8, *NAMES),
        "numba": peers.by_numba(loop, *NAMES),
        "numba, transposed": peers.by_numba(transposed, *NAMES),
        "c": peers.by_c(C, lambda inputs: [np.empty_like(inputs["x"])], *NAMES, "steps"),
        "jax": peers.by_jax(by_jax, *NAMES),
        "jax, unroll=8": peers.by_jax(partial(by_jax, unroll=8), *NAMES),
        "jax, transposed": peers.by_jax(jax_transposed, *NAMES),
        "pytensor": peers.by_pytensor(by_pytensor, *NAMES),
        "scipy, lfilter": peers.by_call(signal.lfilter, *NAMES),
        "scipy, sosfilt": sections,
    }
    gradient = {
        "scancc": peers.by_scancc(iir8_gradient, *NAMES),
        "numba": peers.by_numba(adjoint, *NAMES),
        "c": peers.by_c(C_ADJOINT, lambda inputs: [np.empty(9), np.empty(9)], *NAMES, "steps"),
        "jax": peers.by_jax(peers.jax_gradient(jax_loss, (0, 1)), *NAMES),
        "jax, unroll=8": peers.by_jax(peers.jax_gradient(partial(jax_loss, unroll=8), (0, 1)), *NAMES),
        "pytensor": peers.by_pytensor(peers.pytensor_gradient(pytensor_loss, (0, 1)), *NAMES),
    }
    size, steps = ("1e3", 10**3) if quick else ("3e4", 3 * 10**4)
    inputs = partial(make_inputs, steps)
    return [
        Workload(f"iir8/{size}", steps, inputs, peers.raced(forward, quick), group="scalar",
                 oracle=peers.interpreted(iir8, *NAMES)),
        Workload(f"iir8-gradient/{size}", steps, inputs, peers.raced(gradient, quick), group="scalar", gradient=True,
                 oracle=peers.interpreted(iir8_gradient, *NAMES)),
    ]  # fmt: skip
