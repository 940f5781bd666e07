"""Axes and lengths of traced values: what the NumPy functions share."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

from scancc.errors import ShapeError, UnsupportedError
from scancc.frontend.fits import as_int64, same_size
from scancc.frontend.location import here
from scancc.frontend.tracer import Tracer, emit, length_of, tracing, unwrap, wrap
from scancc.ir import build
from scancc.ir.graph import Node
from scancc.ir.types import Dim, Shape

MOST = 2**62  # elements: more than any array has


def array(value: Any) -> Tracer:
    """Anything that can stand for an array, as a traced value."""
    return wrap(unwrap(value))


def floating(x: Tracer) -> Tracer:
    """Integers and bools as float64, as NumPy's means and norms take them."""
    return x if x.dtype.kind in "fc" else x.astype(np.float64)


def axes_of(axis: Any, ndim: int) -> tuple[int, ...]:
    """All axes for None, else non-negative ones; NumPy's AxisError for those that do not exist."""
    return tuple(range(ndim)) if axis is None else normalize_axis_tuple(axis, ndim)


def axis_of(axis: Any, ndim: int) -> int:
    return normalize_axis_tuple(axis, ndim)[0]


def static_length(x: Tracer, axis: int, what: str) -> int:
    """The length of an axis that must be known while tracing."""
    d = x.node.type.shape[axis]
    if isinstance(d, Dim):
        raise UnsupportedError(
            f"{what} along an axis whose length is known at run time only is not supported in a step", here(),
            fix="use an axis of fixed length",
        )  # fmt: skip
    return d


def static_shape(x: Tracer, what: str) -> tuple[int, ...]:
    return tuple(static_length(x, axis, what) for axis in range(x.ndim))


def merged(x: Node, axes: Iterable[int]) -> int | Dim:
    """The length of several axes folded into one."""
    factor, total = 1, None
    names = []
    for axis in axes:
        d = x.type.shape[axis]
        if isinstance(d, int):
            factor *= d
        else:
            length = build.dim_of(x, axis, here())
            total = length if total is None else emit("multiply", total, length)
            names.append(d.name)
    if total is None:
        return factor
    if factor == 1 and len(names) == 1:
        return build.dim_from(total, names[0])
    if factor != 1:
        total = emit("multiply", total, build.integer(factor))
    return build.dim_from(total, "_times_".join([*names, *([str(factor)] if factor != 1 else [])]))


def reshaped(x: Node, shape: Any) -> Node:
    """`shape`: ints, one -1, or traced lengths; `x` is checked to have as many elements where lengths are open."""
    entries = list(shape) if isinstance(shape, (tuple, list)) else [shape]
    dims = _shape_of(x, [e if isinstance(e, Dim) else length_of(e) for e in entries])
    if not _same_elements(x.type.shape, dims, any(isinstance(e, int) and e == -1 for e in entries)):
        x = same_size(x, _product(x, entries, dims), tracing().root.unique("size"))
    return build.reshape(x, dims, here())


def _same_elements(old: Shape, new: Shape, inferred: bool) -> bool:
    """Whether both have as many elements, whatever their open lengths are."""
    left: list[int | Dim] = []
    rest = [f for d in new for f in _factors(d)]
    for f in (f for d in old for f in _factors(d)):
        if f != 0 and f in rest:
            rest.remove(f)
        else:
            left.append(f)
    known = math.prod(d for d in rest if isinstance(d, int))
    if inferred:
        return known == 1 or not any(isinstance(d, Dim) for d in rest)
    return not any(isinstance(d, Dim) for d in (*left, *rest)) and known == math.prod(left)  # type: ignore[arg-type]


def _factors(d: int | Dim) -> list[int | Dim]:
    """A length that was made by folding axes into one, as the lengths of those."""
    return [d] if isinstance(d, int) or d.define is None else _factors_of(d.define) or [d]


def _factors_of(node: Node) -> list[int | Dim] | None:
    match node.op:
        case "const":
            return [int(node.attrs["value"])]
        case "dim":
            return _factors(node.args[0].type.shape[node.attrs["axis"]])
        case "multiply":
            parts = [_factors_of(a) for a in node.args]
            return None if None in parts else [f for part in parts for f in part or ()]
        case _:
            return None


def _product(x: Node, entries: list[Any], dims: Shape) -> Node | int:
    """The number of elements of a shape; one that is beyond int64 is no number of elements that an array has."""
    total: Node | None = None
    for entry, d in zip(entries, dims, strict=True):
        length = _length(x, entry, d)
        total = length if total is None else _times(total, length)
    if total is None:
        return 1
    return int(total.attrs["value"]) if total.op == "const" else total


def _times(a: Node, b: Node) -> Node:
    if a.op == b.op == "const":
        return build.integer(int(a.attrs["value"]) * int(b.attrs["value"]))
    most = emit("floor_divide", build.integer(MOST), emit("maximum", b, build.integer(1)))
    return emit("where", emit("greater", a, most), build.integer(MOST), emit("multiply", a, b))


def _length(x: Node, entry: Any, d: int | Dim) -> Node:
    """The length of an axis as a number; one below 0 is none that an array has."""
    if isinstance(d, int):
        return build.integer(d)
    if d.define is not None:
        return emit("maximum", d.define, build.integer(-1))
    if d in x.type.shape:
        return build.dim_of(x, x.type.shape.index(d), here())
    return as_int64(unwrap(entry))


def _shape_of(x: Node, dims: list[Any]) -> Shape:
    if dims.count(-1) > 1:
        raise ShapeError("can only specify one unknown dimension", here())
    if -1 in dims:
        dims[dims.index(-1)] = _rest(x, [d for d in dims if d != -1], dims)
    size, wanted = x.type.size, np.prod([d for d in dims if isinstance(d, int)], dtype=np.int64)
    if size is not None and all(isinstance(d, int) for d in dims) and wanted != size:
        raise ShapeError(f"cannot reshape an array of {size} elements into shape {tuple(dims)}", here())
    return tuple(dims)


def _rest(x: Node, given: list[Any], dims: list[Any]) -> int | Dim:
    """The length that -1 stands for: equal lengths cancel, those known at run time by name."""
    left, rest = list(range(x.type.ndim)), []
    for d in given:
        match = next((a for a in left if d != 0 and x.type.shape[a] == d), None)
        left.remove(match) if match is not None else rest.append(d)
    known = int(np.prod([d for d in rest if isinstance(d, int)], dtype=np.int64))
    if any(isinstance(d, Dim) and d not in x.type.shape for d in given):
        raise UnsupportedError("reshape with -1 beside this length is not supported in a step", here(),
                               fix="write every length")
    whole = merged(x, left)
    if isinstance(whole, int):
        if known == 0 or whole % known:
            raise ShapeError(f"cannot reshape an array of type {x.type} into shape {tuple(dims)}", here())
        return whole // known
    if known == 1:
        return whole
    assert whole.define is not None or True
    length = whole.define if whole.define is not None else build.dim_of(x, left[0], here())
    return build.dim_from(emit("floor_divide", length, build.integer(known)), f"{whole.name}_over_{known}")
