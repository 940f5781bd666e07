"""Indexing of traced values: integers, slices, None, Ellipsis, and traced or constant integer scalars."""

from __future__ import annotations

from typing import Any

import numpy as np

from scancc.errors import ScanIndexError, UnsupportedError
from scancc.frontend.location import here
from scancc.frontend.tracer import Tracer, emit, unwrap, wrap
from scancc.ir import build
from scancc.ir.types import Dim


def getitem(x: Tracer, key: Any) -> Tracer:
    keys = list(key) if isinstance(key, tuple) else [key]
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
    for k in keys:
        if k is None:
            node = build.reshape(node, (*node.type.shape[:axis], 1, *node.type.shape[axis:]), here())
            axis += 1
        elif isinstance(k, slice):
            node = _slice(node, axis, k)
            axis += 1
        elif isinstance(k, (int, np.integer)) and not isinstance(k, bool):
            node = _index(node, axis, int(k))
        elif isinstance(k, Tracer) and k.dtype.kind in "iu" and k.ndim == 0:
            length = build.dim_of(node, axis, here())
            node = emit("take", node, emit("wrap_index", build.cast(unwrap(k), "int64"), length), axis=axis)
        else:
            raise UnsupportedError(f"indexing with {type(k).__name__} is not supported in a step", here(),
                                   fix="use integers, slices or traced integers; sc.where to choose by a mask")
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
    if isinstance(d, Dim) or any(isinstance(b, Tracer) for b in (k.start, k.stop, k.step)):
        raise UnsupportedError("slices of lengths known at run time only are not supported yet", here())
    full = [(None, None, None)] * node.type.ndim
    full[axis] = (k.start, k.stop, k.step)
    starts, stops, steps = zip(*full, strict=True)
    shape = (*node.type.shape[:axis], len(range(*k.indices(d))), *node.type.shape[axis + 1 :])
    return emit("slice", node, type=node.type.with_shape(shape), starts=starts, stops=stops, steps=steps)
