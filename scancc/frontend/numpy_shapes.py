"""NumPy's functions that move elements without arithmetic: shapes, joins, splits, selections."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from scancc.errors import ScanIndexError, ScanTypeError, ScanValueError, ShapeError, UnsupportedError
from scancc.frontend.axes import array, axes_of, axis_of, merged, reshaped, static_length, static_shape
from scancc.frontend.fits import fitting, fitting_into
from scancc.frontend.location import here
from scancc.frontend.operators import ArrayOperators
from scancc.frontend.tracer import Tracer, array_of, emit, is_traced, length_of, tracing, unwrap, wrap
from scancc.ir import build
from scancc.ir.graph import Node
from scancc.ir.ops import broadcast
from scancc.ir.types import Dim, show_shape


def reshape(a: Any, shape: Any, order: str = "C") -> Tracer:
    x = unwrap(a)
    if _by_columns(x, order, len(shape) if isinstance(shape, (tuple, list)) else 1):
        back = tuple(shape)[::-1] if isinstance(shape, (tuple, list)) else shape
        return transpose(reshape(transpose(x_of(x)), back))
    return wrap(reshaped(x, shape))


def ravel(a: Any, order: str = "C") -> Tracer:
    x = unwrap(a)
    if _by_columns(x, order, 1):
        return ravel(transpose(x_of(x)))
    return wrap(build.reshape(x, (merged(x, range(x.type.ndim)),), here()))


x_of = wrap


def _by_columns(x: Node, order: str, rank: int) -> bool:
    """Whether elements are taken in Fortran's order. Traced values have no order in memory to go by."""
    if order not in ("C", "F", "A", "K"):
        raise ScanValueError(f"order must be one of 'C', 'F', 'A', or 'K' (got {order!r})", here())
    if order in ("A", "K") and x.type.ndim > 1:
        raise UnsupportedError(
            f"order={order!r} goes by the order in memory, which traced values do not have", here(),
            fix="write order='C' or order='F'",
        )  # fmt: skip
    return order == "F" and max(x.type.ndim, rank) > 1


def transpose(a: Any, axes: Any = None) -> Tracer:
    x = unwrap(a)
    perm = tuple(range(x.type.ndim))[::-1] if axes is None else axes_of(axes, x.type.ndim)
    return wrap(emit("transpose", x, perm=perm))


def moveaxis(a: Any, source: Any, destination: Any) -> Tracer:
    x = array(a)
    sources, places = axes_of(source, x.ndim), axes_of(destination, x.ndim)
    order = [i for i in range(x.ndim) if i not in sources]
    for place, s in sorted(zip(places, sources, strict=True)):
        order.insert(place, s)
    return transpose(x, order)


def swapaxes(a: Any, axis1: int, axis2: int) -> Tracer:
    x = array(a)
    order = list(range(x.ndim))
    i, j = axis_of(axis1, x.ndim), axis_of(axis2, x.ndim)
    order[i], order[j] = order[j], order[i]
    return transpose(x, order)


def expand_dims(a: Any, axis: Any) -> Tracer:
    x = unwrap(a)
    count = len(axis) if isinstance(axis, (tuple, list)) else 1
    at = axes_of(axis, x.type.ndim + count)
    rest = iter(x.type.shape)
    shape = tuple(1 if i in at else next(rest) for i in range(x.type.ndim + count))
    return wrap(build.reshape(x, shape, here()))


def squeeze(a: Any, axis: Any = None) -> Tracer:
    x = unwrap(a)
    ones = [i for i, d in enumerate(x.type.shape) if d == 1]
    gone = ones if axis is None else axes_of(axis, x.type.ndim)
    if any(i not in ones for i in gone):
        raise ShapeError("cannot select an axis to squeeze out which has size not equal to one", here())
    return wrap(build.reshape(x, tuple(d for i, d in enumerate(x.type.shape) if i not in gone), here()))


def broadcast_to(a: Any, shape: Any) -> Tracer:
    x = unwrap(a)
    entries = shape if isinstance(shape, (tuple, list)) else (shape,)
    wanted = tuple(d if isinstance(d, Dim) else length_of(d) for d in entries)
    pairs = zip(x.type.shape[::-1], wanted[::-1], strict=False)
    differ = any(isinstance(d, int) and isinstance(w, int) and d not in (1, w) for d, w in pairs)
    if differ or x.type.ndim > len(wanted):
        raise ShapeError(f"shape {show_shape(x.type.shape)} cannot be broadcast to {show_shape(wanted)}", here())
    return wrap(build.broadcast_to(fitting_into(x, wanted), wanted, here()))


def broadcast_arrays(*arrays: Any) -> tuple[Tracer, ...]:
    parts = [array(a) for a in arrays]
    shape = broadcast(*(p.node.type.shape for p in parts))
    return tuple(broadcast_to(p, shape) for p in parts)


def concatenate(arrays: Any, axis: Any = 0, dtype: Any = None, casting: str = "same_kind") -> Tracer:
    parts = [array(a) for a in arrays]
    if not parts:
        raise ShapeError("need at least one array to concatenate", here())
    if axis is None:
        parts, axis = [ravel(p) for p in parts], 0
    wanted = np.dtype(dtype) if dtype is not None else np.result_type(*(p.dtype for p in parts))
    for p in parts:
        if not np.can_cast(p.dtype, wanted, casting):  # type: ignore[arg-type]
            raise ScanTypeError(f"cannot cast an array of {p.dtype} to {wanted} by the rule {casting!r}", here())
        if not p.ndim:
            raise ShapeError("zero-dimensional arrays cannot be concatenated", here(), fix="use np.stack")
    at = axis_of(axis, parts[0].ndim)
    for p in parts[1:]:
        same = [a == b or isinstance(a, Dim) or isinstance(b, Dim)
                for i, (a, b) in enumerate(zip(p.node.type.shape, parts[0].node.type.shape, strict=False)) if i != at]
        if p.ndim != parts[0].ndim or not all(same):
            raise ShapeError(f"arrays of types {parts[0].node.type} and {p.node.type} cannot be joined", here())
    parts = [wrap(n) for n in fitting("concatenate", [p.node for p in parts], {"axis": at})]
    if len(parts) == 1:
        return parts[0].astype(wanted)
    name = tracing().root.unique("joined")
    return wrap(build.concatenate([build.cast(p.node, wanted, here()) for p in parts], at, here(), name))


def stack(arrays: Any, axis: int = 0, dtype: Any = None, casting: str = "same_kind") -> Tracer:
    return concatenate([expand_dims(array(a), axis) for a in arrays], axis, dtype, casting)


def _at_least(rank: int) -> Callable:
    def widen(*arrays: Any) -> Any:
        out = []
        for a in arrays:
            x = array(a)
            if rank == 3 and x.ndim == 2:
                x = expand_dims(x, 2)
            elif rank == 3 and x.ndim == 1:
                x = expand_dims(x, (0, 2))
            while x.ndim < rank:
                x = expand_dims(x, 0)
            out.append(x)
        return out[0] if len(out) == 1 else tuple(out)

    return widen


at_least_1d, at_least_2d, at_least_3d = _at_least(1), _at_least(2), _at_least(3)


def hstack(arrays: Any, dtype: Any = None, casting: str = "same_kind") -> Tracer:
    parts = [at_least_1d(a) for a in arrays]
    return concatenate(parts, 0 if parts[0].ndim == 1 else 1, dtype, casting)


def vstack(arrays: Any, dtype: Any = None, casting: str = "same_kind") -> Tracer:
    return concatenate([at_least_2d(a) for a in arrays], 0, dtype, casting)


def column_stack(arrays: Any) -> Tracer:
    parts = [array(a) for a in arrays]
    return concatenate([expand_dims(at_least_1d(p), 1) if p.ndim < 2 else p for p in parts], 1)


def array_split(a: Any, sections: Any, axis: int = 0) -> list[Tracer]:
    x = array(a)
    at = axis_of(axis, x.ndim)
    n = static_length(x, at, "np.split")
    if isinstance(sections, (int, np.integer)):
        bounds = [len(part) for part in np.array_split(np.empty(n), sections)]
        cuts = np.cumsum([0, *bounds])
    else:
        cuts = np.array([0, *(min(int(s), n) for s in sections), n])
    before = (slice(None),) * at
    return [x[(*before, slice(int(i), int(j)))] for i, j in zip(cuts, cuts[1:], strict=False)]


def split(a: Any, sections: Any, axis: int = 0) -> list[Tracer]:
    x = array(a)
    if isinstance(sections, (int, np.integer)) and static_length(x, axis_of(axis, x.ndim), "np.split") % sections:
        raise ShapeError("array split does not result in an equal division", here(), fix="use np.array_split")
    return array_split(x, sections, axis)


def flip(a: Any, axis: Any = None) -> Tracer:
    x = array(a)
    return wrap(emit("flip", x.node, axes=axes_of(axis, x.ndim)))


def roll(a: Any, shift: Any, axis: Any = None) -> Tracer:
    x = array(a)
    if axis is None:  # shifts of the flat array add up
        shift = sum(shift) if isinstance(shift, (tuple, list)) else np.sum(shift) if np.ndim(shift) else shift
        return reshape(roll(ravel(x), shift, 0), x.node.type.shape) if x.ndim != 1 else roll(x, shift, 0)
    axes = [axis_of(a, x.ndim) for a in (axis if isinstance(axis, (tuple, list)) else (axis,))]  # one may come twice
    if is_traced(shift):
        shifts = list(shift) if isinstance(shift, (tuple, list)) else [shift] * len(axes)
    else:
        shifts, axes = (list(p) for p in np.broadcast_arrays(shift, axes))
    for s, at in zip(shifts, map(int, axes), strict=True):
        n = static_length(x, at, "np.roll")
        before = (slice(None),) * at
        if is_traced(s):
            x = x[(*before, np.remainder(np.arange(n) - s, max(n, 1)))]
            continue
        k = int(s) % n if n else 0
        if k:
            x = concatenate([x[(*before, slice(n - k, None))], x[(*before, slice(None, n - k))]], at)
    return x


def repeat(a: Any, repeats: Any, axis: Any = None) -> Tracer:
    x = ravel(a) if axis is None else array(a)
    at = axis_of(0 if axis is None else axis, x.ndim)
    n = static_length(x, at, "np.repeat")
    if is_traced(repeats):
        raise UnsupportedError("np.repeat a traced number of times is not supported in a step: the length would depend "
                               "on values", here(), fix="give a fixed number")  # fmt: skip
    times = np.broadcast_to(np.asarray(repeats), (n,))
    return x[(*(slice(None),) * at, np.repeat(np.arange(n), times))]


def tile(a: Any, reps: Any) -> Tracer:
    x = array(a)
    counts = tuple(reps) if isinstance(reps, (tuple, list)) else (reps,)
    while x.ndim < len(counts):
        x = expand_dims(x, 0)
    for at, k in enumerate((1,) * (x.ndim - len(counts)) + counts):
        if k != 1:
            x = concatenate([x] * k, at) if k else x[(*(slice(None),) * at, slice(0, 0))]
    return x


def diagonal(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Tracer:
    x = moveaxis(a, (axis1, axis2), (-2, -1))
    m, n = static_length(x, x.ndim - 2, "np.diagonal"), static_length(x, x.ndim - 1, "np.diagonal")
    i = np.arange(max(0, min(m + min(offset, 0), n - max(offset, 0))))
    return x[(..., i - min(offset, 0), i + max(offset, 0))]


def diag(v: Any, k: int = 0) -> Tracer:
    x = array(v)
    if x.ndim == 2:
        return diagonal(x, k)
    n = static_length(x, 0, "np.diag") + abs(k)
    ends = [np.zeros(max(k, 0), x.dtype), np.zeros(max(-k, 0), x.dtype)]
    column = concatenate([ends[0], x, ends[1]]) if k else x
    return np.where(np.eye(n, k=k, dtype=bool), column, np.zeros((), x.dtype))  # type: ignore[return-value]


def _triangle(function: Callable) -> Callable:
    def cut(m: Any, k: int = 0) -> Any:
        x = array(m)
        mask = function(np.ones(static_shape(x, "np.tril")[-2:], bool), k)
        return np.where(mask, x, np.zeros((), x.dtype))

    return cut


def take(a: Any, indices: Any, axis: Any = None, mode: str = "raise") -> Tracer:
    x = ravel(a) if axis is None else array(a)
    at = 0 if axis is None else axis_of(axis, x.ndim)
    index = indices if isinstance(indices, ArrayOperators) else array(indices) if is_traced(indices) else (
        np.asarray(indices)
    )  # fmt: skip
    if mode not in ("raise", "clip", "wrap"):
        raise ScanValueError(f"mode must be one of 'clip', 'raise', or 'wrap' (got {mode!r})", here())
    if mode == "clip":
        index = np.clip(index, 0, x.shape[at] - 1)
    elif mode == "wrap":
        index = np.remainder(index, x.shape[at])
    return x[(*(slice(None),) * at, index)]


def take_along_axis(a: Any, indices: Any, axis: Any = -1) -> Tracer:
    x, i = array(a), array(indices)
    if i.dtype.kind not in "iu":
        raise ScanIndexError("`indices` must be an integer array", here())
    if axis is None:
        if i.ndim != 1:
            raise ScanValueError("when axis=None, `indices` must have a single dimension.", here())
        return ravel(x)[i]
    if i.ndim != x.ndim:
        raise ScanValueError("`indices` and `arr` must have the same number of dimensions", here())
    at = axis_of(axis, x.ndim)
    grid = np.ogrid[tuple(slice(n) for n in static_shape(x, "np.take_along_axis"))]
    return x[tuple(i if k == at else g for k, g in enumerate(grid))]


def _filled(value: Any) -> Callable:
    def fill(a: Any, dtype: Any = None, shape: Any = None) -> Tracer:
        return full_like(a, value, dtype, shape)

    return fill


def full_like(a: Any, fill_value: Any, dtype: Any = None, shape: Any = None) -> Tracer:
    x = unwrap(a)
    dtype = np.dtype(dtype or x.type.dtype)
    # An integer is a constant of that dtype, which it has to fit; an array would be an input of the program.
    number = type(fill_value) is int
    value = build.const(array_of(fill_value, dtype), loc=here()) if number else unwrap(fill_value)
    value = build.cast(value, dtype, here())
    entries = shape if isinstance(shape, (tuple, list)) else (shape,)
    wanted = x.type.shape if shape is None else tuple(length_of(n) for n in entries)
    if any(isinstance(n, int) and n < 0 for n in wanted):
        raise ScanValueError("negative dimensions are not allowed", here())
    return wrap(build.broadcast_to(value, wanted, here()))


SHAPES: dict[Callable, Callable] = {
    np.reshape: reshape, np.ravel: ravel, np.transpose: transpose, np.moveaxis: moveaxis, np.swapaxes: swapaxes,
    np.expand_dims: expand_dims, np.squeeze: squeeze, np.broadcast_to: broadcast_to,
    np.broadcast_arrays: broadcast_arrays, np.concatenate: concatenate, np.stack: stack, np.hstack: hstack,
    np.vstack: vstack,
    np.dstack: lambda arrays: concatenate([at_least_3d(a) for a in arrays], 2), np.column_stack: column_stack,
    np.atleast_1d: at_least_1d, np.atleast_2d: at_least_2d, np.atleast_3d: at_least_3d, np.split: split,
    np.array_split: array_split, np.hsplit: lambda a, n: split(a, n, 0 if array(a).ndim == 1 else 1),
    np.vsplit: lambda a, n: split(a, n, 0), np.flip: flip, np.flipud: lambda m: flip(m, 0),
    np.fliplr: lambda m: flip(m, 1), np.roll: roll, np.repeat: repeat, np.tile: tile,
    np.diagonal: diagonal, np.diag: diag, np.tril: _triangle(np.tril), np.triu: _triangle(np.triu), np.take: take,
    np.take_along_axis: take_along_axis, np.zeros_like: _filled(0), np.ones_like: _filled(1),
    np.empty_like: _filled(0), np.full_like: full_like, np.copy: lambda a: array(a), np.shape: lambda a: a.shape,
    np.ndim: lambda a: a.ndim, np.size: lambda a, axis=None: a.size if axis is None else a.shape[axis],
}  # fmt: skip
