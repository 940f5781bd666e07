"""Theano's functions of shapes: those that NumPy spells differently, or not for symbolic lengths."""

from __future__ import annotations

from typing import Any

import numpy as np

from scancc.errors import ScanTypeError
from scancc.frontend.location import here
from scancc.frontend.numpy_shapes import concatenate as _concatenate
from scancc.frontend.operators import ArrayOperators
from scancc.frontend.tracer import Tracer, length_of, unwrap, wrap
from scancc.ir import build
from scancc.theano.configuration import config


def _shape(shape: Any) -> tuple:
    return tuple(length_of(n) for n in (shape if isinstance(shape, (tuple, list)) else [shape]))


def alloc(value: Any, *shape: Any) -> Tracer:
    """An array of `shape` (numbers or variables) filled with `value`."""
    return wrap(build.broadcast_to(unwrap(value), _shape(list(shape)), here()))


def full(shape: Any, value: Any, dtype: Any = None) -> Tracer:
    filled = alloc(value, *(shape if isinstance(shape, (tuple, list)) else [shape]))
    return filled if dtype is None else filled.astype(dtype)


def zeros(shape: Any, dtype: Any = None) -> Tracer:
    return full(shape, np.zeros((), dtype or config.floatX))


def ones(shape: Any, dtype: Any = None) -> Tracer:
    return full(shape, np.ones((), dtype or config.floatX))


def eye(n: int, m: int | None = None, k: int = 0, dtype: Any = None) -> Any:
    return wrap(unwrap(np.eye(n, m, k, dtype=dtype or config.floatX)))


def arange(start: Any, stop: Any = None, step: Any = 1, dtype: Any = None) -> Tracer:
    """np.arange, with variables as bounds."""
    if stop is None:
        start, stop = 0, start
    if not isinstance(step, (int, np.integer)):
        raise ScanTypeError("T.arange takes a whole number as its step", here())
    if not isinstance(start, ArrayOperators) and not isinstance(stop, ArrayOperators):
        return wrap(unwrap(np.arange(start, stop, step, dtype=dtype)))
    span = (wrap(unwrap(stop)) - start) if step > 0 else (wrap(unwrap(start)) - stop)
    count = np.maximum((span + (abs(step) - 1)) // abs(step), 0)
    n = length_of(count)
    values = wrap(build.make("iota", type=build.integer(0).type.with_shape((n,)), shape=(n,), loc=here()))
    if step != 1:
        values = values * step
    if isinstance(start, ArrayOperators) or start != 0:
        values = values + start
    return values if dtype is None else values.astype(dtype)


def concatenate(tensors: Any, axis: int = 0) -> Tracer:
    return _concatenate([wrap(unwrap(t)) for t in tensors], axis)


def join(axis: int, *tensors: Any) -> Tracer:
    """`concatenate` with the axis first."""
    return concatenate(tensors, axis)


def flatten(x: Any, ndim: int = 1) -> Any:
    """`x` with its last axes made one, so that `ndim` are left."""
    return np.ravel(x) if ndim == 1 else np.reshape(x, (*x.shape[: ndim - 1], -1))


def dimshuffle(x: Any, *pattern: Any) -> Any:
    """Axes in a new order; 'x' stands for a new axis of length 1, and axes of length 1 may be left out."""
    order = list(pattern[0]) if len(pattern) == 1 and isinstance(pattern[0], (tuple, list)) else list(pattern)
    kept = [p for p in order if p != "x"]
    x = wrap(unwrap(x))
    gone = [axis for axis in range(x.ndim) if axis not in kept]
    x = np.transpose(x, [*kept, *gone])
    for _ in gone:
        x = np.squeeze(x, axis=-1)  # type: ignore[arg-type]
    for i, p in enumerate(order):
        if p == "x":
            x = np.expand_dims(x, i)
    return x


def shape_padleft(x: Any, n_ones: int = 1) -> Any:
    return dimshuffle(x, *["x"] * n_ones, *range(x.ndim))


def shape_padright(x: Any, n_ones: int = 1) -> Any:
    return dimshuffle(x, *range(x.ndim), *["x"] * n_ones)


def shape_padaxis(x: Any, axis: int) -> Any:
    return np.expand_dims(x, axis)


def batched_dot(a: Any, b: Any) -> Any:
    """Products of matrices (or vectors) that stand one behind the other along the first axis."""
    left, right = "bij"[: a.ndim], "bjk"[: b.ndim] if a.ndim == 3 else "bik"[: b.ndim]
    summed = left[-1]
    out = "b" + "".join(c for c in (*left[1:], *right[1:]) if c != summed)
    return np.einsum(f"{left},{right}->{out}", a, b)


def extract_diag(x: Any) -> Any:
    return np.diagonal(x)


def set_subtensor(x: Any, y: Any, **_: Any) -> Any:
    """`x` is written as an index, `a[i]`: the result is `a` with these elements replaced by `y`."""
    base, key = _origin(x)
    return base.at[key].set(y)


def inc_subtensor(x: Any, y: Any, **_: Any) -> Any:
    """`x` is written as an index, `a[i]`: the result is `a` with `y` added to these elements."""
    base, key = _origin(x)
    return base.at[key].add(y)


def _origin(x: Any) -> tuple[Any, Any]:
    found = getattr(x, "origin", None)
    if found is None:
        raise ScanTypeError("set_subtensor takes an indexed variable, as in set_subtensor(x[0], y)", here())
    return found  # type: ignore[no-any-return]
