"""Products of vectors and matrices that lie in row-major memory, given by pointers to their first elements."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir

from scancc_runtime.code import BIT, BYTE, BYTES, INT32, Array, Code, Int, Numbers, declared
from scancc_runtime.vecmat import vecmat

BLAS = {np.dtype(np.float32): "sgemm", np.dtype(np.float64): "dgemm", np.dtype(np.complex64): "cgemm",
        np.dtype(np.complex128): "zgemm"}  # fmt: skip
OPERANDS = 13  # of gemm
SMALL = 1024  # multiplications up to which loops are no slower than a call of BLAS (measured; OpenBLAS, AVX-512)
LARGEST = 2**31 - 1  # length that BLAS takes
ROWS = 4  # of a matrix for which a vector is read once


def matvec(code: Code, out: Array, w: Array, x: Array, m: Int, k: Int, stride: Int) -> None:
    """out[i] = sum_j W[i, j] * x[j] for W of shape (m, k): four rows at a time, so that x is read once for them."""
    whole = m - m % ROWS
    for i in code.loop(0, whole, ROWS, whole=True):
        _rows(code, ROWS, out.at(i), w.at(i * stride), x, k, stride)
    for i in code.loop(whole, m):
        _rows(code, 1, out.at(i), w.at(i * stride), x, k, stride)


def _rows(code: Code, rows: int, out: Array, w: Array, x: Array, k: Int, stride: Int) -> None:
    numbers = Numbers(code.b, out.dtype)
    sums = [code.variable(numbers.constant(0)) for _ in range(rows)]
    for j in code.loop(0, k):
        y = x.at(j).load()
        for r, s in enumerate(sums):
            s.set(numbers.add(s.get(), numbers.multiply(w.at(stride * r + j).load(), y)))
    for r, s in enumerate(sums):
        out.at(r).store(s.get())


def gemm(
    code: Code, out: Array, n_out: Int, a: Array, a_stride: Int, b: Array, b_stride: Int, m: Int, n: Int, k: Int,
    a_transposed: Int, b_transposed: Int,
) -> None:  # fmt: skip
    """out = op(A) @ op(B) with op the transpose where flagged; shapes (m, k) and (k, n)."""
    large = m * n * k > SMALL

    def by_loops() -> None:
        neither = code.both(a_transposed.equals(0), b_transposed.equals(0))
        for by_rows in code.either(neither):
            if by_rows:
                for i in code.loop(0, m):
                    vecmat(code, out.at(i * n_out), a.at(i * a_stride), b, k, n, b_stride)
            else:
                _by_elements(code, out, n_out, a, a_stride, b, b_stride, m, n, k, a_transposed, b_transposed)

    _by_size(code, large, by_loops, out, n_out, a, a_stride, b, b_stride, m, n, k, a_transposed, b_transposed)


def large_gemm(
    code: Code, out: Array, n_out: Int, a: Array, a_stride: Int, b: Array, b_stride: Int, m: Int, n: Int, k: Int,
    a_transposed: Int, b_transposed: Int,
) -> None:  # fmt: skip
    """`gemm` where the sizes are known to be worth BLAS; it is a tenth of the code."""

    def by_loops() -> None:
        _by_elements(code, out, n_out, a, a_stride, b, b_stride, m, n, k, a_transposed, b_transposed)

    _by_size(code, BIT(1), by_loops, out, n_out, a, a_stride, b, b_stride, m, n, k, a_transposed, b_transposed)


def _by_size(
    code: Code, large: Any, by_loops: Callable[[], None], out: Array, n_out: Int, a: Array, a_stride: Int, b: Array,
    b_stride: Int, m: Int, n: Int, k: Int, a_transposed: Int, b_transposed: Int,
) -> None:  # fmt: skip
    for length in (m, n, k, n_out, a_stride, b_stride):
        large = code.both(large, length <= LARGEST)
    for by_blas in code.either(large):
        if by_blas:
            _by_blas(code, out, n_out, a, a_stride, b, b_stride, m, n, k, a_transposed, b_transposed)
        else:
            by_loops()


def _by_elements(
    code: Code, out: Array, n_out: Int, a: Array, a_stride: Int, b: Array, b_stride: Int, m: Int, n: Int, k: Int,
    a_transposed: Int, b_transposed: Int,
) -> None:  # fmt: skip
    numbers = Numbers(code.b, out.dtype)
    flag_a, flag_b = a_transposed.differs(0), b_transposed.differs(0)
    along_a, to_next_a = code.chosen(flag_a, a_stride, 1), code.chosen(flag_a, 1, a_stride)
    along_b, to_next_b = code.chosen(flag_b, 1, b_stride), code.chosen(flag_b, b_stride, 1)
    for i in code.loop(0, m):
        for j in code.loop(0, n):
            total = code.variable(numbers.constant(0))
            for r in code.loop(0, k):
                left, right = a.at(i * to_next_a + r * along_a).load(), b.at(j * to_next_b + r * along_b).load()
                total.set(numbers.add(total.get(), numbers.multiply(left, right)))
            out.at(i * n_out + j).store(total.get())


def _by_blas(
    code: Code, out: Array, n_out: Int, a: Array, a_stride: Int, b: Array, b_stride: Int, m: Int, n: Int, k: Int,
    a_transposed: Int, b_transposed: Int,
) -> None:  # fmt: skip
    """Through the functions that SciPy offers to Cython, which take the addresses of their arguments.

    BLAS is column-major: row-major A B is the product B^T A^T of what it sees.
    """
    build = code.b
    numbers = Numbers(build, out.dtype)

    def length(n: Int) -> Any:
        return _place(code, build.trunc(n.v, INT32))

    def flag(value: Int) -> Any:
        return _place(code, build.select(value.differs(0), BYTE(ord("t")), BYTE(ord("n"))))

    def number(value: float) -> Any:
        constant = numbers.constant(value)
        if not isinstance(constant, tuple):
            return _place(code, constant)
        return _place(code, ir.Constant(ir.LiteralStructType([p.type for p in constant]), constant))

    def memory(array: Array) -> Any:
        return build.bitcast(array.pointer, BYTES)

    given = [flag(b_transposed), flag(a_transposed), length(n), length(m), length(k), number(1.0), memory(b),
             length(b_stride), memory(a), length(a_stride), number(0.0), memory(out), length(n_out)]  # fmt: skip
    kind = ir.FunctionType(ir.VoidType(), [BYTES] * len(given))
    build.call(declared(build.module, f"scipy_{BLAS[out.dtype]}", kind), given)


def _place(code: Code, value: Any) -> Any:
    """An address of a value."""
    with code.b.goto_entry_block():
        slot = code.b.alloca(value.type)
    code.b.store(value, slot)
    return code.b.bitcast(slot, BYTES)
