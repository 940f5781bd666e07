"""log and log1p.

x = 2**k m with m between sqrt(1/2) and sqrt(2); with f = m - 1 and s = f / (2 + f), log(m) = 2 atanh(s), summed as
f - (f f / 2 - s (f f / 2 + R(s s))) so that f itself is not rounded (Tang 1990; the scheme of FDLIBM's e_log). R is the
Taylor series. Both work in double precision, float32 is rounded once at the end.
"""

from __future__ import annotations

import math

from scancc_runtime.emitter import Emitter, Value

LN2_HIGH, LN2_LOW = 6.93147180369123816490e-1, 1.90821492927058770002e-10
TERMS = {64: 12, 32: 6}  # of the series, by the format of the result


def _series(e: Emitter, s2: Value, terms: int) -> Value:
    """(2 atanh(s) - 2 s) / s as a polynomial in s**2."""
    return s2 * e.polynomial(s2, [2 / (2 * n + 1) for n in range(1, terms)])


def _log(e: Emitter, x: Value, low: Value | None, terms: int) -> Value:
    """log(x + low) for x > 0, low being far below x."""
    tiny = x < 2.0**-1022
    x = e.select(tiny, x * 2.0**54, x)
    middle = e.int(0x3FE6A09E667F3BCD)  # the bits of sqrt(1/2)
    bits = e.to_bits(x)
    k = e.b.ashr(e.b.sub(bits, middle), e.int(52))
    m = e.from_bits(e.b.sub(bits, e.b.shl(k, e.int(52))))
    scale = e.to_real(k) - e.select(tiny, 54.0, 0.0)
    f = m - 1.0
    half = f * f * 0.5
    s = f / (f + 2.0)
    inner = s * (half + _series(e, s * s, terms))
    rest = e.fma(scale, LN2_LOW, inner)
    if low is not None:
        rest = rest + low / x
    return e.fma(scale, LN2_HIGH, f - (half - rest))


def _limits(e: Emitter, x: Value, zero: float, result: Value) -> Value:
    """-inf at `zero`, NaN below it, inf at inf."""
    result = e.select(x.equals(zero), -math.inf, result)
    result = e.select(x < zero, math.nan, result)
    result = e.select(x.equals(math.inf), math.inf, result)
    return e.select(e.b.fcmp_unordered("uno", x.v, x.v), x, result)


def log(e: Emitter, x: Value, bits: int) -> Value:
    return _limits(e, x, 0.0, _log(e, x, None, TERMS[bits]))


def log1p(e: Emitter, x: Value, bits: int) -> Value:
    u, low = e.two_sum(e.c(1.0), x)
    result = _limits(e, x, -1.0, _log(e, u, low, TERMS[bits]))
    return e.select(x.equals(0.0), x, result)  # -0.0 stays -0.0
