"""Dense linear algebra on square matrices that lie in row-major memory, given by arrays and flat element offsets.

Elimination with partial pivoting and Cholesky factorisation as in Golub and Van Loan, Matrix Computations, 3.4 and 4.2,
for float32, float64, complex64 and complex128 in their own precision. A kernel does not raise in the middle of a loop:
a singular matrix gives NaN everywhere (its determinant is 0), and so does `cholesky` of one that is not positive
definite. `work` has room for n * n elements at least; nothing is allocated.
"""

from __future__ import annotations

import math

import numpy as np

from scancc_runtime.compiled import njit
from scancc_runtime.intrinsics import like, load, pointer, store

FLAGS = {"fastmath": {"contract", "reassoc"}, "error_model": "numpy"}
SCALE = 2.0**300


@njit(**FLAGS)
def _copy(source, target, count):  # type: ignore[no-untyped-def]
    for i in range(count):
        store(target, i, load(source, i))


@njit(**FLAGS)
def _fill(target, count, value):  # type: ignore[no-untyped-def]
    for i in range(count):
        store(target, i, value)


@njit(**FLAGS)
def _exchange(a, i, b, j, count):  # type: ignore[no-untyped-def]
    for c in range(count):
        x, y = load(a, i + c), load(b, j + c)
        store(a, i + c, y)
        store(b, j + c, x)


@njit(**FLAGS)
def _subtract(a, i, factor, b, j, count):  # type: ignore[no-untyped-def]
    """Take `factor` times one run of elements from another."""
    for c in range(count):
        store(a, i + c, load(a, i + c) - factor * load(b, j + c))


@njit(**FLAGS)
def _eliminate(a, b, n, m):  # type: ignore[no-untyped-def]
    """Make `a` (n rows of n) upper triangular and do the same to `b` (n rows of m).

    Returns 1 or -1, the sign of the row exchanges, or 0 for a singular matrix.
    """
    sign = 1
    for k in range(n):
        best, pivot = abs(load(a, k * n + k)), k
        for r in range(k + 1, n):
            size = abs(load(a, r * n + k))
            if size > best:
                best, pivot = size, r
        if best == 0:
            return 0
        if pivot != k:
            sign = -sign
            _exchange(a, k * n + k, a, pivot * n + k, n - k)
            _exchange(b, k * m, b, pivot * m, m)
        inverse = 1 / load(a, k * n + k)
        for r in range(k + 1, n):
            factor = load(a, r * n + k) * inverse
            _subtract(a, r * n + k + 1, factor, a, k * n + k + 1, n - k - 1)
            _subtract(b, r * m, factor, b, k * m, m)
    return sign


@njit(**FLAGS)
def _solve(a, b, n, m):  # type: ignore[no-untyped-def]
    """Replace `b` (n rows of m) by a^-1 b; destroys `a`."""
    if _eliminate(a, b, n, m) == 0:
        _fill(b, n * m, math.nan)
        return
    for r in range(n - 1, -1, -1):
        for k in range(r + 1, n):
            _subtract(b, r * m, load(a, r * n + k), b, k * m, m)
        pivot = load(a, r * n + r)
        for c in range(m):
            store(b, r * m + c, load(b, r * m + c) / pivot)


@njit(**FLAGS)
def solve(out, o0, a, a0, b, b0, n, m, work, w0):  # type: ignore[no-untyped-def]
    """out = a^-1 b for n rows of m right-hand sides."""
    matrix, result = pointer(work, w0), pointer(out, o0)
    _copy(pointer(a, a0), matrix, n * n)
    _copy(pointer(b, b0), result, n * m)
    _solve(matrix, result, n, m)


@njit(**FLAGS)
def inv(out, o0, a, a0, n, work, w0):  # type: ignore[no-untyped-def]
    """out = a^-1."""
    matrix, result = pointer(work, w0), pointer(out, o0)
    _copy(pointer(a, a0), matrix, n * n)
    _fill(result, n * n, 0.0)
    for i in range(n):
        store(result, i * n + i, 1)
    _solve(matrix, result, n, n)


@njit(**FLAGS)
def cholesky(out, o0, a, a0, n, work, w0):  # type: ignore[no-untyped-def]
    """The lower triangular L with L L^H = a, of which the lower triangle is read."""
    matrix, result = pointer(a, a0), pointer(out, o0)
    for i in range(n):
        for j in range(i + 1):
            total = load(matrix, i * n + j)
            for k in range(j):
                total -= load(result, i * n + k) * np.conj(load(result, j * n + k))
            if i > j:
                store(result, i * n + j, total / load(result, j * n + j).real)
            elif total.real > 0:
                store(result, i * n + i, math.sqrt(total.real))
            else:
                _fill(result, n * n, math.nan)
                return
        _fill(pointer(out, o0 + i * n + i + 1), n - i - 1, 0.0)


@njit(**FLAGS)
def _factorise(a, a0, n, work, w0):  # type: ignore[no-untyped-def]
    """Where the upper triangle of the elimination lies, and the sign of `_eliminate`."""
    matrix = pointer(work, w0)
    _copy(pointer(a, a0), matrix, n * n)
    return matrix, _eliminate(matrix, matrix, n, 0)


@njit(**FLAGS)
def det(out, o0, a, a0, n, work, w0):  # type: ignore[no-untyped-def]
    """The product of the pivots, scaled on the way: only the result may overflow."""
    matrix, sign = _factorise(a, a0, n, work, w0)
    total, scale = like(load(matrix, 0), sign) * 1.0, 0
    for i in range(n if sign != 0 else 0):
        total *= load(matrix, i * n + i)
        size = abs(total)
        if size > SCALE:
            total *= 1 / SCALE
            scale += 1
        elif size < 1 / SCALE:
            total *= SCALE
            scale -= 1
    while scale > 0:
        total *= SCALE
        scale -= 1
    while scale < 0:
        total *= 1 / SCALE
        scale += 1
    store(pointer(out, o0), 0, total)


@njit(**FLAGS)
def slogdet_sign(out, o0, a, a0, n, work, w0):  # type: ignore[no-untyped-def]
    """The determinant over its magnitude; 0 of a singular matrix."""
    matrix, sign = _factorise(a, a0, n, work, w0)
    total = like(load(matrix, 0), sign)
    if sign != 0:
        for i in range(n):
            x = load(matrix, i * n + i)
            total *= x / abs(x)
    store(pointer(out, o0), 0, total)


@njit(**FLAGS)
def slogdet_logabs(out, o0, a, a0, n, work, w0):  # type: ignore[no-untyped-def]
    """The logarithm of the determinant's magnitude; -inf of a singular matrix."""
    matrix, sign = _factorise(a, a0, n, work, w0)
    total = -math.inf if sign == 0 else 0.0
    for i in range(n if sign != 0 else 0):
        total += math.log(abs(load(matrix, i * n + i)))
    store(pointer(out, o0), 0, total)
