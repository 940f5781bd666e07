"""Functions of complex numbers that numba's cmath lacks, with NumPy's conventions: the order is lexicographic."""

from __future__ import annotations

import cmath
import math

from numba import njit


@njit(error_model="numpy")
def divide(a, b):  # type: ignore[no-untyped-def]
    """a / b by Smith's algorithm (CACM 5, 1962): no overflow on the way; NaN and infinities where b is 0."""
    if abs(b.real) >= abs(b.imag):
        if b.real == 0 and b.imag == 0:
            return complex(a.real / abs(b.real), a.imag / abs(b.real))
        ratio = b.imag / b.real
        scale = 1.0 / (b.real + b.imag * ratio)
        return complex((a.real + a.imag * ratio) * scale, (a.imag - a.real * ratio) * scale)
    ratio = b.real / b.imag
    scale = 1.0 / (b.imag + b.real * ratio)
    return complex((a.real * ratio + a.imag) * scale, (a.imag * ratio - a.real) * scale)


@njit(error_model="numpy")
def less(a, b):  # type: ignore[no-untyped-def]
    return a.real < b.real or (a.real == b.real and a.imag < b.imag)


@njit(error_model="numpy")
def less_equal(a, b):  # type: ignore[no-untyped-def]
    return a.real < b.real or (a.real == b.real and a.imag <= b.imag)


@njit(error_model="numpy")
def isnan(z):  # type: ignore[no-untyped-def]
    return math.isnan(z.real) or math.isnan(z.imag)


@njit(error_model="numpy")
def isinf(z):  # type: ignore[no-untyped-def]
    return math.isinf(z.real) or math.isinf(z.imag)


@njit(error_model="numpy")
def isfinite(z):  # type: ignore[no-untyped-def]
    return math.isfinite(z.real) and math.isfinite(z.imag)


@njit(error_model="numpy")
def minimum(a, b):  # type: ignore[no-untyped-def]
    return a if less_equal(a, b) or isnan(a) else b


@njit(error_model="numpy")
def maximum(a, b):  # type: ignore[no-untyped-def]
    return a if less_equal(b, a) or isnan(a) else b


@njit(error_model="numpy")
def fmin(a, b):  # type: ignore[no-untyped-def]
    return a if less_equal(a, b) or isnan(b) else b


@njit(error_model="numpy")
def fmax(a, b):  # type: ignore[no-untyped-def]
    return a if less_equal(b, a) or isnan(b) else b


@njit(error_model="numpy")
def sign(z):  # type: ignore[no-untyped-def]
    """z / |z|, and 0 at 0 (NumPy 2)."""
    size = abs(z)
    return z if size == 0 else complex(z.real / size, z.imag / size)


@njit(error_model="numpy")
def rint(z):  # type: ignore[no-untyped-def]
    return complex(round(z.real), round(z.imag))


@njit(error_model="numpy")
def log2(z):  # type: ignore[no-untyped-def]
    w, scale = cmath.log(z), 1 / math.log(2)
    return complex(w.real * scale, w.imag * scale)


@njit(error_model="numpy")
def exp2(z):  # type: ignore[no-untyped-def]
    return cmath.exp(z * math.log(2))


@njit(error_model="numpy")
def expm1(z):  # type: ignore[no-untyped-def]
    """e**z - 1: real part expm1(x) cos y - 2 sin(y/2)**2, which keeps its digits near 0."""
    half = math.sin(z.imag / 2)
    return complex(math.expm1(z.real) * math.cos(z.imag) - 2 * half * half, math.exp(z.real) * math.sin(z.imag))


@njit(error_model="numpy")
def log1p(z):  # type: ignore[no-untyped-def]
    return complex(math.log(math.hypot(z.real + 1, z.imag)), math.atan2(z.imag, z.real + 1))


@njit(error_model="numpy")
def power(z, p):  # type: ignore[no-untyped-def]
    """z ** p; small whole powers by multiplication, 0 ** p is 0 for Re p > 0 (as NumPy's npy_cpow)."""
    if p == 0:
        return z * 0 + 1
    if z == 0:
        return z * 0 if p.real > 0 else z * complex(math.nan, math.nan)
    if p.imag == 0 and p.real == int(p.real) and abs(p.real) < 100:
        n = abs(int(p.real))
        result = z * 0 + 1
        square = z
        while n > 0:
            if n & 1:
                result = result * square
            square = square * square
            n >>= 1
        return result if p.real > 0 else divide(z * 0 + 1, result)
    return cmath.exp(p * cmath.log(z))
