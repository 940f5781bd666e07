"""Those of the device's math library, which stay within 2 units in the last place."""

from __future__ import annotations

import math


def exp(x):  # type: ignore[no-untyped-def]
    return math.exp(x)


def expm1(x):  # type: ignore[no-untyped-def]
    return math.expm1(x)


def log(x):  # type: ignore[no-untyped-def]
    return math.log(x)


def log1p(x):  # type: ignore[no-untyped-def]
    return math.log1p(x)


def tanh(x):  # type: ignore[no-untyped-def]
    return math.tanh(x)


def sin(x):  # type: ignore[no-untyped-def]
    return math.sin(x)


def cos(x):  # type: ignore[no-untyped-def]
    return math.cos(x)


def erf(x):  # type: ignore[no-untyped-def]
    return math.erf(x)


def expit(x):  # type: ignore[no-untyped-def]
    """Without overflow: the exponential of a number that is not positive."""
    e = math.exp(-abs(x))
    return 1.0 / (1.0 + e) if x >= 0.0 else e / (1.0 + e)
