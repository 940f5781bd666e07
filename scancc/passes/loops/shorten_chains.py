"""Rewrites states that depend on one another, so that a step waits for few operations of the step before.

    before   let ahead = add(level, trend)
             let new = add(multiply(a, subtract(y, s)), multiply(subtract(1.0, a), ahead))
             let turned = add(multiply(b, subtract(new, level)), multiply(subtract(1.0, b), trend))
    after    let new = multiply_add(k, trend, multiply_add(k, level, multiply(a, subtract(y, s))))
             let turned = multiply_add(k3, trend, multiply_add(k2, level, r))           k, k2, k3: before the loop

A transformation of the loop IR, after lowering. States that depend on one another in a circle make the chain that a
step waits for; states that only read those of another circle do not lengthen it. Within a circle the next value of a
state is taken apart into rest + sum of coefficient * state, where rest and coefficients wait for nothing, and put
together again one multiply-add at a time, what arrives last at the end. What is not linear in the states, such as a
product of two, stands for a state. Coefficients that no step changes are computed before the loop, and a division by
such a value becomes a product. A loop stays as it is where that does not make its longest chain shorter.

Sums and products are rounded in another order than they are written in, so `strict_fp` leaves the pass out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from scancc.ir.loop import (
    Assign,
    Break,
    Expr,
    Fail,
    For,
    Grow,
    If,
    Kernel,
    Let,
    Load,
    Note,
    Op,
    Stmt,
    Store,
    Var,
    show_expr,
    weight,
)
from scancc.ir.rewrite import Replaced
from scancc.ir.walk import blocks, expressions, statements, subexpressions, variables, without_unread
from scancc.passes.loops.arrival import Step
from scancc.passes.loops.circles import circles
from scancc.passes.loops.fresh import Fresh
from scancc.passes.loops.linear_parts import LinearParts, Part, whole

LEAST_GAIN = 2.0  # cycles a step
LARGE = 150  # operations of a step, which can do them while it waits
ROUNDS = 2  # in the second the order is that in which states are there after the first


def shorten_chains(kernel: Kernel) -> Kernel:
    """The same kernel; statements are changed in place."""
    _block(kernel.body, Fresh(kernel))
    return kernel


def _block(block: list[Stmt], fresh: Fresh) -> None:
    made: list[Stmt] = []
    for s in block:
        for inner in blocks(s):
            _block(inner, fresh)
        if isinstance(s, For) and _straight(s):
            made += _Loop(s, fresh).shortened()
        made.append(s)
    block[:] = made


def _straight(loop: For) -> bool:
    """Whether every statement of a step runs in each, up to where the loop may be left."""
    for s in loop.body:
        if isinstance(s, If) and not all(isinstance(i, (Break, Fail, Store)) for b in blocks(s) for i in b):
            return False
        if not isinstance(s, (Let, Store, Assign, Note, Grow, If)):
            return False
    return True


class _Loop:
    def __init__(self, loop: For, fresh: Fresh) -> None:
        self.loop, self.fresh = loop, fresh
        self.defined = {s.var: s for s in loop.body if isinstance(s, Let)}
        self.sets = [s for s in loop.body if isinstance(s, Assign)]
        self.following = {s.var: s.expr for s in self.sets}
        self.changing = {loop.var, *self.defined, *self.following}
        self.stored = {s.buffer for s in statements(loop.body) if isinstance(s, Store)}
        self.others = [e for s in statements(loop.body) if not isinstance(s, (Let, Assign)) for e in expressions(s)]
        self.settled: dict[Var, Expr] = {}  # definitions that no step changes
        self.states: dict[Var, set[Var]] = {s: {s} for s in self.following}  # that a variable is made of
        for v, s in self.defined.items():
            if self.same(s.expr):
                self.settled[v] = Replaced(self.settled).expr(s.expr)
                self.changing.remove(v)
            self.states[v] = self._made_of(s.expr)

    def same(self, e: Expr) -> bool:
        return not any(isinstance(x, Load) or x in self.changing for x in subexpressions(e))

    def _made_of(self, e: Expr) -> set[Var]:
        return {s for x in variables(e) for s in self.states.get(x, ())}

    def shortened(self) -> list[Stmt]:
        """What goes before the loop; its body is changed if that makes a step wait for less."""
        if len(self.sets) != len(self.following) or sum(weight(s.expr) for s in self.defined.values()) > LARGE:
            return []
        groups = circles({s: self._made_of(e) for s, e in self.following.items()})
        parts = [self._linear(group) for group in groups]
        if not any(parts):
            return []
        old = self._step({})
        waits = [old.waits(group) for group in groups]
        longest = max(cycles for cycles, _ in waits) - LEAST_GAIN
        if any(cycles > longest for (cycles, _), found in zip(waits, parts, strict=True) if not found):
            return []
        new: dict[Var, Expr] = {}
        for group, found, (cycles, times) in zip(groups, parts, waits, strict=True):
            most = cycles - LEAST_GAIN
            for _ in range(ROUNDS if found else 0):
                own = {v: _in_order(p, times, v) for v, p in found.items()}
                cycles, times = self._step(own).waits(group)
                if cycles <= most:
                    new |= own
                    most = cycles
        changed = self._step(new)
        faster = all(changed.waits(group)[0] <= longest for group in groups)
        return self._rewritten(new) if faster and changed.busy() <= max(old.busy(), longest) else []

    def _step(self, new: Mapping[Var, Expr]) -> Step:
        """The step with some definitions replaced."""
        definitions = {v: new.get(v, s.expr) for v, s in self.defined.items()}
        return Step(definitions, self.following, self.others, self.same)

    def _linear(self, group: set[Var]) -> dict[Var, Part]:
        """Definitions of the group's next states, taken apart where they may be written anew."""
        targets = {self.following[s] for s in group}
        linear = LinearParts(frozenset(group), {v: s for v, s in self.defined.items() if self.states[v] & group},
                             self.same, others=True)  # fmt: skip
        found: dict[Var, Part] = {}
        for s in self.loop.body:
            if isinstance(s, Assign):
                break  # what is read below is no longer the step before
            if isinstance(s, Let) and s.var in targets and s.var.dtype.name in ("float32", "float64"):
                part = linear.of(s.var)
                if part is not None and part[1].keys() - {s.var} and not self._stale(part):
                    found[s.var] = part
        return found

    def _stale(self, part: Part) -> bool:
        """Whether an element is read again here that a store may have changed since."""
        pieces = (e for e in (part[0], *part[1], *part[1].values()) if e is not None)
        return any(isinstance(x, Load) and x.buffer in self.stored for e in pieces for x in subexpressions(e))

    def _rewritten(self, new: Mapping[Var, Expr]) -> list[Stmt]:
        before = _Before(self, new.values())
        body: list[Stmt] = []
        for s in self.loop.body:
            if isinstance(s, Let) and s.var in new:
                s = replace(s, expr=before.without(new[s.var], s.var.name))
            body.append(s)
        self.loop.body = without_unread(body)
        return list(before.lets.values())


class _Before:
    """Definitions before a loop of what none of its steps changes in these expressions, each computed once."""

    def __init__(self, loop: _Loop, exprs: Iterable[Expr]) -> None:
        self.loop = loop
        self.lets: dict[Expr, Let] = {}
        inside = {x for e in exprs for top in self._tops(e) for x in subexpressions(top) if isinstance(x, Op)}
        self.readers = Counter(a for x in inside for a in set(x.args))

    def _tops(self, e: Expr) -> Iterator[Expr]:
        if isinstance(e, Op) and e.dtype.kind == "f":
            if self.loop.same(e):
                yield Replaced(self.loop.settled).expr(e)
            else:
                for a in e.args:
                    yield from self._tops(a)

    def without(self, e: Expr, name: str) -> Expr:
        """`e` with variables in the place of what is computed before."""
        if not isinstance(e, Op) or e.dtype.kind != "f":
            return e
        if not self.loop.same(e):
            return Op(e.name, tuple(self.without(a, name) for a in e.args), e.dtype)
        return self._named(Replaced(self.loop.settled).expr(e), name)

    def _named(self, e: Expr, name: str) -> Expr:
        if not isinstance(e, Op):
            return e
        if e not in self.lets:
            made = self._made(e, name)
            self.lets[e] = Let(self.loop.fresh.var(f"{name}_by", e), made)
        return self.lets[e].var

    def _made(self, e: Expr, name: str) -> Expr:
        """`e` with variables for what other expressions are made of too."""
        if not isinstance(e, Op):
            return e
        return Op(e.name, tuple(self._named(a, name) if self.readers[a] > 1 or a in self.lets else self._made(a, name)
                                for a in e.args), e.dtype)  # fmt: skip


def _in_order(part: Part, times: Mapping[Expr, float], new: Var) -> Expr:
    """A sum of what `part` has, in the order in which it is there.

    1 + c is no coefficient: y + c y rounds anew in every step, but a coefficient that was rounded is wrong by the same
    amount in each, and what integrates a small rate adds that up.
    """
    total = part[0]
    terms: list[tuple[float, Expr | None, Expr]] = []
    for e, c in part[1].items():
        one, small = (None, None) if c is None else whole(c)
        for k in (c,) if one is None or small is None else (small, None if one.value == 1 else one):
            early, late = _factors(e, k, times, new)
            terms.append((times.get(late, 0.0), early, late))
    for _, early, late in sorted(terms, key=lambda t: (t[0], show_expr(t[2]))):
        if total is None:
            total = late if early is None else Op("multiply", (early, late), new.dtype)
        elif early is None:
            total = Op("add", (total, late), new.dtype)
        else:
            total = Op("multiply_add", (early, late, total), new.dtype)
    assert total is not None
    return total


def _factors(e: Expr, c: Expr | None, times: Mapping[Expr, float], new: Var) -> tuple[Expr | None, Expr]:
    """A product as what is there early, None for 1, and the factor to wait for."""
    if not (isinstance(e, Op) and e.name == "multiply"):
        return c, e
    early, late = sorted(e.args, key=lambda a: times.get(a, 0.0))
    return early if c is None else Op("multiply", (c, early), new.dtype), late
