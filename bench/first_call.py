"""One process of the `startup` workload: python bench/first_call.py IMPLEMENTATION

Times, with only NumPy loaded before, the import of a package, its first call of AR(2) on ten steps
(tracing, compiling or loading from its disk cache, running), and then its later calls. Prints the seconds
as JSON.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np

STEPS = 10
MODULES = ("scancc", "numba", "jax", "pytensor")


def cached_njit(inputs: Any) -> Callable[[], Any]:
    import numba

    @numba.njit(cache=True)
    def ar2(x, y0, a, b):
        y = np.empty(len(x))
        y2, y1 = y0
        for t in range(len(x)):
            y2, y1 = y1, x[t] + a * y1 + b * y2
            y[t] = y1
        return y

    return lambda: ar2(**inputs)


def main() -> None:
    name = sys.argv[1]
    start = perf_counter()
    importlib.import_module(name)
    import_s = perf_counter() - start

    import ar2  # after the clock: it loads scancc and SciPy
    import peers

    factories = {
        "scancc": peers.by_scancc(ar2.ar2, *ar2.NAMES),
        "numba": cached_njit,
        "jax": peers.by_jax(ar2.by_jax, *ar2.NAMES),
        "pytensor": peers.by_pytensor(ar2.by_pytensor, *ar2.NAMES),
    }
    inputs = ar2.make_inputs(STEPS)
    start = perf_counter()
    call = factories[name](inputs)
    result = np.asarray(call())
    first_s = perf_counter() - start
    calls = []
    for _ in range(200):
        start = perf_counter()
        call()
        calls.append(perf_counter() - start)
    print(
        json.dumps({"import": import_s, "first": first_s, "call": median(calls), "last": float(result[-1])})
    )


if __name__ == "__main__":
    main()
