"""Which loops do nothing where zeros come in, as long as what they multiply with is finite: see `skip_zeros`."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from scancc.ir.loop import Assign, Buffer, Call, Const, Expr, For, Let, Load, Note, Op, Stmt, Store, Var, const_int
from scancc.ir.walk import blocks, expressions, made_of, subexpressions, touched, variables

PRODUCTS = frozenset({"multiply", "zero_product", "either_zero_product"})
MOST_PARTS = 64  # of a number: where there are more, the number itself is looked at
KEEP_FINITE = frozenset({"sign", "negative", "absolute"})


@dataclass
class Row:
    """A loop over a row: what comes in, the states that go on, and what has to be finite, made by some of its lets."""

    loop: For
    incoming: list[Load]
    states: list[Var]
    stores: list[Store]
    finite: list[Expr]

    @property
    def lets(self) -> dict[Var, Expr]:
        return {s.var: s.expr for s in self.loop.body if isinstance(s, Let)}


def row_of(loop: For, later: Counter[Buffer]) -> Row | None:
    """`later`: how often something is stored after the loop, for the next row."""
    if loop.start != const_int(0) or any(not isinstance(s, (Let, Store, Assign, Note)) for s in loop.body):
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
    incoming = [x for x in dict.fromkeys(loads) if later[x.buffer] > 0 and x.dtype.kind == "f"]
    zeros = _Zeros(lets, set(incoming), changes, Counter(
        x for s in loop.body for e in expressions(s) for x in subexpressions(e)))  # fmt: skip
    values = [*(s.expr for s in stores), *changes.values()]
    if not incoming or not zeros.all_of(values):
        return None
    factors = zeros.factors(values)
    if not any(_chooses(x, lets) for x in factors) or not zeros.states:
        return None
    finite = list(dict.fromkeys(e for x in factors for e in _leaves(x, lets)))
    waits = made_of(finite, lets) | {v for e in finite for v in variables(e)}
    if any(variables(lets[v]) & changes.keys() for v in waits & lets.keys()) or waits & changes.keys():
        return None
    return Row(loop, incoming, sorted(zeros.states, key=lambda v: v.name), stores, finite)


class _Zeros:
    """What is zero where all that comes in is zero."""

    def __init__(
        self, lets: dict[Var, Expr], incoming: set[Load], changes: dict[Var, Expr], reads: Counter[Expr]
    ) -> None:
        self.lets, self.incoming = lets, incoming
        # Sums go on as they are: sum = sum + zero. All other states are to be zero.
        self.sums = {v for v, e in changes.items() if _adds_up(v, e, lets, reads)}
        self.states = changes.keys() - self.sums
        self.known: dict[Expr, bool] = {}

    def all_of(self, values: list[Expr]) -> bool:
        return all(self._zero(e) for e in values)

    def factors(self, values: list[Expr]) -> list[Expr]:
        """What the zeros that `values` are made of were multiplied with."""
        found: dict[Expr, None] = {}
        seen: set[Expr] = set()
        pending = values[::-1]
        while pending:
            e = pending.pop()
            if e in seen:
                continue
            seen.add(e)
            parts = self._parts(e)
            if isinstance(e, Op) and e.name in PRODUCTS:
                a, b = e.args
                parts = (a,) if self.known[a] else (b,)
                found[b if self.known[a] else a] = None
            pending += parts[::-1]
        return list(found)

    def _zero(self, whole: Expr) -> bool:
        """Operands first, from a list: a row may have more operations one after the other than Python has frames."""
        pending = [whole]
        while pending:
            e = pending[-1]
            waits = [p for p in self._parts(e) if p not in self.known]
            pending += waits
            if not waits:
                self.known[pending.pop()] = self._of_parts(e)
        return self.known[whole]

    def _parts(self, e: Expr) -> tuple[Expr, ...]:
        match e:
            case Var() if e not in self.states and e in self.lets:
                return (self.lets[e],)
            case Op("add", (a, b), _) if (a in self.sums) != (b in self.sums):
                return (b if a in self.sums else a,)
            case Op(name, args, _) if name in PRODUCTS or name in ("add", "subtract", "negative"):
                return args
            case _:
                return ()

    def _of_parts(self, e: Expr) -> bool:
        match e:
            case Const(value, _):
                return bool(value == 0)
            case Load():
                return e in self.incoming
            case Var() if e in self.states:
                return True
            case _:
                parts = [self.known[p] for p in self._parts(e)]
                return any(parts) if isinstance(e, Op) and e.name in PRODUCTS else bool(parts) and all(parts)


def _adds_up(state: Var, e: Expr, lets: dict[Var, Expr], reads: Counter[Expr]) -> bool:
    """Whether a state has something added to it, and nothing else reads it, before or after."""
    if reads[state] != 1:
        return False
    while isinstance(e, Var) and e in lets:
        if reads[e] != 1:
            return False
        e = lets[e]
    return isinstance(e, Op) and e.name == "add" and (e.args[0] == state) != (e.args[1] == state)


def _chooses(e: Expr, lets: dict[Var, Expr]) -> bool:
    """Whether a factor is zero by choice."""
    pending, seen = [e], set[Expr]()
    while pending:
        e = _meant(pending.pop(), lets)
        if isinstance(e, Op) and e.name == "where" and e not in seen:
            seen.add(e)
            if any(isinstance(x, Const) and x.value == 0 for x in e.args[1:]):
                return True
            pending += e.args[1:]
    return False


def _meant(e: Expr, lets: dict[Var, Expr]) -> Expr:
    while isinstance(e, Var) and e in lets:
        e = lets[e]
    return e


def _leaves(e: Expr, lets: dict[Var, Expr]) -> list[Expr]:
    """What has to be finite for `e` to be so."""
    found: dict[Expr, None] = {}
    pending, seen = [e], set[Expr]()
    while pending:
        e = pending.pop()
        if e in seen:
            continue
        seen.add(e)
        match _meant(e, lets):
            case Const(value, _):
                if not np.isfinite(value):
                    found[e] = None
            case Op("where", (_, a, b), _):
                pending += [b, a]
            case Op(name, (a,), _) if name in KEEP_FINITE:
                pending.append(a)
            case _:
                found[e] = None
    return list(found)


def bounds(e: Expr, lets: dict[Var, Expr]) -> list[tuple[Expr, float]] | None:
    """Numbers, and how large they may be for `e` to be finite for sure; None where that is not known."""
    if e.dtype.kind != "f":
        return [] if e.dtype.kind in "iub" else None
    found: dict[Expr, float] = {}
    pending = [(e, float(np.finfo(e.dtype).max))]
    for _ in range(MOST_PARTS):
        if not pending:
            return list(found.items())
        part, limit = pending.pop()
        match part:
            case Var() if part in lets:
                pending.append((lets[part], limit))
            case Op(name, args, _) if name in PRODUCTS or name in ("add", "subtract"):
                pending += [(a, limit**0.5 if name in PRODUCTS else limit / 2) for a in args if a.dtype.kind == "f"]
                if any(a.dtype.kind == "c" for a in args):
                    return None
            case Op("negative" | "absolute", (a,), _) if a.dtype.kind == "f":
                pending.append((a, limit))
            case _:
                found[part] = min(limit, found.get(part, limit))
    return None


def stored_apart(store: Store, loop: For, rest: list[Stmt]) -> bool:
    """Whether the rest stores elsewhere in the memory that a loop over a row stores to, as far as numbers tell."""
    mine = _range(store.index, {loop.var: (loop.start, loop.stop)})
    return mine is not None and _all_apart(rest, store.buffer, mine, {})


def _all_apart(block: list[Stmt], b: Buffer, mine: tuple[int, int], loops: dict[Var, tuple[Expr, Expr]]) -> bool:
    for s in block:
        if b in touched(s):
            if isinstance(s, Call):
                return False
            theirs = _range(s.index, loops) if isinstance(s, Store) and s.buffer is b else (-1, -1)
            if theirs is None or not (theirs[1] < mine[0] or mine[1] < theirs[0]):
                return False
        inner = {**loops, s.var: (s.start, s.stop)} if isinstance(s, For) else loops
        if not all(_all_apart(body, b, mine, inner) for body in blocks(s)):
            return False
    return True


def _range(index: tuple[Expr, ...], loops: dict[Var, tuple[Expr, Expr]]) -> tuple[int, int] | None:
    """The least and the largest subscript of memory of one axis."""
    if len(index) != 1:
        return None
    return _interval(index[0], loops)


def _interval(e: Expr, loops: dict[Var, tuple[Expr, Expr]]) -> tuple[int, int] | None:
    match e:
        case Const(value, _):
            return int(value), int(value)
        case Var() if e in loops:
            ends = [_interval(x, {}) for x in loops[e]]
            return None if ends[0] is None or ends[1] is None else (ends[0][0], ends[1][1] - 1)
        case Op("add" | "subtract" as name, (a, b), _):
            x, y = _interval(a, loops), _interval(b, loops)
            if x is None or y is None:
                return None
            return (x[0] + y[0], x[1] + y[1]) if name == "add" else (x[0] - y[1], x[1] - y[0])
        case _:
            return None
