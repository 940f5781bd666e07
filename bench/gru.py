"""A gated recurrent unit, float32, all states kept; and its gradient by the weights.

    r, z, n = x[t] @ U + b and r', z', n' = h[t-1] @ W + d      three gates side by side, in torch's order
    h[t] = (1 - Z) tanh(n + R n') + Z h[t-1],                   R = sigmoid(r + r'), Z = sigmoid(z + z')

K. Cho and others (2014), in the form that has one product with the state (as in cuDNN and torch). Sizes are named
units x sequences: "gru/128x32" has 128 units and a batch of 32 sequences.
"""

from __future__ import annotations

from functools import partial

import networks
import numpy as np

import scancc as sc
from scancc.measure import Workload

NAMES = ("x", "h0", "U", "W", "b", "d")
GATES = 3
WEIGHTS = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")

make_inputs = partial(networks.make_inputs, NAMES, GATES)


def gru_step(x_t, h, U, W, b, d):
    r_x, z_x, n_x = np.split(x_t @ U + b, 3, axis=-1)
    r_h, z_h, n_h = np.split(h @ W + d, 3, axis=-1)
    r, z = sc.expit(r_x + r_h), sc.expit(z_x + z_h)
    return (1 - z) * np.tanh(n_x + r * n_h) + z * h


@sc.jit
def gru(x, h0, U, W, b, d):
    return sc.scan(gru_step, x, h0, [U, W, b, d])


gru_gradient = sc.jit(sc.grad(networks.squares(gru), (2, 3, 4, 5)))


def scancc_example_inputs() -> dict[str, tuple]:
    arguments = networks.example(NAMES, GATES, "128x1")
    return {"gru": arguments, "gru_gradient": arguments}


def by_hand(product):
    def run(x, h0, U, W, b, d):
        steps, rows, units = x.shape
        gates = (np.dot(x.reshape(-1, units), U) + b).reshape(steps, rows, 3 * units)
        states, a = np.empty_like(x), np.empty((rows, 3 * units), x.dtype)
        h, one = h0, np.float32(1)
        for t in range(steps):
            a[:] = d
            product(h, W, a)
            g, new = gates[t], states[t]
            for k in range(rows):
                for j in range(units):
                    r = one / (one + np.exp(-(g[k, j] + a[k, j])))
                    z = one / (one + np.exp(-(g[k, units + j] + a[k, units + j])))
                    n = np.tanh(g[k, 2 * units + j] + r * a[k, 2 * units + j])
                    new[k, j] = n + z * (h[k, j] - n)
            h = new
        return states

    return run


def by_jax(jax, x, h0, U, W, b, d, unroll=1):
    sigmoid, split = jax.nn.sigmoid, jax.numpy.split

    def step(h, projected):
        r_x, z_x, n_x = split(projected, 3, axis=-1)
        r_h, z_h, n_h = split(h @ W + d, 3, axis=-1)
        r, z = sigmoid(r_x + r_h), sigmoid(z_x + z_h)
        h = (1 - z) * jax.numpy.tanh(n_x + r * n_h) + z * h
        return h, h

    return jax.lax.scan(step, h0, x @ U + b, unroll=unroll)[1]


def by_pytensor(pytensor, x, h0, U, W, b, d):
    pt = pytensor.tensor

    def step(projected, h, W, d):
        units = h.shape[-1]
        a = h @ W + d
        (r_x, z_x, n_x), (r_h, z_h, n_h) = ([v[..., k * units : (k + 1) * units] for k in range(3)]
                                            for v in (projected, a))  # fmt: skip
        r, z = pt.sigmoid(r_x + r_h), pt.sigmoid(z_x + z_h)
        return (1 - z) * pt.tanh(n_x + r * n_h) + z * h

    return pytensor.scan(step, x @ U + b, h0, [W, d], return_updates=False)


def workloads(quick: bool) -> list[Workload]:
    network = networks.Network("gru", GATES, NAMES, gru, gru_gradient, by_hand, by_jax, by_pytensor, "GRU", WEIGHTS)
    return networks.races(network, quick)
