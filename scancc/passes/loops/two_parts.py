"""Rows that are joined in memory from a first element and the rest, for loops that read few of their elements."""

from __future__ import annotations

from collections.abc import Mapping

from scancc.ir.loop import (
    BOOL,
    INT64,
    Assign,
    Buffer,
    Call,
    Const,
    Expr,
    For,
    Load,
    Op,
    Stmt,
    Store,
    Var,
    add,
    const_int,
    sub,
)
from scancc.ir.rewrite import Replaced, Rewriter
from scancc.ir.walk import statement_loads, statements, subexpressions, touched, uses, variables

ZERO = const_int(0)


class TwoParts(Rewriter):
    """Memory for one element before others, which is read by few steps: they read what it would be made of."""

    def __init__(self, buffer: Buffer, first: Store, rest: For, value: Expr) -> None:
        self.buffer, self.first, self.at, self.value = buffer, first.expr, rest.var, value
        self.made_by = (first, rest)

    def expr(self, e: Expr) -> Expr:
        made = super().expr(e)
        if not isinstance(made, Load) or made.buffer is not self.buffer:
            return made
        (at,) = made.index
        before = Op("maximum", (sub(at, 1), ZERO), INT64)
        return Op("where", (Op("equal", (at, ZERO), BOOL), self.first, Replaced({self.at: before}).expr(self.value)),
                  made.dtype)  # fmt: skip


def two_parts(before: list[Stmt], loop: For, known: Mapping[Buffer, int]) -> list[TwoParts]:
    """Of what the loop reads; `before` is what comes before it in its block."""
    found: list[TwoParts] = []
    inside, named = uses([loop]), [uses([s]) for s in before]
    for b in dict.fromkeys(x.buffer for x in statement_loads(loop) if x.buffer in known):
        made = [k for k, counts in enumerate(named) if b in counts]
        if len(made) != 2 or inside[b] + 2 != known[b]:
            continue
        first, rest = before[made[0]], before[made[1]]
        match first, rest:
            case Store(_, (Const(0, _),), Var() | Const()), For(var, start, stop, [Store(_, (at,), value)]):
                written = {t for s in (*before[made[0] + 1 :], loop) for i in statements([s]) for t in changed(i)}
                read = {x.buffer for x in subexpressions(value) if isinstance(x, Load)}
                names = variables(value) | variables(first.expr)
                whole = start == ZERO and at == add(var, 1) and add(stop, 1) == b.shape[0]
                if whole and not written & (read - {b}) and not written & names:
                    found.append(TwoParts(b, first, rest, value))
    return found


def changed(s: Stmt) -> list[Buffer | Var]:
    match s:
        case Assign(var, _):
            return [var]
        case Store(buffer, _, _):
            return [buffer]
        case Call():
            return list(touched(s))
        case _:
            return []
