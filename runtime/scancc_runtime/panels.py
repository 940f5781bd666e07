"""Products with a matrix that many of them share: packed once, so that every product reads its memory in order.

A matrix of k rows is kept in panels of a few columns, one after the other, each with its rows in order. A product has
the sums of some rows and of a panel in vector registers while it goes over the panel (Goto and van de Geijn, "Anatomy
of high-performance matrix multiplication", 2008; Van Zee and van de Geijn, "BLIS", 2015). BLAS has to pack at each call
what it is given, and a vector times a matrix as it lies touches a new page of memory every few cache lines.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from scancc_runtime.flat import load, pointer, store
from scancc_runtime.processor import has, vector_bytes

VECTORS = 2  # of a panel's row
MOST_ROWS = 8 if has("avx512f") else 6  # whose sums are in registers, of which there are 32 or 16
AT_ONCE = 4  # panels for a single row, whose sums would wait for one another in one


def _lanes(scalar: Any) -> int:
    return vector_bytes() * 8 // int(scalar.bitwidth)


@intrinsic
def width(typingctx, out):  # type: ignore[no-untyped-def]
    """Columns of a panel of such an array: 32 at most."""
    columns = VECTORS * _lanes(out.dtype)
    return types.intp(out), lambda context, builder, signature, args: context.get_constant(types.intp, columns)


@njit(error_model="numpy")
def pack(out, o0, w, w0, stride, k, n, transposed):  # type: ignore[no-untyped-def]
    """Panels of op(W), op the transpose where flagged, of shape (k, n); columns that the last one lacks are zeros."""
    columns = width(out)
    packed, matrix = pointer(out, o0), pointer(w, w0)
    along, across = (1, stride) if transposed else (stride, 1)
    for first in range(0, n, columns):
        here = min(columns, n - first)
        for i in range(k):
            row = first * k + i * columns
            for j in range(here):
                store(packed, row + j, load(matrix, i * along + (first + j) * across))
            for j in range(here, columns):
                store(packed, row + j, 0)


def _tile(rows: int, panels: int) -> Any:
    """A product of so many rows with so many panels, of which `left` columns are stored."""

    @intrinsic
    def tile(typingctx, out, o, n_out, a, a0, a_stride, w, w0, k, left):  # type: ignore[no-untyped-def]
        scalar, integer = out.dtype, types.intp
        signature = types.void(out, integer, integer, a, integer, integer, w, integer, integer, integer)

        def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
            data = [context.make_array(signature.args[i])(context, builder, args[i]).data for i in (0, 3, 6)]
            result, x, packed = (builder.gep(p, [args[i]]) for p, i in zip(data, (1, 4, 7), strict=True))
            n_out, a_stride, k, left = args[2], args[5], args[8], args[9]
            element, lanes = context.get_value_type(scalar), _lanes(scalar)
            kind, index, size = ir.VectorType(element, lanes), k.type, scalar.bitwidth // 8
            fma = cgutils.get_or_insert_function(
                builder.module, ir.FunctionType(kind, [kind] * 3), f"llvm.fma.v{lanes}f{scalar.bitwidth}"
            )
            of_row = VECTORS * lanes
            sums = [[cgutils.alloca_once_value(builder, ir.Constant(kind, None)) for _ in range(panels * VECTORS)]
                    for _ in range(rows)]  # fmt: skip
            for s in (s for row in sums for s in row):
                builder.store(ir.Constant(kind, None), s)
            with cgutils.for_range_slice(builder, index(0), k, index(1), index) as (i, _):
                place = builder.mul(i, index(of_row))
                vectors = []
                for p in range(panels):
                    start = builder.add(place, builder.mul(k, index(p * of_row)))
                    for v in range(VECTORS):
                        at = builder.gep(packed, [builder.add(start, index(v * lanes))])
                        vectors.append(builder.load(builder.bitcast(at, kind.as_pointer()), align=size))
                for r, row in enumerate(sums):
                    y = builder.load(builder.gep(x, [builder.add(i, builder.mul(a_stride, index(r)))]))
                    y = _broadcast(builder, y, kind)
                    for vector, s in zip(vectors, row, strict=True):
                        builder.store(builder.call(fma, [y, vector, builder.load(s)]), s)
            for v in range(panels * VECTORS):
                inside = _first(builder, builder.sub(left, index(v * lanes)), lanes)
                for r, row in enumerate(sums):
                    place = builder.add(builder.mul(n_out, index(r)), index(v * lanes))
                    at = builder.bitcast(builder.gep(result, [place]), kind.as_pointer())
                    _store_some(builder, builder.load(row[v]), at, size, inside)
            return context.get_dummy_value()

        return signature, codegen

    return tile


def _broadcast(builder: Any, value: Any, kind: ir.VectorType) -> Any:
    word, none = ir.IntType(32), ir.Constant(kind, ir.Undefined)
    mask = ir.Constant(ir.VectorType(word, kind.count), None)
    return builder.shuffle_vector(builder.insert_element(none, value, word(0)), none, mask)


def _first(builder: Any, count: Any, lanes: int) -> Any:
    """Which lanes are among the first `count`."""
    kind = ir.VectorType(count.type, lanes)
    numbers = ir.Constant(kind, [count.type(i) for i in range(lanes)])
    return builder.icmp_signed("<", numbers, _broadcast(builder, count, kind))


def _store_some(builder: Any, value: Any, address: Any, align: int, inside: Any) -> None:
    word = ir.IntType(32)
    signature = ir.FunctionType(ir.VoidType(), [value.type, address.type, word, inside.type])
    bits = {"float": 32, "double": 64}[str(value.type.element)]
    name = f"llvm.masked.store.v{value.type.count}f{bits}.p0"
    store_some = cgutils.get_or_insert_function(builder.module, signature, name)
    builder.call(store_some, [value, address, word(align), inside])


most_rows, four_rows, one_row, one_row_at_once = _tile(MOST_ROWS, 1), _tile(4, 1), _tile(1, 1), _tile(1, AT_ONCE)


@njit(error_model="numpy")
def multiply(out, o0, n_out, a, a0, a_stride, w, w0, m, n, k):  # type: ignore[no-untyped-def]
    """out[i, j] = sum_r a[i, r] * W[r, j] for W of shape (k, n) in panels, i < m. float32 and float64."""
    columns, first = width(out), 0
    if m == 1:
        while first + AT_ONCE * columns <= n:
            one_row_at_once(out, o0 + first, n_out, a, a0, a_stride, w, w0 + first * k, k, n - first)
            first += AT_ONCE * columns
    while first < n:
        i, panel, left = 0, w0 + first * k, n - first
        while i + MOST_ROWS <= m:
            most_rows(out, o0 + i * n_out + first, n_out, a, a0 + i * a_stride, a_stride, w, panel, k, left)
            i += MOST_ROWS
        while i + 4 <= m:
            four_rows(out, o0 + i * n_out + first, n_out, a, a0 + i * a_stride, a_stride, w, panel, k, left)
            i += 4
        while i < m:
            one_row(out, o0 + i * n_out + first, n_out, a, a0 + i * a_stride, a_stride, w, panel, k, left)
            i += 1
        first += columns
