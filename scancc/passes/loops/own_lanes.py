"""Whether the lanes of a loop are independent: none touches what another one stores.

    for i in lanes: store y[t, i] = f(y[t - 1, i], x[i, t])        yes: y has the lane on its second axis wherever it is
    for i in lanes: store y[t, i] = f(y[t - 1, i + 1])             no
    for i in lanes: set total = total + y[t, i]                    no
"""

from __future__ import annotations

from scancc.ir.loop import Assign, Buffer, Declare, Expr, For, Let, Load, Stmt, Store
from scancc.ir.walk import expressions, statements, subexpressions

Axes = dict[Buffer, set[int]]  # of buffers that are stored to: the axes that the lane was the index of so far


def is_own(lane: For, stored: set[Buffer], axes: Axes) -> bool:
    """Whether an iteration touches what no other one does, of the buffers that are `stored` to by any loop around."""
    inside = list(statements(lane.body))
    own = {s.var for s in inside if isinstance(s, Declare)}
    for s in inside:
        if not isinstance(s, (Let, Declare, Assign, Store, For)):
            return False
        if isinstance(s, Assign) and s.var not in own:
            return False
        accesses = [(e.buffer, e.index) for e in all_expressions(s) if isinstance(e, Load)]
        if isinstance(s, Store):
            accesses.append((s.buffer, s.index))
        for buffer, index in accesses:
            if buffer not in stored:
                continue
            mine = {a for a, e in enumerate(index) if e == lane.var}
            axes[buffer] = axes.get(buffer, mine) & mine
            if not axes[buffer]:
                return False
    return True


def stored_in(block: list[Stmt]) -> set[Buffer]:
    return {s.buffer for s in statements(block) if isinstance(s, Store)}


def loads_any(s: Stmt, buffers: set[Buffer]) -> bool:
    """Whether what a statement itself evaluates reads one of these."""
    return any(isinstance(e, Load) and e.buffer in buffers for e in all_expressions(s))


def all_expressions(s: Stmt) -> list[Expr]:
    return [inner for e in expressions(s) for inner in subexpressions(e)]
