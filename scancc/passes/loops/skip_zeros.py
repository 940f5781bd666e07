"""Loops that go back over a row run where there is something to go back with.

    before   for i in rows:
                 for t in 0..n: let d = incoming[t] + left
                                store up[t] = d * where(a, 1, 0); set left = d * where(b, 1, 0); set s = s + d * g[t]
                 ...
    after    for t in 0..n: store up[t] = 0; finite = no g[t] is too large
             for i in rows:
                 first, last = the least and the largest t with incoming[t] != 0, or 0 and n - 1 where not finite
                 for t in first..n: ...; if t >= last and left == 0: end = t + 1; break
                 ...
                 for t in first..end: store up[t] = 0

A minimum or a choice sends a derivative to one of its operands, so what comes back through a table that was filled by
them, as of dynamic time warping, edit distances and alignments, is a path: a few elements of a row, and zeros. A step
to which zeros come stores zeros and changes nothing, as long as what it multiplies them with is finite. Whether that
is so is seen by looking at a row in vectors, which takes a fraction of what the steps take: a derivative that is not
sparse is not slower for it. Only loops within a loop whose state they send to zero by a choice are changed.

Numbers that every row multiplies with are looked at once, before the first. Memory that only this loop stores to is
cleared once as well; later on only what the last row has stored is.

Zeros may have another sign than before, so `strict_fp` leaves the pass out.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TypeGuard

from scancc.ir.loop import (
    BOOL,
    INT64,
    Assign,
    Break,
    Buffer,
    Const,
    Declare,
    Expr,
    For,
    If,
    Let,
    Load,
    Op,
    Stmt,
    Store,
    Var,
    add,
    const_int,
)
from scancc.ir.rewrite import Replaced
from scancc.ir.walk import accesses, blocks, made_of, statements, subexpressions, uses, variables
from scancc.passes.loops.fresh import Fresh
from scancc.passes.loops.two_parts import changed, two_parts
from scancc.passes.loops.zero_rows import Row, bounds, row_of, stored_apart
from scancc.passes.lower import Lowered

ZERO, ONE, NONE = const_int(0), const_int(1), const_int(-1)


def skip_zeros(lowered: Lowered) -> Lowered:
    """The same program; statements are changed in place."""
    return _Skipping(lowered).program()


def _is_steps(s: Stmt) -> TypeGuard[For]:
    return isinstance(s, For) and s.note.startswith("steps of")


def _stored(s: Stmt) -> list[Buffer]:
    return [b for inner in statements([s]) for b, _, stores in accesses(inner) if stores]


class _Skipping:
    def __init__(self, lowered: Lowered) -> None:
        self.lowered, self.fresh = lowered, Fresh(lowered.kernel)
        own = lowered.own_scratch()
        self.known = Counter({b: n for b, n in uses(lowered.kernel.body).items() if b in own})
        self.joined: set[Buffer] = set()  # memory that nothing is put into any more

    def program(self) -> Lowered:
        self.block(self.lowered.kernel.body)
        return self.lowered.without(self.joined) if self.joined else self.lowered

    def block(self, block: list[Stmt]) -> None:
        out: list[Stmt] = []
        for s in block:
            for inner in blocks(s):
                self.block(inner)
            if _is_steps(s):
                out += self.within(s)
            out.append(s)
        block[:] = out

    def within(self, rows: For) -> list[Stmt]:
        """Change the loops in a loop over rows; what is to be done before the first row."""
        before: list[Stmt] = []
        out: list[Stmt] = []
        after: list[Stmt] = []
        if not any(map(_is_steps, rows.body)):
            return []
        stored = Counter(b for s in rows.body for b in _stored(s))  # by statements that are still to come
        for i, s in enumerate(rows.body):
            stored.subtract(_stored(s))
            if not _is_steps(s):
                out.append(s)
                continue
            rest = rows.body[i + 1 :]
            for two in two_parts(out, s, self.known) if row_of(s, stored) is not None else ():
                out = [x for x in out if x not in two.made_by]
                s = replace(s, body=two.block(s.body))
                self.joined.add(two.buffer)
            row = row_of(s, stored)
            if row is None:
                out.append(s)
                continue
            kept = [x for x in row.stores if self._is_cleared(x, s, rest)]
            made = _Skipped(row, rows, kept, self.fresh)
            before += made.before
            out += made.here
            after += made.after
        rows.body[:] = [*out, *after]
        return before

    def _is_cleared(self, store: Store, loop: For, rest: list[Stmt]) -> bool:
        """Whether memory holds nothing but what this loop stores there and the rest of the row reads."""
        b = store.buffer
        return self.known[b] == 1 + uses(rest)[b] and stored_apart(store, loop, rest)


class _Skipped:
    """A loop over a row that begins and ends where derivatives are not zero.

    `kept`: the stores to memory that stays zero where the loop does not run. What to do before the first row, instead
    of the loop, and after all that reads what it made: `before`, `here`, `after`.
    """

    def __init__(self, row: Row, rows: For, kept: list[Store], fresh: Fresh) -> None:
        self.row, self.loop, self.fresh = row, row.loop, fresh
        self.kept = kept
        self.before: list[Stmt] = []
        checks, look = self._finite(rows)
        self.here = self._loops(checks, look)
        self.after = self._clear(self.start, self.end, "what the row has stored") if kept else []
        if kept:
            self.before += self._clear(ZERO, self.loop.stop, "nothing yet")

    def _loops(self, checks: list[Expr], look: list[Expr]) -> list[Stmt]:
        loop, fresh = self.loop, self.fresh
        first, last = fresh.var("first"), fresh.var("last")
        self.start, self.end = fresh.var("start"), fresh.var("end")
        nothing = _joined("logical_and", [Op("equal", (s, _zero(s)), BOOL) for s in self.row.states])
        done = Op("logical_and", (Op("less_equal", (last, loop.var), BOOL), nothing), BOOL)
        leave: list[Stmt] = [Assign(self.end, add(loop.var, 1))] if self.kept else []
        finite = _joined("logical_and", checks) if checks else None
        return [
            Declare(first, loop.stop if finite is None else _choice(finite, loop.stop, ZERO)),
            Declare(last, NONE if finite is None else _choice(finite, NONE, add(loop.stop, -1))),
            self._look(look, first, last),
            Let(self.start, _choice(nothing, first, ZERO)),
            *([Declare(self.end, loop.stop)] if self.kept else []),
            replace(loop, start=self.start, body=[*loop.body, If(done, [*leave, Break()], [])]),
        ]

    def _finite(self, rows: For) -> tuple[list[Expr], list[Expr]]:
        """What has to be so for all of a row to be finite, and what is to be looked at element by element."""
        inside = {s.var for s in statements(rows.body) if isinstance(s, (Let, Declare, Assign, For))} | {rows.var}
        changes = {x for s in statements(rows.body) for x in changed(s)}
        checks: dict[Expr, None] = {}
        always: dict[Expr, None] = {}
        look: list[Expr] = []
        for e in self.row.finite:
            parts = bounds(e, self.row.lets)
            tests = [Op("less_equal", (Op("absolute", (x,), x.dtype), Const(x.dtype.type(most), x.dtype)), BOOL)
                     for x, most in parts or ()]  # fmt: skip
            here = [t for t in tests if not variables(t) & self._own()]
            once = [t for t in tests if t not in here and self._is_constant(t, inside, changes)]
            if parts is None or len(here) + len(once) < len(tests):
                look.append(e)
            else:
                checks.update(dict.fromkeys(here))
                always.update(dict.fromkeys(once))
        if always:
            checks[self._once(list(always))] = None
        return list(checks), look

    def _own(self) -> set[Var]:
        loop = self.loop
        return {s.var for s in loop.body if isinstance(s, (Let, Assign))} | {loop.var}

    def _is_constant(self, e: Expr, inside: set[Var], changes: set[Buffer | Var]) -> bool:
        """Whether elements are the same for every row, and are there even if there is no row."""
        loads = [x for x in subexpressions(e) if isinstance(x, Load)]
        indices = [i for x in loads for i in x.index]
        return (
            not (variables(e) - {self.loop.var} | variables(self.loop.stop)) & inside
            and not {x.buffer for x in loads} & changes
            and all(isinstance(i, Const) or self.loop.var in variables(i) for i in indices)
        )

    def _once(self, tests: list[Expr]) -> Expr:
        """Look at elements before the first row; whether all pass."""
        c, passed = self.fresh.var("c"), self.fresh.var("passed")
        test = Replaced({self.loop.var: c}).expr(_joined("logical_and", tests))
        least = Op("minimum", (passed, _choice(test, ONE, ZERO)), INT64)
        self.before += [Declare(passed, ONE), For(c, ZERO, self.loop.stop, [Assign(passed, least)], "is it finite")]
        return Op("equal", (passed, ONE), BOOL)

    def _look(self, finite: list[Expr], first: Var, last: Var) -> For:
        """Zeros for what the loop stores and nobody clears, and the ends of what comes in."""
        c, loop = self.fresh.var("c"), self.loop
        names: dict[Var, Expr] = {loop.var: c}
        here = Replaced(names)
        body = self._zeros(c, [s for s in self.row.stores if s not in self.kept])
        needed = made_of(finite, self.row.lets)
        for var, e in self.row.lets.items():
            if var in needed:
                new = self.fresh.var(var.name, var)
                body.append(Let(new, here.expr(e)))
                names[var] = new
        tests: list[Expr] = [Op("not_equal", (x, _zero(x)), BOOL) for x in self.row.incoming]
        tests += [Op("not_equal", (Op("subtract", (x, x), x.dtype), _zero(x)), BOOL) for x in finite]
        active = here.expr(_joined("logical_or", tests))
        found = self.fresh.var("found", active)
        body += [
            Let(found, active),
            Assign(first, Op("minimum", (first, _choice(found, c, loop.stop)), INT64)),
            Assign(last, Op("maximum", (last, _choice(found, c, NONE)), INT64)),
        ]
        return For(c, ZERO, loop.stop, body, "what comes in")

    def _clear(self, start: Expr, end: Expr, note: str) -> list[Stmt]:
        c = self.fresh.var("c")
        return [For(c, start, end, self._zeros(c, self.kept), note)]

    def _zeros(self, at: Var, stores: list[Store]) -> list[Stmt]:
        here = Replaced({self.loop.var: at})
        return [Store(s.buffer, tuple(map(here.expr, s.index)), _zero(s.expr)) for s in stores]


def _choice(condition: Expr, a: Expr, b: Expr) -> Expr:
    return Op("where", (condition, a, b), INT64)


def _zero(like: Expr) -> Const:
    return Const(like.dtype.type(0), like.dtype)


def _joined(op: str, tests: list[Expr]) -> Expr:
    found = tests[0]
    for t in tests[1:]:
        found = Op(op, (found, t), BOOL)
    return found
