"""Integer arithmetic with NumPy's results where the machine's would trap or be undefined.

Division by zero gives 0, the smallest integer divided by -1 wraps to itself, and shifts by the width or more give 0
(-1 for negative numbers shifted right). Operands are of one integer type, and so is the result.
"""

from __future__ import annotations

from typing import Any

from numba import njit, types
from numba.extending import intrinsic


def _binary(emit: Any, doc: str) -> Any:
    """An intrinsic on two integers of one type; `emit(builder, a, b, signed)` gives the value."""

    def function(typingctx, a, b):  # type: ignore[no-untyped-def]
        kind = types.unliteral(a)
        if not isinstance(kind, types.Integer) or types.unliteral(b) != kind:
            return None

        def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
            return emit(builder, *args, kind.signed)

        return kind(kind, kind), codegen

    function.__name__ = emit.__name__.lstrip("_")
    function.__doc__ = doc
    return intrinsic(function)


def _parts(b: Any, x: Any, y: Any, signed: bool) -> tuple[Any, Any, Any, Any, Any]:
    """Quotient and remainder rounded towards zero of a division that never traps; flags y == 0 and y == -1."""
    zero, one = y.type(0), y.type(1)
    by_zero = b.icmp_unsigned("==", y, zero)
    by_minus_one = b.icmp_signed("==", y, y.type(-1)) if signed else by_zero
    safe = b.select(b.or_(by_zero, by_minus_one), one, y)
    quotient = b.sdiv(x, safe) if signed else b.udiv(x, safe)
    rest = b.sub(x, b.mul(quotient, safe))
    return quotient, rest, by_zero, by_minus_one, zero


def _opposite(b: Any, rest: Any, y: Any, zero: Any) -> Any:
    """Whether a remainder is not zero and has the other sign than the divisor."""
    return b.and_(b.icmp_signed("!=", rest, zero), b.icmp_signed("<", b.xor(rest, y), zero))


def _floor_divide(b: Any, x: Any, y: Any, signed: bool) -> Any:
    quotient, rest, by_zero, by_minus_one, zero = _parts(b, x, y, signed)
    if signed:
        lower = b.select(_opposite(b, rest, y, zero), y.type(1), zero)
        quotient = b.select(by_minus_one, b.sub(zero, x), b.sub(quotient, lower))
    return b.select(by_zero, zero, quotient)


def _remainder(b: Any, x: Any, y: Any, signed: bool) -> Any:
    _, rest, by_zero, _, zero = _parts(b, x, y, signed)
    if signed:
        rest = b.add(rest, b.select(_opposite(b, rest, y, zero), y, zero))
    return b.select(by_zero, zero, rest)


def _fmod(b: Any, x: Any, y: Any, signed: bool) -> Any:
    _, rest, by_zero, _, zero = _parts(b, x, y, signed)
    return b.select(by_zero, zero, rest)


def _left_shift(b: Any, x: Any, y: Any, signed: bool) -> Any:
    fits = b.icmp_unsigned("<", y, y.type(x.type.width))
    return b.select(fits, b.shl(x, b.select(fits, y, y.type(0))), x.type(0))


def _right_shift(b: Any, x: Any, y: Any, signed: bool) -> Any:
    last = x.type.width - 1
    fits = b.icmp_unsigned("<", y, y.type(x.type.width))
    if signed:
        return b.ashr(x, b.select(fits, y, y.type(last)))
    return b.select(fits, b.lshr(x, b.select(fits, y, y.type(0))), x.type(0))


floor_divide = _binary(_floor_divide, "Quotient rounded towards minus infinity; 0 where the divisor is 0.")
remainder = _binary(_remainder, "Remainder with the sign of the divisor; 0 where that is 0.")
fmod = _binary(_fmod, "Remainder with the sign of the dividend; 0 where the divisor is 0.")
left_shift = _binary(_left_shift, "x << y; 0 where y is not below the width.")
right_shift = _binary(_right_shift, "x >> y; the sign everywhere where y is not below the width.")


@njit
def power(x, p):  # type: ignore[no-untyped-def]
    """x ** p for p >= 0 by squaring (Knuth, TAOCP 2, 4.6.3), modulo 2**width as NumPy's."""
    result = x * 0 + 1
    while p > 0:
        if p & 1:
            result = result * x
        x = x * x
        p = p >> 1
    return result
