"""Subscripts as sums of variables times whole numbers: when two of them name one element.

    subtract(499, t5)                                        -t5 + 499
    where(less(back, 0), add(back, 2), back), back = slot - 1        slot - 1, up to multiples of 2
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from scancc.ir.loop import INT64, Const, Expr, Op, Var, const_int


@dataclass(frozen=True, slots=True)
class Form:
    """The sum of factor * variable, and `rest`; known up to multiples of `around`, where that is not 0."""

    factors: Mapping[Var, int] = field(default_factory=dict)
    rest: int = 0
    around: int = 0

    def scaled(self, k: int) -> Form:
        """Only 1 and -1 for what is known up to multiples of a ring's rows."""
        return Form({v: k * f for v, f in self.factors.items()}, k * self.rest, self.around)

    def plus(self, other: Form) -> Form | None:
        if self.around and other.around and self.around != other.around:
            return None
        factors = dict(self.factors)
        for v, f in other.factors.items():
            factors[v] = factors.get(v, 0) + f
        kept = {v: f for v, f in factors.items() if f}
        return Form(kept, self.rest + other.rest, self.around or other.around)

    def without(self, var: Var | None) -> tuple[int, Form]:
        """The factor of a variable, and the form without it."""
        if var is None:
            return 0, self
        left = {v: f for v, f in self.factors.items() if v != var}
        return self.factors.get(var, 0), Form(left, self.rest, self.around)


def form(e: Expr, lets: Mapping[Var, Expr], rings: Mapping[Var, int]) -> Form | None:
    """What a subscript is; None where it is not of this kind.

    `lets` are definitions that are looked through; `rings` are counters that start again at so many.
    """
    match e:
        case Const(value, _):
            return Form(rest=int(value))
        case Var():
            known = form(lets[e], lets, rings) if e in lets else None
            return known or Form({e: 1}, 0, rings.get(e, 0))
        case Op("add" | "subtract" as name, (a, b), dtype) if dtype == INT64:
            left, right = form(a, lets, rings), form(b, lets, rings)
            if left is None or right is None:
                return None
            return left.plus(right if name == "add" else right.scaled(-1))
        case Op("multiply", (Const(k, _), a) | (a, Const(k, _)), dtype) if dtype == INT64:
            inner = form(a, lets, rings)
            return None if inner is None or inner.around else inner.scaled(int(k))
        case Op("where", (Op("less", (test, zero), _), Op("add", (x, Const(rows, _)), _), y), _) if (
            test == x == y and zero == const_int(0)
        ):
            inner = form(x, lets, rings)
            if inner is None or inner.around not in (0, int(rows)):
                return None
            return Form(inner.factors, inner.rest, int(rows))
    return None
