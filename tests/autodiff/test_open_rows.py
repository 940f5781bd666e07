"""Derivatives of steps that read parts of an array whose length is known at run time only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import scancc as sc

X = np.array([1.0, 2.0, 3.0, 4.0]) * 0.3

# What a step reads of the whole sequence.
PARTS: dict[str, Callable[[Any], Any]] = {
    "x[0]": lambda x: x[0],
    "x[-1]": lambda x: x[-1],
    "x[:2]": lambda x: x[:2].sum(),
    "x[:-1]": lambda x: (x[:-1] ** 2).sum(),
    "x[1:]": lambda x: (x[1:] * x[:-1]).sum(),
    "x[::2]": lambda x: (x[::2] ** 2).sum(),
    "x[::-1]": lambda x: x[::-1][1],
    "cumsum": lambda x: np.cumsum(x)[2],
    "cumprod": lambda x: np.cumprod(x).sum(),
    "diff": lambda x: (np.diff(x) ** 2).sum(),
    "roll": lambda x: (np.roll(x, 1) * x).sum(),
    "concatenate": lambda x: (np.concatenate([x, x[:1]]) ** 2).sum(),
    "set": lambda x: (x.at[0].set(x[1]) ** 2).sum(),
    "inner scan": lambda x: sc.scan(lambda v, s: s * 0.3 + v, x, 0.0)[1],
    "cond": lambda x: sc.cond(x[0] > 0, lambda: x[1:].sum(), lambda: x[2]),
}


def loss(part: Callable[[Any], Any], **options: Any) -> Callable[[Any], Any]:
    return lambda x: sc.scan(lambda u, h: h * 0.5 + u * part(x), x, 0.0, **options).sum()


def numeric(f: Callable, x: np.ndarray, h: float = 1e-6) -> np.ndarray:
    return np.array([(np.asarray(f(x + h * e)) - np.asarray(f(x - h * e))) / (2 * h) for e in np.eye(len(x))])


@pytest.mark.parametrize("part", PARTS)
def test_first_and_second_derivatives(part: str) -> None:
    f = loss(PARTS[part])
    want = numeric(sc.jit(f), X)
    gradient = sc.grad(f)
    assert np.allclose(gradient(X), want, atol=1e-6)
    assert np.allclose(sc.vmap(gradient)(np.stack([X, X]))[1], want, atol=1e-6)
    assert np.allclose(sc.hessian(f)(X), numeric(gradient, X), atol=1e-6)


@pytest.mark.parametrize("part", ["x[0]", "x[:2]", "cumsum"])
@pytest.mark.parametrize("options", [{"checkpoint": 2}, {"checkpoint": "binomial"}, {"memory_budget": "1MB"}],
                         ids=str)  # fmt: skip
def test_with_fewer_states_kept(part: str, options: dict) -> None:
    assert np.allclose(sc.grad(loss(PARTS[part], **options))(X), sc.grad(loss(PARTS[part]))(X), rtol=1e-12)


@pytest.mark.parametrize("part", ["x[0]", "x[-1]", "cumsum"])
def test_jacobians_and_gradients_of_batches(part: str) -> None:
    f = loss(PARTS[part])
    want = sc.grad(f)(X)
    assert np.allclose(sc.jacrev(f)(X), want, rtol=1e-12)
    assert np.allclose(sc.jacfwd(f)(X), want, rtol=1e-12)
    batched = sc.grad(lambda x: sc.vmap(f)(x).sum())
    assert np.allclose(batched(np.stack([2 * X, X]))[1], want, rtol=1e-12)


def test_one_program_for_all_lengths() -> None:
    gradient = sc.grad(loss(PARTS["x[:2]"]))
    for n in (4, 7, 2):
        x = np.linspace(0.1, 0.9, n)
        assert np.allclose(gradient(x), numeric(sc.jit(loss(PARTS["x[:2]"])), x), atol=1e-6)
