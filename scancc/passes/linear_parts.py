"""Expressions of the loop IR that are linear in some variables, in parts: rest + sum of coefficient * variable.

A division by a value that no step changes is a product with its reciprocal, so that nothing waits for the division:
(a y + b) / c has the parts b (1 / c) and a (1 / c).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from scancc.ir.loop import Const, Expr, Let, Op, Var, weight
from scancc.ir.walk import subexpressions

Part = tuple[Expr | None, dict[Var, Expr | None]]  # rest, and coefficients by variable; a coefficient None is 1
LARGEST = 200  # operations in the parts of one expression: every use of a definition repeats it


class LinearParts:
    """Takes expressions apart that may be linear in `taps`.

    `defined` has the definitions of the step in their order; `same` tells what no step changes.
    """

    def __init__(self, taps: frozenset[Var], defined: Mapping[Var, Let], same: Callable[[Expr], bool]) -> None:
        self.same = same
        self.dependent = set(taps)  # variables that a tap is read for
        self.parts: dict[Var, Part | None] = {t: (None, {t: None}) for t in taps}
        for v, s in defined.items():
            if self.depends(s.expr):
                self.dependent.add(v)
                self.parts[v] = self.of(s.expr)

    def depends(self, e: Expr) -> bool:
        """Whether a tap is read for `e`."""
        return any(x in self.dependent for x in subexpressions(e) if isinstance(x, Var))

    def of(self, e: Expr) -> Part | None:
        """`e` in parts; None where it is not linear in the taps."""
        if isinstance(e, Var) and e in self.dependent:
            return self.parts[e]
        if not self.depends(e):
            return e, {}
        if not isinstance(e, Op):
            return None
        parts = [self.of(a) for a in e.args]
        given = [p for p in parts if p is not None]
        found = self._combined(e, given) if len(given) == len(parts) else None
        return found if found is not None and _size(found) <= LARGEST else None

    def _combined(self, e: Op, parts: list[Part]) -> Part | None:
        match e.name:
            case "negative":
                return _negative(parts[0], e)
            case "add":
                return _sum(parts[0], parts[1], e)
            case "subtract":
                return _sum(parts[0], _negative(parts[1], e), e)
            case "multiply":
                return _product(parts[0], parts[1], e)
            case "divide" if self.same(e.args[1]):
                one = Const(e.dtype.type(1), e.dtype)
                return _product(parts[0], (Op("divide", (one, e.args[1]), e.dtype), {}), e)
            case _:
                return None


def _size(part: Part) -> int:
    return sum(weight(x) for x in (part[0], *part[1].values()) if x is not None)


def _negative(part: Part, e: Op) -> Part:
    rest, taps = part
    one = Const(e.dtype.type(1), e.dtype)
    return (None if rest is None else _minus(rest)), {t: _minus(c or one) for t, c in taps.items()}


def _minus(e: Expr) -> Expr:
    return Const(-e.value, e.dtype) if isinstance(e, Const) else Op("negative", (e,), e.dtype)


def _sum(a: Part, b: Part, e: Op) -> Part:
    one = Const(e.dtype.type(1), e.dtype)
    taps = dict(a[1])
    for t, c in b[1].items():
        taps[t] = Op("add", (taps[t] or one, c or one), e.dtype) if t in taps else c
    if a[0] is None or b[0] is None:
        return (b[0] if a[0] is None else a[0]), taps
    return Op("add", (a[0], b[0]), e.dtype), taps


def _product(a: Part, b: Part, e: Op) -> Part | None:
    if a[1] and b[1]:
        return None
    (factor, _), (rest, taps) = (b, a) if a[1] else (a, b)
    if factor is None:
        return None
    scaled: dict[Var, Expr | None] = {
        t: factor if c is None else Op("multiply", (c, factor), e.dtype) for t, c in taps.items()
    }
    return (None if rest is None else Op("multiply", (rest, factor), e.dtype)), scaled
