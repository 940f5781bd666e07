"""Dense linear algebra on square matrices that lie in row-major memory, given by arrays and flat element offsets.

Elimination with partial pivoting and Cholesky factorisation as in Golub and Van Loan, Matrix Computations, 3.4 and 4.2.
A singular matrix gives NaN everywhere (determinant 0), one that is not positive definite NaN from `cholesky`: a kernel
does not raise in the middle of a loop. `work` has room for 2 n n + n m + 4 n elements; nothing is allocated.
"""

from __future__ import annotations

import numpy as np
from numba import njit

FLAGS = {"fastmath": {"contract"}, "error_model": "numpy"}


@njit(**FLAGS)
def _factorise(a, n):  # type: ignore[no-untyped-def]
    """Eliminate below the diagonal of the n rows of n in `a`, factors kept there; the number of exchanges.

    Row exchanges are not recorded: right-hand sides stand beside the matrix, see `_eliminate`.
    """
    exchanges = 0
    for k in range(n):
        best, pivot = abs(a[k * n + k]), k
        for r in range(k + 1, n):
            size = abs(a[r * n + k])
            if size > best:
                best, pivot = size, r
        if pivot != k:
            exchanges += 1
            for c in range(n):
                a[k * n + c], a[pivot * n + c] = a[pivot * n + c], a[k * n + c]
        if best == 0:
            return exchanges  # singular: the determinant has a zero factor here
        for r in range(k + 1, n):
            factor = a[r * n + k] / a[k * n + k]
            for c in range(k + 1, n):
                a[r * n + c] -= factor * a[k * n + c]
    return exchanges


@njit(**FLAGS)
def _eliminate(a, b, n, m):  # type: ignore[no-untyped-def]
    """Solve in place: `a` has n rows of n, `b` n rows of m. False if a pivot is zero."""
    for k in range(n):
        best, pivot = abs(a[k * n + k]), k
        for r in range(k + 1, n):
            size = abs(a[r * n + k])
            if size > best:
                best, pivot = size, r
        if best == 0:
            return False
        if pivot != k:
            for c in range(k, n):
                a[k * n + c], a[pivot * n + c] = a[pivot * n + c], a[k * n + c]
            for c in range(m):
                b[k * m + c], b[pivot * m + c] = b[pivot * m + c], b[k * m + c]
        for r in range(k + 1, n):
            factor = a[r * n + k] / a[k * n + k]
            for c in range(k + 1, n):
                a[r * n + c] -= factor * a[k * n + c]
            for c in range(m):
                b[r * m + c] -= factor * b[k * m + c]
    for k in range(n - 1, -1, -1):
        for c in range(m):
            b[k * m + c] /= a[k * n + k]
        for r in range(k):
            factor = a[r * n + k]
            for c in range(m):
                b[r * m + c] -= factor * b[k * m + c]
    return True


@njit(**FLAGS)
def solve(out, o0, a, a0, b, b0, n, m, work, w0):  # type: ignore[no-untyped-def]
    """out = a^-1 b for n rows of m right-hand sides."""
    o, av, bv, w = out.reshape(-1), a.reshape(-1), b.reshape(-1), work.reshape(-1)
    matrix, result = w[w0 : w0 + n * n], o[o0 : o0 + n * m]
    matrix[:] = av[a0 : a0 + n * n]
    result[:] = bv[b0 : b0 + n * m]
    if not _eliminate(matrix, result, n, m):
        result[:] = np.nan


@njit(**FLAGS)
def inv(out, o0, a, a0, n, work, w0):  # type: ignore[no-untyped-def]
    """out = a^-1."""
    o, av, w = out.reshape(-1), a.reshape(-1), work.reshape(-1)
    matrix, result = w[w0 : w0 + n * n], o[o0 : o0 + n * n]
    matrix[:] = av[a0 : a0 + n * n]
    result[:] = 0
    for i in range(n):
        result[i * n + i] = 1
    if not _eliminate(matrix, result, n, n):
        result[:] = np.nan


@njit(**FLAGS)
def cholesky(out, o0, a, a0, n, work, w0):  # type: ignore[no-untyped-def]
    """The lower triangular L with L L^H = a, of which the lower triangle is read."""
    o, av = out.reshape(-1), a.reshape(-1)
    result = o[o0 : o0 + n * n]
    result[:] = 0
    for j in range(n):
        pivot = av[a0 + j * n + j].real
        for k in range(j):
            pivot -= (result[j * n + k] * np.conj(result[j * n + k])).real
        if not pivot > 0:
            result[:] = np.nan
            return
        root = np.sqrt(pivot)
        result[j * n + j] = root
        for i in range(j + 1, n):
            total = av[a0 + i * n + j]
            for k in range(j):
                total -= result[i * n + k] * np.conj(result[j * n + k])
            result[i * n + j] = total / root


@njit(**FLAGS)
def det(out, o0, a, a0, n, work, w0):  # type: ignore[no-untyped-def]
    o, av, w = out.reshape(-1), a.reshape(-1), work.reshape(-1)
    matrix = w[w0 : w0 + n * n]
    matrix[:] = av[a0 : a0 + n * n]
    exchanges = _factorise(matrix, n)
    total = matrix[0] * 0 + (-1 if exchanges & 1 else 1)
    for i in range(n):
        if matrix[i * n + i] == 0:
            total = matrix[0] * 0
            break
        total *= matrix[i * n + i]
    o[o0] = total


@njit(**FLAGS)
def slogdet_sign(out, o0, a, a0, n, work, w0):  # type: ignore[no-untyped-def]
    o, av, w = out.reshape(-1), a.reshape(-1), work.reshape(-1)
    matrix = w[w0 : w0 + n * n]
    matrix[:] = av[a0 : a0 + n * n]
    exchanges = _factorise(matrix, n)
    total = matrix[0] * 0 + (-1 if exchanges & 1 else 1)
    for i in range(n):
        x = matrix[i * n + i]
        if x == 0:
            total = matrix[0] * 0
            break
        total *= x / abs(x)
    o[o0] = total


@njit(**FLAGS)
def slogdet_logabs(out, o0, a, a0, n, work, w0):  # type: ignore[no-untyped-def]
    o, av, w = out.reshape(-1), a.reshape(-1), work.reshape(-1)
    matrix = w[w0 : w0 + n * n]
    matrix[:] = av[a0 : a0 + n * n]
    _factorise(matrix, n)
    total = 0.0
    for i in range(n):
        if matrix[i * n + i] == 0:
            total = -np.inf
            break
        total += np.log(abs(matrix[i * n + i]))
    o[o0] = total
