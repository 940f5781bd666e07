"""Which rows of a group have to be in memory, where those that are only read within the group are in registers.

    store above_ring[slot, j]       a ring of two rows, read one row below, and after the loop at slot - 1: the last one
    store above_rows[t + 1, j]      a result: all
"""

from __future__ import annotations

from scancc.ir.loop import Alloc, Call, Expr, For, Grow, Let, Load, Place, Prefix, Print, Stmt, Var
from scancc.ir.walk import statement_loads, statements
from scancc.passes.loops.affine import form
from scancc.passes.loops.row_order import Access, Order
from scancc.passes.loops.row_parts import Rows
from scancc.passes.lower import Lowered


def rows_needed(rows: Rows, order: Order, after: list[Stmt], lowered: Lowered) -> dict[int, int]:
    """Of a store in a loop over columns, by its identity: the last rows of a group that have to be in memory."""
    named = lowered.seen() | set(lowered.constants)
    for s in statements(lowered.kernel.body):
        match s:
            case Call(_, args, _):
                named |= {a.buffer for a in args if isinstance(a, Place)}
            case Print():
                named |= set(s.values)
            case Prefix():
                named.add(s.words)
            case Alloc(b) | Grow(b, _):
                named.add(b)
    if all(s is not rows.loop for s in lowered.kernel.body):  # within a loop, whose next iteration comes after it, too
        near = {id(i) for s in (rows.loop, *after) for i in statements([s])}
        away = [s for s in statements(lowered.kernel.body) if id(s) not in near and not isinstance(s, For)]
        named |= {x.buffer for s in away for x in statement_loads(s)}
    found: dict[int, int] = {}
    for a in order.accesses:
        if a.stores and a.part in order.long and a.buffer.role == "scratch" and a.buffer not in named:
            found[id(a)] = _last_rows(a, rows, order, after)
    return found


def _last_rows(a: Access, rows: Rows, order: Order, after: list[Stmt]) -> int:
    alone = sum(o.stores and o.buffer is a.buffer and o.part in order.long for o in order.accesses) == 1
    found = {(f.part, f.load): f for f in order.forwards if f.source is a}
    most = 0
    for o in order.accesses:
        if o.buffer is a.buffer and not o.stores:
            f = found.get((o.part, Load(o.buffer, o.index)))
            if f is None or not order.whole(f):
                return order.group
            most = max(most, f.rows)
    lets = {s.var: s.expr for s in statements(after) if isinstance(s, Let)}
    for s in after:
        for load in statement_loads(s):
            if load.buffer is a.buffer:
                most = max(most, _rows_back(a, load, rows, lets) or order.group)
    return most if alone else order.group


def _rows_back(a: Access, load: Load, rows: Rows, lets: dict[Var, Expr]) -> int:
    """How many rows before the end the row was made that is read after the loop; 0 where that is not known."""
    for x, y in zip(a.index, load.index, strict=True):
        stored, read = form(x, rows.lets, rows.rings), form(y, lets, rows.rings)
        if stored and read and stored.around and stored.around == read.around and stored.factors == read.factors:
            return (stored.rest - read.rest - 1) % stored.around + 1
    return 0
