"""Products of vectors and matrices that lie in row-major memory, given by arrays and flat element offsets."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.linalg import ensure_blas

from scancc_runtime.vecmat import vecmat as vecmat

KINDS = {types.float32: "s", types.float64: "d", types.complex64: "c", types.complex128: "z"}


@njit(fastmath={"contract", "reassoc"}, error_model="numpy")
def matvec(out, o0, w, w0, x, x0, m, k, stride):  # type: ignore[no-untyped-def]
    """out[i] = sum_j W[i, j] * x[j] for W of shape (m, k)."""
    o, xs, ws = out.reshape(-1), x.reshape(-1), w.reshape(-1)
    for i in range(m):
        total = xs.dtype.type(0)
        for j in range(k):
            total += ws[w0 + i * stride + j] * xs[x0 + j]
        o[o0 + i] = total


SMALL = 16_384  # multiplications up to which the loops below are faster than a call of BLAS


@njit(fastmath={"contract", "reassoc"}, error_model="numpy")
def gemm(out, o0, n_out, a, a0, a_stride, b, b0, b_stride, m, n, k, a_transposed, b_transposed):  # type: ignore[no-untyped-def]
    """out = op(A) @ op(B) with op the transpose where flagged; shapes (m, k) and (k, n)."""
    if m * n * k > SMALL:
        blas_gemm(out, o0, n_out, a, a0, a_stride, b, b0, b_stride, m, n, k, a_transposed, b_transposed)
        return
    o, av, bv = out.reshape(-1), a.reshape(-1), b.reshape(-1)
    for i in range(m):
        for j in range(n):
            o[o0 + i * n_out + j] = 0
        for r in range(k):
            x = av[a0 + r * a_stride + i] if a_transposed else av[a0 + i * a_stride + r]
            for j in range(n):
                y = bv[b0 + j * b_stride + r] if b_transposed else bv[b0 + r * b_stride + j]
                o[o0 + i * n_out + j] += x * y


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

        def pointer(position: int) -> Any:
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
            [byte(ord(KINDS[out.dtype])), flag(bt), flag(at), n, m, k, scalar(1.0), pointer(6), b_stride, pointer(3),
             a_stride, scalar(0.0), pointer(0), n_out],
        )  # fmt: skip
        return context.get_dummy_value()

    return signature, codegen
