"""Functions of real numbers with NumPy's results at zeros, infinities and NaNs. Operands are of one float type."""

from __future__ import annotations

import math
from typing import Any

from llvmlite import ir

from scancc_runtime.scalar import ScalarEmitter, scalar_function


@scalar_function("f")
def floor(e: ScalarEmitter, x: Any) -> Any:
    return e.llvm("floor", x)


@scalar_function("f")
def ceil(e: ScalarEmitter, x: Any) -> Any:
    return e.llvm("ceil", x)


@scalar_function("f")
def trunc(e: ScalarEmitter, x: Any) -> Any:
    return e.llvm("trunc", x)


@scalar_function("f")
def rint(e: ScalarEmitter, x: Any) -> Any:
    """The nearest integer, the even one of two."""
    return e.llvm("rint", x)


@scalar_function("f")
def copysign(e: ScalarEmitter, x: Any, y: Any) -> Any:
    return e.llvm("copysign", x, y)


@scalar_function("f", bool)
def signbit(e: ScalarEmitter, x: Any) -> Any:
    """Whether the sign bit is set, of zeros and NaNs too."""
    bits = ir.IntType(e.bits)
    return e.b.icmp_signed("<", e.b.bitcast(x, bits), bits(0))


@scalar_function("f")
def power(e: ScalarEmitter, x: Any, y: Any) -> Any:
    return e.llvm("pow", x, y)


@scalar_function("f")
def exp2(e: ScalarEmitter, x: Any) -> Any:
    return e.llvm("exp2", x)


@scalar_function("f")
def cbrt(e: ScalarEmitter, x: Any) -> Any:
    return e.libm("cbrt", x)


@scalar_function("f")
def hypot(e: ScalarEmitter, x: Any, y: Any) -> Any:
    return e.libm("hypot", x, y)


@scalar_function("f")
def arctan2(e: ScalarEmitter, y: Any, x: Any) -> Any:
    return e.libm("atan2", y, x)


@scalar_function("f")
def fmod(e: ScalarEmitter, x: Any, y: Any) -> Any:
    """Remainder with the sign of x, exact; NaN where y is 0."""
    return e.b.frem(x, y)


@scalar_function("f")
def remainder(e: ScalarEmitter, x: Any, y: Any) -> Any:
    """Remainder with the sign of y, as Python's %; NaN where y is 0."""
    return _divide(e, x, y)[1]


@scalar_function("f")
def floor_divide(e: ScalarEmitter, x: Any, y: Any) -> Any:
    """The integer quotient that belongs to `remainder`: a rounding of x / y up to an integer does not show."""
    rest, with_sign, steps_down = _divide(e, x, y)
    whole = e.b.fdiv(e.b.fsub(x, rest), y)  # an integer but for rounding
    whole = e.choose(steps_down, e.b.fsub(whole, e.c(1)), whole)
    below = e.llvm("floor", whole)
    nearest = e.choose(e.compare(">", e.b.fsub(whole, below), e.c(0.5)), e.b.fadd(below, e.c(1)), below)
    quotient = e.b.fdiv(x, y)
    nearest = e.choose(e.compare("==", whole, e.c(0)), e.llvm("copysign", e.c(0), quotient), nearest)
    return e.choose(e.compare("==", y, e.c(0)), quotient, nearest)


def _divide(e: ScalarEmitter, x: Any, y: Any) -> tuple[Any, Any, Any]:
    """Remainders with the sign of x and with the sign of y, and whether they differ."""
    zero = e.c(0)
    rest = e.b.frem(x, y)
    opposite = e.b.xor(e.compare("<", y, zero), e.compare("<", rest, zero))
    steps_down = e.b.and_(e.compare("!=", rest, zero), opposite)
    signed = e.choose(e.compare("==", rest, zero), e.llvm("copysign", zero, y), rest)
    return rest, e.choose(steps_down, e.b.fadd(rest, y), signed), steps_down


@scalar_function("f")
def logaddexp(e: ScalarEmitter, x: Any, y: Any) -> Any:
    """log(e**x + e**y) without overflow. The difference of equal infinities would be a NaN: they are kept."""
    larger = e.choose(e.compare(">", x, y), x, y)
    gap = e.b.fneg(e.llvm("fabs", e.b.fsub(x, y)))
    gap = e.choose(e.compare("==", x, y), e.c(0), gap)
    tail = e.libm("log1p", e.llvm("exp", gap))
    return e.b.fadd(larger, tail)


@scalar_function("f")
def gammaln(e: ScalarEmitter, x: Any) -> Any:
    """log |gamma(x)|; -inf at -inf, as SciPy has it (C's lgamma says inf)."""
    return e.choose(e.compare("==", x, e.c(-math.inf)), x, e.libm("lgamma", x))
