"""A tanh RNN on one sequence: h[t] = tanh(x[t] @ U + h[t-1] @ W + b), 128 inputs, 128 units, 2,000 steps,
float32.

The whole history is kept. Written as above the input projection is a matrix-vector product at every step;
hoisted out of the loop it is one matrix-matrix product. JAX is timed both ways, the others take the better
form by hand; scancc is given the formula as it stands. XLA and BLAS may use all cores.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import peers

from scancc.measure import Inputs, Workload

UNITS, STEPS = 128, 2000


def make_inputs() -> dict[str, np.ndarray]:
    """x (STEPS, UNITS), h0 and b (UNITS,), U and W (UNITS, UNITS); W contracts, so errors do not grow."""
    rng = np.random.default_rng(128)

    def normal(*shape: int, scale: float = 1.0) -> np.ndarray:
        return (scale * rng.normal(size=shape)).astype(np.float32)

    fan_in = 1.0 / math.sqrt(UNITS)
    return {
        "x": normal(STEPS, UNITS),
        "h0": normal(UNITS),
        "U": normal(UNITS, UNITS, scale=fan_in),
        "W": normal(UNITS, UNITS, scale=0.5 * fan_in),
        "b": normal(UNITS, scale=0.1),
    }


def numpy_loop(inputs: Inputs) -> Callable[[], Any]:
    def rnn(x, h0, U, W, b):
        projected, states = x @ U + b, np.empty((len(x), len(b)), x.dtype)
        h = h0
        for t in range(len(x)):
            h = np.tanh(projected[t] + h @ W)
            states[t] = h
        return states

    return lambda: rnn(**inputs)


def njit_blas(inputs: Inputs) -> Callable[[], Any]:
    """The NumPy loop under njit: BLAS for the products, libm for tanh."""

    @peers.numba().njit(fastmath=peers.FMA)
    def rnn(x, h0, U, W, b):
        projected, states = x @ U + b, np.empty((len(x), len(b)), x.dtype)
        h = h0
        for t in range(len(x)):
            h = np.tanh(projected[t] + h @ W)
            states[t] = h
        return states

    return lambda: rnn(**inputs)


def njit_loops(inputs: Inputs) -> Callable[[], Any]:
    """The product as a loop over the rows of W, which LLVM vectorises along the row; no temporaries."""

    @peers.numba().njit(fastmath=peers.FMA)
    def rnn(x, h0, U, W, b):
        states = x @ U + b
        h = h0.copy()
        for t in range(len(x)):
            row = states[t]
            for i in range(len(h)):
                h_i = h[i]
                for j in range(len(row)):
                    row[j] += h_i * W[i, j]
            for j in range(len(row)):
                row[j] = np.tanh(row[j])
                h[j] = row[j]
        return states

    return lambda: rnn(**inputs)


def jax_inside(inputs: Inputs) -> Callable[[], Any]:
    jax = peers.jax()
    jnp = jax.numpy

    @jax.jit
    def rnn(x, h0, U, W, b):
        def step(h, x_t):
            h = jnp.tanh(x_t @ U + h @ W + b)
            return h, h

        return jax.lax.scan(step, h0, x)[1]

    arguments = {name: jnp.asarray(value) for name, value in inputs.items()}
    return lambda: rnn(**arguments).block_until_ready()


def jax_hoisted(inputs: Inputs, unroll: int = 1) -> Callable[[], Any]:
    jax = peers.jax()
    jnp = jax.numpy

    @jax.jit
    def rnn(x, h0, U, W, b):
        def step(h, projected):
            h = jnp.tanh(projected + h @ W)
            return h, h

        return jax.lax.scan(step, h0, x @ U + b, unroll=unroll)[1]

    arguments = {name: jnp.asarray(value) for name, value in inputs.items()}
    return lambda: rnn(**arguments).block_until_ready()


def scancc(inputs: Inputs) -> Callable[[], Any]:
    sc = peers.scancc()

    @sc.scan_compile
    def rnn(x_t, h, U, W, b):
        return np.tanh(x_t @ U + h @ W + b)

    x, h0, *weights = inputs.values()
    return lambda: rnn(sequences=x, outputs_info=h0, non_sequences=weights)


def workloads(quick: bool) -> list[Workload]:
    implementations = {
        "NumPy loop": numpy_loop,
        "njit, BLAS": njit_blas,
        "njit, loops": njit_loops,
        "jax.lax.scan": jax_inside,
        "jax.lax.scan, hoisted": jax_hoisted,
        "jax.lax.scan, hoisted, unroll=4": lambda inputs: jax_hoisted(inputs, unroll=4),
        "scancc": scancc,
    }
    return [Workload("rnn/128", STEPS, make_inputs, implementations, tolerance=1e-4)]
