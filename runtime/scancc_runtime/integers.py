"""Integer arithmetic with NumPy's results where the machine's would trap or be undefined.

Division by zero gives 0, the smallest integer divided by -1 wraps to itself, and shifts by the width or more give 0
(-1 for negative numbers shifted right). Operands are of one integer type, and so is the result; it wraps.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir

from scancc_runtime.code import Code, declared
from scancc_runtime.scalar import ScalarEmitter, scalar_function


@scalar_function("iu")
def floor_divide(e: ScalarEmitter, x: Any, y: Any) -> Any:
    """Quotient rounded towards minus infinity; 0 where the divisor is 0."""
    quotient, rest = _divide(e, x, y)
    if e.signed:
        quotient = e.b.sub(quotient, e.b.zext(_opposite(e, rest, y), e.type))
        quotient = e.choose(e.compare("==", y, e.c(-1)), e.b.neg(x), quotient)
    return e.choose(e.compare("==", y, e.c(0)), e.c(0), quotient)


@scalar_function("iu")
def remainder(e: ScalarEmitter, x: Any, y: Any) -> Any:
    """Remainder with the sign of the divisor; 0 where that is 0."""
    _, rest = _divide(e, x, y)
    return e.b.add(rest, e.choose(_opposite(e, rest, y), y, e.c(0))) if e.signed else rest


@scalar_function("iu")
def fmod(e: ScalarEmitter, x: Any, y: Any) -> Any:
    """Remainder with the sign of the dividend; 0 where the divisor is 0."""
    return _divide(e, x, y)[1]


def _divide(e: ScalarEmitter, x: Any, y: Any) -> tuple[Any, Any]:
    """Quotient and remainder rounded towards zero. By 0 and -1, which may trap, it divides as if by 1: no remainder."""
    traps = e.compare("==", y, e.c(0))
    if e.signed:
        traps = e.b.or_(traps, e.compare("==", y, e.c(-1)))
    safe = e.choose(traps, e.c(1), y)
    quotient = (e.b.sdiv if e.signed else e.b.udiv)(x, safe)
    return quotient, e.b.sub(x, e.b.mul(quotient, safe))


def _opposite(e: ScalarEmitter, rest: Any, y: Any) -> Any:
    """Whether a remainder is not zero and has another sign than the divisor."""
    return e.b.and_(e.compare("!=", rest, e.c(0)), e.compare("<", e.b.xor(rest, y), e.c(0)))


@scalar_function("iu")
def left_shift(e: ScalarEmitter, x: Any, y: Any) -> Any:
    """x << y; 0 where y is not below the width."""
    fits = e.b.icmp_unsigned("<", y, e.c(x.type.width))
    return e.choose(fits, e.b.shl(x, e.choose(fits, y, e.c(0))), e.c(0))


@scalar_function("iu")
def right_shift(e: ScalarEmitter, x: Any, y: Any) -> Any:
    """x >> y; only the sign is left where y is not below the width."""
    fits = e.b.icmp_unsigned("<", y, e.c(x.type.width))
    if e.signed:
        return e.b.ashr(x, e.choose(fits, y, e.c(x.type.width - 1)))
    return e.choose(fits, e.b.lshr(x, e.choose(fits, y, e.c(0))), e.c(0))


@scalar_function("iu")
def power(e: ScalarEmitter, x: Any, p: Any) -> Any:
    """x ** p for p >= 0 by squaring (Knuth, TAOCP 2, 4.6.3)."""
    code = Code(e.b)
    result, square, rest = code.variable(e.c(1)), code.variable(x), code.variable(p)
    for _ in code.during(lambda: e.compare(">", rest.get(), e.c(0))):
        odd = e.b.trunc(rest.get(), ir.IntType(1))
        result.set(e.choose(odd, e.b.mul(result.get(), square.get()), result.get()))
        square.set(e.b.mul(square.get(), square.get()))
        rest.set(e.b.lshr(rest.get(), e.c(1)))
    return result.get()


def truncate(builder: Any, x: Any, source: np.dtype, target: np.dtype) -> Any:
    """A float as an integer of `target`, rounded towards zero.

    What does not fit is undefined in C and poison in LLVM. Here it is what x86-64 and NumPy there make of it: the
    smallest integer of the register that converts (32 bits for the small dtypes, 64 for uint32), cut to the dtype.
    """
    wide = target.itemsize == 8 or (target.itemsize == 4 and target.kind == "u")
    register = ir.IntType(64 if wide else 32)
    limit, smallest = 2.0 ** (register.width - 1), -(2 ** (register.width - 1))

    def convert(v: Any) -> Any:
        name = f"llvm.fptosi.sat.i{register.width}.f{8 * source.itemsize}"
        function = declared(builder.module, name, ir.FunctionType(register, [v.type]))
        fits = builder.fcmp_ordered("<", v, v.type(limit))
        return builder.select(fits, builder.call(function, [v]), register(smallest))

    result = convert(x)
    if target == np.uint64:
        # The upper half of the range, by way of the lower.
        upper = builder.xor(convert(builder.fsub(x, x.type(limit))), register(smallest))
        result = builder.select(builder.fcmp_ordered(">=", x, x.type(limit)), upper, result)
    narrow = ir.IntType(8 * target.itemsize)
    return builder.trunc(result, narrow) if narrow.width < register.width else result
