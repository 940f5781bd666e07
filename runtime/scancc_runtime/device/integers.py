"""Integers with NumPy's results where the machine's are undefined: division by zero gives 0, shifts by the width or
more give 0, or -1 for negative numbers shifted right. The machine itself wraps.

`y | (y == 0)` is a divisor that has the type of y.
"""

from __future__ import annotations


def floor_divide(x, y):  # type: ignore[no-untyped-def]
    quotient = x // (y | (y == 0))
    return quotient if y != 0 else y


def remainder(x, y):  # type: ignore[no-untyped-def]
    rest = x % (y | (y == 0))
    return rest if y != 0 else y


def fmod(x, y):  # type: ignore[no-untyped-def]
    rest = x % (y | (y == 0))
    if y != 0 and rest != 0 and (x < 0) != (y < 0):
        rest -= y
    return rest if y != 0 else y


def left_shift(x, y):  # type: ignore[no-untyped-def]
    fits = 0 <= y < 64
    return x << (y if fits else y ^ y) if fits else x ^ x


def right_shift(x, y):  # type: ignore[no-untyped-def]
    one = (y ^ y) | (y == y)  # of the type of y: neither NumPy nor numba shifts uint64 by int64
    two = one + one
    most = (one << (two + two + two)) - one
    return x >> y if 0 <= y < 64 else (x >> most) >> one


def power(x, p):  # type: ignore[no-untyped-def]
    """By squaring, for p >= 0 (Knuth, TAOCP 2, 4.6.3)."""
    result = (x ^ x) | (x == x)
    while p > 0:
        if p & 1:
            result = result * x
        x = x * x
        p = p >> 1
    return result


def truncate(x, dtype):  # type: ignore[no-untyped-def]
    return dtype(x)
