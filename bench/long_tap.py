"""Recurrences with a tap 1,000 steps back of which only the last value is wanted, float64, 1e6 steps.

    long_tap/delay      y[t] = x[t] + b y[t-1000]               a delay line: blocks of 1,000 are independent
    long_tap/seasonal   y[t] = x[t] + a y[t-1] + b y[t-1000]    with a short tap beside it: nothing is

A history of 1,000 values is all that either needs. Peers keep it in a ring buffer by hand, or, for the
delay line, compute block after block; lfilter multiplies with its 1,000 coefficients at every step.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import peers

from scancc.measure import Inputs, Workload

DELAY = 1000
STEPS = 10**6


def make_inputs(a: float) -> dict[str, Any]:
    """x of shape (STEPS,), y0 = y[-1000:0]; a is 0 for the delay line."""
    rng = np.random.default_rng(1000)
    return {"x": rng.normal(size=STEPS), "y0": rng.normal(size=DELAY), "a": a, "b": 0.4}


def ring_njit(inputs: Inputs) -> Callable[[], Any]:
    @peers.numba().njit(fastmath=peers.FMA)
    def delay(x, y0, b):
        ring, slot = y0.copy(), 0
        for t in range(len(x)):
            ring[slot] = x[t] + b * ring[slot]
            slot = slot + 1 if slot + 1 < DELAY else 0
        return ring[slot - 1]

    @peers.numba().njit(fastmath=peers.FMA)
    def seasonal(x, y0, a, b):
        ring, slot, y1 = y0.copy(), 0, y0[-1]
        for t in range(len(x)):
            y1 = (x[t] + b * ring[slot]) + a * y1
            ring[slot] = y1
            slot = slot + 1 if slot + 1 < DELAY else 0
        return y1

    x, y0, a, b = inputs.values()
    return (lambda: seasonal(x, y0, a, b)) if a else (lambda: delay(x, y0, b))


def whole_njit(inputs: Inputs) -> Callable[[], Any]:
    """What one writes first: the initial values and the whole history in one array."""

    @peers.numba().njit
    def recurrence(x, y0, a, b):
        y = np.empty(DELAY + len(x))
        y[:DELAY] = y0
        for t in range(DELAY, len(y)):
            y[t] = x[t - DELAY] + a * y[t - 1] + b * y[t - DELAY]
        return y[-1]

    return lambda: recurrence(**inputs)


def numpy_blocks(inputs: Inputs) -> Callable[[], Any]:
    x, y0, _, b = inputs.values()

    def delay():
        y = y0
        for start in range(0, STEPS, DELAY):
            y = x[start : start + DELAY] + b * y
        return y[-1]

    return delay


def jax_blocks(inputs: Inputs) -> Callable[[], Any]:
    jax = peers.jax()

    @jax.jit
    def delay(x, y0, b):
        return jax.lax.scan(lambda y, block: (block + b * y, None), y0, x.reshape(-1, DELAY))[0][-1]

    x, y0, _, b = (jax.numpy.asarray(value) for value in inputs.values())
    return lambda: delay(x, y0, b).block_until_ready()


def jax_ring(inputs: Inputs) -> Callable[[], Any]:
    jax = peers.jax()

    @jax.jit
    def recurrence(x, y0, a, b):
        def step(carry, x_t):
            ring, slot, y1 = carry
            y1 = (x_t + b * ring[slot]) + a * y1
            return (ring.at[slot].set(y1), jax.numpy.where(slot + 1 < DELAY, slot + 1, 0), y1), None

        return jax.lax.scan(step, (y0, 0, y0[-1]), x)[0][2]

    arguments = {name: jax.numpy.asarray(value) for name, value in inputs.items()}
    return lambda: recurrence(**arguments).block_until_ready()


def lfilter(inputs: Inputs) -> Callable[[], Any]:
    from scipy import signal

    poles = np.zeros(DELAY + 1)
    poles[0], poles[-1] = 1.0, -inputs["b"]
    poles[1] = -inputs["a"]
    state = signal.lfiltic([1.0], poles, inputs["y0"][::-1])
    x = inputs["x"]
    return lambda: signal.lfilter([1.0], poles, x, zi=state)[0][-1]


def scancc(inputs: Inputs) -> Callable[[], Any]:
    sc = peers.scancc()
    x, y0, a, b = inputs.values()

    @sc.jit
    def delay(x, y0, b):
        output = dict(initial=y0, taps=[-DELAY])
        return sc.scan(lambda x_t, y, b: x_t + b * y, sequences=x, outputs_info=output, non_sequences=b)[-1]

    @sc.jit
    def seasonal(x, y0, a, b):
        y = sc.scan(
            lambda x_t, y_old, y_tm1, a, b: x_t + a * y_tm1 + b * y_old,
            sequences=x,
            outputs_info=dict(initial=y0, taps=[-DELAY, -1]),
            non_sequences=[a, b],
        )
        return y[-1]

    return (lambda: seasonal(x, y0, a, b)) if a else (lambda: delay(x, y0, b))


def workloads(quick: bool) -> list[Workload]:
    common = {"njit, whole output": whole_njit, "njit, ring": ring_njit, "jax.lax.scan, ring": jax_ring}
    blocked = {"NumPy, blocks": numpy_blocks, "jax.lax.scan, blocks": jax_blocks}
    last = {"scipy lfilter": lfilter, "scancc": scancc} if not quick else {"scancc": scancc}
    return [
        Workload("long_tap/delay", STEPS, lambda: make_inputs(0.0), common | blocked | last),
        Workload("long_tap/seasonal", STEPS, lambda: make_inputs(0.5), common | last),
    ]
