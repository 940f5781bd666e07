"""sin and cos over the whole range, without a branch.

Payne and Hanek's reduction in floating point: x = m 2**e with e = 0 for |x| < 2**53, and 2**e * 2/pi modulo 4 comes
from a table as the sum of four doubles, so that the fraction of x * 2/pi is known to more than a hundred bits even
where x lies next to a multiple of pi/2 (Payne and Hanek 1983; Muller, Elementary Functions, 3rd ed., 11.4). Then both
Taylor polynomials on |r| <= pi/4, with the low part of r. Everything is in double precision;
a float32 needs less of it.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

from llvmlite import ir

from scancc_runtime.emitter import Emitter, Value

PI_2_HIGH, PI_2_LOW = 1.5707963267948966, 6.123233995736766e-17
PARTS = 4
EXPONENTS = 972  # of the largest doubles: 2**53 <= |x| < 2**1024
SINE = [(-1) ** n / math.factorial(2 * n + 1) for n in range(1, 10)]
COSINE = [(-1) ** n / math.factorial(2 * n) for n in range(2, 11)]


def _two_over_pi(digits: int) -> int:
    """floor(2/pi * 2**digits), from Machin's formula pi/4 = 4 atan(1/5) - atan(1/239) in integers."""
    guard = digits + 64

    def inverse_tangent(n: int) -> int:
        term = (1 << guard) // n
        total, k = term, 1
        while term:
            term //= -n * n
            total += term // (2 * k + 1)
            k += 1
        return total

    pi = 4 * (4 * inverse_tangent(5) - inverse_tangent(239))
    return (1 << (digits + 1 + guard)) // pi


@lru_cache(maxsize=1)
def table() -> list[float]:
    """PARTS doubles for each exponent e: 2**e * 2/pi modulo 4, largest part first."""
    digits = EXPONENTS + 64 * PARTS
    value = _two_over_pi(digits)
    found: list[float] = []
    for e in range(EXPONENTS):
        # A multiple of 4 in x * 2/pi is a whole turn.
        rest, unit = (value << e) % (4 << digits) if e else value, digits
        for _ in range(PARTS):
            length = rest.bit_length()
            shift = max(0, length - 53)
            head = rest >> shift
            found.append(math.ldexp(head, shift - unit))
            rest -= head << shift
    return found


def _load(e: Emitter, exponent: Any, part: int) -> Value:
    module = e.b.module
    name = "scancc.two_over_pi"
    if name in module.globals:
        data = module.globals[name]
    else:
        kind = ir.ArrayType(ir.DoubleType(), EXPONENTS * PARTS)
        data = ir.GlobalVariable(module, kind, name)
        data.linkage = "internal"
        data.global_constant = True
        data.initializer = ir.Constant(kind, table())
    index = e.b.add(e.b.mul(exponent, e.int(PARTS)), e.int(part))
    return Value(e, e.b.load(e.b.gep(data, [e.int(0), index], inbounds=True)))


def _split(e: Emitter, x: Value, bits: int, parts: int) -> tuple[Value, list[Value]]:
    """(m, t) with |m| < 2**bits and m times the sum of t equal to x * 2/pi, whole turns apart."""
    field = e.b.and_(e.b.lshr(e.to_bits(x), e.int(52)), e.int(0x7FF))
    above = e.b.sub(field, e.int(1023 + bits - 1))
    exponent = e.b.select(e.b.icmp_signed(">", above, e.int(0)), above, e.int(0))
    exponent = e.b.select(e.b.icmp_signed("<", exponent, e.int(EXPONENTS)), exponent, e.int(0))  # inf and NaN
    m = x * e.power_of_two(e.b.sub(e.int(0), exponent))
    return m, [_load(e, exponent, part) for part in range(parts)]


def _quadrant_of_single(e: Emitter, x: Value) -> tuple[Any, Value]:
    """(q, r) with x = (q + 4 n) pi/2 + r for an x that is a float32: its 24 bits leave room for exact products."""
    m, (t1, t2) = _split(e, x, 24, 2)
    h, low = e.two_product(m, t1)
    h = e.fma(e.round(h * 0.25), -4.0, h)
    whole = e.round(h)
    fraction = (h - whole) + e.fma(m, t2, low)
    return e.b.fptosi(whole.v, e.int), fraction * PI_2_HIGH


def _quadrant(e: Emitter, x: Value) -> tuple[Any, Value, Value]:
    """(q, high, low) with x = (q + 4 n) pi/2 + high + low and |high| <= pi/4."""
    m, (t1, t2, t3, t4) = _split(e, x, 53, 4)
    h1, l1 = e.two_product(m, t1)
    h2, l2 = e.two_product(m, t2)
    h3, l3 = e.two_product(m, t3)
    h1 = e.fma(e.round(h1 * 0.25), -4.0, h1)  # exact: whole turns go
    a, b = e.two_sum(h1, l1)
    a, c = e.two_sum(a, h2)
    whole = e.round(a)
    a = a - whole
    # What is left of `a` may be nothing at all: the sum of the small parts is kept exactly, too.
    d, e1 = e.two_sum(b, c)
    d, e2 = e.two_sum(d, l2)
    d, e3 = e.two_sum(d, h3)
    high, low = e.two_sum(a, d)
    low = low + (((e1 + e2) + (e3 + l3)) + m * t4)
    high, low = e.two_sum(high, low)
    # Two roundings may have left a little more than half a quadrant.
    more = e.round(high)
    high = high - more
    q = e.b.fptosi((e.fma(e.round((whole + more) * 0.25), -4.0, whole + more)).v, e.int)
    r = high * PI_2_HIGH
    rest = e.fma(high, PI_2_HIGH, -r) + e.fma(high, PI_2_LOW, low * PI_2_HIGH)
    return q, r, rest


def _parts(e: Emitter, x: Value, bits: int) -> tuple[Any, Value, Value]:
    """(q, sin, cos) of what is left of x in its quadrant."""
    if bits == 64:
        q, r, low = _quadrant(e, x)
        return q, *_both(e, r, low)
    q, r = _quadrant_of_single(e, x)
    z = r * r
    sine = e.fma(r * z, e.polynomial(z, SINE[:5]), r)
    return q, sine, e.polynomial(z, [1.0, -0.5, *COSINE[:5]])


def _both(e: Emitter, r: Value, low: Value) -> tuple[Value, Value]:
    """(sin, cos) of r + low."""
    z = r * r
    sine = r + e.fma(r * z, e.polynomial(z, SINE), low * e.fma(z, -0.5, 1.0))
    half = z * 0.5
    w = 1.0 - half
    cosine = w + (((1.0 - w) - half) + e.fma(z * z, e.polynomial(z, COSINE), -(r * low)))
    return sine, cosine


def _turned(e: Emitter, q: Any, even: Value, odd: Value, sign: Any) -> Value:
    """`even` in quadrants 0 and 2, `odd` in 1 and 3; negative where bit 1 of `sign` is set."""
    is_odd = e.b.icmp_signed("!=", e.b.and_(q, e.int(1)), e.int(0))
    chosen = e.to_bits(e.select(is_odd, odd, even))
    return e.from_bits(e.b.xor(chosen, e.b.shl(e.b.and_(sign, e.int(2)), e.int(62))))


def sin(e: Emitter, x: Value, bits: int) -> Value:
    q, sine, cosine = _parts(e, x, bits)
    result = _turned(e, q, sine, cosine, q)
    # Below 2**-27 the sine is its argument, subnormal numbers and -0.0 included.
    result = e.select(e.absolute(x) < 2.0**-27, x, result)
    return e.select(e.absolute(x) < math.inf, result, math.nan)


def cos(e: Emitter, x: Value, bits: int) -> Value:
    q, sine, cosine = _parts(e, x, bits)
    # cos, -sin, -cos, sin
    result = _turned(e, q, cosine, sine, e.b.add(q, e.int(1)))
    return e.select(e.absolute(x) < math.inf, result, math.nan)
