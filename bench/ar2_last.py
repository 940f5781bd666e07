"""AR(2) of which only the last value is wanted, 1e7 steps: time, and the memory that the call needs.

The author of an njit loop or of a JAX scan keeps no history because they say so in the code. The scancc and
PyTensor versions take `[-1]` of the whole output and leave it to the compiler to see that one value is
enough; SciPy and the naive loop compute the history and drop it. Peaks do not count the inputs (80 MB).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ar2
import numpy as np
import peak_memory
import peers

from scancc.measure import Inputs, Result, Workload


def whole_njit(inputs: Inputs) -> Callable[[], Any]:
    whole = ar2.best_njit(inputs)
    return lambda: whole()[-1]


def scalar_njit(inputs: Inputs) -> Callable[[], Any]:
    @peers.numba().njit(fastmath=peers.FMA)
    def last(x, y0, a, b):
        y2, y1 = y0
        for t in range(len(x)):
            y2, y1 = y1, (x[t] + b * y2) + a * y1
        return y1

    return lambda: last(**inputs)


def jax_carry(inputs: Inputs, unroll: int = 1) -> Callable[[], Any]:
    jax = peers.jax()

    @jax.jit
    def last(x, y0, a, b):
        def step(carry, x_t):
            y2, y1 = carry
            return (y1, (x_t + b * y2) + a * y1), None

        return jax.lax.scan(step, (y0[0], y0[1]), x, unroll=unroll)[0][1]

    arguments = {name: jax.numpy.asarray(value) for name, value in inputs.items()}
    return lambda: last(**arguments).block_until_ready()


def lfilter(inputs: Inputs) -> Callable[[], Any]:
    whole = ar2.lfilter(inputs)
    return lambda: whole()[-1]


def pytensor_scan(inputs: Inputs) -> Callable[[], Any]:
    pytensor, pt = peers.pytensor()
    x, y0, a, b = pt.dvector("x"), pt.dvector("y0"), pt.dscalar("a"), pt.dscalar("b")
    y = pytensor.scan(
        lambda x_t, y2, y1, a, b: x_t + a * y1 + b * y2,
        sequences=x,
        outputs_info=[dict(initial=y0, taps=[-2, -1])],
        non_sequences=[a, b],
        return_updates=False,
    )
    last = pytensor.function([x, y0, a, b], y[-1], mode="NUMBA")
    last.trust_input = True  # the inputs are arrays of the declared types: skip their checks
    arguments = [np.asarray(inputs[name]) for name in ("x", "y0", "a", "b")]
    return lambda: last(*arguments)


def scancc(inputs: Inputs) -> Callable[[], Any]:
    sc = peers.scancc()

    @sc.jit
    def last(x, y0, a, b):
        y = sc.scan(
            lambda x_t, y_tm2, y_tm1, a, b: x_t + a * y_tm1 + b * y_tm2,
            sequences=x,
            outputs_info=[dict(initial=y0, taps=[-2, -1])],
            non_sequences=[a, b],
        )
        return y[-1]

    return lambda: last(inputs["x"], inputs["y0"], inputs["a"], inputs["b"])


def workloads(quick: bool) -> list[Workload]:
    name, steps = ("1e5", 10**5) if quick else ("1e7", 10**7)
    implementations = {
        "njit, whole output": whole_njit,
        "njit, scalars": scalar_njit,
        "jax.lax.scan, carry": jax_carry,
        "jax.lax.scan, carry, unroll=8": lambda inputs: jax_carry(inputs, unroll=8),
        "scipy lfilter": lfilter,
        "PyTensor scan (Numba)": pytensor_scan,
        "scancc": scancc,
    }
    return [Workload(f"ar2_last/{name}", steps, lambda: ar2.make_inputs(steps), implementations, extras=peaks)]


def peaks(workload: Workload, result: Result) -> None:
    peak_memory.add_peaks("ar2_last", workload, result)
