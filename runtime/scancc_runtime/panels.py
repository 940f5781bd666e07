"""Products with a matrix that many of them share: packed once, so that every product reads its memory in order.

A matrix of k rows is kept in panels of a few columns, one after the other, each with its rows in order. A product has
the sums of some rows and of a panel in vector registers while it goes over the panel (Goto and van de Geijn, "Anatomy
of high-performance matrix multiplication", 2008; Van Zee and van de Geijn, "BLIS", 2015). BLAS has to pack at each call
what it is given, and a vector times a matrix as it lies touches a new page of memory every few cache lines.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir

from scancc_runtime.code import INT, INT32, Array, Code, Int, Numbers, broadcast, declared, fma_of, memory_type
from scancc_runtime.processor import has, vector_bytes

VECTORS = 2  # of a panel's row
AT_ONCE = 4  # panels for a single row, whose sums would wait for one another in one


def most_rows() -> int:
    """Rows whose sums are in registers, of which there are 32 or 16."""
    return 8 if has("avx512f") else 6


def width(dtype: np.dtype) -> int:
    """Columns of a panel: 32 at most."""
    return VECTORS * vector_bytes() // dtype.itemsize


def pack(code: Code, out: Array, w: Array, stride: Int, k: Int, n: Int, transposed: Int) -> None:
    """Panels of op(W), op the transpose where flagged, of shape (k, n); columns that the last one lacks are zeros."""
    columns, zero = width(out.dtype), Numbers(code.b, out.dtype).constant(0)
    flag = transposed.differs(0)
    along, across = code.chosen(flag, 1, stride), code.chosen(flag, stride, 1)
    for first in code.loop(0, n, columns):
        here = code.smaller(columns, n - first)
        for i in code.loop(0, k):
            row = out.at(first * k + i * columns)
            for j in code.loop(0, here):
                row.at(j).store(w.at(i * along + (first + j) * across).load())
            for j in code.loop(here, columns):
                row.at(j).store(zero)


def multiply(code: Code, out: Array, n_out: Int, a: Array, a_stride: Int, w: Array, m: Int, n: Int, k: Int) -> None:
    """out[i, j] = sum_r a[i, r] * W[r, j] for W of shape (k, n) in panels, i < m. float32 and float64."""
    columns, most = width(out.dtype), most_rows()
    at_once = AT_ONCE * columns
    first = code.chosen(m.equals(1), n - n % at_once, 0)
    for at in code.loop(0, first, at_once, whole=True):
        _tile(code, 1, AT_ONCE, out.at(at), n_out, a, a_stride, w.at(at * k), k, n - at)
    for at in code.loop(first, n, columns, whole=True):
        row, panel, left = code.int(0), w.at(at * k), n - at
        for rows in (most, 4, 1):
            last = m - (m - row) % rows
            for i in code.loop(row, last, rows, whole=True):
                _tile(code, rows, 1, out.at(i * n_out + at), n_out, a.at(i * a_stride), a_stride, panel, k, left)
            row = last


def _tile(
    code: Code, rows: int, panels: int, out: Array, n_out: Int, a: Array, a_stride: Int, w: Array, k: Int, left: Int
) -> None:  # fmt: skip
    """A product of so many rows with so many panels, of which `left` columns are stored."""
    b, size = code.b, out.dtype.itemsize
    lanes = vector_bytes() // size
    kind = ir.VectorType(memory_type(out.dtype), lanes)
    fma, of_row = fma_of(b.module, kind), VECTORS * lanes
    nothing = ir.Constant(kind, None)
    sums = [[code.variable(nothing) for _ in range(panels * VECTORS)] for _ in range(rows)]
    for i in code.loop(0, k, whole=True):
        place = i * of_row
        vectors = []
        for p in range(panels):
            start = place + k * (p * of_row)
            vectors += [b.load(w.at(start + v * lanes).vector(lanes), align=size) for v in range(VECTORS)]
        for r, row in enumerate(sums):
            y = broadcast(b, a.at(i + a_stride * r).load(), kind)
            for vector, s in zip(vectors, row, strict=True):
                s.set(b.call(fma, [y, vector, s.get()]))
    for v in range(panels * VECTORS):
        inside = _first(b, (left - v * lanes).v, lanes)
        for r, row in enumerate(sums):
            _store_some(b, row[v].get(), out.at(n_out * r + v * lanes).vector(lanes), size, inside)


def _first(builder: Any, count: Any, lanes: int) -> Any:
    """Which lanes are among the first `count`."""
    kind = ir.VectorType(INT, lanes)
    numbers = ir.Constant(kind, [INT(i) for i in range(lanes)])
    return builder.icmp_signed("<", numbers, broadcast(builder, count, kind))


def _store_some(builder: Any, value: Any, address: Any, align: int, inside: Any) -> None:
    signature = ir.FunctionType(ir.VoidType(), [value.type, address.type, INT32, inside.type])
    bits = 64 if isinstance(value.type.element, ir.DoubleType) else 32
    name = f"llvm.masked.store.v{value.type.count}f{bits}.p0"
    builder.call(declared(builder.module, name, signature), [value, address, INT32(align), inside])
