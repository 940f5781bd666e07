"""Leaves and element-wise ops: one scalar expression an element, in registers or inside a loop nest."""

from __future__ import annotations

from typing import Any

import numpy as np

from scancc.ir.graph import Node
from scancc.ir.loop import BOOL, Const, Expr, Op
from scancc.passes.lower.context import Lowering, Target, in_memory
from scancc.passes.lower.values import Index, Lazy, Registers, registers
from scancc.passes.sizes import in_registers


def lower_const(low: Lowering, node: Node) -> None:
    value: np.ndarray = node.attrs["value"]
    if in_registers(node.type):
        low.env[node] = registers([Const(v, value.dtype) for v in value.ravel()], value.shape)
    else:
        low.env[node] = in_memory(Target(low.constant(value), ()), node.type.ndim)


def lower_dim(low: Lowering, node: Node) -> None:
    dim = node.args[0].type.shape[node.attrs["axis"]]
    low.env[node] = registers([low.length(dim)], ())


def lower_iota(low: Lowering, node: Node) -> None:
    dtype = node.type.dtype

    def at(index: Index) -> Expr:
        i = index[0]
        if isinstance(i, Const):
            return Const(dtype.type(i.value), dtype)
        return i if dtype == np.int64 else Op("cast", (i,), dtype)

    if in_registers(node.type):
        size = int(node.type.shape[0])  # type: ignore[arg-type]
        low.env[node] = registers([Const(dtype.type(i), dtype) for i in range(size)], (size,))
    else:
        low.env[node] = Lazy(at)


def lower_step(low: Lowering, node: Node) -> None:
    low.env[node] = registers([low.step[-1]], ())


def lower_elementwise(low: Lowering, node: Node) -> None:
    if in_registers(node.type):
        shape = tuple(int(d) for d in node.type.shape)  # type: ignore[arg-type]
        if not shape:  # most values of a step
            one = low.bind(node, apply(low, node, tuple([low.registers_of(a)[()] for a in node.args])))
            low.env[node] = registers([one], ())
            return
        parts: list[Any] = [np.broadcast_to(low.registers_of(a), shape) for a in node.args]
        result = np.empty(shape, dtype=object)
        for i in np.ndindex(shape):
            result[i] = low.bind(node, apply(low, node, tuple(p[i] for p in parts)))
        low.env[node] = Registers(result)
        return
    low.env[node] = Lazy(lambda index: apply(low, node, tuple(low.broadcast_element(a, index) for a in node.args)))


def apply(low: Lowering, node: Node, args: tuple[Expr, ...]) -> Expr:
    """The op on scalars."""
    if node.op == "wrap_index":
        return wrap_index(low, node, *args)
    if node.op == "power" and node.type.dtype.kind == "i":
        refuse_negative(low, node, args[1])
    return Op(node.op, args, node.type.dtype)


def refuse_negative(low: Lowering, node: Node, exponent: Expr) -> None:
    if isinstance(exponent, Const) and exponent.value >= 0:
        return
    exponent = low.let(exponent, "exponent", node.loc)
    negative = Op("less", (exponent, Const(exponent.dtype.type(0), exponent.dtype)), BOOL)
    low.fail_if(negative, "value", "an integer is raised to a negative integer power", node.loc)


def wrap_index(low: Lowering, node: Node, i: Expr, n: Expr) -> Expr:
    """Negative indices count from the end; anything outside the axis fails instead of reading what is not there."""
    i = low.let(i, "i", node.loc)
    zero = Const(0, i.dtype)
    wrapped = low.let(
        Op("where", (Op("less", (i, zero), BOOL), Op("add", (i, n), i.dtype), i), i.dtype), "index", node.loc
    )
    outside = Op(
        "logical_or", (Op("less", (wrapped, zero), BOOL), Op("greater_equal", (wrapped, n), BOOL)), BOOL
    )
    low.fail_if(outside, "index", "an index is out of bounds for its axis", node.loc)
    return wrapped
