"""Products of vectors and matrices that lie in row-major memory, given by arrays and flat element offsets."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.linalg import ensure_blas

from scancc_runtime.flat import load, pointer, store
from scancc_runtime.scalar import like
from scancc_runtime.vecmat import vecmat as vecmat

KINDS = {types.float32: "s", types.float64: "d", types.complex64: "c", types.complex128: "z"}
FLAGS = {"fastmath": {"contract", "reassoc"}, "error_model": "numpy"}
SMALL = 1024  # multiplications up to which loops are no slower than a call of BLAS (measured; OpenBLAS, AVX-512)


@njit(**FLAGS)
def matvec(out, o0, w, w0, x, x0, m, k, stride):  # type: ignore[no-untyped-def]
    """out[i] = sum_j W[i, j] * x[j] for W of shape (m, k): four rows at a time, so that x is read once for them."""
    result, matrix, vector = pointer(out, o0), pointer(w, w0), pointer(x, x0)
    zero = like(load(result, 0), 0)
    for i in range(0, m - 3, 4):
        a, b, c, d = zero, zero, zero, zero
        row = i * stride
        for j in range(k):
            y = load(vector, j)
            a += load(matrix, row + j) * y
            b += load(matrix, row + stride + j) * y
            c += load(matrix, row + 2 * stride + j) * y
            d += load(matrix, row + 3 * stride + j) * y
        store(result, i, a)
        store(result, i + 1, b)
        store(result, i + 2, c)
        store(result, i + 3, d)
    for i in range(m - m % 4, m):
        a = zero
        for j in range(k):
            a += load(matrix, i * stride + j) * load(vector, j)
        store(result, i, a)


@njit(**FLAGS)
def gemm(out, o0, n_out, a, a0, a_stride, b, b0, b_stride, m, n, k, a_transposed, b_transposed):  # type: ignore[no-untyped-def]
    """out = op(A) @ op(B) with op the transpose where flagged; shapes (m, k) and (k, n)."""
    if m * n * k > SMALL:
        blas_gemm(out, o0, n_out, a, a0, a_stride, b, b0, b_stride, m, n, k, a_transposed, b_transposed)
    elif not a_transposed and not b_transposed:
        for i in range(m):
            vecmat(out, o0 + i * n_out, a, a0 + i * a_stride, b, b0, k, n, b_stride)
    else:
        along_a, to_next_a = (a_stride, 1) if a_transposed else (1, a_stride)
        along_b, to_next_b = (1, b_stride) if b_transposed else (b_stride, 1)
        result, left, right = pointer(out, o0), pointer(a, a0), pointer(b, b0)
        for i in range(m):
            for j in range(n):
                total = like(load(result, 0), 0)
                for r in range(k):
                    total += load(left, i * to_next_a + r * along_a) * load(right, j * to_next_b + r * along_b)
                store(result, i * n_out + j, total)


@intrinsic
def blas_gemm(typingctx, out, o0, n_out, a, a0, a_stride, b, b0, b_stride, m, n, k, at, bt):  # type: ignore[no-untyped-def]
    """`gemm` by the BLAS that SciPy brings, through the function that numba's np.dot calls.

    BLAS is column-major: row-major A B is the product B^T A^T of what it sees.
    """
    if out.dtype not in KINDS:
        return None
    ensure_blas()
    integer = types.intp
    signature = types.void(
        out, integer, integer, a, integer, integer, b, integer, integer, integer, integer, integer, integer, integer
    )

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        element = context.get_value_type(out.dtype)
        byte, word, untyped = ir.IntType(8), context.get_value_type(integer), ir.IntType(8).as_pointer()

        def address(position: int) -> Any:
            data = context.make_array(signature.args[position])(context, builder, args[position]).data
            return builder.bitcast(builder.gep(data, [args[position + 1]]), untyped)

        def scalar(value: float) -> Any:
            slot = cgutils.alloca_once(builder, element)
            builder.store(context.get_constant(out.dtype, value), slot)
            return builder.bitcast(slot, untyped)

        def flag(value: Any) -> Any:
            transposed = builder.icmp_signed("!=", value, value.type(0))
            return builder.select(transposed, byte(ord("t")), byte(ord("n")))

        kind = ir.FunctionType(
            ir.IntType(32),
            [byte, byte, byte, word, word, word, untyped, untyped, word, untyped, word, untyped, untyped, word],
        )
        function = cgutils.get_or_insert_function(builder.module, kind, "numba_xxgemm")
        n_out, a_stride, b_stride, m, n, k, at, bt = (args[i] for i in (2, 5, 8, 9, 10, 11, 12, 13))
        builder.call(
            function,
            [byte(ord(KINDS[out.dtype])), flag(bt), flag(at), n, m, k, scalar(1.0), address(6), b_stride, address(3),
             a_stride, scalar(0.0), address(0), n_out],
        )  # fmt: skip
        return context.get_dummy_value()

    return signature, codegen
