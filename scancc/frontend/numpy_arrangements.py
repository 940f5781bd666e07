"""NumPy's functions that turn arrays, put some into others, or make grids of them."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from scancc.errors import ScanTypeError, ScanValueError, UnsupportedError
from scancc.frontend.axes import array, axes_of, axis_of, static_length, static_shape
from scancc.frontend.location import here
from scancc.frontend.numpy_shapes import (
    broadcast_arrays,
    broadcast_to,
    concatenate,
    flip,
    moveaxis,
    ravel,
    reshape,
    swapaxes,
    transpose,
)
from scancc.frontend.tracer import Tracer, is_traced


def matrix_transpose(x: Any) -> Tracer:
    a = array(x)
    if a.ndim < 2:
        raise ScanValueError(f"Input array must be at least 2-dimensional, but it is {a.ndim}", here())
    return swapaxes(a, -1, -2)


def rot90(m: Any, k: int = 1, axes: Any = (0, 1)) -> Any:
    x = array(m)
    given = axes_of(tuple(axes), x.ndim)
    if len(given) != 2:
        raise ScanValueError("len(axes) must be 2.", here())
    for _ in range(k % 4):
        x = flip(swapaxes(x, *given), given[0])
    return x


def rollaxis(a: Any, axis: int, start: int = 0) -> Tracer:
    x = array(a)
    at = axis_of(axis, x.ndim)
    place = start + x.ndim if start < 0 else start
    if not 0 <= place <= x.ndim:
        raise ScanValueError(f"'start' arg requires {-x.ndim} <= start < {x.ndim + 1}, not {start}", here())
    return moveaxis(x, at, place - 1 if at < place else place)


def meshgrid(*xi: Any, sparse: bool = False, indexing: str = "xy") -> tuple:
    """Results share no memory, whatever `copy` says."""
    if indexing not in ("xy", "ij"):
        raise ScanValueError("Valid values for `indexing` are 'xy' and 'ij'.", here())
    n = len(xi)
    parts = [reshape(x, (1,) * i + (-1,) + (1,) * (n - 1 - i)) for i, x in enumerate(xi)]
    if indexing == "xy" and n > 1:
        parts = [swapaxes(p, 0, 1) for p in parts]
    return tuple(parts) if sparse else tuple(broadcast_arrays(*parts))


def append(arr: Any, values: Any, axis: Any = None) -> Tracer:
    if axis is None:
        return concatenate([ravel(arr), ravel(values)], 0)
    return concatenate([array(arr), array(values)], axis)


def _fixed(obj: Any, what: str) -> Any:
    if is_traced(obj) or isinstance(obj, slice) and is_traced(obj.start, obj.stop, obj.step):
        raise UnsupportedError(f"{what} at traced positions is not supported in a step", here(),
                               fix="choose with np.where, or gather with an index array")  # fmt: skip
    return obj


def delete(arr: Any, obj: Any, axis: Any = None) -> Any:
    x = ravel(arr) if axis is None else array(arr)
    at = 0 if axis is None else axis_of(axis, x.ndim)
    n = static_length(x, at, "np.delete")
    return x[(*(slice(None),) * at, np.delete(np.arange(n), _fixed(obj, "np.delete")))]


def insert(arr: Any, obj: Any, values: Any, axis: Any = None) -> Any:
    x = ravel(arr) if axis is None else array(arr)
    at = 0 if axis is None else axis_of(axis, x.ndim)
    n = static_length(x, at, "np.insert")
    _fixed(obj, "np.insert")
    shape = static_shape(x, "np.insert")
    v = array(values).astype(x.dtype)
    # Which element goes where is asked of NumPy: the positions of the old ones, and those of the new ones below zero.
    single = np.ndim(obj) == 0 and not isinstance(obj, slice)
    if single:  # one place takes as many rows as there are
        v = reshape(v, (1,) * (x.ndim - v.ndim) + tuple(v.shape))
        rows = moveaxis(v, 0, at)
        count = rows.shape[at]
        new = broadcast_to(rows, (*shape[:at], count, *shape[at + 1 :]))
        order = np.insert(np.arange(n), operator.index(obj), n + np.arange(count))
    else:
        count = len(np.insert(np.arange(n), obj, -1)) - n
        new = broadcast_to(v, (*shape[:at], count, *shape[at + 1 :]))
        order = np.insert(np.arange(n), obj, n + np.arange(count))
    return concatenate([x, new], at)[(*(slice(None),) * at, order)]


def vander(x: Any, N: Any = None, increasing: bool = False) -> Tracer:  # noqa: N803
    a = array(x)
    if a.ndim != 1:
        raise ScanValueError("x must be a one-dimensional array or sequence.", here())
    count = static_length(a, 0, "np.vander") if N is None else operator.index(N)
    a = a.astype(np.promote_types(a.dtype, int))
    columns = [np.ones_like(a)]
    while len(columns) < count:
        columns.append(columns[-1] * a)
    columns = columns[:count]
    if not columns:
        return np.zeros_like(a)[:, None][:, :0]  # type: ignore[return-value]
    return np.stack(columns if increasing else columns[::-1], -1)  # type: ignore[return-value]


def block(arrays: Any) -> Tracer:
    def depth(part: Any) -> int:
        return 1 + max(map(depth, part), default=0) if isinstance(part, list) else 0

    levels = depth(arrays)
    rank = max(levels, *(np.ndim(p) for p in _leaves(arrays)))

    def joined(part: Any, level: int) -> Any:
        if not isinstance(part, list):
            x = array(part)
            return reshape(x, (1,) * (rank - x.ndim) + tuple(x.shape))
        return concatenate([joined(p, level + 1) for p in part], rank - levels + level)

    return joined(arrays, 0)


def _leaves(part: Any) -> list[Any]:
    return [leaf for p in part for leaf in _leaves(p)] if isinstance(part, list) else [part]


def resize(a: Any, new_shape: Any) -> Tracer:
    x = ravel(a)
    shape = tuple(new_shape) if isinstance(new_shape, (tuple, list)) else (new_shape,)
    n, size = static_length(x, 0, "np.resize"), math.prod(shape)
    return reshape(x[np.arange(size) % max(n, 1)] if n else np.zeros(size, x.dtype), shape)


def diagflat(v: Any, k: int = 0) -> Any:
    return np.diag(ravel(v), k)  # type: ignore[call-overload]


def choose(a: Any, choices: Any, mode: str = "raise") -> Any:
    i = array(a)
    parts = broadcast_arrays(i, *choices)
    count = len(parts) - 1
    if i.dtype.kind not in "biu":
        raise ScanTypeError("the choice is made by integers", here())
    stacked = np.stack(parts[1:])
    index = parts[0].astype(np.int64)
    index = np.clip(index, 0, count - 1) if mode == "clip" else index % count if mode == "wrap" else index
    if mode == "raise":  # a negative number is none of a choice, though it would be one of a row
        index = np.where(index < 0, count, index)  # type: ignore[assignment]
    grid = np.ogrid[tuple(slice(n) for n in static_shape(index, "np.choose"))]
    return stacked[(index, *grid)]


def unstack(x: Any, axis: int = 0) -> tuple:
    a = moveaxis(x, axis, 0)
    return tuple(a[i] for i in range(static_length(a, 0, "np.unstack")))


ARRANGEMENTS: dict[Callable, Callable] = {
    np.matrix_transpose: matrix_transpose, np.linalg.matrix_transpose: matrix_transpose,
    np.permute_dims: transpose, np.rot90: rot90, np.rollaxis: rollaxis, np.meshgrid: meshgrid, np.append: append,
    np.delete: delete, np.insert: insert, np.vander: vander, np.block: block, np.resize: resize,
    np.diagflat: diagflat, np.choose: choose,
}  # fmt: skip
if hasattr(np, "unstack"):  # since NumPy 2.1
    ARRANGEMENTS[np.unstack] = unstack
