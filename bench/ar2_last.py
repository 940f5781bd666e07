"""AR(2) of which only the last value is wanted, 1e7 steps, float64: time, and the memory that the call needs.

The author of a Numba or C loop or of a JAX scan keeps no history because they say so in the code. The scancc and
PyTensor versions take `[-1]` of the whole output and leave it to the compiler to see that one value is
enough; SciPy and "numba, whole output" compute the history and drop it. Peaks do not count the inputs (80 MB).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import ar2
import numpy as np
import peak_memory
import peers

import scancc as sc
from scancc.measure import Inputs, Result, Workload

NAMES = ar2.NAMES


@sc.jit
def ar2_last(a, b, x, y0):
    return ar2.ar2(a, b, x, y0)[-1]


def scancc_example_inputs() -> dict[str, tuple]:
    return {"ar2_last": tuple(ar2.make_inputs(10**5)[n] for n in NAMES)}


def scalars(a, b, x, y0):
    y2, y1 = y0
    for t in range(len(x)):
        y2, y1 = y1, (x[t] + b * y2) + a * y1
    return y1


C = """
void run(double a, double b, const double *restrict x, const double *restrict y0, long n, double *restrict last) {
    double y2 = y0[0], y1 = y0[1];
    for (long t = 0; t < n; t++) {
        double new = (x[t] + b * y2) + a * y1;
        y2 = y1; y1 = new;
    }
    *last = y1;
}
"""


def by_jax(jax, a, b, x, y0, unroll=1):
    def step(carry, x_t):
        y2, y1 = carry
        return (y1, (x_t + b * y2) + a * y1), None

    return jax.lax.scan(step, (y0[0], y0[1]), x, unroll=unroll)[0][1]


def by_pytensor(pytensor, *symbols):
    return ar2.by_pytensor(pytensor, *symbols)[-1]


def last_of(factory: Callable[[Inputs], Callable[[], Any]], inputs: Inputs) -> Callable[[], Any]:
    """The last value of what computes all."""
    whole = factory(inputs)
    return lambda: whole()[-1]


def workloads(quick: bool) -> list[Workload]:
    name, steps = ("1e5", 10**5) if quick else ("1e7", 10**7)
    implementations = {
        "scancc": peers.by_scancc(ar2_last, *NAMES),
        "numba": peers.by_numba(scalars, *NAMES),
        "numba, whole output": partial(last_of, peers.by_numba(ar2.in_order, *NAMES)),
        "c": peers.by_c(C, lambda inputs: [np.empty(())], *NAMES, "steps"),
        "jax": peers.by_jax(by_jax, *NAMES),
        "jax, unroll=8": peers.by_jax(partial(by_jax, unroll=8), *NAMES),
        "pytensor": peers.by_pytensor(by_pytensor, *NAMES),
        "scipy, lfilter": partial(last_of, ar2.lfilter),
    }
    return [Workload(f"ar2_last/{name}", steps, lambda: ar2.make_inputs(steps) | {"steps": steps},
                     peers.raced(implementations, quick), group="scalar", oracle=partial(last_of, ar2.oracle),
                     extras=peaks)]  # fmt: skip


def peaks(workload: Workload, result: Result) -> None:
    peak_memory.add_peaks("ar2_last", workload, result)
