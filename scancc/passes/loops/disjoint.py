"""Whether two subscripts of a buffer can name one element: rows of a ring, or of a trace, some steps apart.

    a[t + 1, i]  and  a[t, r]                                    never: the rows differ by one
    r[slot, i]   and  r[row, j]   with row = slot - 1, plus 2 where that is negative      never in a ring of two rows
"""

from __future__ import annotations

from scancc.ir.loop import Const, Expr, Kernel, Let, Op, const_int
from scancc.ir.walk import statements

Lets = dict[str, Expr]


def definitions(kernel: Kernel) -> Lets:
    """What the names of a kernel stand for that are defined once."""
    return {s.var.name: s.expr for s in statements(kernel.body) if isinstance(s, Let)}


def apart(a: tuple[Expr, ...], b: tuple[Expr, ...], lets: Lets) -> bool:
    """Whether two subscripts differ on some axis, whatever the values of the variables in them."""
    return any(_differ(x, y, lets) for x, y in zip(a, b, strict=True))


def _differ(x: Expr, y: Expr, lets: Lets) -> bool:
    (base, first, rows), (other, second, more) = _position(x, lets), _position(y, lets)
    if base != other:
        return False
    size = rows or more
    if rows and more and rows != more:
        return False
    return (first - second) % size != 0 if size else first != second


def _position(e: Expr, lets: Lets) -> tuple[Expr | None, int, int]:
    """A subscript as a base, a distance from it, and the rows of the ring that it goes around in, 0 for none."""
    match e:
        case Const(value, _):
            return None, int(value), 0
        case Op("add", (x, Const(k, _)), _):
            base, offset, rows = _position(x, lets)
            return base, offset + int(k), rows
        case Op("subtract", (x, Const(k, _)), _):
            base, offset, rows = _position(x, lets)
            return base, offset - int(k), rows
        case Op("where", (Op("less", (test, zero), _), Op("add", (x, Const(rows, _)), _), y), _) if (
            test == x == y and zero == const_int(0)
        ):
            base, offset, around = _position(x, lets)
            if not around and -int(rows) <= offset <= 0:
                return base, offset, int(rows)
        case _ if getattr(e, "name", None) in lets and not isinstance(e, Op):
            return _position(lets[e.name], lets)  # type: ignore[union-attr]
    return e, 0, 0
