"""Elements of the inverse of [[a, b], [c, d]], for steps that wait for it.

Elimination with partial pivoting chooses a row, divides by its pivot, and divides again by what that leaves: about 40
cycles one after the other. Cramer's rule, adj(A) / det(A), is one division, and as accurate for two rows and columns
(Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., 1.10.1) unless products overflow or underflow, or the
determinant is nearly nothing beside them. There, and for singular matrices, which are NaN, and numbers that are not
finite, elimination has the word, behind a branch that is not taken otherwise.

Each element is a function of its own, as each is an operation of the kernel; LLVM makes one of their branches.
"""

from __future__ import annotations

from typing import Any

from scancc_runtime.emitter import Emitter, Value
from scancc_runtime.scalar import ScalarEmitter, scalar_function

CANCELLED = 2.0**-12  # a determinant that is smaller than its products by that has lost as many of its bits
RANGE = {32: 2.0**100, 64: 2.0**960}  # of the products


def _inverse(s: ScalarEmitter, row: int, column: int, values: tuple[Any, ...]) -> Any:
    e = Emitter(s.b, s.bits)
    a, b, c, d = (Value(e, v) for v in values)
    minus = b * c
    det = e.fma(a, d, -minus)
    plus, minus = e.absolute(a * d), e.absolute(minus)
    size = e.select(plus > minus, plus, minus)
    good = e.b.and_(e.absolute(det) >= size * CANCELLED,
                    e.b.and_(size < RANGE[e.bits], size > 1 / RANGE[e.bits]))  # fmt: skip
    with e.b.if_else(good, likely=True) as (then, otherwise):
        with then:
            by_rule = ((d, -b), (-c, a))[row][column] * (1.0 / det)
            first = e.b.block
        with otherwise:
            eliminated = _eliminated(e, row, column, a, b, c, d)
            second = e.b.block
    found = e.b.phi(e.real)
    found.add_incoming(by_rule.v, first)
    found.add_incoming(eliminated.v, second)
    return found


def _eliminated(e: Emitter, row: int, column: int, a: Value, b: Value, c: Value, d: Value) -> Value:
    swap = e.absolute(c) > e.absolute(a)
    pivot, low = e.select(swap, c, a), e.select(swap, a, c)
    right, rest = e.select(swap, d, b), e.select(swap, b, d)
    factor = low / pivot
    rest = rest - factor * right
    rest = e.select(e.b.or_(pivot.equals(0.0), rest.equals(0.0)), float("nan"), rest)
    unit = float(column == 0), float(column == 1)  # a column of the identity
    top, bottom = e.select(swap, unit[1], unit[0]), e.select(swap, unit[0], unit[1])
    last = (bottom - factor * top) / rest
    return last if row == 1 else (top - right * last) / pivot


@scalar_function("f")
def inverse_00(s: ScalarEmitter, a: Any, b: Any, c: Any, d: Any) -> Any:
    return _inverse(s, 0, 0, (a, b, c, d))


@scalar_function("f")
def inverse_01(s: ScalarEmitter, a: Any, b: Any, c: Any, d: Any) -> Any:
    return _inverse(s, 0, 1, (a, b, c, d))


@scalar_function("f")
def inverse_10(s: ScalarEmitter, a: Any, b: Any, c: Any, d: Any) -> Any:
    return _inverse(s, 1, 0, (a, b, c, d))


@scalar_function("f")
def inverse_11(s: ScalarEmitter, a: Any, b: Any, c: Any, d: Any) -> Any:
    return _inverse(s, 1, 1, (a, b, c, d))
