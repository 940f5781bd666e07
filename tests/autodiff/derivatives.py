"""Checks of derivatives of compiled functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import scancc as sc

FEW = 10  # of an argument


def check_derivatives(
    f: Callable, *args: Any, h: float = 1e-6, tolerance: float = 2e-6, compiled: bool = False
) -> None:
    """Reverse mode against finite differences of the compiled function, in some elements of each argument, forward
    against reverse mode, and the same of the gradient itself: second derivatives, on the interpreter unless `compiled`
    asks for kernels."""
    args = tuple(np.asarray(a, float) for a in args)
    numbers = tuple(range(len(args)))
    rng = np.random.default_rng(3)
    direction = tuple(rng.normal(size=a.shape) for a in args)
    run = sc.jit(f)
    value, g = sc.value_and_grad(f, numbers)(*args)
    assert np.isclose(value, run(*args), rtol=1e-12)
    assert all(part.shape == a.shape for part, a in zip(g, args, strict=True))
    for i, a in enumerate(args):
        places = list(np.ndindex(a.shape))
        for k in places if len(places) <= FEW else rng.permutation(places)[:FEW].tolist():
            k = tuple(k)
            step = np.zeros(a.shape)
            step[k] = h
            moved = [run(*(x + s * step if j == i else x for j, x in enumerate(args))) for s in (1, -1)]
            assert np.isclose(g[i][k], (moved[0] - moved[1]) / (2 * h), rtol=tolerance, atol=tolerance), (i, k)
    again, tangent = sc.jvp(f, args, direction)
    assert np.isclose(again, value, rtol=1e-12)
    assert np.isclose(tangent, inner(g, direction), rtol=1e-9, atol=1e-12)
    gradient = sc.grad(f, numbers)

    def along(*args: Any) -> Any:
        return sum((p * d).sum() for p, d in zip(gradient(*args), direction, strict=True))

    options = {} if compiled else {"mode": "interpret"}
    reverse = sc.jit(sc.grad(along, numbers))(*args, **options)
    forward = sc.jit(lambda *args: sc.jvp(gradient, args, direction)[1])(*args, **options)
    above = gradient(*(a + h * d for a, d in zip(args, direction, strict=True)))
    below = gradient(*(a - h * d for a, d in zip(args, direction, strict=True)))
    for fw, rv, up, down in zip(forward, reverse, above, below, strict=True):
        assert np.allclose(fw, rv, rtol=1e-8, atol=1e-10)
        assert np.allclose(fw, (up - down) / (2 * h), rtol=20 * tolerance, atol=20 * tolerance)


def inner(a: Any, b: Any) -> float:
    return float(sum(np.sum(x * y) for x, y in zip(a, b, strict=True)))
