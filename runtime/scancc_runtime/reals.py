"""Functions of real numbers with NumPy's results at zeros, infinities and NaNs. Operands are of one float type."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from scancc_runtime.scalar import select


def _llvm(name: str, arity: int) -> Any:
    """An LLVM intrinsic that is an instruction (or a few) on every target, and vectorises."""

    def emit(typingctx: Any, *operands: Any) -> Any:
        kind = operands[0]
        if kind not in (types.float32, types.float64) or any(o != kind for o in operands):
            return None

        def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
            real = ir.FloatType() if kind == types.float32 else ir.DoubleType()
            function = ir.FunctionType(real, [real] * arity)
            full = f"llvm.{name}.f{kind.bitwidth}"
            return builder.call(cgutils.get_or_insert_function(builder.module, function, full), args)

        return kind(*operands), codegen

    if arity == 1:

        def unary(typingctx, x):  # type: ignore[no-untyped-def]
            return emit(typingctx, x)

        unary.__name__ = name
        return intrinsic(unary)

    def binary(typingctx, x, y):  # type: ignore[no-untyped-def]
        return emit(typingctx, x, y)

    binary.__name__ = name
    return intrinsic(binary)


floor, ceil, trunc, rint = (_llvm(n, 1) for n in ("floor", "ceil", "trunc", "rint"))
absolute = _llvm("fabs", 1)
copysign = _llvm("copysign", 2)


@intrinsic
def fmod(typingctx, x, y):  # type: ignore[no-untyped-def]
    """Remainder with the sign of x, exact; NaN where y is 0."""
    if x not in (types.float32, types.float64) or y != x:
        return None
    return x(x, y), lambda context, builder, signature, args: builder.frem(*args)


@intrinsic
def sign(typingctx, x):  # type: ignore[no-untyped-def]
    """1, -1 or 0; a NaN stays a NaN."""
    if x not in (types.float32, types.float64):
        return None

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        (v,) = args
        zero, one = v.type(0.0), v.type(1.0)
        of_zero = builder.select(builder.fcmp_ordered("==", v, zero), zero, v)
        negative = builder.select(builder.fcmp_ordered("<", v, zero), v.type(-1.0), of_zero)
        return builder.select(builder.fcmp_ordered(">", v, zero), one, negative)

    return x(x), codegen


@intrinsic
def signbit(typingctx, x):  # type: ignore[no-untyped-def]
    """Whether the sign bit is set, of zeros and NaNs too."""
    if x not in (types.float32, types.float64):
        return None

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        bits = ir.IntType(x.bitwidth)
        return builder.icmp_signed("<", builder.bitcast(args[0], bits), bits(0))

    return types.boolean(x), codegen


@njit
def fmin(a, b):  # type: ignore[no-untyped-def]
    return select((a < b) | (b != b), a, b)


@njit
def fmax(a, b):  # type: ignore[no-untyped-def]
    return select((a > b) | (b != b), a, b)


# The rest computes in double precision, also for float32: one rounding at the end.


@njit
def remainder(a, b):  # type: ignore[no-untyped-def]
    """a - b * floor(a / b) without its rounding: the sign of b, NaN where b is 0."""
    a, b = np.float64(a), np.float64(b)
    rest = fmod(a, b)
    if b == 0:
        return rest
    if rest == 0:
        return copysign(rest, b)
    return rest + b if (b < 0) != (rest < 0) else rest


@njit
def floor_divide(a, b):  # type: ignore[no-untyped-def]
    """floor(a / b) made right where the quotient rounds up to an integer (Python's float_divmod)."""
    a, b = np.float64(a), np.float64(b)
    if b == 0:
        return a / b
    rest = fmod(a, b)
    quotient = (a - rest) / b
    if rest != 0 and (b < 0) != (rest < 0):
        quotient -= 1.0
    if quotient == 0:
        return copysign(quotient, a / b)
    whole = floor(quotient)
    return whole + 1.0 if quotient - whole > 0.5 else whole


@njit
def logaddexp(a, b):  # type: ignore[no-untyped-def]
    """log(e**a + e**b) without overflow; equal infinities stay what they are."""
    a, b = np.float64(a), np.float64(b)
    if a == b:
        return a + 0.6931471805599453
    if a != a or b != b:
        return a + b
    high = a if a > b else b
    low = b if a > b else a
    return high + math.log1p(math.exp(low - high))


@njit
def exp2(x):  # type: ignore[no-untyped-def]
    return 2.0 ** np.float64(x)


@njit
def gammaln(x):  # type: ignore[no-untyped-def]
    """log |gamma(x)|; -inf at -inf, as SciPy has it (C's lgamma says inf)."""
    return x if x == -math.inf else math.lgamma(x)


@njit
def cbrt(x):  # type: ignore[no-untyped-def]
    """Cube root: a power, then one step of Newton's method to the last bit; signs, zeros and infinities are kept."""
    x = np.float64(x)
    if x == 0 or x != x or absolute(x) == math.inf:
        return x
    size, scale = absolute(x), 1.0
    if size < 1e-290:  # its cube would be subnormal and lose digits
        size, scale = size * 2.0**90, 2.0**-30
    root = size ** (1 / 3)
    root = root - (root * root * root - size) / (3 * root * root)
    return copysign(root * scale, x)
