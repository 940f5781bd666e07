"""A^k element by element, as a loop: result = result * A, k times, of which the last row is wanted, float64.

The first example of Theano's documentation of scan. A has ten elements, or is one number; the critical path is one
multiplication a step. scancc finds that such a loop is a power of A (`passes/loops/geometric_loops.py`), so its time
does not depend on k, and peers that run the loop are no match; "numpy, A**k" is what says so at once. Its derivative
needs every row: k A^(k-1), as the loop has it. For one number C, which -ffast-math lets reorder products, makes several
partial ones.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import peers

import scancc as sc
from scancc.measure import Factory, Inputs, Workload

WIDTH = 10
NAMES = ("A", "k")


def make_inputs(steps: int, width: int | None = WIDTH) -> dict[str, Any]:
    """A of shape (width,), or one number for None, so near 1 that A^k stays within a few orders of magnitude; k."""
    A = 1.0 + np.random.default_rng(10).normal(size=width) / steps
    return {"A": A if width else float(A), "k": steps}


@sc.jit
def power(A, k):
    return sc.scan(lambda result, A: result * A, outputs_info=np.ones_like(A), non_sequences=A, n_steps=k)[-1]


power_gradient = sc.jit(sc.grad(lambda A, k: power(A, k).sum()))


def scancc_example_inputs() -> dict[str, tuple]:
    arguments = tuple(make_inputs(10**5)[n] for n in NAMES)
    return {"power": arguments, "power_gradient": arguments}


def rows(A, k):
    result = np.ones_like(A)
    for _ in range(k):
        for i in range(len(A)):
            result[i] *= A[i]
    return result


def columns(A, k):
    result = np.empty_like(A)
    for i in range(len(A)):
        a, one = A[i], 1.0
        for _ in range(k):
            one *= a
        result[i] = one
    return result


def in_locals(A, k):
    a0, a1, a2, a3, a4, a5, a6, a7, a8, a9 = A[0], A[1], A[2], A[3], A[4], A[5], A[6], A[7], A[8], A[9]
    r0 = r1 = r2 = r3 = r4 = r5 = r6 = r7 = r8 = r9 = 1.0
    for _ in range(k):
        r0, r1, r2, r3, r4 = r0 * a0, r1 * a1, r2 * a2, r3 * a3, r4 * a4
        r5, r6, r7, r8, r9 = r5 * a5, r6 * a6, r7 * a7, r8 * a8, r9 * a9
    return np.array([r0, r1, r2, r3, r4, r5, r6, r7, r8, r9])


def of_one(A, k):
    result = 1.0
    for _ in range(k):
        result *= A
    return result


def adjoint(A, k):
    history = np.empty((k, len(A)))
    history[0] = 1.0
    for t in range(1, k):
        for i in range(len(A)):
            history[t, i] = history[t - 1, i] * A[i]
    gradient = np.zeros_like(A)
    d = np.ones_like(A)
    for t in range(k - 1, -1, -1):
        for i in range(len(A)):
            gradient[i] += d[i] * history[t, i]
            d[i] *= A[i]
    return gradient


C = """
void run(const double *restrict A, long k, double *restrict result) {
    double r[10], a[10];
    for (int i = 0; i < 10; i++) { r[i] = 1.0; a[i] = A[i]; }
    for (long t = 0; t < k; t++)
        for (int i = 0; i < 10; i++) r[i] *= a[i];
    for (int i = 0; i < 10; i++) result[i] = r[i];
}
"""

C_OF_ONE = """
void run(double A, long k, double *restrict result) {
    double r = 1.0;
    for (long t = 0; t < k; t++) r *= A;
    *result = r;
}
"""

C_ADJOINT = """
#include <stdlib.h>
void run(const double *restrict A, long k, double *restrict gradient) {
    double *restrict history = malloc(10 * k * sizeof(double));
    double r[10], a[10], d[10], g[10];
    for (int i = 0; i < 10; i++) { r[i] = 1.0; a[i] = A[i]; d[i] = 1.0; g[i] = 0.0; }
    for (long t = 0; t < k; t++)
        for (int i = 0; i < 10; i++) { history[10 * t + i] = r[i]; r[i] *= a[i]; }
    for (long t = k - 1; t >= 0; t--)
        for (int i = 0; i < 10; i++) { g[i] += d[i] * history[10 * t + i]; d[i] *= a[i]; }
    for (int i = 0; i < 10; i++) gradient[i] = g[i];
    free(history);
}
"""


def by_jax(jax, A, k, unroll=1):
    return jax.lax.fori_loop(0, k, lambda _, result: result * A, jax.numpy.ones_like(A), unroll=unroll)


def jax_scan(jax, A, steps, unroll=1):
    ones = jax.numpy.ones_like(A)
    return jax.lax.scan(lambda result, _: (result * A, None), ones, length=steps, unroll=unroll)[0]


def of_known_length(function: Callable[..., Any], **options: Any) -> Factory:
    """What XLA unrolls or differentiates has a number of steps that it knows: it compiles anew for another one."""

    def factory(inputs: Inputs) -> Callable[[], Any]:
        return peers.by_jax(partial(function, steps=inputs["k"], **options), "A")(inputs)

    return factory


def jax_gradient(jax, A, steps, unroll=1):
    return jax.grad(lambda A: jax_scan(jax, A, steps, unroll).sum())(A)


def by_pytensor(pytensor, A, k):
    from pytensor import tensor

    return pytensor.scan(lambda result, A: result * A, outputs_info=tensor.ones_like(A), non_sequences=A, n_steps=k,
                         return_updates=False)[-1]  # fmt: skip


def pytensor_loss(pytensor, A, k):
    return by_pytensor(pytensor, A, k).sum()


def workloads(quick: bool) -> list[Workload]:
    common = {
        "scancc": peers.by_scancc(power, *NAMES),
        "jax, fori_loop": peers.by_jax(by_jax, *NAMES),
        "jax, scan": of_known_length(jax_scan),
        "jax, scan, unroll=8": of_known_length(jax_scan, unroll=8),
        "pytensor": peers.by_pytensor(by_pytensor, *NAMES),
        "numpy, A**k": peers.by_call(lambda A, k: A**k, *NAMES),
    }
    forward = common | {
        "numba": peers.by_numba(rows, *NAMES),
        "numba, element by element": peers.by_numba(columns, *NAMES),
        "numba, ten locals": peers.by_numba(in_locals, *NAMES),
        "c": peers.by_c(C, lambda inputs: [np.empty(WIDTH)], *NAMES),
    }
    of_number = common | {
        "numba": peers.by_numba(of_one, *NAMES),
        "c": peers.by_c(C_OF_ONE, lambda inputs: [np.empty(())], *NAMES),
    }
    gradient = {
        "scancc": peers.by_scancc(power_gradient, *NAMES),
        "numba": peers.by_numba(adjoint, *NAMES),
        "c": peers.by_c(C_ADJOINT, lambda inputs: [np.empty(WIDTH)], *NAMES),
        "jax": of_known_length(jax_gradient),
        "jax, unroll=8": of_known_length(jax_gradient, unroll=8),
        "pytensor": peers.by_pytensor(peers.pytensor_gradient(pytensor_loss, 0), *NAMES),
    }
    size, steps = ("1e3", 10**3) if quick else ("1e5", 10**5)
    oracle = peers.interpreted(power, *NAMES)
    return [
        Workload(f"power/{size}", steps, partial(make_inputs, steps), peers.raced(forward, quick), group="scalar",
                 oracle=oracle),
        Workload(f"power-number/{size}", steps, partial(make_inputs, steps, None), peers.raced(of_number, quick),
                 group="scalar", oracle=oracle),
        Workload(f"power-gradient/{size}", steps, partial(make_inputs, steps), peers.raced(gradient, quick),
                 group="scalar", gradient=True, oracle=peers.interpreted(power_gradient, *NAMES)),
    ]  # fmt: skip
