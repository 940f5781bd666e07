"""Reductions and running sums: accumulators in registers, operands computed inside the reducing loop."""

from __future__ import annotations

import functools
import math

import numpy as np

from scancc.ir import build
from scancc.ir.graph import Graph, Node
from scancc.ir.loop import BOOL, INT64, Assign, Const, Declare, Expr, For, Op, Store, Var, const_int
from scancc.ir.types import Dim
from scancc.passes.lower.context import Lowering
from scancc.passes.lower.values import Index, Lazy, Registers, registers
from scancc.passes.sizes import in_registers

COMBINE = {
    "reduce_sum": "add",
    "reduce_prod": "multiply",
    "reduce_min": "minimum",
    "reduce_max": "maximum",
    "reduce_any": "logical_or",
    "reduce_all": "logical_and",
    "cumsum": "add",
    "cumprod": "multiply",
    "cummin": "minimum",
    "cummax": "maximum",
}


def identity(op: str, dtype: np.dtype) -> Const:
    """The value that a reduction starts from."""
    match COMBINE[op]:
        case "add":
            return Const(dtype.type(0), dtype)
        case "multiply":
            return Const(dtype.type(1), dtype)
        case "logical_or":
            return Const(np.False_, dtype)
        case "logical_and":
            return Const(np.True_, dtype)
        case name:
            largest = name == "minimum"
            if dtype.kind == "f":
                return Const(dtype.type(np.inf if largest else -np.inf), dtype)
            if dtype.kind == "b":
                return Const(np.bool_(largest), dtype)
            info = np.iinfo(dtype)
            return Const(dtype.type(info.max if largest else info.min), dtype)


def _sum_of_exponentials(low: Lowering, node: Node) -> None:
    """log(sum(exp(x))) with the highest element taken out; infinite ones are left to the exponential."""
    (x,), axes = node.args, node.attrs["axes"]
    kept = tuple(1 if a in axes else d for a, d in enumerate(x.type.shape))
    zero = build.const(0, x.type.dtype)
    highest = build.make("reduce_max", x, loc=node.loc, axes=axes)
    low.uses[highest] = 2
    _reduce(low, highest)  # not refused where there is no element: the sum is 0 then
    shift = build.make("where", build.make("isfinite", highest), highest, zero, loc=node.loc)
    apart = build.make("subtract", x, build.reshape(shift, kept), loc=node.loc)
    total = build.make("reduce_sum", build.make("exp", apart, loc=node.loc), loc=node.loc, axes=axes)
    whole = build.make("add", build.make("log", total, loc=node.loc), shift, loc=node.loc)
    low.uses[whole] = low.uses[node]
    low.graph(Graph((), {"": whole}))
    low.env[node] = low.env[whole]


def lower_reduce(low: Lowering, node: Node) -> None:
    if node.op == "reduce_logsumexp":
        _sum_of_exponentials(low, node)
        return
    _refuse_empty(low, node, [node.args[0].type.shape[a] for a in node.attrs["axes"]])
    _reduce(low, node)


def _reduce(low: Lowering, node: Node) -> None:
    (x,) = node.args
    axes = node.attrs["axes"]
    op, dtype = COMBINE[node.op], node.type.dtype
    if isinstance(low.env[x], Registers):
        elements = low.registers_of(x)
        kept = [a for a in range(x.type.ndim) if a not in axes]
        count = math.prod(elements.shape[a] for a in axes)
        rows = np.transpose(elements, (*kept, *axes)).reshape(*(elements.shape[a] for a in kept), count)
        result = np.empty(rows.shape[:-1], dtype=object)
        for i in np.ndindex(result.shape):
            if op == "add" and dtype.kind == "f" and axes == tuple(range(len(kept), x.type.ndim)):
                result[i] = low.bind(node, _pairwise(list(rows[i]), dtype))
                continue
            total: Expr = identity(node.op, dtype) if rows.shape[-1] == 0 else rows[i][0]
            for e in rows[i][1:]:
                total = low.let(Op(op, (total, e), dtype), "v", node.loc) if op != "add" else Op(op, (total, e), dtype)
            result[i] = low.bind(node, total)
        low.env[node] = Registers(result)
        return

    def at(index: Index) -> Expr:
        return _accumulate(low, node, index)

    low.env[node] = Lazy(at)
    if in_registers(node.type):
        low.registers_of(node)
    elif low.uses[node] > 1 or node in low.repeated:
        low.materialise(node, "sum")


def _pairwise(terms: list[Expr], dtype: np.dtype) -> Expr:
    """The sum along a row in the very order of NumPy: eight partial sums, put together by pairs, and what is left."""

    def add(a: Expr, b: Expr) -> Expr:
        return Op("add", (a, b), dtype)

    if not terms:
        return identity("reduce_sum", dtype)
    if len(terms) < 8:
        return functools.reduce(add, terms)
    whole = len(terms) - len(terms) % 8
    parts = [functools.reduce(add, terms[k:whole:8]) for k in range(8)]
    while len(parts) > 1:
        parts = [add(a, b) for a, b in zip(parts[::2], parts[1::2], strict=True)]
    return functools.reduce(add, terms[whole:], parts[0])


def _refuse_empty(low: Lowering, node: Node, dims: list[int | Dim]) -> None:
    if COMBINE[node.op] not in ("minimum", "maximum"):
        return
    for d in dims:
        if isinstance(d, Dim):
            empty = Op("less", (low.length(d), const_int(1)), BOOL)
            low.fail_if(empty, "value", "zero-size array to a minimum or maximum, which has no identity", node.loc)


def _accumulate(low: Lowering, node: Node, index: Index) -> Expr:
    """A loop (or nest) over the reduced axes with one accumulator; the operand is computed inside it."""
    (x,) = node.args
    axes = node.attrs["axes"]
    op, dtype = COMBINE[node.op], node.type.dtype
    total = low.var("acc", dtype)
    low.mutable.add(total.name)
    low.emit(Declare(total, identity(node.op, dtype), node.loc))
    inner: dict[int, Expr] = {}
    body = low.blocks[-1].statements
    blocks: list[For] = []
    for axis in axes:
        var = low.var("r", INT64)
        loop = For(var, const_int(0), low.length(x.type.shape[axis]))
        if blocks:
            body.append(loop)
        else:
            low.emit(loop)
        body = loop.body
        blocks.append(loop)
        inner[axis] = var
    rest = iter(index)
    full = tuple(inner[a] if a in inner else next(rest) for a in range(x.type.ndim))
    with low.block(body, inside_nest=True):
        low.emit(Assign(total, Op(op, (total, low.element(x, full)), dtype), node.loc))
    return low.let(total, "v", node.loc)


def lower_argreduce(low: Lowering, node: Node) -> None:
    """First position of the extreme element; a NaN counts as extreme, as in NumPy."""
    (x,) = node.args
    axis = node.attrs["axis"]
    beats = "less" if node.op == "argmin" else "greater"
    dim = x.type.shape[axis]
    if isinstance(dim, Dim):
        empty = Op("less", (low.length(dim), const_int(1)), BOOL)
        low.fail_if(empty, "value", f"attempt to get {node.op} of an empty sequence", node.loc)

    def better(new: Expr, best: Expr) -> Expr:
        wins = Op(beats, (new, best), BOOL)
        if new.dtype.kind != "f":
            return wins
        nan = Op("logical_and", (Op("isnan", (new,), BOOL), Op("logical_not", (Op("isnan", (best,), BOOL),), BOOL)),
                 BOOL)
        return Op("logical_or", (wins, nan), BOOL)

    def unrolled(elements: list[Expr]) -> Expr:
        best, where = low.let(elements[0]), const_int(0)
        position: Expr = where
        for i, e in enumerate(elements[1:], 1):
            e = low.let(e)
            wins = low.let(better(e, best), "wins", node.loc)
            best = low.let(Op("where", (wins, e, best), e.dtype), "best", node.loc)
            position = low.let(Op("where", (wins, const_int(i), position), INT64), "arg", node.loc)
        return position

    if isinstance(low.env[x], Registers):
        elements = np.moveaxis(low.registers_of(x), axis, -1)
        low.env[node] = registers([unrolled(list(elements[i])) for i in np.ndindex(elements.shape[:-1])],
                                  elements.shape[:-1])
        return

    def at(index: Index) -> Expr:
        best = low.var("best", x.type.dtype)
        position = low.var("arg", INT64)
        low.mutable |= {best.name, position.name}

        def full(i: Expr) -> Index:
            return index[:axis] + (i,) + index[axis:]

        low.emit(Declare(best, low.element(x, full(const_int(0))), node.loc))
        low.emit(Declare(position, const_int(0), node.loc))
        with low.loop("r", low.length(dim), inside_nest=True) as r:
            e = low.let(low.element(x, full(r)))
            wins = low.let(better(e, best), "wins", node.loc)
            low.emit(Assign(best, Op("where", (wins, e, best), e.dtype)))
            low.emit(Assign(position, Op("where", (wins, r, position), INT64)))
        return low.let(position, "arg", node.loc)

    low.env[node] = Lazy(at)
    if in_registers(node.type):
        low.registers_of(node)
    elif low.uses[node] > 1:
        low.materialise(node, "arg")


def lower_cumulative(low: Lowering, node: Node) -> None:
    (x,) = node.args
    axis = node.attrs["axis"]
    op, dtype = COMBINE[node.op], node.type.dtype
    if isinstance(low.env[x], Registers):
        elements = np.moveaxis(low.registers_of(x), axis, -1).copy()
        for i in np.ndindex(elements.shape[:-1]):
            for k in range(1, elements.shape[-1]):
                elements[i][k] = low.let(Op(op, (elements[i][k - 1], elements[i][k]), dtype), "v", node.loc)
        low.env[node] = Registers(np.moveaxis(elements, -1, axis))
        return
    target = low.output_target(node, "cum")
    others = [a for a in range(x.type.ndim) if a != axis]
    lengths = low.lengths(x.type)
    body = low.blocks[-1]
    body.nest = None
    index: dict[int, Var] = {}
    statements = body.statements
    for a in others:
        index[a] = low.var("i", INT64)
        loop = For(index[a], const_int(0), lengths[a])
        statements.append(loop)
        statements = loop.body
    with low.block(statements, inside_nest=True):
        total = low.var("acc", dtype)
        low.mutable.add(total.name)
        low.emit(Declare(total, identity(node.op, dtype), node.loc))
        with low.loop("r", lengths[axis], inside_nest=True) as r:
            full = tuple(r if a == axis else index[a] for a in range(x.type.ndim))
            low.emit(Assign(total, Op(op, (total, low.element(x, full)), dtype), node.loc))
            low.emit(Store(target.buffer, target.prefix + full, total, node.loc))
    low.stored(node, target)


