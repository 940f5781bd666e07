"""Products: unrolled in registers when small, run-time calls on memory when large, plain loops otherwise.

    all operands and the result small     straight-line multiply-adds
    few terms a sum                       part of the loop nest that uses the result
    float32 and float64                   `vecmat`, `matvec` and `gemm` of the run-time library
    other dtypes, einsum                  loops with one accumulator
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from scancc.ir.graph import Node
from scancc.ir.loop import INT64, Assign, Call, Const, Declare, Expr, For, Load, Op, Place, const_int
from scancc.passes.lower.context import Lowering
from scancc.passes.lower.values import Index, Lazy, Registers, registers
from scancc.passes.sizes import in_registers, register_elements


def lower_matmul(low: Lowering, node: Node) -> None:
    a, b = node.args
    inner = a.type.shape[-1]
    terms = inner if isinstance(inner, int) else b.type.shape[0]
    if not isinstance(inner, int) and isinstance(terms, int):
        inner = terms
    if all(in_registers(x.type) for x in (a, b, node)):
        low.env[node] = Registers(_unrolled(low, node, low.registers_of(a), low.registers_of(b)))
        return
    if isinstance(inner, int) and inner <= 4 and not in_registers(node.type):
        low.env[node] = Lazy(lambda index: _short_sum(low, node, index, inner))
        low.materialise(node, "product")
        return
    if node.type.dtype.kind == "f" and low.library:
        _call(low, node)
        return
    letters = "ij"[: a.type.ndim - 1] + "k", "k" + "l"[: b.type.ndim - 1]
    _einsum(low, node, f"{letters[0]},{letters[1]}->{letters[0][:-1]}{letters[1][1:]}")


def _multiply(a: Expr, b: Expr) -> Expr:
    """a*b with the products by constant 0 and 1 of identity-like matrices left to the simplifier."""
    return Op("logical_and" if a.dtype.kind == "b" else "multiply", (a, b), a.dtype)


def _add(a: Expr, b: Expr) -> Expr:
    return Op("logical_or" if a.dtype.kind == "b" else "add", (a, b), a.dtype)


def _unrolled(low: Lowering, node: Node, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    rows = a.reshape(math.prod(a.shape[:-1]), a.shape[-1])  # not -1: there may be no elements
    columns = b.reshape(b.shape[0], math.prod(b.shape[1:]))
    result = np.empty((rows.shape[0], columns.shape[1]), dtype=object)
    for i, j in np.ndindex(result.shape):
        total: Expr | None = None
        for x, y in zip(rows[i], columns[:, j], strict=True):
            term = _multiply(x, y)
            total = term if total is None else _add(total, term)
        zero = Const(node.type.dtype.type(0), node.type.dtype)
        result[i, j] = low.let(total, "v", node.loc) if total is not None else zero
    return result.reshape(node.type.shape)  # type: ignore[arg-type]


def _short_sum(low: Lowering, node: Node, index: Index, terms: int) -> Expr:
    a, b = node.args
    left, right = index[: a.type.ndim - 1], index[a.type.ndim - 1 :]
    total: Expr | None = None
    for k in range(terms):
        term = _multiply(low.element(a, (*left, const_int(k))), low.element(b, (const_int(k), *right)))
        total = term if total is None else _add(total, term)
    return total if total is not None else Const(node.type.dtype.type(0), node.type.dtype)


def _operand(low: Lowering, x: Node) -> Lazy:
    """An operand in memory; a matrix may have a row stride or be the transpose of what lies there."""
    value = low.env[x]
    if isinstance(value, Lazy) and value.place is not None and (x.type.ndim == 2 or value.row_stride is None):
        return value
    return low.materialise(x, "operand")


def _call(low: Lowering, node: Node) -> None:
    a, b = node.args
    left, right = _operand(low, a), _operand(low, b)
    assert left.place is not None and right.place is not None
    k = low.length(a.type.shape[-1])
    if not node.type.shape:
        # A scalar is taken out of memory again at once.
        cell = Place(low.scratch("product", node.type.dtype, (1,)), (const_int(0),))
        low.emit(Call("products.matvec", (cell, left.place, right.place, const_int(1), k, k), loc=node.loc))
        low.env[node] = registers([low.let(Load(cell.buffer, cell.index), "v", node.loc)], ())
        return
    target = low.output_target(node, "product")
    place = Place(target.buffer, target.prefix + (const_int(0),) * node.type.ndim)
    if a.type.ndim == 1 or b.type.ndim == 1:
        vector, matrix, shape = (left, right, b.type.shape) if a.type.ndim == 1 else (right, left, a.type.shape)
        stored = shape[::-1] if matrix.transposed else shape
        rows, columns = low.length(stored[0]), low.length(stored[1])
        stride = matrix.row_stride or columns
        # x @ W with W stored row by row sums rows (vecmat); W @ x, or x @ W.T, makes dot products (matvec).
        if (a.type.ndim == 1) != matrix.transposed:
            args = (place, vector.place, matrix.place, rows, columns, stride)
            low.emit(Call("products.vecmat", args, loc=node.loc))  # type: ignore[arg-type]
        else:
            args = (place, matrix.place, vector.place, rows, columns, stride)
            low.emit(Call("products.matvec", args, loc=node.loc))  # type: ignore[arg-type]
    else:
        m, n = low.length(node.type.shape[0]), low.length(node.type.shape[1])
        strides = [
            v.row_stride or low.length(x.type.shape[0 if v.transposed else 1]) for v, x in ((left, a), (right, b))
        ]
        flags = [const_int(int(v.transposed)) for v in (left, right)]
        operands = (left.place, strides[0], right.place, strides[1])
        low.emit(Call("products.gemm", (place, n, *operands, m, n, k, *flags), loc=node.loc))
    low.stored(node, target)
    if in_registers(node.type):
        low.registers_of(node)


def lower_einsum(low: Lowering, node: Node) -> None:
    _einsum(low, node, node.attrs["subscripts"])


def _einsum(low: Lowering, node: Node, subscripts: str) -> None:
    """Sum of products over the letters that the result does not name."""
    terms, out = subscripts.split("->")
    names = terms.split(",")
    dims = {letter: d for term, x in zip(names, node.args, strict=True) for letter, d in zip(term, x.type.shape,
            strict=True)}
    summed = [letter for letter in dict.fromkeys("".join(names)) if letter not in out]
    dtype = node.type.dtype
    sizes = [dims[s] for s in summed]
    work = math.prod(s for s in sizes if isinstance(s, int)) if all(isinstance(s, int) for s in sizes) else None
    unroll = work is not None and work <= register_elements() and in_registers(node.type)
    if unroll and all(in_registers(x.type) for x in node.args):
        _unrolled_einsum(low, node, names, out, summed, sizes)
        return
    for x in node.args:
        if not isinstance(low.env[x], Registers) and low.env[x].place is None:  # type: ignore[union-attr]
            low.materialise(x, "operand")

    def at(index: Index) -> Expr:
        bound: dict[str, Expr] = dict(zip(out, index, strict=True))
        total = low.var("acc", dtype)
        low.mutable.add(total.name)
        low.emit(Declare(total, Const(dtype.type(0), dtype), node.loc))
        body = low.blocks[-1].statements
        low.blocks[-1].nest = None
        for letter in summed:
            var = low.var("r", INT64)
            loop = For(var, const_int(0), low.length(dims[letter]))
            body.append(loop)
            body, bound[letter] = loop.body, var
        with low.block(body, inside_nest=True):
            term: Expr | None = None
            for name, x in zip(names, node.args, strict=True):
                e = low.element(x, tuple(bound[s] for s in name))
                term = e if term is None else _multiply(term, e)
            assert term is not None
            low.emit(Assign(total, _add(total, term), node.loc))
        return low.let(total, "v", node.loc)

    low.env[node] = Lazy(at)
    if in_registers(node.type):
        low.registers_of(node)
    else:
        low.materialise(node, "product")


def _unrolled_einsum(low: Lowering, node: Node, names: list[str], out: str, summed: list[str], sizes: list) -> None:
    parts = [low.registers_of(x) for x in node.args]
    shape: Any = node.type.shape
    result: Any = np.empty(shape, dtype=object)
    for i in np.ndindex(result.shape):
        total: Expr | None = None
        for s in np.ndindex(*sizes):
            bound = dict(zip(out, i, strict=True)) | dict(zip(summed, s, strict=True))
            term: Expr | None = None
            for name, part in zip(names, parts, strict=True):
                e = part[tuple(bound[x] for x in name)]
                term = e if term is None else _multiply(term, e)
            assert term is not None
            total = term if total is None else _add(total, term)
        result[i] = low.let(total, "v", node.loc) if total is not None else Const(node.type.dtype.type(0),
                                                                                   node.type.dtype)
    low.env[node] = Registers(result)
