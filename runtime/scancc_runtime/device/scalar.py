"""Choices between numbers. Minima and maxima hand on a NaN; `fmin` and `fmax` ignore one."""

from __future__ import annotations


def select(condition, a, b):  # type: ignore[no-untyped-def]
    return a if condition else b


def zero_product(x, y):  # type: ignore[no-untyped-def]
    """x y; 0 where x is 0, be y infinite or NaN."""
    return x if x == 0 else x * y


def either_zero_product(x, y):  # type: ignore[no-untyped-def]
    return x if x == 0 else y if y == 0 else x * y


def minimum(x, y):  # type: ignore[no-untyped-def]
    return x if x < y or x != x else y


def maximum(x, y):  # type: ignore[no-untyped-def]
    return x if x > y or x != x else y


def fmin(x, y):  # type: ignore[no-untyped-def]
    return x if x <= y or y != y else y


def fmax(x, y):  # type: ignore[no-untyped-def]
    return x if x >= y or y != y else y


def sign(x):  # type: ignore[no-untyped-def]
    """NaN stays NaN."""
    return x if x != x else (x > 0) * 1 - (x < 0) * 1


def absolute(x):  # type: ignore[no-untyped-def]
    return abs(x)
