"""Recurrences with a tap 1,000 steps back of which only the last value is wanted, float64, 1e6 steps.

    long_tap-delay      y[t] = x[t] + b y[t-1000]               a delay line: blocks of 1,000 are independent
    long_tap-seasonal   y[t] = x[t] + a y[t-1] + b y[t-1000]    with a short tap beside it: nothing is

A history of 1,000 values is all that either needs. Peers keep it in a ring buffer by hand, or, for the
delay line, compute block after block; lfilter multiplies with its 1,000 coefficients at every step. "whole output" is
what one writes first: the initial values and the whole history in one array.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import peers

import scancc as sc
from scancc.measure import Inputs, Workload

DELAY = 1000
OF_DELAY = ("b", "x", "y0")
OF_SEASONAL = ("a", "b", "x", "y0")


def make_inputs(steps: int) -> dict[str, Any]:
    """x of shape (steps,), y0 = y[-1000:0]."""
    r = np.random.default_rng(1000)
    return {"x": r.normal(size=steps), "y0": r.normal(size=DELAY), "a": 0.5, "b": 0.4, "steps": steps}


@sc.jit
def delay(b, x, y0):
    return sc.scan(lambda x_t, y_old, b: x_t + b * y_old, x, dict(initial=y0, taps=[-DELAY]), b)[-1]


@sc.jit
def seasonal(a, b, x, y0):
    return sc.scan(lambda x_t, y_old, y_tm1, a, b: x_t + a * y_tm1 + b * y_old, x,
                   dict(initial=y0, taps=[-DELAY, -1]), [a, b])[-1]  # fmt: skip


def scancc_example_inputs() -> dict[str, tuple]:
    inputs = make_inputs(10**5)
    return {"delay": tuple(inputs[n] for n in OF_DELAY), "seasonal": tuple(inputs[n] for n in OF_SEASONAL)}


def delay_ring(b, x, y0):
    ring, slot = y0.copy(), 0
    for t in range(len(x)):
        ring[slot] = x[t] + b * ring[slot]
        slot = slot + 1 if slot + 1 < DELAY else 0
    return ring[slot - 1]


def delay_blocks(b, x, y0):
    """Whole blocks of DELAY steps, each of which is vectorised."""
    y = y0.copy()
    for start in range(0, len(x), DELAY):
        for i in range(DELAY):
            y[i] = x[start + i] + b * y[i]
    return y[-1]


def delay_whole(b, x, y0):
    y = np.empty(DELAY + len(x))
    y[:DELAY] = y0
    for t in range(DELAY, len(y)):
        y[t] = x[t - DELAY] + b * y[t - DELAY]
    return y[-1]


def seasonal_ring(a, b, x, y0):
    ring, slot, y1 = y0.copy(), 0, y0[-1]
    for t in range(len(x)):
        y1 = (x[t] + b * ring[slot]) + a * y1
        ring[slot] = y1
        slot = slot + 1 if slot + 1 < DELAY else 0
    return y1


def seasonal_whole(a, b, x, y0):
    y = np.empty(DELAY + len(x))
    y[:DELAY] = y0
    for t in range(DELAY, len(y)):
        y[t] = x[t - DELAY] + a * y[t - 1] + b * y[t - DELAY]
    return y[-1]


C_DELAY = """
void run(double b, const double *restrict x, const double *restrict y0, long n, double *restrict last) {
    double y[1000];
    for (int i = 0; i < 1000; i++) y[i] = y0[i];
    for (long start = 0; start < n; start += 1000)
        for (int i = 0; i < 1000; i++) y[i] = x[start + i] + b * y[i];
    *last = y[999];
}
"""

C_SEASONAL = """
void run(double a, double b, const double *restrict x, const double *restrict y0, long n, double *restrict last) {
    double ring[1000], y1 = y0[999];
    for (int i = 0; i < 1000; i++) ring[i] = y0[i];
    for (long t = 0, slot = 0; t < n; t++) {
        ring[slot] = y1 = (x[t] + b * ring[slot]) + a * y1;
        slot = slot + 1 < 1000 ? slot + 1 : 0;
    }
    *last = y1;
}
"""


def numpy_blocks(b, x, y0):
    y = y0
    for start in range(0, len(x), DELAY):
        y = x[start : start + DELAY] + b * y
    return y[-1]


def jax_blocks(jax, b, x, y0):
    return jax.lax.scan(lambda y, block: (block + b * y, None), y0, x.reshape(-1, DELAY))[0][-1]


def jax_ring(jax, a, b, x, y0):
    def step(carry, x_t):
        ring, slot, y1 = carry
        y1 = (x_t + b * ring[slot]) + a * y1
        return (ring.at[slot].set(y1), jax.numpy.where(slot + 1 < DELAY, slot + 1, 0), y1), None

    return jax.lax.scan(step, (y0, 0, y0[-1]), x)[0][2]


def jax_delay_ring(jax, b, x, y0):
    return jax_ring(jax, 0.0, b, x, y0)


def pytensor_delay(pytensor, b, x, y0):
    return pytensor.scan(lambda x_t, y_old, b: x_t + b * y_old, sequences=x,
                         outputs_info=[dict(initial=y0, taps=[-DELAY])], non_sequences=b,
                         return_updates=False)[-1]  # fmt: skip


def pytensor_seasonal(pytensor, a, b, x, y0):
    return pytensor.scan(lambda x_t, y_old, y_tm1, a, b: x_t + a * y_tm1 + b * y_old, sequences=x,
                         outputs_info=[dict(initial=y0, taps=[-DELAY, -1])], non_sequences=[a, b],
                         return_updates=False)[-1]  # fmt: skip


def lfilter(inputs: Inputs, a: float) -> Callable[[], Any]:
    from scipy import signal

    poles = np.zeros(DELAY + 1)
    poles[0], poles[-1] = 1.0, -inputs["b"]
    poles[1] = -a
    state = signal.lfiltic([1.0], poles, inputs["y0"][::-1])
    x = inputs["x"]
    return lambda: signal.lfilter([1.0], poles, x, zi=state)[0][-1]


def workloads(quick: bool) -> list[Workload]:
    def number(inputs: Inputs) -> list[np.ndarray]:
        return [np.empty(())]

    of_delay = {
        "scancc": peers.by_scancc(delay, *OF_DELAY),
        "numba": peers.by_numba(delay_ring, *OF_DELAY),
        "numba, blocks": peers.by_numba(delay_blocks, *OF_DELAY),
        "numba, whole output": peers.by_numba(delay_whole, *OF_DELAY),
        "c": peers.by_c(C_DELAY, number, *OF_DELAY, "steps"),
        "jax, ring": peers.by_jax(jax_delay_ring, *OF_DELAY),
        "jax, blocks": peers.by_jax(jax_blocks, *OF_DELAY),
        "pytensor": peers.by_pytensor(pytensor_delay, *OF_DELAY),
        "numpy, blocks": peers.by_call(numpy_blocks, *OF_DELAY),
        "scipy, lfilter": partial(lfilter, a=0.0),
    }
    of_seasonal = {
        "scancc": peers.by_scancc(seasonal, *OF_SEASONAL),
        "numba": peers.by_numba(seasonal_ring, *OF_SEASONAL),
        "numba, whole output": peers.by_numba(seasonal_whole, *OF_SEASONAL),
        "c": peers.by_c(C_SEASONAL, number, *OF_SEASONAL, "steps"),
        "jax, ring": peers.by_jax(jax_ring, *OF_SEASONAL),
        "pytensor": peers.by_pytensor(pytensor_seasonal, *OF_SEASONAL),
        "scipy, lfilter": partial(lfilter, a=0.5),
    }
    size, steps = ("2e4", 20_000) if quick else ("1e6", 10**6)
    inputs = partial(make_inputs, steps)
    return [
        Workload(f"long_tap-delay/{size}", steps, inputs, peers.raced(of_delay, quick), group="scalar",
                 oracle=peers.interpreted(delay, *OF_DELAY)),
        Workload(f"long_tap-seasonal/{size}", steps, inputs, peers.raced(of_seasonal, quick), group="scalar",
                 oracle=peers.interpreted(seasonal, *OF_SEASONAL)),
    ]  # fmt: skip
