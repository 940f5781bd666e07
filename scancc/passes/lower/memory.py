"""Element moves that depend on values: concatenation, gather, functional update."""

from __future__ import annotations

import numpy as np

from scancc.ir.graph import Node
from scancc.ir.loop import BOOL, INT64, Const, Expr, Load, Op, Store, add, const_int
from scancc.passes.lower.context import Lowering, in_memory
from scancc.passes.lower.values import Index, Lazy, Registers
from scancc.passes.sizes import in_registers


def lower_concatenate(low: Lowering, node: Node) -> None:
    axis = node.attrs["axis"]
    if in_registers(node.type):
        low.env[node] = Registers(np.concatenate([low.registers_of(a) for a in node.args], axis))
        return
    # Every part is copied to its place by a loop of its own: no branch on the index.
    target = low.output_target(node, "joined")
    start: Expr = const_int(0)
    for part in node.args:
        shape = low.lengths(part.type)
        with low.element_loops(shape) as index:
            at = (*index[:axis], add(start, index[axis]), *index[axis + 1 :])
            low.emit(Store(target.buffer, target.prefix + at, low.element(part, index), node.loc))
        start = add(start, shape[axis])
    low.stored(node, target)


def lower_take(low: Lowering, node: Node) -> None:
    a, i = node.args
    axis = node.attrs["axis"]
    rank = i.type.ndim

    def source(index: Index) -> Index:
        row = low.element(i, index[axis : axis + rank])
        if not isinstance(row, Const):
            row = low.let(row if row.dtype == INT64 else Op("cast", (row,), INT64), "row")
        return (*index[:axis], row, *index[axis + rank :])

    if isinstance(low.env[a], Registers) and in_registers(node.type):
        shape = tuple(int(d) for d in node.type.shape)  # type: ignore[arg-type]
        result = np.empty(shape, dtype=object)
        for k in np.ndindex(shape):
            result[k] = _select(low, a, axis, source(tuple(map(const_int, k))), node)
        low.env[node] = Registers(result)
        return
    if isinstance(low.env[a], Lazy) and low.env[a].place is None:  # type: ignore[union-attr]
        low.materialise(a, "source")
    low.env[node] = Lazy(lambda index: low.element(a, source(index)))
    if in_registers(node.type):
        low.registers_of(node)


def _select(low: Lowering, a: Node, axis: int, index: Index, node: Node) -> Expr:
    """One of several registers, chosen without memory and without a branch."""
    elements = low.registers_of(a)
    at = index[axis]
    static: list = [i.value if isinstance(i, Const) else 0 for i in index]
    chosen: Expr | None = None
    for k in range(elements.shape[axis]):
        static[axis] = k
        e = elements[tuple(static)]
        if isinstance(at, Const):
            if at.value == k:
                return e  # type: ignore[no-any-return]
            continue
        chosen = e if chosen is None else Op("where", (Op("equal", (at, const_int(k)), BOOL), e, chosen), e.dtype)
    if chosen is None:
        return Const(node.type.dtype.type(0), node.type.dtype)
    return low.let(chosen, "v", node.loc)


def lower_put(low: Lowering, node: Node) -> None:
    a, i, v = node.args
    axis, mode = node.attrs["axis"], node.attrs["mode"]
    indices = i.type.shape
    if in_registers(node.type) and in_registers(i.type) and in_registers(v.type):
        _put_registers(low, node)
        return
    target = low.output_target(node, "updated")
    source = low.env[a]
    there = in_memory(target, node.type.ndim).place
    if node in low.read_before and isinstance(source, Lazy) and source.place == there:
        for reader in low.read_before[node]:
            low.registers_of(reader)
    else:
        low.fill(a, target)
    if isinstance(low.env[v], Registers) and v.type.ndim:
        low.spill(v)
    if isinstance(low.env[i], Registers) and i.type.ndim:
        low.spill(i)
    rest = [d for k, d in enumerate(a.type.shape) if k != axis]
    lengths = tuple(low.length(d) for d in (*indices, *rest))
    with low.element_loops(lengths) as index:
        lead = index[: len(indices)]
        inner = index[len(indices) :]
        row = low.broadcast_element(i, lead)
        row = row if row.dtype == INT64 else Op("cast", (row,), INT64)
        at = target.prefix + (*inner[:axis], low.let(row, "row"), *inner[axis:])
        value = low.broadcast_element(v, (*inner[:axis], *lead, *inner[axis:]))
        low.emit(Store(target.buffer, at, _combine(mode, Load(target.buffer, at), value), node.loc))
    low.stored(node, target)


def _combine(mode: str, old: Expr, new: Expr) -> Expr:
    return new if mode == "set" else Op(mode, (old, new), new.dtype)


def _put_registers(low: Lowering, node: Node) -> None:
    a, i, v = node.args
    axis, mode = node.attrs["axis"], node.attrs["mode"]
    result = np.moveaxis(low.registers_of(a).copy(), axis, 0)
    where = low.registers_of(i)
    shape = (*a.type.shape[:axis], *i.type.shape, *a.type.shape[axis + 1 :])
    values = np.broadcast_to(low.registers_of(v), shape)  # type: ignore[arg-type]
    values = np.moveaxis(values, range(axis, axis + i.type.ndim), range(i.type.ndim))
    for k in np.ndindex(where.shape):
        at = low.let(where[k], "row")
        for row in range(result.shape[0]):
            if isinstance(at, Const) and at.value != row:
                continue
            for j in np.ndindex(result.shape[1:]):
                new = _combine(mode, result[(row, *j)], values[(*k, *j)])
                if not isinstance(at, Const):
                    hit = Op("equal", (at, Const(at.dtype.type(row), at.dtype)), BOOL)
                    new = Op("where", (hit, new, result[(row, *j)]), new.dtype)
                result[(row, *j)] = low.let(new, "v", node.loc)
    low.env[node] = Registers(np.moveaxis(result, 0, axis))

