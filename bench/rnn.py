"""A tanh RNN, h[t] = tanh(x[t] @ U + h[t-1] @ W + b), float32, all states kept; and its gradient by the weights.

Sizes are named units x sequences: "rnn/128x32" has 128 units and a batch of 32 sequences.
"""

from __future__ import annotations

from functools import partial

import networks
import numpy as np

import scancc as sc
from scancc.measure import Workload

NAMES = ("x", "h0", "U", "W", "b")
GATES = 1

make_inputs = partial(networks.make_inputs, NAMES, GATES)


def rnn_step(x_t, h, U, W, b):
    return np.tanh(x_t @ U + h @ W + b)


@sc.jit
def rnn(x, h0, U, W, b):
    return sc.scan(rnn_step, x, h0, [U, W, b])


rnn_gradient = sc.jit(sc.grad(networks.squares(rnn), (2, 3, 4)))


def scancc_example_inputs() -> dict[str, tuple]:
    arguments = networks.example(NAMES, GATES, "128x1")
    return {"rnn": arguments, "rnn_gradient": arguments}


def by_hand(product):
    def run(x, h0, U, W, b):
        steps, rows, units = x.shape
        states = (np.dot(x.reshape(-1, units), U) + b).reshape(steps, rows, units)
        h = h0
        for t in range(steps):
            product(h, W, states[t])
            h = states[t]
            for k in range(rows):
                for j in range(units):
                    h[k, j] = np.tanh(h[k, j])
        return states

    return run


def by_jax(jax, x, h0, U, W, b, unroll=1):
    def step(h, projected):
        h = jax.numpy.tanh(projected + h @ W)
        return h, h

    return jax.lax.scan(step, h0, x @ U + b, unroll=unroll)[1]


def by_pytensor(pytensor, x, h0, U, W, b):
    tanh = pytensor.tensor.tanh
    return pytensor.scan(lambda projected, h, W: tanh(projected + h @ W), x @ U + b, h0, W, return_updates=False)


def workloads(quick: bool) -> list[Workload]:
    network = networks.Network("rnn", GATES, NAMES, rnn, rnn_gradient, by_hand, by_jax, by_pytensor, "RNN")
    return networks.races(network, quick)
