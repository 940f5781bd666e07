"""exp, expm1, tanh and expit.

Argument reduction after Cody and Waite: x = k ln 2 + r with |r| <= ln(2)/2, ln 2 in two parts and fused multiply-adds
(Muller, Elementary Functions, 3rd ed., ch. 11). exp(r) - 1 is its Taylor polynomial, whose remainder on that interval
is below half an ulp; 2**k is built in the exponent bits. expm1 is kept apart from exp so that it, and tanh, have their
relative accuracy near zero: tanh(x) = m / (m + 2) with m = expm1(2|x|).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from scancc_runtime.emitter import Emitter, Value


@dataclass(frozen=True)
class Range:
    """What the algorithms need to know of a float format."""

    degree: int  # of the polynomial
    ln2_high: float  # few bits, so that k * ln2_high is exact
    ln2_low: float
    low: float  # exp is 0 below
    high: float  # and infinite above
    expm1_low: float  # expm1 is -1 below
    tanh_one: float  # tanh is 1 from here on


RANGES = {
    64: Range(13, 6.93147180369123816490e-1, 1.90821492927058770002e-10, -746.0, 710.0, -40.0, 22.0),
    32: Range(7, 0.693359375, -2.12194440054690583e-4, -104.0, 89.0, -20.0, 10.0),
}


def reduced(e: Emitter, x: Value) -> tuple[Any, Value]:
    """(k, exp(r) - 1) with x = k ln 2 + r."""
    f = RANGES[e.bits]
    k, whole = e.rounded(x * (1 / math.log(2)))
    r = e.fma(whole, -f.ln2_high, x)
    r = e.fma(whole, -f.ln2_low, r)
    p = e.polynomial(r, [1 / math.factorial(n) for n in range(2, f.degree + 1)])
    return k, e.fma(r * r, p, r)


def exp(e: Emitter, x: Value) -> Value:
    f = RANGES[e.bits]
    k, q = reduced(e, e.clamp(x, f.low, f.high))
    # In two factors: 2**k alone leaves the range of the format at both ends.
    half = e.b.ashr(k, e.int(1))
    scale = e.power_of_two(half)
    return e.fma(q, scale, scale) * e.power_of_two(e.b.sub(k, half))


def expm1(e: Emitter, x: Value) -> Value:
    f = RANGES[e.bits]
    clamped = e.clamp(x, f.expm1_low, f.high)
    k, q = reduced(e, clamped)
    # Half of the result first: 2**k itself overflows where the result does not yet.
    scale = e.power_of_two(e.b.sub(k, e.int(1)))
    m = e.fma(q, scale, scale - 0.5) * 2.0
    # So small an x is its own result: -0.0, and subnormal numbers, which halves would round.
    own = e.absolute(x) < 2.0 ** -(e.mantissa + 2)
    return e.select(own, x, e.select(x < f.expm1_low, -1.0, m))


def tanh(e: Emitter, x: Value) -> Value:
    size = e.clamp(e.absolute(x), 0.0, RANGES[e.bits].tanh_one)
    k, q = reduced(e, size * 2.0)
    scale = e.power_of_two(k)
    m = e.fma(q, scale, scale - 1.0)
    return e.copysign(m / (m + 2.0), x)


def expit(e: Emitter, x: Value) -> Value:
    z = exp(e, -e.absolute(x))
    top = e.select(x >= 0.0, 1.0, z)
    return top / (1.0 + z)
