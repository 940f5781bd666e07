"""Constructors of nodes: the only place outside the parser where nodes come to be.

Used by the front end (with locations) and by passes (which hand on the location of what they replace).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from scancc.ir.graph import NO_ATTRS, Loc, Node, ScanSpec, spec_of
from scancc.ir.ops import infer
from scancc.ir.types import INT, Dim, Shape, Type, is_half


def make(op: str, *args: Node, loc: Loc | None = None, type: Type | None = None, **attrs: Any) -> Node:
    """A node of `op`; its type is inferred unless given. Raises ShapeMismatch."""
    frozen: Mapping[str, Any] = MappingProxyType(attrs) if attrs else NO_ATTRS
    if type is None:
        type = infer(op, [a.type for a in args], attrs)
    return Node(op, args, type, frozen, loc)


def const(value: Any, dtype: np.dtype | str | None = None, loc: Loc | None = None) -> Node:
    """A constant of static shape; the array is copied and made read-only."""
    array = np.array(value, dtype=dtype)
    array.setflags(write=False)
    return make("const", loc=loc, type=Type(array.dtype, array.shape), value=array)


def integer(value: int, loc: Loc | None = None) -> Node:
    return const(value, "int64", loc)


def cast(x: Node, dtype: np.dtype | str, loc: Loc | None = None) -> Node:
    """Conversions from and to 16 bits go through float32, with its rounding."""
    dtype, source = np.dtype(dtype), x.type.dtype
    if source == dtype:
        return x
    if dtype != np.float32 and source != np.float32 and (is_half(source) or is_half(dtype)):
        return cast(cast(x, "float32", loc), dtype, loc)
    return make("cast", x, loc=loc, dtype=dtype)


def dim_of(x: Node, axis: int, loc: Loc | None = None) -> Node:
    """The length of an axis as a scalar node."""
    d = x.type.shape[axis]
    return integer(d, loc) if isinstance(d, int) else make("dim", x, loc=loc, axis=axis)


def dim_from(length: Node, name: str, hint: int | None = None) -> int | Dim:
    """A dimension whose value is the scalar node `length`; an integer or an input's own dimension if it is one."""
    if length.op == "const":
        return int(length.attrs["value"])
    if length.op == "dim":
        axis: int = length.attrs["axis"]
        return length.args[0].type.shape[axis]
    return Dim(name, hint, length)


def sliced_length(n: Node, b: slice) -> Node:
    """The length of a Python slice of n rows: max(0, ceil((stop - start) / step))."""
    step = 1 if b.step is None else int(b.step)
    zero = integer(0)
    low, high = (zero, n) if step > 0 else (integer(-1), make("subtract", n, integer(1)))

    def bound(at: int | None, default: Node) -> Node:
        if at is None:
            return default
        place = integer(at) if at >= 0 else make("add", n, integer(at))
        return make("minimum", make("maximum", place, low), high)

    start, stop = (bound(b.start, low), bound(b.stop, high)) if step > 0 else (bound(b.start, high), bound(b.stop, low))
    span = make("subtract", stop, start) if step > 0 else make("subtract", start, stop)
    if abs(step) > 1:
        span = make("floor_divide", make("add", span, integer(abs(step) - 1)), integer(abs(step)))
    return make("maximum", span, zero)


def reshape(x: Node, shape: Shape, loc: Loc | None = None) -> Node:
    return x if x.type.shape == tuple(shape) else make("reshape", x, loc=loc, shape=tuple(shape))


def concatenate(parts: Sequence[Node], axis: int, loc: Loc | None = None, name: str = "joined") -> Node:
    """Arrays joined along an axis, whose lengths may be known at run time only: `name` is that of their sum."""
    lengths = [p.type.shape[axis] for p in parts]
    if all(isinstance(d, int) for d in lengths):
        return make("concatenate", *parts, loc=loc, axis=axis)
    total = dim_of(parts[0], axis, loc)
    for p in parts[1:]:
        total = make("add", total, dim_of(p, axis, loc), loc=loc)
    shape = (*parts[0].type.shape[:axis], dim_from(total, name), *parts[0].type.shape[axis + 1 :])
    return make("concatenate", *parts, loc=loc, type=parts[0].type.with_shape(shape), axis=axis)


def broadcast_to(x: Node, shape: Shape, loc: Loc | None = None) -> Node:
    return x if x.type.shape == tuple(shape) else make("broadcast_to", x, loc=loc, shape=tuple(shape))


def scan(spec: ScanSpec, args: tuple[Node, ...], loc: Loc | None = None) -> Node:
    """A scan node. Its own type is a placeholder: values are read by `get`."""
    return Node("scan", args, INT, MappingProxyType({"spec": spec}), loc)


def length(scan_node: Node, loc: Loc | None = None) -> Node:
    """The executed number of steps: the step count unless the body has a stopping condition."""
    if not spec_of(scan_node).has_until:
        return scan_node.args[0]
    return make("get", scan_node, loc=loc, type=INT, name="", view="length")


def effects(node: Node) -> Node:
    """What a scan or cond does besides its values: a result of the program that holds it is computed for its effect."""
    return make("get", node, loc=node.loc, type=INT, name="", view="effects")


def lengths_of(nodes: Iterable[Node]) -> dict[str, Dim]:
    """Lengths by name, as these nodes have them."""
    return {d.name: d for x in nodes for d in x.type.shape if isinstance(d, Dim)}


def _row(scan_node: Node, name: str) -> Type:
    """The type of a row of a result, whose lengths are those that operands have around the loop."""
    row = spec_of(scan_node).body.results[name].type
    if row.is_static:
        return row
    lengths = lengths_of(scan_node.args)
    return row.with_shape(tuple(lengths.get(d.name, d) if isinstance(d, Dim) else d for d in row.shape))


def trace(scan_node: Node, name: str, loc: Loc | None = None) -> Node:
    """All rows of a result, first axis time."""
    row = _row(scan_node, name)
    return make("get", scan_node, loc=loc, type=row.with_shape((steps_dim(scan_node), *row.shape)), name=name,
                view="trace")


def steps_dim(scan_node: Node) -> int | Dim:
    return dim_from(length(scan_node), "steps_" + spec_of(scan_node).name)


def last(scan_node: Node, name: str, rows: int, loc: Loc | None = None) -> Node:
    """The last `rows` rows of a result: a scan that keeps only them. The rows must exist."""
    row = _row(scan_node, name)
    return make("get", scan_node, loc=loc, type=row.with_shape((rows, *row.shape)), name=name, view=f"last {rows}")


def history(scan_node: Node, name: str, loc: Loc | None = None) -> Node:
    """All values of a carry: its initial rows, as many as its deepest tap reaches back, then one row a step."""
    carry = spec_of(scan_node).carry(name)
    assert carry is not None
    rows = make("add", length(scan_node), integer(carry.depth), loc=loc)
    if length(scan_node).op == "const":
        rows = integer(int(length(scan_node).attrs["value"]) + carry.depth)
    row = _row(scan_node, name)
    shape = (dim_from(rows, f"history_{spec_of(scan_node).name}_{carry.depth}"), *row.shape)
    return make("get", scan_node, loc=loc, type=row.with_shape(shape), name=name, view="history")


def state(scan_node: Node, name: str, loc: Loc | None = None) -> Node:
    """The newest rows of a carry's history, as many as its deepest tap reaches back: what the next step would read."""
    carry = spec_of(scan_node).carry(name)
    assert carry is not None
    row = _row(scan_node, name)
    return make("get", scan_node, loc=loc, type=row.with_shape((carry.depth, *row.shape)), name=name, view="state")


def samples(scan_node: Node, name: str, stride: Node, loc: Loc | None = None) -> Node:
    """The states of a carry before steps 0, stride, 2 stride...; the scan gets `stride` as its operand STRIDE.

    Where it is a vector, those before steps 0, stride[0], stride[0] + stride[1]...: as many states as it has elements,
    of which those that no step comes to mean nothing.
    """
    carry = spec_of(scan_node).carry(name)
    assert carry is not None
    row = _row(scan_node, name)
    if stride.type.ndim:
        count: int | Dim = stride.type.shape[0]
    else:
        ahead = make("subtract", make("add", length(scan_node), stride), integer(1))
        count = dim_from(make("floor_divide", ahead, stride), f"samples_{spec_of(scan_node).name}")
    shape = (count, carry.depth, *row.shape)
    return make("get", scan_node, loc=loc, type=row.with_shape(shape), name=name, view="every")


def rows(x: Node, start: Node, count: int | Dim, loc: Loc | None = None) -> Node:
    """`count` rows of an array from row `start` on; they must exist."""
    return make("rows", x, start, loc=loc, shape=(count, *x.type.shape[1:]))


def zeros(like: Type, loc: Loc | None = None) -> Node:
    return broadcast_to(const(0, like.dtype, loc), like.shape, loc)


def final(scan_node: Node, name: str, loc: Loc | None = None) -> Node:
    """The value of a carry after the last step: its newest initial row when there was no step."""
    row = _row(scan_node, name)
    return make("get", scan_node, loc=loc, type=row, name=name, view="final")
