"""Dynamic time warping of two series: a scan over the cells of a row in a scan over rows, float64; and its gradient.

    D[i, j] = |x[i] - y[j]| + min(D[i-1, j-1], D[i-1, j], D[i, j-1])

Only the last cell is wanted. The minimum and the sum of a cell wait for the cell on its left, so a row is a recurrence
of two operations; cells of a diagonal are independent, which "numba, diagonals" and "numpy, diagonals" make use of.
Times are per cell. The gradient is by both series: the sign of the difference along the cheapest path.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import peers

import scancc as sc
from scancc.measure import Workload

NAMES = ("x", "y")


def make_inputs(length: int) -> dict[str, Any]:
    """x and y of shape (length,): the same wave, one of them delayed by more and more, with noise."""
    r = np.random.default_rng(5)
    time = np.linspace(0, 6 * np.pi, length)
    noise = 0.1 * r.normal(size=(2, length))
    return {"x": np.sin(time) + noise[0], "y": np.sin(time - 0.3 * np.sin(time / 3)) + noise[1], "length": length}


@sc.jit
def dtw(x, y):
    def row(x_i, above, y):
        def cell(y_j, corner, up, left, x_i):
            return abs(x_i - y_j) + np.minimum(np.minimum(corner, up), left)

        cells = sc.scan(cell, [y, above[:-1], above[1:]], np.inf, x_i)
        return np.concatenate([np.full(1, np.inf), cells])

    first = np.concatenate([np.zeros(1), np.full(y.shape[0], np.inf)])
    return sc.scan(row, x, first, y)[-1, -1]


dtw_gradient = sc.jit(sc.grad(dtw, (0, 1)))


def scancc_example_inputs() -> dict[str, tuple]:
    arguments = tuple(make_inputs(500)[n] for n in NAMES)
    return {"dtw": arguments, "dtw_gradient": arguments}


def loop(x, y):
    """One row, overwritten from left to right."""
    row = np.full(len(y), np.inf)
    before = 0.0
    for i in range(len(x)):
        corner, left, x_i = before, np.inf, x[i]
        before = np.inf
        for j in range(len(y)):
            up = row[j]
            left = abs(x_i - y[j]) + min(min(corner, up), left)
            row[j], corner = left, up
    return row[-1]


def diagonals(x, y):
    """Cells of a diagonal depend on the two diagonals before; y reversed, so that all is read forwards."""
    n, m = len(x), len(y)
    back = y[::-1].copy()
    last2, last1, new = np.full(n + 1, np.inf), np.full(n + 1, np.inf), np.full(n + 1, np.inf)
    last2[0] = 0.0  # by row: entry i + 1 is the cell of row i on that diagonal
    for d in range(n + m - 1):
        low, high = max(0, d - m + 1), min(n, d + 1)
        new[low] = np.inf
        for i in range(low, high):
            least = min(min(last2[i], last1[i]), last1[i + 1])
            new[i + 1] = abs(x[i] - back[m - 1 - d + i]) + least
        if high < n:
            new[high + 1] = np.inf
        last2, last1, new = last1, new, last2
    return last1[n]


def adjoint(x, y):
    """Back along the path of least cost."""
    n, m = len(x), len(y)
    table = np.full((n + 1, m + 1), np.inf)
    table[0, 0] = 0.0
    for i in range(n):
        left, x_i = np.inf, x[i]
        for j in range(m):
            left = abs(x_i - y[j]) + min(min(table[i, j], table[i, j + 1]), left)
            table[i + 1, j + 1] = left
    gx, gy = np.zeros(n), np.zeros(m)
    i, j = n, m
    while i > 0 and j > 0:
        slope = np.sign(x[i - 1] - y[j - 1])
        gx[i - 1] += slope
        gy[j - 1] -= slope
        corner, up, left = table[i - 1, j - 1], table[i - 1, j], table[i, j - 1]
        if corner <= up and corner <= left:
            i, j = i - 1, j - 1
        elif up <= left:
            i -= 1
        else:
            j -= 1
    return gx, gy


C = """
#include <math.h>
#include <stdlib.h>
void run(const double *restrict x, const double *restrict y, long n, double *restrict distance) {
    const double far = 1e300;  /* -ffast-math has no infinity */
    double *restrict row = malloc(n * sizeof(double)), before = 0;
    for (long j = 0; j < n; j++) row[j] = far;
    for (long i = 0; i < n; i++) {
        double corner = before, left = far;
        before = far;
        for (long j = 0; j < n; j++) {
            double up = row[j], least = corner < up ? corner : up;
            least = least < left ? least : left;
            row[j] = left = fabs(x[i] - y[j]) + least;
            corner = up;
        }
    }
    *distance = row[n - 1];
    free(row);
}
"""


def by_numpy(x, y):
    """The diagonals as whole-array operations."""
    n, m = len(x), len(y)
    back = y[::-1]
    last2, last1 = np.full(n + 1, np.inf), np.full(n + 1, np.inf)
    last2[0] = 0.0
    for d in range(n + m - 1):
        low, high = max(0, d - m + 1), min(n, d + 1)
        new = np.full(n + 1, np.inf)
        least = np.minimum(np.minimum(last2[low:high], last1[low:high]), last1[low + 1 : high + 1])
        start = m - 1 - d
        new[low + 1 : high + 1] = np.abs(x[low:high] - back[start + low : start + high]) + least
        last2, last1 = last1, new
    return last1[n]


def by_jax(jax, x, y, unroll=1):
    jnp = jax.numpy

    def row(above, x_i):
        def cell(left, given):
            cost, least = given
            left = cost + jnp.minimum(least, left)
            return left, left

        given = (jnp.abs(x_i - y), jnp.minimum(above[:-1], above[1:]))  # what does not wait, for the whole row
        cells = jax.lax.scan(cell, jnp.inf, given, unroll=unroll)[1]
        return jnp.concatenate([jnp.full(1, jnp.inf), cells]), None

    first = jnp.concatenate([jnp.zeros(1), jnp.full(len(y), jnp.inf)])
    return jax.lax.scan(row, first, x)[0][-1]


def jax_diagonals(jax, x, y):
    """Whole diagonals: one vector operation each."""
    jnp = jax.numpy
    n, m = len(x), len(y)
    padded = jnp.concatenate([jnp.full(n - 1, jnp.inf), y[::-1], jnp.full(n, jnp.inf)])

    def diagonal(carry, d):
        last2, last1 = carry
        cost = jnp.abs(x - jax.lax.dynamic_slice(padded, (n + m - 2 - d,), (n,)))  # infinite beside the table
        new = cost + jnp.minimum(jnp.minimum(last2[:-1], last1[:-1]), last1[1:])
        return (last1, jnp.concatenate([jnp.full(1, jnp.inf), new])), None

    first = jnp.full(n + 1, jnp.inf)
    return jax.lax.scan(diagonal, (first.at[0].set(0.0), first), jnp.arange(n + m - 1))[0][1][-1]


def by_pytensor(pytensor, x, y):
    from pytensor import tensor

    inf = tensor.constant(np.inf, dtype=x.dtype)

    def row(x_i, above, y):
        def cell(y_j, corner, up, left, x_i):
            return abs(x_i - y_j) + tensor.minimum(tensor.minimum(corner, up), left)

        cells = pytensor.scan(cell, sequences=[y, above[:-1], above[1:]], outputs_info=inf, non_sequences=x_i,
                              return_updates=False)  # fmt: skip
        return tensor.concatenate([inf[None], cells])

    first = tensor.concatenate([tensor.zeros(1, dtype=x.dtype), tensor.alloc(inf, y.shape[0])])
    return pytensor.scan(row, sequences=x, outputs_info=first, non_sequences=y, return_updates=False)[-1, -1]


def workloads(quick: bool) -> list[Workload]:
    def pair(inputs: Any) -> list[np.ndarray]:
        return [np.empty(())]

    forward: dict[str, Callable[..., Any]] = {
        "scancc": peers.by_scancc(dtw, *NAMES),
        "numba": peers.by_numba(loop, *NAMES),
        "numba, diagonals": peers.by_numba(diagonals, *NAMES),
        "c": peers.by_c(C, pair, *NAMES, "length"),
        "jax": peers.by_jax(by_jax, *NAMES),
        "jax, unroll=8": peers.by_jax(partial(by_jax, unroll=8), *NAMES),
        "jax, diagonals": peers.by_jax(jax_diagonals, *NAMES),
        "pytensor": peers.by_pytensor(by_pytensor, *NAMES),
        "numpy, diagonals": peers.by_call(by_numpy, *NAMES),
    }
    gradient: dict[str, Callable[..., Any]] = {
        "scancc": peers.by_scancc(dtw_gradient, *NAMES),
        "numba": peers.by_numba(adjoint, *NAMES),
        "jax": peers.by_jax(peers.jax_gradient(by_jax, (0, 1)), *NAMES),
        "pytensor": peers.by_pytensor(peers.pytensor_gradient(by_pytensor, (0, 1)), *NAMES),
    }
    length, shorter = (50, 50) if quick else (500, 200)  # the interpreter takes 20 to 100 microseconds a cell
    return [
        Workload(f"dtw/{length}", length**2, partial(make_inputs, length), peers.raced(forward, quick), group="scalar",
                 oracle=peers.interpreted(dtw, *NAMES)),
        Workload(f"dtw-gradient/{shorter}", shorter**2, partial(make_inputs, shorter), peers.raced(gradient, quick),
                 group="scalar", gradient=True, oracle=peers.interpreted(dtw_gradient, *NAMES)),
    ]  # fmt: skip
