"""Matrices that all steps multiply with, in panels: the same products, for every shape, and who keeps BLAS."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernels import call

import scancc as sc
from scancc.passes.loops.pack_weights import LEAST_OF_A_ROW, LEAST_STEPS

PACKED = "panels.multiply"


@settings(max_examples=40, deadline=None)
@given(m=st.integers(1, 20), k=st.integers(0, 40), n=st.integers(1, 150), beside=st.integers(0, 3),
       dtype=st.sampled_from(["f4", "f8"]), transposed=st.booleans())  # fmt: skip
def test_products(m, k, n, beside, dtype, transposed):
    """Rows that lie apart, in what is read and in what is written; nothing beside them is touched."""
    r = np.random.default_rng(m * n + k)
    a, w = r.normal(size=(m, k + beside)).astype(dtype), r.normal(size=(k, n)).astype(dtype)
    lie = np.ascontiguousarray(w.T if transposed else w)
    packed = np.full(k * (-(-n // 32) * 32), np.nan, dtype)
    call("panels.pack", packed, 0, lie.reshape(-1), 0, lie.shape[1], k, n, int(transposed))
    out = np.full(1 + m * (n + beside) + 64, 7.0, dtype)
    call("panels.multiply", out, 1, n + beside, a.reshape(-1), 0, k + beside, packed, 0, m, n, k)
    rows = out[1 : 1 + m * (n + beside)].reshape(m, n + beside)
    np.testing.assert_allclose(rows[:, :n], a[:, :k] @ w, rtol=1e-4 if dtype == "f4" else 1e-11, atol=1e-5)
    assert (rows[:, n:] == 7).all() and out[0] == 7 and (out[1 + m * (n + beside) :] == 7).all()


def network(x, h, w):
    return sc.scan(lambda x, h, w: np.tanh(x + h @ w), x, h, w)


def arguments(steps, batch, units, dtype="float32"):
    r = np.random.default_rng(units)
    rows = (batch, units) if batch else (units,)
    return (r.normal(size=(steps, *rows)).astype(dtype), np.zeros(rows, dtype),
            (r.normal(size=(units, units)) / units).astype(dtype))  # fmt: skip


@pytest.mark.parametrize(
    ("units", "dtype", "batch"),
    [(64, "float32", 0), (64, "float32", 13), (130, "float32", 1), (130, "float32", 13), (80, "float64", 0),
     (80, "float64", 1)],
)  # fmt: skip
def test_networks(units, dtype, batch):
    f = sc.jit(network)
    gradient = sc.jit(sc.grad(lambda x, h, w: (network(x, h, w) ** 2).sum(), 2))
    tolerance = {"rtol": 1e-4, "atol": 1e-5} if dtype == "float32" else {"rtol": 1e-11, "atol": 1e-13}
    for steps in (1, LEAST_STEPS - 1, LEAST_STEPS, 30):
        given_arrays = arguments(steps, batch, units, dtype)
        packed = batch > 1 or given_arrays[2].nbytes >= LEAST_OF_A_ROW
        assert (PACKED in f.lower(*given_arrays).loop_ir()) == packed
        np.testing.assert_allclose(f(*given_arrays), f(*given_arrays, mode="interpret"), **tolerance)
        expected = gradient(*given_arrays, mode="interpret")
        np.testing.assert_allclose(gradient(*given_arrays), expected, rtol=1e-3, atol=1e-3)


def test_the_gradient_has_the_transpose():
    loss = sc.jit(sc.grad(lambda x, h, w: (network(x, h, w) ** 2).sum(), 2))
    text = loss.lower(*arguments(30, 5, 64)).loop_ir()
    assert text.count("call panels.pack") == 2 and text.count(PACKED) >= 2


def test_views_that_are_packed():
    """Columns of a larger matrix: rows that lie apart."""
    def step(x, h, w):
        return np.tanh(x + h @ w[:, :64] + h @ w[:, 64:])

    x, h, _ = arguments(20, 6, 64)
    w = np.random.default_rng(0).normal(size=(64, 128)).astype("f4") / 64
    f = sc.jit(lambda x, h, w: sc.scan(step, x, h, w))
    np.testing.assert_allclose(f(x, h, w), f(x, h, w, mode="interpret"), rtol=1e-4, atol=1e-5)


LEFT = {
    "small": (network, arguments(30, 5, 32)),
    "integers": (lambda x, h, w: sc.scan(lambda x, h, w: x + h @ w, x, h, w), tuple(
        np.ones(s, "int64") for s in ((20, 5, 64), (5, 64), (64, 64)))),
    "a matrix of each step": (lambda x, h, w: sc.scan(lambda x, w, h: np.tanh(x + h @ w), [x, w], h),
                              (np.ones((20, 4, 64)), np.ones((4, 64)), np.full((20, 64, 64), 0.01))),
    "a state": (lambda x, h, w: sc.scan(lambda x, h, w: (np.tanh(x + h @ w), w * 0.99), x, [h, w])[0],
                arguments(20, 5, 64)),
    "few steps that are known": (lambda x, h, w: sc.scan(lambda h, w: np.tanh(h @ w), None, h, w, n_steps=3),
                                 arguments(3, 5, 64)),
}  # fmt: skip


@pytest.mark.parametrize("name", LEFT)
def test_others_are_left_alone(name):
    f, given_arrays = LEFT[name]
    f = sc.jit(f)
    assert PACKED not in f.lower(*given_arrays).loop_ir()
    np.testing.assert_allclose(f(*given_arrays), f(*given_arrays, mode="interpret"), rtol=1e-4, atol=1e-6)
