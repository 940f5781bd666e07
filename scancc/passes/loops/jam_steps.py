"""Several steps of a lane at once, so that its state is in registers from one of them to the next.

    before   for t in 0..n: for i in lanes: store y[slot, i] = f(y[row, i], x[t, i]);  set slot = ...
    after    for block in 0..n / 4:
                 for i in lanes:
                     let y1 = f(y[1, i], x[4 block, i]); let y2 = f(y1, x[4 block + 1, i]); ...; store y[1, i] = y4
             for t in 4 (n / 4)..n: as before

Unroll and jam (Allen and Kennedy, "Optimizing Compilers for Modern Architectures", 2001) of a loop over steps around
loops over lanes that do not depend on one another, which `tile_lanes` has found out. A step by itself loads the state
of every lane and stores it again, next to a few operations; and it reads one row of its inputs where several would be
on their way from memory at the same time. As many steps are taken as bring the slots of all rings back to where they
were, so that the rows are known: what an earlier step stored is then taken from where it was computed, and of several
stores to a row the last one is left. Where rows are a multiple of a page apart, as those of 4096 lanes, fewer steps are
taken: their rows would push one another out of the cache.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import lcm, prod

from scancc.ir.loop import (
    INT64,
    Assign,
    Buffer,
    Const,
    Declare,
    Expr,
    For,
    Let,
    Load,
    Note,
    Op,
    Stmt,
    Store,
    Var,
    add,
    const_int,
    mul,
    sub,
)
from scancc.ir.rewrite import Rewriter
from scancc.ir.walk import accesses, always_loaded, expressions, made_of, statements, subexpressions, variables
from scancc.passes.loops.disjoint import apart
from scancc.passes.loops.fold import folded
from scancc.passes.loops.fresh import Fresh
from scancc.passes.loops.split_loops import cycles

WANTED = 6  # steps: the rows that are read at once, and the state moves once for so many
MOST = 12
LARGE = 200.0  # cycles of all steps together, as scalars: more would only make the code longer
PAGE = 4096  # bytes: rows that are a multiple of it apart are in the same sets of the first-level cache
WAYS = 8  # lines of a set, or a few more
REST = "the rest of "
FEW = 3  # steps: what they save is lost again where their rows are in one set
Values = dict[Var, Expr]


def jam_steps(loop: For, initial: Mapping[Var, Const], fresh: Fresh) -> list[Stmt]:
    """The loop over steps in blocks, and over what is left of them; the loop alone where it stays as it is.

    All loops in it are over lanes, over the same ones. `initial`: what variables that all lanes share begin with.
    """
    lanes = [s for s in loop.body if isinstance(s, For)]
    inside = [s for lane in lanes for s in statements(lane.body)]
    if not all(isinstance(s, (Let, Declare, Assign, Store, Note)) for s in inside):
        return [loop]
    around = _around(loop, initial)
    steps = _steps(around, sum(cycles(e) + 1 for s in inside for e in expressions(s)), WAYS // _crowded(loop, lanes))
    block = None if steps is None else _Block(loop, lanes, around, fresh).of(steps)
    if steps is None or block is None:
        return [loop]
    length = sub(loop.stop, loop.start)
    some = Op("maximum", (length, const_int(0)), INT64)
    count = const_int(length.value // steps) if isinstance(length, Const) else (
        Op("floor_divide", (some, const_int(steps)), INT64)
    )  # fmt: skip
    number, first = fresh.var("block"), block.first
    begin: list[Stmt] = [Let(first, add(loop.start, mul(number, steps)))]
    name = loop.note.removeprefix("steps of ")
    rest = fresh.var("rest")
    return [
        For(number, const_int(0), count, begin + block.body, f"{steps} steps of {name} at a time"),
        Let(rest, add(loop.start, mul(count, steps))),
        replace(loop, start=rest, note=f"{REST}{name}"),
    ]


def _around(loop: For, initial: Mapping[Var, Const]) -> dict[Var, tuple[Const, int]]:
    """Variables that come back to the value they began with, as slots of rings do: that value, after how many steps.

    Each follows from itself alone. What is passed on from others may have that value by chance, as delayed states do
    that begin with it.
    """
    found: dict[Var, tuple[Const, int]] = {}
    for v, c in initial.items():
        value: Expr = c
        for step in range(1, MOST + 1):
            known: Values = {v: value}
            for s in loop.body:
                if isinstance(s, (Let, Declare, Assign)):
                    known[s.var] = folded(s.expr, known)
            value = known[v]
            if value == c:
                found[v] = c, step
            if value == c or not isinstance(value, Const):
                break
    return found


def _crowded(loop: For, lanes: list[For]) -> int:
    """Arrays that a lane goes along step by step, whose rows share sets of the cache; one at least."""
    lets = {s.var: s.expr for s in loop.body if isinstance(s, Let)}
    rows = {loop.var} | {v for v in lets if loop.var in {u for d in made_of([v], lets) for u in variables(lets[d])}}
    found = {b for s in statements(list(lanes)) for b, index, _ in accesses(s) if index and variables(index[0]) & rows}
    sizes = [b.dtype.itemsize * prod(int(d.value) if isinstance(d, Const) else 1 for d in b.shape[1:]) for b in found]
    return max(1, sum(size % PAGE == 0 for size in sizes))


def _steps(around: Mapping[Var, tuple[Const, int]], cost: float, most: int) -> int | None:
    """How many steps a block has."""
    if most < FEW:
        return None
    period = lcm(*(n for _, n in around.values()))
    wanted = -(-WANTED // period) * period
    while wanted > min(MOST, most) or wanted * cost > LARGE:
        wanted -= period
    return wanted if wanted > 1 else None


class _Block:
    """The statements of some steps, one after the other for each lane."""

    def __init__(self, loop: For, lanes: list[For], around: Mapping[Var, tuple[Const, int]], fresh: Fresh) -> None:
        self.loop, self.fresh = loop, fresh
        self.first, self.lane = fresh.var("first"), fresh.var(lanes[0].var.name)
        self.range = lanes[0].start, lanes[0].stop
        self.stored = {s.buffer for s in statements(list(lanes)) if isinstance(s, Store)}
        self.shared: Values = {v: c for v, (c, _) in around.items()}
        self.before: list[Stmt] = []  # what all lanes share
        self.memory = _Memory(self.stored)
        self.body: list[Stmt] = []

    def of(self, steps: int) -> _Block | None:
        constant = dict(self.shared)
        own = {s.var for s in self.loop.body if isinstance(s, (Let, Declare))}
        changed: dict[Var, None] = {}
        for step in range(steps):
            self.shared[self.loop.var] = add(self.first, step)
            for s in self.loop.body:
                match s:
                    case For():
                        if not self._lane(s):
                            return None
                    case Let(var, e, loc) | Declare(var, e, loc) | Assign(var, e, loc):
                        if isinstance(s, Assign):
                            changed[var] = None
                        self.shared[var] = self._kept(var, folded(e, self.shared), loc, self.before)
        back = {v: self.shared[v] for v in changed if v not in constant and v not in own}
        for v, value in back.items():
            if variables(value) & back.keys():  # before any of them is set
                back[v] = self.fresh.var(v.name, v)
                self.before.append(Let(back[v], value))  # type: ignore[arg-type]
        lanes = For(self.lane, *self.range, self.memory.body)
        self.body = [*self.before, lanes, *(Assign(v, value) for v, value in back.items())]
        return self

    def _kept(self, var: Var, value: Expr, loc: object, into: list[Stmt]) -> Expr:
        """A value that is an operand as it is, or under a name of this step."""
        if isinstance(value, (Const, Var)) or (value.dtype == INT64 and _is_place(value)):
            return value
        named = self.fresh.var(var.name, value)
        into.append(Let(named, value, loc))  # type: ignore[arg-type]
        return named

    def _lane(self, lane: For) -> bool:
        values: Values = {**self.shared, lane.var: self.lane}
        for s in lane.body:
            match s:
                case Let(var, e, loc) | Declare(var, e, loc) | Assign(var, e, loc):
                    value = self.memory.read(folded(e, values), self.fresh)
                    if value is None:
                        return False
                    values[var] = self._kept(var, value, loc, self.memory.body)
                case Store(buffer, index, e, loc):
                    value = self.memory.read(folded(e, values), self.fresh)
                    places = tuple(folded(i, values) for i in index)
                    if value is None or any(isinstance(x, Load) for i in places for x in subexpressions(i)):
                        return False
                    value = self._kept(Var("new", value.dtype), value, loc, self.memory.body)
                    if not self.memory.write(Store(buffer, places, value, loc)):
                        return False
        return True


def _is_place(e: Expr) -> bool:
    """A subscript: a sum of numbers, as short as its name would be."""
    return isinstance(e, Op) and e.name in ("add", "subtract") and all(
        isinstance(a, (Const, Var)) or _is_place(a) for a in e.args
    )  # fmt: skip


@dataclass
class _Memory:
    """What the steps of a lane have stored and loaded so far: its buffers are its own, so nothing else changes them."""

    stored: set[Buffer]

    def __post_init__(self) -> None:
        self.body: list[Stmt] = []
        self.known: dict[Load, Expr] = {}
        self.last: dict[Load, Store] = {}

    def read(self, e: Expr, fresh: Fresh) -> Expr | None:
        """The same with values that are known in place of loads; None where it cannot be told which they are."""
        certain = set(always_loaded(e))
        for load in dict.fromkeys(x for x in subexpressions(e) if isinstance(x, Load) and x.buffer in self.stored):
            if load in self.known:
                continue
            if not self._is_apart(load):
                return None
            if load in certain:
                held = fresh.var(load.buffer.name.removesuffix("_ring").removesuffix("_rows"), load)
                self.body.append(Let(held, load))
                self.known[load] = held
        return _Known(self.known).expr(e)

    def write(self, s: Store) -> bool:
        place = Load(s.buffer, s.index)
        if not self._is_apart(place):
            return False
        self.body = [b for b in self.body if b is not self.last.get(place)]
        self.body.append(s)
        self.known[place], self.last[place] = s.expr, s
        return True

    def _is_apart(self, place: Load) -> bool:
        """Whether this element is not one of those known by another name."""
        return all(known == place or known.buffer is not place.buffer or apart(known.index, place.index, {})
                   for known in self.known)  # fmt: skip


class _Known(Rewriter):
    """Loads whose values are known."""

    def __init__(self, known: Mapping[Load, Expr]) -> None:
        self.known = known

    def expr(self, e: Expr) -> Expr:
        value = self.known.get(e) if isinstance(e, Load) else None
        return super().expr(e) if value is None else value
