"""Indexing of traced values with NumPy's meaning: integers, slices, None, Ellipsis, and integer arrays.

Integer arrays may be constant or traced; several of them broadcast against one another. Constant masks are integer
arrays in disguise. A traced mask is an error: the shape of its result would depend on values.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from scancc.errors import ScanIndexError, UnsupportedError
from scancc.frontend.fits import as_int64
from scancc.frontend.location import here
from scancc.frontend.operators import ArrayOperators
from scancc.frontend.slices_in_steps import rows_in_step
from scancc.frontend.tracer import Tracer, emit, tracing, unwrap, wrap
from scancc.ir import build
from scancc.ir.graph import Node
from scancc.ir.types import Dim


def getitem(x: Tracer, key: Any) -> Tracer:
    node = unwrap(x)
    keys = expanded(key, node.type.ndim)
    advanced = [i for i, k in enumerate(keys) if isinstance(k, (ArrayOperators, np.ndarray))]
    if any(keys[i].ndim > 0 for i in advanced):
        return _advanced(node, keys)
    position = flat_position(node, tuple(keys)) if len(advanced) > 1 else None
    if position is not None:  # no row has to be made
        return wrap(emit("take", build.reshape(node, (node.type.size,), here()), position, axis=0))
    axis = 0
    for k in keys:
        if k is None:
            node = build.reshape(node, (*node.type.shape[:axis], 1, *node.type.shape[axis:]), here())
            axis += 1
        elif isinstance(k, slice):
            node = _slice(node, axis, k)
            axis += 1
        elif isinstance(k, int):
            node = _index(node, axis, k)
        else:
            node = emit("take", node, wrapped_index(node, axis, k), axis=axis)
    return wrap(node)


def expanded(key: Any, rank: int) -> list[Any]:
    """One entry an axis (and None for new ones); masks as integer arrays, integers as Python's."""
    keys: list[Any] = []
    for k in key if isinstance(key, tuple) else (key,):
        if isinstance(k, ArrayOperators) and not k.traced:
            k = np.asarray(k)
        if isinstance(k, list):
            k = np.asarray(k) if k else np.empty(0, np.int64)
        if isinstance(k, np.ndarray) and k.dtype.kind == "b":
            keys += np.nonzero(k)
        elif isinstance(k, (bool, np.bool_)) or (isinstance(k, ArrayOperators) and k.dtype.kind == "b"):
            raise UnsupportedError(
                "indexing with a traced mask is not supported in a step: the shape would depend on values", here(),
                fix="use np.where(mask, x, 0) to choose by a mask",
            )  # fmt: skip
        elif isinstance(k, np.ndarray) and k.ndim == 0 and k.dtype.kind in "iu":
            keys.append(int(k))
        elif isinstance(k, np.integer):
            keys.append(int(k))
        elif k is None or k is Ellipsis or isinstance(k, (int, slice)):
            keys.append(k)
        elif isinstance(k, (ArrayOperators, np.ndarray)) and k.dtype.kind in "iu":
            keys.append(k)
        else:
            kind = f"an array of {k.dtype}" if isinstance(k, (ArrayOperators, np.ndarray)) else type(k).__name__
            raise UnsupportedError(f"indexing with {kind} is not supported in a step", here(),
                                   fix="use integers, slices or integer arrays")
    used = sum(k is not None and k is not Ellipsis for k in keys)
    if used > rank:
        raise ScanIndexError(f"too many indices: {used} for an array of {rank} axes", here())
    fill = [slice(None)] * (rank - used)
    at = next((i for i, k in enumerate(keys) if k is Ellipsis), None)
    if at is None:
        return keys + fill
    if any(k is Ellipsis for k in keys[at + 1 :]):
        raise ScanIndexError("an index can only have a single ellipsis ('...')", here())
    return [*keys[:at], *fill, *keys[at + 1 :]]


def wrapped_index(node: Node, axis: int, k: Any) -> Node:
    """Indices of one axis, negative ones counted from the end; checked when the kernel runs unless constant."""
    length = build.dim_of(node, axis, here())
    if isinstance(k, np.ndarray) and isinstance(node.type.shape[axis], int):
        n = int(node.type.shape[axis])  # type: ignore[arg-type]
        outside = (k < -n) | (k >= n)
        if outside.any():
            raise ScanIndexError(f"index {k[outside][0]} is out of bounds for axis {axis} of length {n}", here())
        return build.const(np.where(k < 0, k + n, k).astype(np.int64), loc=here())
    return emit("wrap_index", as_int64(unwrap(k)), length)


def flat_position(node: Node, keys: tuple) -> Node | None:
    """Where the element with these integers as its indices is in the flat array; None of anything else."""
    if len(keys) != node.type.ndim or not node.type.size or not all(
        isinstance(k, (int, np.integer)) and not isinstance(k, bool)
        or isinstance(k, ArrayOperators) and k.ndim == 0 and k.dtype.kind in "iu" for k in keys
    ):  # fmt: skip
        return None
    flat: Node | None = None
    for axis, k in enumerate(keys):
        at = wrapped_index(node, axis, k if isinstance(k, ArrayOperators) else np.asarray(k))
        scaled = flat and emit("multiply", flat, build.integer(int(node.type.shape[axis])))  # type: ignore[arg-type]
        flat = emit("add", scaled, at) if scaled else at
    return flat


def _advanced(node: Node, keys: list[Any]) -> Tracer:
    """Several indices that broadcast: the axes they index become one, of which rows are taken by flat positions.

    As in NumPy an integer beside an array is an array too, and the result's axes stand where the indexed ones were,
    or in front when these are not neighbours.
    """
    axis, source, plain = 0, node, []
    places: list[int] = []  # axes of `source` that are indexed
    indices: list[Any] = []
    for k in keys:
        if k is None:
            source = build.reshape(source, (*source.type.shape[:axis], 1, *source.type.shape[axis:]), here())
            plain.append(axis)
        elif isinstance(k, slice):
            source = _slice(source, axis, k)
            plain.append(axis)
        else:
            places.append(axis)
            indices.append(np.asarray(k) if isinstance(k, int) else k)
        axis += 1
    wrapped = [wrapped_index(source, a, k) for a, k in zip(places, indices, strict=True)]
    neighbours = places == list(range(places[0], places[-1] + 1))
    front = places[0] if neighbours else 0
    order = [*plain[:front], *places, *plain[front:]]
    if order != list(range(len(order))):
        source = emit("transpose", source, perm=tuple(order))
    lengths = source.type.shape[front : front + len(places)]
    if len(places) == 1:
        return wrap(emit("take", source, wrapped[0], axis=front))
    if not all(isinstance(d, int) for d in lengths):
        raise UnsupportedError("several index arrays need axes of fixed lengths in a step", here(),
                               fix="index one axis after the other")
    flat = wrapped[0]
    for d, index in zip(lengths[1:], wrapped[1:], strict=True):
        scaled = emit("multiply", flat, build.integer(int(d)))  # type: ignore[arg-type]
        flat = emit("add", scaled, index)
    size = int(np.prod(lengths))  # type: ignore[arg-type]
    shape = (*source.type.shape[:front], size, *source.type.shape[front + len(places) :])
    return wrap(emit("take", build.reshape(source, shape, here()), flat, axis=front))


def _index(node: Node, axis: int, position: int) -> Node:
    d = node.type.shape[axis]
    if isinstance(d, int) and not -d <= position < d:
        raise ScanIndexError(f"index {position} is out of bounds for axis {axis} of length {d}", here())
    return emit("index", node, axis=axis, position=position)


def _run_time_slice(node: Node, axis: int, k: slice) -> Node:
    """Rows from a traced bound, or up to one, with NumPy's meaning of bounds that are negative or too large."""
    if tracing().parent is not None:
        return rows_in_step(node, axis, k)
    if isinstance(k.step, ArrayOperators) or k.step not in (None, 1):
        raise UnsupportedError("a slice with traced bounds has step 1", here(), fix="slice once more: x[a:b][::2]")
    zero, length = build.integer(0), build.dim_of(node, axis, here())

    def bound(at: Any, default: Node) -> Node:
        if at is None:
            return default
        place = as_int64(unwrap(at))
        if place.type.shape:
            raise ScanIndexError(f"a bound of a slice has {place.type.ndim} axes", here())
        negative = emit("less", place, zero)
        place = emit("where", negative, emit("add", place, length), place)
        return emit("minimum", emit("maximum", place, zero), length)

    start, stop = bound(k.start, zero), bound(k.stop, length)
    count = emit("maximum", emit("subtract", stop, start), zero)
    perm = (axis, *(a for a in range(node.type.ndim) if a != axis))
    front = node if axis == 0 else emit("transpose", node, perm=perm)
    # No row may be read where there is none: the first one of none is row 0.
    first = start if k.start is None else emit("minimum", start, emit("subtract", length, count))
    rows = build.rows(front, first, tracing().new_dim("cut", define=count), here())
    return rows if axis == 0 else emit("transpose", rows, perm=tuple(int(p) for p in np.argsort(perm)))


def _slice(node: Node, axis: int, k: slice) -> Node:
    if k.start is k.stop is k.step is None:
        return node
    d = node.type.shape[axis]
    if any(isinstance(b, ArrayOperators) for b in (k.start, k.stop, k.step)):
        return _run_time_slice(node, axis, k)
    if k.step is not None and int(k.step) == 0:
        raise ScanIndexError("slice step cannot be zero", here())
    bounds = tuple(None if b is None else int(b) for b in (k.start, k.stop, k.step))
    if bounds == (None, None, -1):
        return emit("flip", node, axes=(axis,))
    full: list[tuple[int | None, int | None, int | None]] = [(None, None, None)] * node.type.ndim
    full[axis] = bounds
    starts, stops, steps = zip(*full, strict=True)
    length: int | Dim
    if isinstance(d, Dim):
        length = tracing().new_dim("cut", define=build.sliced_length(build.dim_of(node, axis, here()), slice(*bounds)))
    else:
        length = len(range(*k.indices(d)))
    shape = (*node.type.shape[:axis], length, *node.type.shape[axis + 1 :])
    return emit("slice", node, type=node.type.with_shape(shape), starts=starts, stops=stops, steps=steps)
