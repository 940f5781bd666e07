"""exp, tanh and expit for float32 and float64 without branches or calls, so that LLVM vectorises their loops.

Argument reduction after Cody and Waite: x = k ln 2 + r with |r| <= ln(2)/2, ln 2 in two parts and fused multiply-adds
(Muller, Elementary Functions, 3rd ed., ch. 11). exp(r) - 1 is its Taylor polynomial, whose remainder on that interval
is below half an ulp; 2**k is built in the exponent bits. expm1 is kept apart from exp so that tanh has its relative
accuracy near zero: tanh(x) = m / (m + 2) with m = expm1(2|x|). All are within 2.5 units in the last place.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic


@dataclass(frozen=True)
class Format:
    """What the algorithms need to know of a floating-point format."""

    bits: int
    mantissa: int
    bias: int
    degree: int  # of the polynomial
    ln2_high: float  # few bits, so that k * ln2_high is exact
    ln2_low: float
    low: float  # exp is 0 below
    high: float  # and infinite above
    tanh_one: float  # tanh is 1 from here on


FORMATS = {
    types.float64: Format(64, 52, 1023, 13, 6.93147180369123816490e-1, 1.90821492927058770002e-10, -746.0, 710.0, 22.0),
    types.float32: Format(32, 23, 127, 7, 0.693359375, -2.12194440054690583e-4, -104.0, 89.0, 10.0),
}


class Emitter:
    """Arithmetic on LLVM values of one format."""

    def __init__(self, builder: Any, fmt: Format) -> None:
        self.b, self.fmt = builder, fmt
        self.real = ir.DoubleType() if fmt.bits == 64 else ir.FloatType()
        self.int = ir.IntType(fmt.bits)

    def c(self, value: float) -> Any:
        return self.real(value)

    def call(self, name: str, *args: Any) -> Any:
        kind = ir.FunctionType(self.real, [self.real] * len(args))
        return self.b.call(cgutils.get_or_insert_function(self.b.module, kind, f"llvm.{name}.f{self.fmt.bits}"), args)

    def fma(self, a: Any, b: Any, c: Any) -> Any:
        return self.call("fma", a, b, c)

    def clamp(self, x: Any, low: float, high: float) -> Any:
        """x between bounds; a NaN stays a NaN."""
        x = self.b.select(self.b.fcmp_ordered(">", x, self.c(high)), self.c(high), x)
        return self.b.select(self.b.fcmp_ordered("<", x, self.c(low)), self.c(low), x)

    def reduced(self, x: Any) -> tuple[Any, Any]:
        """(k, exp(r) - 1) with x = k ln 2 + r."""
        f = self.fmt
        # Adding 1.5 * 2**mantissa rounds to an integer and leaves it in the low bits.
        magic = 1.5 * 2.0**f.mantissa
        shifted = self.fma(x, self.c(1 / math.log(2)), self.c(magic))
        k = self.b.sub(self.b.bitcast(shifted, self.int), self.b.bitcast(self.c(magic), self.int))
        whole = self.b.fsub(shifted, self.c(magic))
        r = self.fma(whole, self.c(-f.ln2_high), x)
        r = self.fma(whole, self.c(-f.ln2_low), r)
        p = self.c(1 / math.factorial(f.degree))
        for n in range(f.degree - 1, 1, -1):
            p = self.fma(p, r, self.c(1 / math.factorial(n)))
        return k, self.fma(self.b.fmul(r, r), p, r)

    def power_of_two(self, k: Any) -> Any:
        f = self.fmt
        biased = self.b.add(k, self.int(f.bias))
        return self.b.bitcast(self.b.shl(biased, self.int(f.mantissa)), self.real)


def _exp(e: Emitter, x: Any) -> Any:
    k, q = e.reduced(e.clamp(x, e.fmt.low, e.fmt.high))
    # In two factors: 2**k alone leaves the range of the format at both ends.
    half = e.b.ashr(k, e.int(1))
    p = e.b.fadd(q, e.c(1.0))
    return e.b.fmul(e.b.fmul(p, e.power_of_two(half)), e.power_of_two(e.b.sub(k, half)))


def _expm1_of_positive(e: Emitter, x: Any) -> Any:
    """For 0 <= x below the overflow threshold by a factor of two at least."""
    k, q = e.reduced(x)
    scale = e.power_of_two(k)
    return e.fma(q, scale, e.b.fsub(scale, e.c(1.0)))


def _tanh(e: Emitter, x: Any) -> Any:
    size = e.call("fabs", x)
    m = _expm1_of_positive(e, e.b.fmul(e.clamp(size, 0.0, e.fmt.tanh_one), e.c(2.0)))
    return e.call("copysign", e.b.fdiv(m, e.b.fadd(m, e.c(2.0))), x)


def _expit(e: Emitter, x: Any) -> Any:
    z = _exp(e, e.b.fneg(e.call("fabs", x)))
    top = e.b.select(e.b.fcmp_ordered(">=", x, e.c(0.0)), e.c(1.0), z)
    return e.b.fdiv(top, e.b.fadd(e.c(1.0), z))


def _intrinsic(emit: Callable[[Emitter, Any], Any], doc: str) -> Any:
    def function(typingctx, x):  # type: ignore[no-untyped-def]
        if x not in FORMATS:
            return None

        def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
            return emit(Emitter(builder, FORMATS[x]), args[0])

        return x(x), codegen

    function.__name__ = emit.__name__.lstrip("_")
    function.__doc__ = doc
    return intrinsic(function)


exp = _intrinsic(_exp, "e**x.")
tanh = _intrinsic(_tanh, "Hyperbolic tangent.")
expit = _intrinsic(_expit, "Logistic function 1 / (1 + e**-x).")
