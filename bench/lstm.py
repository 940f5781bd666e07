"""A long short-term memory, float32, all outputs kept; and its gradient by the weights.

    i, f, g, o = x[t] @ U + h[t-1] @ W + b               four gates side by side, in torch's order
    c[t] = sigmoid(f) c[t-1] + sigmoid(i) tanh(g)
    h[t] = sigmoid(o) tanh(c[t])

S. Hochreiter and J. Schmidhuber (1997), with the forget gate of F. Gers and others (2000). Sizes are named units x
sequences: "lstm/128x32" has 128 units and a batch of 32 sequences.
"""

from __future__ import annotations

from functools import partial

import networks
import numpy as np

import scancc as sc
from scancc.measure import Workload

NAMES = ("x", "h0", "c0", "U", "W", "b")
GATES = 4

make_inputs = partial(networks.make_inputs, NAMES, GATES)


def lstm_step(x_t, h, c, U, W, b):
    i, f, g, o = np.split(x_t @ U + h @ W + b, 4, axis=-1)
    c = sc.expit(f) * c + sc.expit(i) * np.tanh(g)
    return sc.expit(o) * np.tanh(c), c


@sc.jit
def lstm(x, h0, c0, U, W, b):
    h, _ = sc.scan(lstm_step, x, [h0, c0], [U, W, b])
    return h


lstm_gradient = sc.jit(sc.grad(networks.squares(lstm), (3, 4, 5)))


def scancc_example_inputs() -> dict[str, tuple]:
    arguments = networks.example(NAMES, GATES, "128x1")
    return {"lstm": arguments, "lstm_gradient": arguments}


def by_hand(product):
    def run(x, h0, c0, U, W, b):
        steps, rows, units = x.shape
        gates = (np.dot(x.reshape(-1, units), U) + b).reshape(steps, rows, 4 * units)
        states = np.empty_like(x)
        h, c, one = h0, c0.copy(), np.float32(1)
        for t in range(steps):
            a = gates[t]
            product(h, W, a)
            h = states[t]
            for k in range(rows):
                for j in range(units):
                    i = one / (one + np.exp(-a[k, j]))
                    f = one / (one + np.exp(-a[k, units + j]))
                    o = one / (one + np.exp(-a[k, 3 * units + j]))
                    c[k, j] = f * c[k, j] + i * np.tanh(a[k, 2 * units + j])
                    h[k, j] = o * np.tanh(c[k, j])
        return states

    return run


def by_jax(jax, x, h0, c0, U, W, b, unroll=1):
    sigmoid, tanh = jax.nn.sigmoid, jax.numpy.tanh

    def step(carry, projected):
        h, c = carry
        i, f, g, o = jax.numpy.split(projected + h @ W, 4, axis=-1)
        c = sigmoid(f) * c + sigmoid(i) * tanh(g)
        h = sigmoid(o) * tanh(c)
        return (h, c), h

    return jax.lax.scan(step, (h0, c0), x @ U + b, unroll=unroll)[1]


def by_pytensor(pytensor, x, h0, c0, U, W, b):
    pt = pytensor.tensor

    def step(projected, h, c, W):
        units = h.shape[-1]
        a = projected + h @ W
        i, f, g, o = (a[..., k * units : (k + 1) * units] for k in range(4))
        c = pt.sigmoid(f) * c + pt.sigmoid(i) * pt.tanh(g)
        return pt.sigmoid(o) * pt.tanh(c), c

    return pytensor.scan(step, x @ U + b, [h0, c0], W, return_updates=False)[0]


def workloads(quick: bool) -> list[Workload]:
    network = networks.Network("lstm", GATES, NAMES, lstm, lstm_gradient, by_hand, by_jax, by_pytensor, "LSTM")
    return networks.races(network, quick)
