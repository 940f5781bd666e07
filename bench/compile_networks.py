"""Recurrent networks and state spaces, as people train them: programs of the compile-time benchmark.

All are losses of fifty steps, float64; gradients are by all weights.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from compile_programs import Library, Program, by_random

STEPS = 50


def squares(y: Any) -> Any:
    return (y**2).sum()


def layer_norm(lib: Library, v: Any) -> Any:
    centred = v - v.mean(axis=-1, keepdims=True)
    return centred / lib.np.sqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-5)


def lstm_layer(lib: Library, x: Any, U: Any, W: Any, b: Any, normal_gates: bool) -> Any:
    """An LSTM; x (steps, B, D), the result (steps, B, H)."""
    zeros = lib.np.zeros((x.shape[1], W.shape[0]))

    def step(carry, x_t):
        h, c = carry
        gates = layer_norm(lib, x_t @ U + h @ W) + b if normal_gates else x_t @ U + h @ W + b
        i, f, g, o = lib.np.split(gates, 4, axis=-1)
        c = lib.sigmoid(f) * c + lib.sigmoid(i) * lib.np.tanh(g)
        h = lib.sigmoid(o) * lib.np.tanh(c)
        return (h, c), h

    return lib.lax.scan(step, (zeros, zeros), x)[1]


def bilstm(lib: Library, x: Any, U: Any, W: Any, b: Any, gain: Any, normal_gates: bool = False) -> Any:
    """Two bidirectional layers, each normalised; weights have two leading axes, layer and direction."""
    for layer in range(2):
        ahead, back = ((U[layer, d], W[layer, d], b[layer, d], normal_gates) for d in range(2))
        there = lstm_layer(lib, x, *ahead)
        again = lib.np.flip(lstm_layer(lib, lib.np.flip(x, 0), *back), 0)
        x = gain[layer] * layer_norm(lib, lib.np.concatenate([there, again], axis=-1))
    return squares(x)


def bilstm_shapes(batch: int, units: int) -> Any:
    return by_random((STEPS, batch, 2 * units), (2, 2, 2 * units, 4 * units), (2, 2, units, 4 * units),
                     (2, 2, 4 * units), (2, 2 * units))  # fmt: skip


def mlstm(lib: Library, q: Any, k: Any, v: Any, i: Any, f: Any) -> Any:
    """The matrix LSTM of xLSTM (M. Beck and others, 2024); q, k, v (steps, heads, d), gates (steps, heads)."""
    _, heads, d = q.shape
    start = lib.np.zeros((heads, d, d)), lib.np.zeros((heads, d)), lib.np.zeros(heads)

    def step(carry, row):
        C, n, m = carry
        q, k, v, i, f = row
        top = lib.np.maximum(f + m, i)
        keep, add = lib.np.exp(f + m - top), lib.np.exp(i - top)
        C = keep[:, None, None] * C + add[:, None, None] * (v[:, :, None] * k[:, None, :])
        n = keep[:, None] * n + add[:, None] * k
        scale = lib.np.maximum(lib.np.abs((n * q).sum(axis=-1)), 1.0)
        h = (C * q[:, None, :]).sum(axis=-1) / scale[:, None]
        return (C, n, top), h

    return squares(lib.lax.scan(step, start, (q, k, v, i, f))[1])


def mlstm_shapes(heads: int, d: int = 32) -> Any:
    return by_random(*[(STEPS, heads, d)] * 3, (STEPS, heads), (STEPS, heads), scale=1.0)


def gru(lib: Library, x: Any, U: Any, W: Any, b: Any) -> Any:
    units = W.shape[0]

    def step(h, x_t):
        a, r = x_t @ U + b, h @ W
        update, reset = (lib.sigmoid(a[:, n * units : (n + 1) * units] + r[:, n * units : (n + 1) * units])
                         for n in range(2))  # fmt: skip
        new = lib.np.tanh(a[:, 2 * units :] + reset * r[:, 2 * units :])
        h = update * h + (1 - update) * new
        return h, h

    return squares(lib.lax.scan(step, lib.np.zeros((x.shape[1], units)), x)[1])


def attention_decoder(lib: Library, encoded: Any, wanted: Any, query: Any, W: Any, U: Any, out: Any) -> Any:
    """A decoder that looks at all encoder states (D. Bahdanau and others, 2015); encoded (positions, H)."""

    def step(carry, wanted_t):
        h, word = carry
        weights = lib.softmax(encoded @ (query @ h))
        seen = weights @ encoded
        h = lib.np.tanh(W @ lib.np.concatenate([h, seen]) + U @ word)
        return (h, wanted_t), squares(out @ h - wanted_t)

    start = lib.np.zeros(encoded.shape[1]), lib.np.zeros(wanted.shape[1])
    return lib.lax.scan(step, start, wanted)[1].sum()


def selective_ssm(lib: Library, x: Any, delta: Any, A: Any, B: Any, C: Any) -> Any:
    """The scan of Mamba (A. Gu and T. Dao, 2023); x, delta (steps, D), A (D, N), B, C (steps, N)."""

    def step(h, row):
        x, delta, B, C = row
        wait = lib.np.log1p(lib.np.exp(delta))
        h = lib.np.exp(-wait[:, None] * lib.np.exp(A)) * h + (wait * x)[:, None] * B
        return h, h @ C

    return squares(lib.lax.scan(step, lib.np.zeros(A.shape), (x, delta, B, C))[1])


def s4d(lib: Library, u: Any, log_step: Any, log_real: Any, imag: Any, real_c: Any, imag_c: Any) -> Any:
    """A diagonal state space with complex states (A. Gu and others, 2022); u (steps,), the rest (states,)."""
    poles = lib.np.exp(lib.np.exp(log_step) * (-lib.np.exp(log_real) + 1j * imag))
    weights = real_c + 1j * imag_c

    def step(h, u_t):
        h = poles * h + u_t
        return h, 2 * (weights * h).sum().real

    return squares(lib.lax.scan(step, lib.np.zeros(imag.shape, dtype="complex128"), u)[1])


def echo_state(lib: Library, u: Any, target: Any, W: Any, W_in: Any, leak: Any, out: Any) -> Any:
    def step(x, u_t):
        x = (1 - leak) * x + leak * lib.np.tanh(W_in * u_t + W @ x)
        return x, out @ x

    return squares(lib.lax.scan(step, lib.np.zeros(W.shape[0]), u)[1] - target)


def neural_ode(lib: Library, y0: Any, W: Any, b: Any, V: Any, target: Any) -> Any:
    """y' = V tanh(W y + b) by Runge and Kutta, against targets (steps, d)."""

    def slope(y):
        return V @ lib.np.tanh(W @ y + b)

    def step(y, target_t):
        k1 = slope(y)
        k2 = slope(y + 0.05 * k1)
        k3 = slope(y + 0.05 * k2)
        k4 = slope(y + 0.1 * k3)
        y = y + 0.1 / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        return y, squares(y - target_t)

    return lib.lax.scan(step, y0, target)[1].sum()


def programs() -> list[Program]:
    T = STEPS
    made = [
        Program("bilstm-layer-norm/32", bilstm, bilstm_shapes(8, 32), (1, 2, 3, 4)),
        Program("bilstm-gate-norm/32", partial(bilstm, normal_gates=True), bilstm_shapes(8, 32), (1, 2, 3, 4),
                all_only=True),
        *(Program(f"mlstm/{heads}", mlstm, mlstm_shapes(heads), (0, 1, 2, 3, 4), value=heads in (4, 16))
          for heads in (1, 4, 8, 16, 20, 32)),
        Program("gru-batch", gru, by_random((T, 16, 12), (12, 72), (24, 72), (72,)), (1, 2, 3)),
        Program("attention-decoder", attention_decoder,
                by_random((20, 24), (T, 10), (24, 24), (24, 48), (24, 10), (10, 24)), (2, 3, 4, 5)),
        Program("selective-ssm", selective_ssm, by_random((T, 24), (T, 24), (24, 8), (T, 8), (T, 8)), (2,)),
        Program("s4d", s4d, partial(s4d_inputs, 32), (1, 2, 3, 4, 5)),
        Program("echo-state", echo_state, by_random((T,), (T,), (50, 50), (50,), (), (50,), scale=0.1), (4, 5)),
        Program("neural-ode", neural_ode, by_random((4,), (20, 4), (20,), (4, 20), (T, 4)), (0, 1, 2, 3)),
    ]  # fmt: skip
    return made


def s4d_inputs(states: int) -> tuple:
    r = np.random.default_rng(7)
    return (r.normal(size=STEPS), r.normal(size=states) - 3, np.full(states, np.log(0.5)), np.pi * np.arange(states),
            r.normal(size=states), r.normal(size=states))  # fmt: skip
