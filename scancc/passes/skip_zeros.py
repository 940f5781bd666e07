"""Loops that go back over a row run where there is something to go back with.

    before   for t in 0..n: let d = incoming[t] + left
                            store up[t] = d * where(a, 1, 0); set left = d * where(b, 1, 0); set sum = sum + d * g[t]
    after    for c in 0..n: store up[c] = 0
                            first, last = the least and the largest c with incoming[c] != 0, or g[c] not finite
             for t in first..n: ...; if t >= last and left == 0: break

A minimum or a choice sends a derivative to one of its operands, so what comes back through a table that was filled by
them, as of dynamic time warping, edit distances and alignments, is a path: a few elements of a row, and zeros. A step
to which zeros come stores zeros and changes nothing, as long as what it multiplies them with is finite. Whether that
is so is seen by looking at a row in vectors, which takes a fraction of what the steps take: a derivative that is not
sparse is not slower for it. Only loops within a loop whose state they send to zero by a choice are changed.

Zeros may have another sign than before, so `strict_fp` leaves the pass out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from scancc.ir.loop import (
    BOOL,
    INT64,
    Assign,
    Break,
    Buffer,
    Call,
    Const,
    Declare,
    Expr,
    For,
    If,
    Let,
    Load,
    Note,
    Op,
    Stmt,
    Store,
    Var,
    add,
    const_int,
    sub,
)
from scancc.ir.rewrite import Replaced, Rewriter
from scancc.ir.walk import (
    accesses,
    expressions,
    made_of,
    statement_loads,
    statements,
    subexpressions,
    touched,
    uses,
    variables,
)
from scancc.passes.fresh import Fresh
from scancc.passes.lower import Lowered

ZERO = const_int(0)
KEEP_FINITE = frozenset({"sign", "negative", "absolute"})


def skip_zeros(lowered: Lowered) -> Lowered:
    """The same program; statements are changed in place."""
    kernel = lowered.kernel
    fresh, joined, free = Fresh(kernel), set[Buffer](), lowered.own_scratch()
    known = {b: n for b, n in uses(kernel.body).items() if b in free}
    for s in statements(kernel.body):
        if isinstance(s, For) and s.note.startswith("steps of"):
            s.body[:] = _within(s.body, fresh, known, joined)
    return lowered.without(joined) if joined else lowered


def _within(block: list[Stmt], fresh: Fresh, known: dict[Buffer, int], joined: set[Buffer]) -> list[Stmt]:
    """The block with its loops changed; `joined` gets what is not made any more of the memory whose uses are known."""
    out: list[Stmt] = []
    for i, s in enumerate(block):
        if not (isinstance(s, For) and s.note.startswith("steps of")):
            out.append(s)
            continue
        later = {b for inner in statements(block[i + 1 :]) for b, _, stores in accesses(inner) if stores}
        for two in _two_parts(out, s, known) if _row_of(s, later) is not None else ():
            out = [x for x in out if x not in two.made_by]
            s = replace(s, body=two.block(s.body))
            joined.add(two.buffer)
        row = _row_of(s, later)
        out += [s] if row is None else row.skipping(fresh)
    return out


class _TwoParts(Rewriter):
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


def _two_parts(before: list[Stmt], loop: For, known: dict[Buffer, int]) -> list[_TwoParts]:
    """Of what the loop reads; `before` is what comes before it in its block."""
    found: list[_TwoParts] = []
    inside, named = uses([loop]), [uses([s]) for s in before]
    for b in dict.fromkeys(x.buffer for x in statement_loads(loop) if x.buffer in known):
        made = [k for k, counts in enumerate(named) if b in counts]
        if len(made) != 2 or inside[b] + 2 != known[b]:
            continue
        first, rest = before[made[0]], before[made[1]]
        match first, rest:
            case Store(_, (Const(0, _),), Var() | Const()), For(var, start, stop, [Store(_, (at,), value)]):
                changed = {t for s in (*before[made[0] + 1 :], loop) for i in statements([s]) for t in _changed(i)}
                read = {x.buffer for x in subexpressions(value) if isinstance(x, Load)}
                names = variables(value) | variables(first.expr)
                whole = start == ZERO and at == add(var, 1) and add(stop, 1) == b.shape[0]
                if whole and not changed & (read - {b}) and not changed & names:
                    found.append(_TwoParts(b, first, rest, value))
    return found


def _changed(s: Stmt) -> list[Buffer | Var]:
    match s:
        case Assign(var, _):
            return [var]
        case Store(buffer, _, _):
            return [buffer]
        case Call():
            return list(touched(s))
        case _:
            return []


@dataclass
class _Row:
    """A loop over a row: what comes in, the states that go on, and what has to be finite, made by some of its lets."""

    loop: For
    incoming: list[Load]
    states: list[Var]
    stores: list[Store]
    finite: list[Expr]

    def skipping(self, fresh: Fresh) -> list[Stmt]:
        loop = self.loop
        first, last, start = fresh.var("first"), fresh.var("last"), fresh.var("start")
        nothing = _joined("logical_and", [Op("equal", (s, _zero(s)), BOOL) for s in self.states])
        end = Op("logical_and", (Op("less_equal", (last, loop.var), BOOL), nothing), BOOL)
        return [
            Declare(first, loop.stop),
            Declare(last, const_int(-1)),
            self._look(fresh, first, last),
            Let(start, Op("where", (nothing, first, const_int(0)), INT64)),
            replace(loop, start=start, body=[*loop.body, If(end, [Break()], [])]),
        ]

    def _look(self, fresh: Fresh, first: Var, last: Var) -> For:
        """Zeros for all that the loop stores, and the ends of what comes in."""
        c, loop = fresh.var("c"), self.loop
        names: dict[Var, Expr] = {loop.var: c}
        here = Replaced(names)
        body: list[Stmt] = [Store(s.buffer, tuple(map(here.expr, s.index)), _zero(s.expr)) for s in self.stores]
        defined = {s.var: s.expr for s in loop.body if isinstance(s, Let)}
        needed = made_of(self.finite, defined)
        for var, e in defined.items():
            if var in needed:
                new = fresh.var(var.name, var)
                body.append(Let(new, here.expr(e)))
                names[var] = new
        tests: list[Expr] = [Op("not_equal", (x, _zero(x)), BOOL) for x in self.incoming]
        tests += [Op("not_equal", (Op("subtract", (x, x), x.dtype), _zero(x)), BOOL) for x in self.finite]
        active = here.expr(_joined("logical_or", tests))
        found = fresh.var("found", active)
        body += [
            Let(found, active),
            Assign(first, Op("minimum", (first, Op("where", (found, c, loop.stop), INT64)), INT64)),
            Assign(last, Op("maximum", (last, Op("where", (found, c, const_int(-1)), INT64)), INT64)),
        ]
        return For(c, const_int(0), loop.stop, body, "what comes in")


def _zero(like: Expr) -> Const:
    return Const(like.dtype.type(0), like.dtype)


def _joined(op: str, tests: list[Expr]) -> Expr:
    found = tests[0]
    for t in tests[1:]:
        found = Op(op, (found, t), BOOL)
    return found


def _row_of(loop: For, later: set[Buffer]) -> _Row | None:
    """`later`: what is stored after the loop, for the next row."""
    if loop.start != ZERO or any(not isinstance(s, (Let, Store, Assign, Note)) for s in loop.body):
        return None
    lets = {s.var: s.expr for s in loop.body if isinstance(s, Let)}
    stores = [s for s in loop.body if isinstance(s, Store)]
    changes = {s.var: s.expr for s in loop.body if isinstance(s, Assign)}
    loads = [x for s in loop.body for e in expressions(s) for x in subexpressions(e) if isinstance(x, Load)]
    written = [s.buffer for s in stores]
    if len(set(written)) < len(written) or any(x.buffer in written for x in loads) or not changes:
        return None
    outside = lets.keys() | changes.keys()
    subscripts = [i for x in loads for i in x.index] + [i for s in stores for i in s.index]
    if any(variables(i) & outside for i in subscripts) or variables(loop.stop) & outside:
        return None
    incoming = [x for x in dict.fromkeys(loads) if x.buffer in later and x.dtype.kind == "f"]
    zeros = _Zeros(lets, set(incoming), changes)
    if not incoming or not zeros.all_of([*(s.expr for s in stores), *changes.values()]):
        return None
    if not any(_chooses(x, lets) for x in zeros.factors) or not zeros.states:
        return None
    finite = list(dict.fromkeys(e for x in zeros.factors for e in _leaves(x, lets)))
    waits = made_of(finite, lets) | {v for e in finite for v in variables(e)}
    if any(variables(lets[v]) & changes.keys() for v in waits & lets.keys()) or waits & changes.keys():
        return None
    return _Row(loop, incoming, sorted(zeros.states, key=lambda v: v.name), stores, finite)


class _Zeros:
    """What is zero where all that comes in is, and what it was multiplied with."""

    def __init__(self, lets: dict[Var, Expr], incoming: set[Load], changes: dict[Var, Expr]) -> None:
        self.lets, self.incoming = lets, incoming
        # Sums go on as they are: sum = sum + zero. All other states are to be zero.
        self.sums = {v for v, e in changes.items() if _adds_up(v, e, lets, changes)}
        self.states = changes.keys() - self.sums
        self.factors: list[Expr] = []
        self.known: dict[Expr, bool] = {}

    def all_of(self, values: list[Expr]) -> bool:
        return all(self.zero(e) for e in values)

    def zero(self, e: Expr) -> bool:
        match e:
            case Const(value, _):
                return bool(value == 0)
            case Load():
                return e in self.incoming
            case Var() if e in self.states:
                return True
            case Var() if e in self.lets:
                if e not in self.known:
                    self.known[e] = self.zero(self.lets[e])
                return self.known[e]
            case Op("multiply", (a, b), _):
                for x, factor in ((a, b), (b, a)):
                    if self.zero(x):
                        if factor not in self.factors:
                            self.factors.append(factor)
                        return True
                return False
            case Op("add", (a, b), _) if (a in self.sums) != (b in self.sums):
                return self.zero(b if a in self.sums else a)
            case Op("add" | "subtract", (a, b), _):
                return self.zero(a) and self.zero(b)
            case Op("negative", (a,), _):
                return self.zero(a)
            case _:
                return False


def _adds_up(state: Var, e: Expr, lets: dict[Var, Expr], changes: dict[Var, Expr]) -> bool:
    """Whether a state has something added to it, and nothing else reads it."""
    while isinstance(e, Var) and e in lets:
        e = lets[e]
    if not (isinstance(e, Op) and e.name == "add" and (e.args[0] == state) != (e.args[1] == state)):
        return False
    return sum(x == state for y in (*lets.values(), *changes.values()) for x in subexpressions(y)) == 1


def _chooses(e: Expr, lets: dict[Var, Expr]) -> bool:
    """Whether a factor is zero by choice."""
    while isinstance(e, Var) and e in lets:
        e = lets[e]
    if not isinstance(e, Op) or e.name != "where":
        return False
    return any((isinstance(x, Const) and x.value == 0) or _chooses(x, lets) for x in e.args[1:])


def _leaves(e: Expr, lets: dict[Var, Expr]) -> list[Expr]:
    """What has to be finite for `e` to be so."""
    match e:
        case Const(value, _):
            return [] if np.isfinite(value) else [e]
        case Var() if e in lets:
            inner = _leaves(lets[e], lets)
            return inner if inner != [lets[e]] else [e]
        case Op("where", (_, a, b), _):
            return [*_leaves(a, lets), *_leaves(b, lets)]
        case Op(name, (a,), _) if name in KEEP_FINITE:
            return _leaves(a, lets)
        case _:
            return [e]
