"""The first two derivatives of log gamma. Reflection for negative arguments, recurrence up to SHIFTED, then the
asymptotic series (Abramowitz and Stegun 6.3.18 and 6.4.12). Computed in double precision for float32 too.
"""

from __future__ import annotations

import math

from scancc_runtime.compiled import njit
from scancc_runtime.intrinsics import like

FLAGS = {"error_model": "numpy"}
SHIFTED = 10.0


@njit(**FLAGS)
def digamma(x):  # type: ignore[no-untyped-def]
    """-inf at 0, NaN at negative integers and -inf, as SciPy has it."""
    v = float(x)
    if v == 0.0:
        return like(x, -math.copysign(math.inf, v))
    if v < 0.0 and (v == math.floor(v) or math.isinf(v)):
        return like(x, math.nan)
    total = 0.0
    if v < 0.0:
        total = -math.pi / math.tan(math.pi * (v - math.floor(v)))
        v = 1.0 - v
    while v < SHIFTED:
        total -= 1.0 / v
        v += 1.0
    if math.isinf(v):
        return like(x, v)
    r = 1.0 / (v * v)
    series = r * (1 / 12 - r * (1 / 120 - r * (1 / 252 - r * (1 / 240 - r * (1 / 132 - r * (691 / 32760 - r / 12))))))
    return like(x, total + math.log(v) - 0.5 / v - series)


@njit(**FLAGS)
def trigamma(x):  # type: ignore[no-untyped-def]
    """inf at 0 and at negative integers."""
    v = float(x)
    if v <= 0.0 and v == math.floor(v):
        return like(x, math.inf)
    if v < 0.0:
        wave = math.pi / math.sin(math.pi * (v - math.floor(v)))
        return like(x, wave * wave - trigamma_right(1.0 - v))
    return like(x, trigamma_right(v))


@njit(**FLAGS)
def trigamma_right(v):  # type: ignore[no-untyped-def]
    total = 0.0
    while v < SHIFTED:
        total += 1.0 / (v * v)
        v += 1.0
    r = 1.0 / (v * v)
    series = r * (1 / 6 - r * (1 / 30 - r * (1 / 42 - r * (1 / 30 - r * (5 / 66 - r * (691 / 2730 - r * 7 / 6))))))
    return total + 1.0 / v + 0.5 * r + series / v
