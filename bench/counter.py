"""PyTensor's own benchmark of what scan keeps: x[t] = x[t-1] + 1 on a vector, of which different rows are read.

After `test_sit_sot_buffer_benchmark` of PyTensor's suite: 10 steps of 2 numbers, 512 of 2, 512 of 256, float64, of which
the last row, the last three, or all rows are wanted. The short ones measure what a call costs. Others than PyTensor and
scancc are told in the code which rows to keep.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import peers

import scancc as sc
from scancc.measure import Workload

NAMES = ("x0", "steps")
SIZES = ((10, 2), (512, 2), (512, 256))


def make_inputs(steps: int, width: int) -> dict[str, Any]:
    """x0 of shape (width,); the rows x[1] to x[steps - 1] are counted."""
    return {"x0": np.zeros(width), "steps": steps - 1, "width": width}


def rows(x0, steps):
    return sc.scan(lambda x: x + 1, outputs_info=x0, n_steps=steps)


counter_last = sc.jit(lambda x0, steps: rows(x0, steps)[-1])
counter_last3 = sc.jit(lambda x0, steps: rows(x0, steps)[-3:])
counter_whole = sc.jit(rows)
BY_VIEW = {"last": counter_last, "last3": counter_last3, "whole": counter_whole}


def scancc_example_inputs() -> dict[str, tuple]:
    arguments = tuple(make_inputs(512, 256)[n] for n in NAMES)
    return {"counter_last": arguments, "counter_last3": arguments, "counter_whole": arguments}


def last(x0, steps):
    x = x0.copy()
    for _ in range(steps):
        for i in range(len(x)):
            x[i] += 1
    return x


def last3(x0, steps):
    x, kept = x0.copy(), np.empty((3, len(x0)))
    for t in range(steps):
        for i in range(len(x)):
            x[i] += 1
        if t >= steps - 3:
            kept[t - steps + 3] = x
    return kept


def whole(x0, steps):
    kept = np.empty((steps, len(x0)))
    for t in range(steps):
        for i in range(len(x0)):
            kept[t, i] = (kept[t - 1, i] if t else x0[i]) + 1
    return kept


LOOPS = {"last": last, "last3": last3, "whole": whole}


def by_jax(jax, x0, steps, view="last"):
    if view == "whole":
        return jax.lax.scan(lambda x, _: (x + 1, x + 1), x0, length=steps)[1]
    if view == "last":
        return jax.lax.fori_loop(0, steps, lambda _, x: x + 1, x0)
    x = jax.lax.fori_loop(0, steps - 3, lambda _, x: x + 1, x0)
    return jax.lax.scan(lambda x, _: (x + 1, x + 1), x, length=3)[1]


def of_known_length(inputs: Any, view: str) -> Any:
    return peers.by_jax(partial(by_jax, steps=inputs["steps"], view=view), "x0")(inputs)


def by_pytensor(pytensor, x0, steps, view="last"):
    kept = pytensor.scan(lambda x: x + 1, outputs_info=x0, n_steps=steps, return_updates=False)
    return {"last": kept[-1], "last3": kept[-3:], "whole": kept}[view]


C = {
    "last": """
void run(const double *restrict x0, long steps, long width, double *restrict x) {
    for (long i = 0; i < width; i++) x[i] = x0[i];
    for (long t = 0; t < steps; t++)
        for (long i = 0; i < width; i++) x[i] += 1;
}
""",
    "last3": """
void run(const double *restrict x0, long steps, long width, double *restrict kept) {
    for (long i = 0; i < width; i++) kept[i] = x0[i];
    for (long t = 0; t < steps - 2; t++)
        for (long i = 0; i < width; i++) kept[i] += 1;
    for (long i = width; i < 3 * width; i++) kept[i] = kept[i - width] + 1;
}
""",
    "whole": """
void run(const double *restrict x0, long steps, long width, double *restrict kept) {
    for (long i = 0; i < width; i++) kept[i] = x0[i] + 1;
    for (long t = 1; t < steps; t++)
        for (long i = 0; i < width; i++) kept[t * width + i] = kept[(t - 1) * width + i] + 1;
}
""",
}


def workloads(quick: bool) -> list[Workload]:
    made = []
    for steps, width in SIZES:
        for view, function in BY_VIEW.items():
            shape = {"last": (width,), "last3": (3, width), "whole": (steps - 1, width)}[view]
            implementations = {
                "scancc": peers.by_scancc(function, *NAMES),
                "numba": peers.by_numba(LOOPS[view], *NAMES),
                "c": peers.by_c(C[view], lambda inputs, shape=shape: [np.empty(shape)], *NAMES, "width"),
                "jax": partial(of_known_length, view=view),
                "pytensor": peers.by_pytensor(partial(by_pytensor, view=view), *NAMES),
            }
            made.append(
                Workload(f"counter-{view}/{steps}x{width}", steps - 1, partial(make_inputs, steps, width),
                         peers.raced(implementations, quick), group="scalar" if width < 16 else "batch",
                         oracle=peers.interpreted(function, *NAMES))
            )  # fmt: skip
    return made
