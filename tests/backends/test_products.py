"""Products of the run-time library: every dtype, layout and size against NumPy; nothing is allocated."""

from __future__ import annotations

import numpy as np
import pytest
from kernels import call, of_call

R = np.random.default_rng(5)
DTYPES = ["f4", "f8", "c8", "c16"]
SIZES = [(1, 1, 1), (3, 5, 2), (4, 9, 8), (7, 17, 33), (13, 1, 40), (1, 70, 9), (40, 30, 50)]  # the last is for BLAS
OFFSET, GUARD = 3, 4  # elements before and after the operands


def filled(shape: tuple[int, ...], dtype: str) -> np.ndarray:
    x = R.normal(size=shape) * 3
    return (x + 1j * R.normal(size=shape) if dtype[0] == "c" else x).astype(dtype)


def placed(a: np.ndarray, stride: int) -> np.ndarray:
    """`a` in flat memory from OFFSET on, with `stride` elements from row to row; NaN (or 77) everywhere else."""
    rows = a.reshape(-1, a.shape[-1])
    flat = np.full(OFFSET + len(rows) * stride + GUARD, 77 if a.dtype.kind in "iub" else np.nan, a.dtype)
    for i, row in enumerate(rows):
        flat[OFFSET + i * stride : OFFSET + i * stride + len(row)] = row
    return flat


def check(flat: np.ndarray, want: np.ndarray, stride: int) -> None:
    """`want` lies in `flat` as by `placed`, and nothing else was written."""
    blank = placed(want, stride)
    tolerance = 100 * np.finfo(want.dtype).eps if want.dtype.kind in "fc" else 0
    np.testing.assert_allclose(flat, blank, rtol=tolerance, atol=tolerance * 50)


@pytest.mark.parametrize("dtype", [*DTYPES, "i4", "u1", "i8"])
def test_vector_times_matrix(dtype):
    for k, n, _ in SIZES:
        x, w = filled((k,), dtype), filled((k, n), dtype)
        out = placed(np.zeros(n, dtype) * 0, n)
        call("products.vecmat", out, OFFSET, placed(x, k), OFFSET, placed(w, n + 2), OFFSET, k, n, n + 2)
        check(out, x @ w, n)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("k", [1, 2, 3, 4, 5, 7, 8, 33])
def test_partial_sums_over_rows(dtype, k):
    """Every number of accumulators, with rows that are left over, of a number that the kernel knows."""
    for n in (1, 3, 4, 8, 16, 24, 32, 48, 64, 120, 136):
        x, w = filled((k,), dtype), filled((k, n), dtype)
        out = placed(np.full(n, np.nan, dtype), n)
        args = out, OFFSET, placed(x, k), OFFSET, placed(w, n), OFFSET, k, n, n
        call("products.vecmat", *args, constants=(6,))
        check(out, x @ w, n)


@pytest.mark.parametrize("dtype", DTYPES)
def test_matrix_times_vector(dtype):
    for m, k, _ in SIZES:
        w, x = filled((m, k), dtype), filled((k,), dtype)
        out = placed(np.zeros(m, dtype), m)
        call("products.matvec", out, OFFSET, placed(w, k + 2), OFFSET, placed(x, k), OFFSET, m, k, k + 2)
        check(out, w @ x, m)


@pytest.mark.parametrize("transposed", [(a, b) for a in (False, True) for b in (False, True)])
@pytest.mark.parametrize("dtype", DTYPES)
def test_matrix_times_matrix(dtype, transposed):
    for m, k, n in SIZES:
        a, b = filled((m, k), dtype), filled((k, n), dtype)
        stored = [(x.T if t else x).copy() for x, t in zip((a, b), transposed, strict=True)]
        strides = [s.shape[1] + 1 + i for i, s in enumerate(stored)]
        out = placed(np.zeros((m, n), dtype), n + 3)
        left, right = (placed(x, stride) for x, stride in zip(stored, strides, strict=True))
        flags = map(int, transposed)
        call("products.gemm", out, OFFSET, n + 3, left, OFFSET, strides[0], right, OFFSET, strides[1], m, n, k, *flags)
        check(out, a @ b, n + 3)


def test_empty_sums_are_zero():
    out, none = np.full((3, 4), np.nan), np.empty((0,))
    call("products.gemm", out.reshape(-1), 0, 4, none, 0, 1, none, 0, 1, 3, 4, 0, 0, 0)
    np.testing.assert_array_equal(out, 0)
    out[:] = np.nan
    call("products.matvec", out.reshape(-1), 0, none, 0, none, 0, 12, 0, 1)
    np.testing.assert_array_equal(out, 0)
    out[:] = np.nan
    call("products.vecmat", out.reshape(-1), 0, none, 0, none, 0, 0, 12, 1)
    np.testing.assert_array_equal(out, 0)


def test_nothing_is_allocated():
    f8 = np.dtype("f8")
    for function, args in (
        ("gemm", (f8, None, f8, None, f8, None, None, None, None, None, None)),
        ("matvec", (f8, f8, f8, None, None, None)), ("vecmat", (f8, f8, f8, None, None, None)),
    ):  # fmt: skip
        text = of_call(f"products.{function}", args).llvm()
        assert f"scancc.products.{function}" in text or function == "vecmat"  # which is inlined
        assert ("scipy_dgemm" in text) == (function == "gemm")
        assert "malloc" not in text and "alloc(" not in text and "NRT_" not in text
