"""Functions of real numbers that the device's math library lacks, or has with another meaning than NumPy."""

from __future__ import annotations

import math

WHOLE = 4503599627370496.0  # 2^52: doubles from here on have no fraction


def floor(x):  # type: ignore[no-untyped-def]
    if not abs(x) < WHOLE:
        return x
    return math.copysign(float(math.floor(x)), x)


def ceil(x):  # type: ignore[no-untyped-def]
    if not abs(x) < WHOLE:
        return x
    return math.copysign(float(math.ceil(x)), x)


def trunc(x):  # type: ignore[no-untyped-def]
    if not abs(x) < WHOLE:
        return x
    return math.copysign(float(math.floor(abs(x))), x)


def rint(x):  # type: ignore[no-untyped-def]
    """Half goes to even: adding 2^52 leaves no room for a fraction."""
    if not abs(x) < WHOLE:
        return x
    return math.copysign((abs(x) + WHOLE) - WHOLE, x)


def copysign(x, y):  # type: ignore[no-untyped-def]
    return math.copysign(x, y)


def signbit(x):  # type: ignore[no-untyped-def]
    return math.copysign(1.0, x) < 0.0


def power(x, y):  # type: ignore[no-untyped-def]
    return math.pow(x, y)


def exp2(x):  # type: ignore[no-untyped-def]
    return math.pow(2.0, x)


def cbrt(x):  # type: ignore[no-untyped-def]
    """One Newton step after the power, which is good to a few units in the last place."""
    if x == 0.0 or x != x or math.isinf(x):
        return x
    r = math.copysign(math.pow(abs(x), 1.0 / 3.0), x)
    return r - (r * r * r - x) / (3.0 * r * r)


def hypot(x, y):  # type: ignore[no-untyped-def]
    return math.hypot(x, y)


def arctan2(y, x):  # type: ignore[no-untyped-def]
    return math.atan2(y, x)


def fmod(x, y):  # type: ignore[no-untyped-def]
    if y == 0.0 or x != x or y != y or math.isinf(x):
        return math.nan
    return x if math.isinf(y) else math.fmod(x, y)


def remainder(x, y):  # type: ignore[no-untyped-def]
    """With the sign of the divisor."""
    if y == 0.0 or x != x or y != y or math.isinf(x):
        return math.nan
    rest = x if math.isinf(y) else math.fmod(x, y)
    if rest == 0.0:
        return math.copysign(0.0, y)
    return rest + y if (rest < 0.0) != (y < 0.0) else rest


def floor_divide(x, y):  # type: ignore[no-untyped-def]
    """NumPy's: what is left of x after the remainder, divided and rounded."""
    if y == 0.0 and x == x and x != 0.0:
        return math.copysign(math.inf, x) * math.copysign(1.0, y)
    if x != x or y != y or y == 0.0 or math.isinf(x):
        return math.nan
    rest = x if math.isinf(y) else math.fmod(x, y)
    quotient = (x - rest) / y
    if rest != 0.0 and (rest < 0.0) != (y < 0.0):
        quotient -= 1.0
    if quotient == 0.0:
        return math.copysign(0.0, math.copysign(1.0, x) * math.copysign(1.0, y))
    if not abs(quotient) < 4503599627370496.0:
        return quotient
    low = float(math.floor(quotient))
    return low + 1.0 if quotient - low > 0.5 else low


def logaddexp(x, y):  # type: ignore[no-untyped-def]
    if x == y:
        return x + math.log(2.0)
    return x + math.log1p(math.exp(y - x)) if x > y else y + math.log1p(math.exp(x - y))


def gammaln(x):  # type: ignore[no-untyped-def]
    return math.lgamma(x)
