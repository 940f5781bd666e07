"""Indexing of traced values: integers, slices, None, Ellipsis, and traced or constant integer scalars."""

from __future__ import annotations

from typing import Any

import numpy as np

from scancc.errors import ScanIndexError, UnsupportedError
from scancc.frontend.location import here
from scancc.frontend.tracer import Tracer, emit, tracing, unwrap, wrap
from scancc.ir import build
from scancc.ir.types import Dim


def getitem(x: Tracer, key: Any) -> Tracer:
    keys = list(key) if isinstance(key, tuple) else [key]
    keys = [np.asarray(k) if isinstance(k, list) else k for k in keys]
    used = sum(k is not None and k is not Ellipsis for k in keys)
    node = unwrap(x)
    if used > node.type.ndim:
        raise ScanIndexError(f"too many indices: {used} for an array of {node.type.ndim} axes", here())
    fill = [slice(None)] * (node.type.ndim - used)
    if any(k is Ellipsis for k in keys):
        at = next(i for i, k in enumerate(keys) if k is Ellipsis)
        keys[at : at + 1] = fill
    else:
        keys += fill
    axis = 0
    gathered = False
    for k in keys:
        if k is None:
            node = build.reshape(node, (*node.type.shape[:axis], 1, *node.type.shape[axis:]), here())
            axis += 1
        elif isinstance(k, slice):
            node = _slice(node, axis, k)
            axis += 1
        elif isinstance(k, (int, np.integer)) and not isinstance(k, bool):
            node = _index(node, axis, int(k))
        elif isinstance(k, (Tracer, np.ndarray)) and k.dtype.kind in "iu" and not gathered:
            # One integer array: its axes stand where the indexed axis was. Indices are checked when the kernel runs.
            length = build.dim_of(node, axis, here())
            node = emit("take", node, emit("wrap_index", build.cast(unwrap(k), "int64"), length), axis=axis)
            axis += k.ndim
            gathered = k.ndim > 0
        else:
            raise UnsupportedError(f"indexing with {type(k).__name__} is not supported in a step", here(),
                                   fix="use integers, slices or one integer array; sc.where to choose by a mask")
    return wrap(node)


def _index(node: Any, axis: int, position: int) -> Any:
    d = node.type.shape[axis]
    if isinstance(d, int) and not -d <= position < d:
        raise ScanIndexError(f"index {position} is out of bounds for axis {axis} of length {d}", here())
    return emit("index", node, axis=axis, position=position)


def _slice(node: Any, axis: int, k: slice) -> Any:
    if k == slice(None):
        return node
    d = node.type.shape[axis]
    if any(isinstance(b, Tracer) for b in (k.start, k.stop, k.step)):
        raise UnsupportedError("slices with traced bounds are not supported in a step", here())
    full = [(None, None, None)] * node.type.ndim
    full[axis] = (k.start, k.stop, k.step)
    starts, stops, steps = zip(*full, strict=True)
    length: int | Dim = _run_time_length(node, axis, k) if isinstance(d, Dim) else len(range(*k.indices(d)))
    shape = (*node.type.shape[:axis], length, *node.type.shape[axis + 1 :])
    return emit("slice", node, type=node.type.with_shape(shape), starts=starts, stops=stops, steps=steps)


def _run_time_length(node: Any, axis: int, k: slice) -> Any:
    """Length of a Python slice along an axis whose length is known at run time: max(0, ceil((stop - start) / step))."""
    step = 1 if k.step is None else int(k.step)
    n, zero = build.dim_of(node, axis, here()), build.integer(0)
    low, high = (zero, n) if step > 0 else (build.integer(-1), build.make("subtract", n, build.integer(1)))

    def bound(b: Any, default: Any) -> Any:
        if b is None:
            return default
        at = build.integer(int(b)) if b >= 0 else build.make("add", n, build.integer(int(b)))
        return build.make("minimum", build.make("maximum", at, low), high)

    start, stop = (bound(k.start, low), bound(k.stop, high)) if step > 0 else (bound(k.start, high), bound(k.stop, low))
    span = build.make("subtract", stop, start) if step > 0 else build.make("subtract", start, stop)
    rounded = build.make("add", span, build.integer(abs(step) - 1))
    count = build.make("maximum", build.make("floor_divide", rounded, build.integer(abs(step))), zero)
    return tracing().new_dim("cut", define=count)
