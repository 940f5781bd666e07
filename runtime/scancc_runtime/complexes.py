"""Functions of complex numbers with NumPy's conventions: the order is lexicographic, branch cuts are those of C99.

The formulas of the elementary functions are Kahan's ("Branch cuts for complex elementary functions", 1987): every
sign of zero and every infinity ends on its side of a cut, and nothing overflows on the way to a result that does not.
They are computed in double precision for complex64 too; arithmetic and comparisons stay in the operands' precision.
"""

from __future__ import annotations

import math

import numpy as np

from scancc_runtime.compiled import njit
from scancc_runtime.intrinsics import like

FLAGS = {"error_model": "numpy"}
LN2 = math.log(2.0)
LARGE = 0.25 * 1.7976931348623157e308  # beyond it a sum of two may overflow
HUGE_EXPONENT = 709.0  # of e, still representable


# -- arithmetic, comparisons, tests ------------------------------------------------------------------------------


@njit(**FLAGS)
def divide(a, b):  # type: ignore[no-untyped-def]
    """a / b by Smith's algorithm (CACM 5, 1962): no overflow on the way; NaN and infinities where b is 0."""
    one = like(b.real, 1)
    if abs(b.real) >= abs(b.imag):
        if b.real == 0 and b.imag == 0:
            return complex(a.real / abs(b.real), a.imag / abs(b.real))
        ratio = b.imag / b.real
        scale = one / (b.real + b.imag * ratio)
        return complex((a.real + a.imag * ratio) * scale, (a.imag - a.real * ratio) * scale)
    ratio = b.real / b.imag
    scale = one / (b.imag + b.real * ratio)
    return complex((a.real * ratio + a.imag) * scale, (a.imag * ratio - a.real) * scale)


@njit(**FLAGS)
def isnan(z):  # type: ignore[no-untyped-def]
    return math.isnan(z.real) | math.isnan(z.imag)


@njit(**FLAGS)
def isinf(z):  # type: ignore[no-untyped-def]
    return math.isinf(z.real) | math.isinf(z.imag)


@njit(**FLAGS)
def isfinite(z):  # type: ignore[no-untyped-def]
    return math.isfinite(z.real) & math.isfinite(z.imag)


@njit(**FLAGS)
def less(a, b):  # type: ignore[no-untyped-def]
    ordered = (a.imag == a.imag) & (b.imag == b.imag)
    return ((a.real < b.real) & ordered) | ((a.real == b.real) & (a.imag < b.imag))


@njit(**FLAGS)
def less_equal(a, b):  # type: ignore[no-untyped-def]
    ordered = (a.imag == a.imag) & (b.imag == b.imag)
    return ((a.real < b.real) & ordered) | ((a.real == b.real) & (a.imag <= b.imag))


@njit(**FLAGS)
def minimum(a, b):  # type: ignore[no-untyped-def]
    return a if isnan(a) or less_equal(a, b) else b


@njit(**FLAGS)
def maximum(a, b):  # type: ignore[no-untyped-def]
    return a if isnan(a) or less_equal(b, a) else b


@njit(**FLAGS)
def fmin(a, b):  # type: ignore[no-untyped-def]
    return a if isnan(b) or less_equal(a, b) else b


@njit(**FLAGS)
def fmax(a, b):  # type: ignore[no-untyped-def]
    return a if isnan(b) or less_equal(b, a) else b


@njit(**FLAGS)
def sign(z):  # type: ignore[no-untyped-def]
    """z / |z|, 0 at 0; along an axis at infinity it is a unit, elsewhere there it is unknown."""
    size = math.hypot(z.real, z.imag)
    zero, one = like(z.real, 0), like(z.real, 1)
    if math.isinf(size):
        if math.isinf(z.real) and math.isinf(z.imag):
            return complex(like(z.real, math.nan), like(z.real, math.nan))
        if math.isinf(z.real):
            return complex(math.copysign(one, z.real), zero)
        return complex(zero, math.copysign(one, z.imag))
    return complex(z.real / size, z.imag / size) if size != 0 else complex(zero, zero)


@njit(**FLAGS)
def rint(z):  # type: ignore[no-untyped-def]
    return complex(np.rint(z.real), np.rint(z.imag))


@njit(**FLAGS)
def power(z, p):  # type: ignore[no-untyped-def]
    """z ** p; small whole powers by multiplication, the others e ** (p log z)."""
    one = complex(like(z.real, 1), like(z.real, 0))
    if p == 0:
        return one
    if z == 0:
        if p.real > 0:
            return complex(like(z.real, 0), like(z.real, 0))
        return complex(like(z.real, math.nan), like(z.real, math.nan))
    if p.imag == 0 and abs(p.real) < 100 and p.real == math.floor(p.real):
        n = int(abs(p.real))
        while n & 1 == 0:
            z, n = z * z, n >> 1
        result = z
        while n > 1:
            z, n = z * z, n >> 1
            if n & 1:
                result = result * z
        return result if p.real > 0 else divide(one, result)
    return like(z, exp(np.complex128(p) * log(np.complex128(z))))


# -- exponentials and logarithms ---------------------------------------------------------------------------------


@njit(**FLAGS)
def exp(z):  # type: ignore[no-untyped-def]
    x, y = float(z.real), float(z.imag)
    if y == 0:
        return like(z, complex(math.exp(x), y))
    if not math.isfinite(y):
        if x == -math.inf:
            return like(z, complex(0.0, math.copysign(0.0, y)))
        return like(z, complex(math.inf if x == math.inf else math.nan, math.nan))
    if x > HUGE_EXPONENT and x < math.inf:
        half = math.exp(0.5 * x)  # e**x overflows where its products with cos y and sin y may not
        return like(z, complex(half * math.cos(y) * half, half * math.sin(y) * half))
    size = math.exp(x)
    return like(z, complex(size * math.cos(y), size * math.sin(y)))


@njit(**FLAGS)
def exp2(z):  # type: ignore[no-untyped-def]
    return like(z, exp(complex(float(z.real) * LN2, float(z.imag) * LN2)))


@njit(**FLAGS)
def expm1(z):  # type: ignore[no-untyped-def]
    """e**z - 1: its real part is expm1(x) cos y - 2 sin(y/2)**2, which keeps its digits near 0."""
    x, y = float(z.real), float(z.imag)
    half = math.sin(0.5 * y)
    return like(z, complex(math.expm1(x) * math.cos(y) - 2.0 * half * half, math.exp(x) * math.sin(y)))


@njit(**FLAGS)
def _log_size(x, y):  # type: ignore[no-untyped-def]
    """log |x + iy|, to the last bits also where |x + iy| is about 1."""
    if math.isnan(x) or math.isnan(y):
        return math.hypot(x, y)  # infinite if the other is
    a, b = max(abs(x), abs(y)), min(abs(x), abs(y))
    if a > LARGE:
        return math.log(math.hypot(0.5 * a, 0.5 * b)) + LN2
    if a < 1e-290:
        return math.log(math.hypot(a * 2.0**100, b * 2.0**100)) - 100 * LN2 if a > 0 else math.log(math.hypot(a, b))
    size = math.hypot(a, b)
    if size < 0.7 or size > 1.5:
        return math.log(size)
    # a**2 + b**2 - 1 with the rounding errors of the squares and of the sum (Dekker's products, Knuth's sum).
    p, q = a * a, b * b
    p_error, q_error = _square_error(a, p), _square_error(b, q)
    s = p - 1.0
    t = s + q
    part = t - s
    t_error = (s - (t - part)) + (q - part)
    return 0.5 * math.log1p(t + (t_error + p_error + q_error))


@njit(**FLAGS)
def _square_error(x, square):  # type: ignore[no-untyped-def]
    """x * x - square, exactly, by splitting x into halves of 26 bits."""
    c = 134217729.0 * x
    high = c - (c - x)
    low = x - high
    return ((high * high - square) + 2.0 * high * low) + low * low


@njit(**FLAGS)
def log(z):  # type: ignore[no-untyped-def]
    x, y = float(z.real), float(z.imag)
    return like(z, complex(_log_size(x, y), math.atan2(y, x)))


@njit(**FLAGS)
def log2(z):  # type: ignore[no-untyped-def]
    x, y = float(z.real), float(z.imag)
    return like(z, complex(_log_size(x, y) * (1 / LN2), math.atan2(y, x) * (1 / LN2)))


@njit(**FLAGS)
def log10(z):  # type: ignore[no-untyped-def]
    x, y = float(z.real), float(z.imag)
    return like(z, complex(_log_size(x, y) * 0.43429448190325176, math.atan2(y, x) * 0.43429448190325176))


@njit(**FLAGS)
def log1p(z):  # type: ignore[no-untyped-def]
    x, y = float(z.real) + 1.0, float(z.imag)
    return like(z, complex(math.log(math.hypot(x, y)), math.atan2(y, x)))


@njit(**FLAGS)
def sqrt(z):  # type: ignore[no-untyped-def]
    x, y = float(z.real), float(z.imag)
    if x == 0 and y == 0:
        return like(z, complex(0.0, y))
    if math.isinf(y):
        return like(z, complex(math.inf, y))
    if math.isinf(x):
        other = y - y  # 0, or a NaN where y is one
        if x > 0:
            return like(z, complex(x, math.copysign(other, y)))
        return like(z, complex(abs(other), math.copysign(x, y)))
    scale, shrink = 1.0, 1.0
    if max(abs(x), abs(y)) > LARGE:
        scale, shrink = 0.0625, 4.0
    elif max(abs(x), abs(y)) < 1e-290:
        scale, shrink = 2.0**100, 2.0**-50
    x, y = x * scale, y * scale
    t = math.sqrt(0.5 * (abs(x) + math.hypot(x, y)))
    if x >= 0:
        return like(z, complex(t * shrink, y / (2.0 * t) * shrink))
    return like(z, complex(abs(y) / (2.0 * t) * shrink, math.copysign(t, y) * shrink))


# -- hyperbolic and circular functions ---------------------------------------------------------------------------


@njit(**FLAGS)
def _sinh(x, y):  # type: ignore[no-untyped-def]
    """Real and imaginary part of sinh(x + iy)."""
    if y == 0:
        return math.sinh(x), y
    if x == 0:
        return (x * math.cos(y) if math.isfinite(y) else x), math.sin(y)
    if not math.isfinite(y):
        return (x if math.isinf(x) else math.nan), math.nan
    if abs(x) > HUGE_EXPONENT and not math.isinf(x):
        half = math.exp(0.5 * abs(x))
        return math.copysign(half * math.cos(y) * 0.5 * half, x * math.cos(y)), half * math.sin(y) * 0.5 * half
    return math.sinh(x) * math.cos(y), math.cosh(x) * math.sin(y)


@njit(**FLAGS)
def _cosh(x, y):  # type: ignore[no-untyped-def]
    """Real and imaginary part of cosh(x + iy)."""
    if y == 0:
        return math.cosh(x), (y if math.isnan(x) else math.copysign(0.0, x) * y)
    if x == 0:
        return math.cos(y), (x if not math.isfinite(y) else x * math.sin(y))
    if not math.isfinite(y):
        return (math.inf if math.isinf(x) else math.nan), math.nan
    if abs(x) > HUGE_EXPONENT and not math.isinf(x):
        half = math.exp(0.5 * abs(x))
        return half * math.cos(y) * 0.5 * half, math.copysign(half * math.sin(y) * 0.5 * half, x * math.sin(y))
    return math.cosh(x) * math.cos(y), math.sinh(x) * math.sin(y)


@njit(**FLAGS)
def _tanh(x, y):  # type: ignore[no-untyped-def]
    """Real and imaginary part of tanh(x + iy)."""
    if not math.isfinite(y):
        if math.isinf(x):
            return math.copysign(1.0, x), math.copysign(0.0, y)
        return (x if x == 0 else math.nan), math.nan
    if math.isnan(x):
        return x, (y if y == 0 else math.nan)
    if abs(x) > 22.0:
        return math.copysign(1.0, x), 4.0 * math.sin(y) * math.cos(y) * math.exp(-2.0 * abs(x))
    t, s = math.tan(y), math.sinh(x)
    beta, rho = 1.0 + t * t, math.sqrt(1.0 + s * s)
    denominator = 1.0 + beta * s * s
    return beta * rho * s / denominator, t / denominator


@njit(**FLAGS)
def sinh(z):  # type: ignore[no-untyped-def]
    x, y = _sinh(float(z.real), float(z.imag))
    return like(z, complex(x, y))


@njit(**FLAGS)
def cosh(z):  # type: ignore[no-untyped-def]
    x, y = _cosh(float(z.real), float(z.imag))
    return like(z, complex(x, y))


@njit(**FLAGS)
def tanh(z):  # type: ignore[no-untyped-def]
    x, y = _tanh(float(z.real), float(z.imag))
    return like(z, complex(x, y))


@njit(**FLAGS)
def sin(z):  # type: ignore[no-untyped-def]
    x, y = _sinh(-float(z.imag), float(z.real))
    return like(z, complex(y, -x))


@njit(**FLAGS)
def cos(z):  # type: ignore[no-untyped-def]
    x, y = _cosh(-float(z.imag), float(z.real))
    return like(z, complex(x, y))


@njit(**FLAGS)
def tan(z):  # type: ignore[no-untyped-def]
    x, y = _tanh(-float(z.imag), float(z.real))
    return like(z, complex(y, -x))


# -- their inverses ----------------------------------------------------------------------------------------------


@njit(**FLAGS)
def _arcsinh(x, y):  # type: ignore[no-untyped-def]
    """Real and imaginary part of arcsinh(x + iy)."""
    if max(abs(x), abs(y)) > LARGE or math.isinf(x) or math.isinf(y):
        size = math.log(math.hypot(0.5 * x, 0.5 * y)) + 2 * LN2
        return math.copysign(size, x), math.atan2(y, abs(x))
    if (math.isnan(x) and y == 0) or (abs(x) < 1e-150 and abs(y) < 1e-150):
        return x, y
    below, above = sqrt(complex(1.0 - y, x)), sqrt(complex(1.0 + y, -x))
    product = below.real * above.real - below.imag * above.imag
    return math.asinh(above.real * below.imag - below.real * above.imag), math.atan2(y, product)


@njit(**FLAGS)
def _arctanh(x, y):  # type: ignore[no-untyped-def]
    """Real and imaginary part of arctanh(x + iy)."""
    if math.copysign(1.0, x) < 0:
        a, b = _arctanh_right(-x, -y)
        return -a, -b
    return _arctanh_right(x, y)


@njit(**FLAGS)
def _arctanh_right(x, y):  # type: ignore[no-untyped-def]
    if math.isinf(x) or math.isinf(y):
        return 0.0, (y if math.isnan(y) else math.copysign(0.5 * math.pi, y))
    if math.isnan(x) or math.isnan(y):
        return (x if x == 0 else math.nan), math.nan
    if x > 1e150 or abs(y) > 1e150:
        size = math.hypot(0.5 * x, 0.5 * y)
        return 0.25 * x / size / size, math.copysign(0.5 * math.pi, y)
    if x == 1 and abs(y) < 1e-150:
        if y == 0:
            return math.inf, y
        return 0.5 * (LN2 - math.log(abs(y))), math.copysign(0.5 * math.atan2(2.0, -abs(y)), y)
    real = 0.25 * math.log1p(4.0 * x / ((1.0 - x) * (1.0 - x) + y * y))
    return real, 0.5 * math.atan2(2.0 * y, (1.0 - x) * (1.0 + x) - y * y)


@njit(**FLAGS)
def arcsinh(z):  # type: ignore[no-untyped-def]
    x, y = _arcsinh(float(z.real), float(z.imag))
    return like(z, complex(x, y))


@njit(**FLAGS)
def arctanh(z):  # type: ignore[no-untyped-def]
    x, y = _arctanh(float(z.real), float(z.imag))
    return like(z, complex(x, y))


@njit(**FLAGS)
def arcsin(z):  # type: ignore[no-untyped-def]
    x, y = _arcsinh(-float(z.imag), float(z.real))
    return like(z, complex(y, -x))


@njit(**FLAGS)
def arctan(z):  # type: ignore[no-untyped-def]
    x, y = _arctanh(-float(z.imag), float(z.real))
    return like(z, complex(y, -x))


@njit(**FLAGS)
def arccos(z):  # type: ignore[no-untyped-def]
    x, y = float(z.real), float(z.imag)
    if max(abs(x), abs(y)) > LARGE or math.isinf(x) or math.isinf(y):
        size = math.log(math.hypot(0.5 * x, 0.5 * y)) + 2 * LN2
        return like(z, complex(math.atan2(abs(y), x), -math.copysign(size, y)))
    if math.isnan(y) and x == 0:
        return like(z, complex(0.5 * math.pi, y))
    below, above = sqrt(complex(1.0 - x, -y)), sqrt(complex(1.0 + x, y))
    imag = math.asinh(above.real * below.imag - above.imag * below.real)
    return like(z, complex(2.0 * math.atan2(below.real, above.real), imag))


@njit(**FLAGS)
def arccosh(z):  # type: ignore[no-untyped-def]
    x, y = float(z.real), float(z.imag)
    if max(abs(x), abs(y)) > LARGE or math.isinf(x) or math.isinf(y):
        size = math.log(math.hypot(0.5 * x, 0.5 * y)) + 2 * LN2
        return like(z, complex(size, math.atan2(y, x)))
    if math.isnan(y) and x == 0:
        return like(z, complex(math.nan, 0.5 * math.pi))
    below, above = sqrt(complex(x - 1.0, y)), sqrt(complex(x + 1.0, y))
    real = math.asinh(below.real * above.real + below.imag * above.imag)
    return like(z, complex(real, 2.0 * math.atan2(below.imag, above.real)))
