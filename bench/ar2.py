"""AR(2) with its whole output kept: y[t] = x[t] + a y[t-1] + b y[t-2], float64, 1e5 and 1e7 steps.

The shortest useful recurrence: its critical path is one fused multiply-add a step, if the sum is ordered so
that the youngest value comes last. Peers: njit as one would write it, njit ordered for that path, JAX,
SciPy, PyTensor.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import peers

from scancc.measure import Inputs, Workload

A, B = 1.3, -0.5  # complex poles of modulus 0.71: stable, and no value underflows


def make_inputs(steps: int) -> dict[str, Any]:
    """x of shape (steps,), and y0 = (y[-2], y[-1])."""
    return {"x": np.random.default_rng(2).normal(size=steps), "y0": np.array([0.25, -0.5]), "a": A, "b": B}


def naive_njit(inputs: Inputs) -> Callable[[], Any]:
    @peers.numba().njit
    def ar2(x, y0, a, b):
        y = np.empty(len(x))
        y2, y1 = y0
        for t in range(len(x)):
            y2, y1 = y1, x[t] + a * y1 + b * y2
            y[t] = y1
        return y

    return lambda: ar2(**inputs)


def best_njit(inputs: Inputs) -> Callable[[], Any]:
    @peers.numba().njit(fastmath=peers.FMA)
    def ar2(x, y0, a, b):
        y = np.empty(len(x))
        y2, y1 = y0
        for t in range(len(x)):
            y2, y1 = y1, (x[t] + b * y2) + a * y1
            y[t] = y1
        return y

    return lambda: ar2(**inputs)


def jax_scan(inputs: Inputs, unroll: int = 1) -> Callable[[], Any]:
    jax = peers.jax()

    @jax.jit
    def ar2(x, y0, a, b):
        def step(carry, x_t):
            y2, y1 = carry
            y = (x_t + b * y2) + a * y1
            return (y1, y), y

        return jax.lax.scan(step, (y0[0], y0[1]), x, unroll=unroll)[1]

    arguments = {name: jax.numpy.asarray(value) for name, value in inputs.items()}
    return lambda: ar2(**arguments).block_until_ready()


def jax_unrolled(inputs: Inputs) -> Callable[[], Any]:
    """Eight steps an iteration: the most that helps on a CPU, sixteen are many times slower than one."""
    return jax_scan(inputs, unroll=8)


def lfilter(inputs: Inputs) -> Callable[[], Any]:
    from scipy import signal

    poles = np.array([1.0, -inputs["a"], -inputs["b"]])
    state = signal.lfiltic([1.0], poles, inputs["y0"][::-1])
    x = inputs["x"]
    return lambda: signal.lfilter([1.0], poles, x, zi=state)[0]


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
    ar2 = pytensor.function([x, y0, a, b], y, mode="NUMBA")
    ar2.trust_input = True  # the inputs are arrays of the declared types: skip their checks
    arguments = [np.asarray(inputs[name]) for name in ("x", "y0", "a", "b")]
    return lambda: ar2(*arguments)


def scancc(inputs: Inputs) -> Callable[[], Any]:
    sc = peers.scancc()

    @sc.scan_compile
    def ar2(x_t, y_tm2, y_tm1, a, b):
        return x_t + a * y_tm1 + b * y_tm2

    x, a, b = inputs["x"], inputs["a"], inputs["b"]
    output = [dict(initial=inputs["y0"], taps=[-2, -1])]
    return lambda: ar2(sequences=x, outputs_info=output, non_sequences=[a, b])


def workloads(quick: bool) -> list[Workload]:
    implementations = {
        "njit, naive": naive_njit,
        "njit, FMA order": best_njit,
        "jax.lax.scan": jax_scan,
        "jax.lax.scan, unroll=8": jax_unrolled,
        "scipy lfilter": lfilter,
        "PyTensor scan (Numba)": pytensor_scan,
        "scancc": scancc,
    }
    sizes = {"1e5": 10**5} if quick else {"1e5": 10**5, "1e7": 10**7}
    return [Workload(f"ar2/{n}", s, partial(make_inputs, s), implementations) for n, s in sizes.items()]
