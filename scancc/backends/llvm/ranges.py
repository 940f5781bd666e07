"""What values the integers of a kernel can have: where a sum or product cannot leave 64 bits, LLVM may know.

Integers wrap, as NumPy's do. LLVM follows addresses further, and finds more loops to vectorise, where it is told that
an operation does not: so are those of which this is certain, by the ranges of loop counters, lengths and constants.
"""

from __future__ import annotations

from scancc.ir.loop import INT64, Const, Expr, Op, Var

Range = tuple[int, int]  # both ends included
WHOLE: Range = (-(2**63), 2**63 - 1)
LONGEST = 2**47  # rows of an array: more bytes than processes can address
TRUTH: Range = (0, 1)


class Ranges:
    """Ranges of variables that never change, by name; those of all others are not known."""

    def __init__(self) -> None:
        self.known: dict[str, Range] = {}

    def of(self, e: Expr) -> Range:
        match e:
            case Const(value, dtype) if dtype.kind in "iub":
                return int(value), int(value)
            case Var(name, _):
                return self.known.get(name, WHOLE)
            case Op("cast", (x,), dtype) if dtype == INT64 and x.dtype.kind == "b":
                return TRUTH
            case Op("where", (_, x, y), dtype) if dtype == INT64:
                (a, b), (c, d) = self.of(x), self.of(y)
                return min(a, c), max(b, d)
            case Op(name, (x, y), dtype) if dtype == INT64 and x.dtype == INT64:
                found = _exact(name, self.of(x), self.of(y))
                return found if found is not None and within(found) else WHOLE
            case _:
                return WHOLE

    def fits(self, name: str, x: Expr, y: Expr) -> bool:
        """Whether no result of an operation on int64 wraps."""
        found = _exact(name, self.of(x), self.of(y))
        return found is not None and within(found)

    def learn(self, var: Var, e: Expr) -> None:
        """`var` is defined as `e`."""
        if var.dtype == INT64:
            found = self.of(e)
            if found != WHOLE:
                self.known[var.name] = found

    def count(self, var: Var, start: Expr, stop: Expr) -> None:
        """`var` counts from one to the other."""
        low, high = self.of(start)[0], self.of(stop)[1] - 1
        self.known[var.name] = (low, max(low, high))


def within(found: Range) -> bool:
    return WHOLE[0] <= found[0] and found[1] <= WHOLE[1]


def _exact(name: str, x: Range, y: Range) -> Range | None:
    (a, b), (c, d) = x, y
    match name:
        case "add":
            return a + c, b + d
        case "subtract":
            return a - d, b - c
        case "multiply":
            corners = (a * c, a * d, b * c, b * d)
            return min(corners), max(corners)
        case "minimum":
            return min(a, c), min(b, d)
        case "maximum":
            return max(a, c), max(b, d)
        case "floor_divide" if c > 0:
            corners = (a // c, a // d, b // c, b // d)
            return min(corners), max(corners)
        case "remainder" if c > 0:
            return 0, min(d - 1, b) if a >= 0 else d - 1
        case _:
            return None
