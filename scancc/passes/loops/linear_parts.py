"""Expressions of the loop IR that are linear in some variables, in parts: rest + sum of coefficient * variable.

What is not linear may be a variable of its own: S - S exp(-I) + w R has the parts S, S exp(-I) and w R.

A division by a value that no step changes is a product with its reciprocal, so that nothing waits for the division:
(a y + b) / c has the parts b (1 / c) and a (1 / c).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from scancc.ir.loop import Const, Expr, Let, Op, Var, weight
from scancc.ir.walk import subexpressions

Part = tuple[Expr | None, dict[Expr, Expr | None]]  # rest, and coefficients by variable; a coefficient None is 1
FOLDED = {"add": np.add, "multiply": np.multiply, "divide": np.divide, "negative": np.negative}
LARGEST = 200  # operations in the parts of one expression: every use of a definition repeats it


class LinearParts:
    """Takes expressions apart that may be linear in `taps`.

    `defined` has the definitions of the step in their order; `same` tells what no step changes; `others`: whether what
    depends on the taps in other ways is a variable too.
    """

    def __init__(
        self, taps: frozenset[Var], defined: Mapping[Var, Let], same: Callable[[Expr], bool], others: bool = False
    ) -> None:
        self.same, self.others = same, others
        self.dependent = set(taps)  # variables that a tap is read for
        self.parts: dict[Var, Part | None] = {t: (None, {t: None}) for t in taps}
        for v, s in defined.items():
            if self.depends(s.expr):
                self.dependent.add(v)
                part = self.of(s.expr)
                self.parts[v] = (None, {v: None}) if part == (None, {s.expr: None}) else part

    def depends(self, e: Expr) -> bool:
        """Whether a tap is read for `e`."""
        return any(x in self.dependent for x in subexpressions(e) if isinstance(x, Var))

    def of(self, e: Expr) -> Part | None:
        """`e` in parts; None where it is not linear in the taps."""
        if isinstance(e, Var) and e in self.dependent:
            return self.parts[e]
        if not self.depends(e):
            return e, {}
        parts = [self.of(a) for a in e.args] if isinstance(e, Op) else [None]
        given = [p for p in parts if p is not None]
        found = self._combined(e, given) if isinstance(e, Op) and len(given) == len(parts) else None
        if found is None or _size(found) > LARGEST:
            return (None, {e: None}) if self.others else None
        return found

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
                return _product(parts[0], (_op("divide", Const(e.dtype.type(1), e.dtype), e.args[1]), {}), e)
            case _:
                return None


def _size(part: Part) -> int:
    return sum(weight(x) for x in (part[0], *part[1].values()) if x is not None)


def _op(name: str, *args: Expr) -> Expr:
    """An operation on coefficients; on constants it is done here."""
    dtype = args[0].dtype
    args = tuple(_op(a.name, *a.args) if isinstance(a, Op) and a.name in FOLDED else a for a in args)
    if all(isinstance(a, Const) for a in args):
        with np.errstate(all="ignore"):
            return Const(FOLDED[name](*(dtype.type(a.value) for a in args if isinstance(a, Const))), dtype)
    return Op(name, args, dtype)


def _negative(part: Part, e: Op) -> Part:
    rest, taps = part
    one = Const(e.dtype.type(1), e.dtype)
    return (None if rest is None else _op("negative", rest)), {t: _op("negative", c or one) for t, c in taps.items()}


def _sum(a: Part, b: Part, e: Op) -> Part | None:
    """None where terms cancel: who writes (s + y) - s wants what was rounded, as sums that are compensated do."""
    if a[0] is not None and b[0] is not None and _cancel(a[0], b[0]):
        return None
    one = Const(e.dtype.type(1), e.dtype)
    taps = dict(a[1])
    for t, c in b[1].items():
        taps[t] = both = _plus(taps[t] or one, c or one) if t in taps else c
        if isinstance(both, Const) and both.value == 0:
            return None
    if a[0] is None or b[0] is None:
        return (b[0] if a[0] is None else a[0]), taps
    return _op("add", a[0], b[0]), taps


def _cancel(a: Expr, b: Expr) -> bool:
    return any(x == _op("negative", y) or y == _op("negative", x) for x in _terms(a) for y in _terms(b))


def _terms(e: Expr) -> list[Expr]:
    stack, found = [e], []
    while stack:
        e = stack.pop()
        if isinstance(e, Op) and e.name == "add":
            stack += e.args
        else:
            found.append(e)
    return found


def _plus(a: Expr, b: Expr) -> Expr:
    """A sum of coefficients, in which a one stays apart."""
    (one, x), (other, y) = whole(a), whole(b)
    if one is not None and other is not None:
        return _op("add", a, b)
    given = [c for c in (x, y) if c is not None]
    total = given[0] if len(given) == 1 else _op("add", given[0], given[1])
    one = other if one is None else one
    return total if one is None else Op("add", (one, total), total.dtype)


def whole(c: Expr) -> tuple[Const | None, Expr | None]:
    """A coefficient as 1 or -1, which times a number is exact, and what is added to that."""
    if isinstance(c, Const) and abs(c.value) == 1:
        return c, None
    if isinstance(c, Op) and c.name == "add" and isinstance(c.args[0], Const) and abs(c.args[0].value) == 1:
        return c.args[0], c.args[1]
    return None, c


def _product(a: Part, b: Part, e: Op) -> Part | None:
    if a[1] and b[1]:
        return None
    (factor, _), (rest, taps) = (b, a) if a[1] else (a, b)
    if factor is None:
        return None
    scaled: dict[Expr, Expr | None] = {t: _times(c, factor) for t, c in taps.items()}
    return (None if rest is None else _op("multiply", rest, factor)), scaled


def _times(c: Expr | None, factor: Expr) -> Expr:
    if c is None:
        return factor
    return _op("negative", factor) if isinstance(c, Const) and c.value == -1 else _op("multiply", c, factor)
