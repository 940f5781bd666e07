"""Shares the loops of a kernel out among the threads of a team on a device: a block, or the whole grid.

    before   for t in 0..n
               for i in 0..64: store a[i] = f(h[i], x[t])
               for i in 0..64: store h[i] = a[63 - i]
    after    for t in 0..n
               share i in 0..64: store a[i] = f(h[i], x[t])
               barrier
               share i in 0..64: store h[i] = a[63 - i]
               barrier

A transformation of the loop IR. Every thread runs every statement, so that scalars are each thread's own and the same
in all of them. Loops whose iterations are independent are shared out; loops that add up a scalar are shared out and
their sums gathered; whatever else stores to memory is the first thread's. Barriers stand where a thread would read or
overwrite what another one touched since the last barrier, and nowhere else: neighbouring loops of one shape in which
each iteration touches its own elements need none between them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TypeGuard

from scancc.ir.loop import (
    BOOL,
    INT64,
    THREAD,
    Assign,
    Barrier,
    Break,
    Buffer,
    Const,
    Declare,
    Expr,
    Fail,
    For,
    Gather,
    If,
    Kernel,
    Let,
    Note,
    Op,
    Stmt,
    Store,
    Var,
    const_int,
    mul,
)
from scancc.ir.walk import accesses, blocks, expressions, statements, subexpressions
from scancc.passes.loops.disjoint import Lets, apart, definitions

LEADER = Op("equal", (THREAD, const_int(0)), BOOL)
FEW = 32  # elements that each thread adds up for itself
COMBINING = ("add", "multiply", "minimum", "maximum", "logical_or", "logical_and")

# Which thread touches an element: the first one, any, or the one whose iteration has the element's subscripts.
FIRST, ANY = ("first",), ("any",)
Owner = tuple


@dataclass
class State:
    """What was touched since the last barrier, and by whom."""

    read: dict[Buffer, set[Owner]] = field(default_factory=dict)
    written: dict[Buffer, set[Owner]] = field(default_factory=dict)

    def copy(self) -> State:
        return State({b: set(o) for b, o in self.read.items()}, {b: set(o) for b, o in self.written.items()})

    def join(self, other: State) -> State:
        found = self.copy()
        for mine, theirs in ((found.read, other.read), (found.written, other.written)):
            for b, owners in theirs.items():
                mine.setdefault(b, set()).update(owners)
        return found

    def clear(self) -> None:
        self.read, self.written = {}, {}


Accesses = list[tuple[Buffer, Owner, bool]]


def share_loops(kernel: Kernel, team: str, gather: bool = True) -> Kernel:
    """The kernel for a team. `gather`: sums may be added up in another order."""
    work = _Sharing(team, gather, definitions(kernel))
    body, _ = work.block(kernel.body, State())
    return replace(kernel, body=body, team=team, width=work.width)


def shares(kernel: Kernel) -> tuple[int, bool]:
    """How many iterations the widest loop of a kernel would share out (1 where there is none), of those whose number is
    known, and whether there are others."""
    lets = definitions(kernel)
    loops = [s for s in statements(kernel.body) if isinstance(s, For) and _independent(s, lets)]
    widths = [_trips(*_nest(s, lets)) for s in loops] + list(_sums(kernel.body))
    return max((w for w in widths if w is not None), default=1), None in widths


def time_loops(block: list[Stmt]) -> Iterator[For]:
    """The outermost loops that all threads run together, with loops in them that are shared out already."""
    for s in block:
        if is_time_loop(s):
            yield s
        elif not (isinstance(s, For) and s.share):
            for inner in blocks(s):
                yield from time_loops(inner)


def is_time_loop(s: Stmt) -> TypeGuard[For]:
    return isinstance(s, For) and not s.share and not s.threads and any(
        isinstance(i, For) and i.share for i in statements(s.body))  # fmt: skip


def shared_width(block: list[Stmt]) -> int:
    """How many iterations the widest loop has that is shared out already; 1024 where only the data know."""
    stops = [s.stop for s in statements(block) if isinstance(s, For) and s.share]
    return max((int(n.value) if isinstance(n, Const) else 1024 for n in stops), default=1)


def _sums(block: list[Stmt]) -> Iterator[int | None]:
    """How many elements are added up by loops that could be shared out."""
    for i, s in enumerate(block):
        if isinstance(s, For) and _gathered(s, block[:i]) is not None:
            yield _trips([s.var], [s.stop], s.body)
        for inner in blocks(s):
            yield from _sums(inner)


class _Sharing:
    def __init__(self, team: str, gather: bool, lets: Lets) -> None:
        self.team, self.gather, self.lets = team, gather, lets
        self.width = 1

    def block(self, block: list[Stmt], state: State) -> tuple[list[Stmt], State]:
        out: list[Stmt] = []
        state = state.copy()
        for s in block:
            state = self.statement(s, out, state)
        return out, state

    def statement(self, s: Stmt, out: list[Stmt], state: State) -> State:
        match s:
            case For() if _independent(s, self.lets):
                return self.shared(s, out, state)
            case For() if self.gather and _gathered(s, out) is not None:
                return self.gathered(s, out, state)
            case Store() | For() | If() if _alone(s, self.lets):
                self.first(s, out, state)
                return state
            case For(_, start, stop, body):
                self.touch(out, state, _loads(s))
                inner, new = self.to_fixed_point(body, state)
                out.append(replace(s, start=start, stop=stop, body=inner))
                return new
            case If(_, then, orelse):
                self.touch(out, state, _loads(s))
                (then, after), (orelse, other) = self.block(then, state), self.block(orelse, state)
                out.append(replace(s, then=then, orelse=orelse))
                return after.join(other)
            case _:
                self.touch(out, state, _loads(s))
                out.append(s)
                return state

    def to_fixed_point(self, body: list[Stmt], state: State) -> tuple[list[Stmt], State]:
        """The body of a loop that begins with what is left over before it, or by its own last iteration."""
        while True:
            _, after = self.block(body, state)
            joined = state.join(after)
            if joined == state:
                break
            state = joined
        inner, after = self.block(body, state)
        return inner, state.join(after)

    def touch(self, out: list[Stmt], state: State, found: Accesses) -> None:
        """Note accesses, with a barrier before them where another thread's come first."""
        if any(_clash(state, *a) for a in found):
            out.append(Barrier())
            state.clear()
        for buffer, owner, stores in found:
            (state.written if stores else state.read).setdefault(buffer, set()).add(owner)

    # -- the first thread's ------------------------------------------------------------------------------------
    def first(self, s: Stmt, out: list[Stmt], state: State) -> None:
        self.touch(out, state, [(b, FIRST, stores) for i in statements([s]) for b, _, stores in accesses(i)])
        if out and isinstance(out[-1], If) and out[-1].condition == LEADER:
            out[-1] = replace(out[-1], then=[*out[-1].then, s])
        else:
            out.append(If(LEADER, [s]))

    # -- independent iterations ----------------------------------------------------------------------------------
    def shared(self, s: For, out: list[Stmt], state: State) -> State:
        variables, stops, body = _nest(s, self.lets)
        trips = _trips(variables, stops, body)
        self.width = max(self.width, trips or 1024)
        fails = any(isinstance(i, Fail) for i in statements(body))
        self.touch(out, state, [*_loads(s), *_owned(s, variables, stops, body)])
        out.append(_flat(s, variables, stops, body))
        if fails:
            out.append(Barrier(checked=True))
            return State()
        return state

    # -- sums ------------------------------------------------------------------------------------------------------
    def gathered(self, s: For, out: list[Stmt], state: State) -> State:
        found = _gathered(s, out)
        assert found is not None
        self.touch(out, state, [(b, ANY, False) for i in statements([s]) for b, _, _ in accesses(i)])
        out += [replace(s, share="block"), found]
        return state


def _clash(state: State, buffer: Buffer, owner: Owner, stores: bool) -> bool:
    before = [*state.written.get(buffer, ())] + ([*state.read.get(buffer, ())] if stores else [])
    return any(owner == ANY or o != owner for o in before)


def _loads(s: Stmt) -> Accesses:
    return [(b, ANY, False) for b, _, stores in accesses(s) if not stores]


def _alone(s: Stmt, lets: Lets) -> bool:
    """Whether one thread can run a statement for all: nothing of it is a scalar that is read after it, or a jump; and
    whether it should: no loop inside of it could be shared out."""
    if isinstance(s, (For, If)) and not any(isinstance(i, Store) for i in statements([s])):
        return False
    declared = {i.var for i in statements([s]) if isinstance(i, Declare)}
    for i in statements([s]):
        if isinstance(i, (Fail, Break)) and not (isinstance(i, Break) and isinstance(s, For)):
            return False
        if isinstance(i, Assign) and i.var not in declared:
            return False
        if isinstance(i, For) and i is not s and _independent(i, lets):
            return False
    return True


def _independent(s: For, lets: Lets) -> bool:
    """Whether the iterations of a loop may run at once."""
    if isinstance(s.stop, Const) and s.stop.value <= 1 and s.start == const_int(0):
        return False
    inside = list(statements(s.body))
    own = {i.var for i in inside if isinstance(i, Declare)}
    if not any(isinstance(i, Store) for i in inside):
        return False
    for i in inside:
        if not isinstance(i, (Let, Declare, Assign, Store, For, If, Note, Fail)):
            return False
        if isinstance(i, Assign) and i.var not in own:
            return False
    if any(isinstance(i, Fail) for f in inside if isinstance(f, For) for i in statements(f.body)):
        return False  # what fails leaves one loop only
    if s.independent:
        return True
    stores: dict[Buffer, list[tuple[Expr, ...]]] = {}
    for i in inside:
        if isinstance(i, Store):
            stores.setdefault(i.buffer, []).append(i.index)
    axes: dict[Buffer, set[int]] = {}
    for i in inside:
        for buffer, index, writes in accesses(i):
            if buffer in stores and (writes or not all(apart(index, other, lets) for other in stores[buffer])):
                mine = {a for a, e in enumerate(index) if e == s.var}
                axes[buffer] = axes.get(buffer, mine) & mine
    return all(axes[b] for b in stores)


def _nest(s: For, lets: Lets) -> tuple[list[Var], list[Expr], list[Stmt]]:
    """The loops of a perfect nest that are independent, to be run as one, and what is in them."""
    variables, stops, body = [s.var], [s.stop], s.body
    while s.start == const_int(0) and len(body) == 1 and isinstance(body[0], For):
        inner = body[0]
        if inner.start != const_int(0) or not isinstance(inner.stop, (Const, Var)) or not _independent(inner, lets):
            break
        if inner.stop in variables:
            break
        variables, stops, body = [*variables, inner.var], [*stops, inner.stop], inner.body
    return variables, stops, body


def _trips(variables: list[Var], stops: list[Expr], body: list[Stmt]) -> int | None:
    total = 1
    for s in stops:
        if not isinstance(s, Const):
            return None
        total *= int(s.value)
    return total


def _owned(s: For, variables: list[Var], stops: list[Expr], body: list[Stmt]) -> Accesses:
    """Accesses of a nest: an element has one owner where the loops' variables are subscripts on the same axes."""
    found: dict[tuple[Buffer, bool], set[Owner]] = {}
    for i in statements(body):
        for buffer, index, stores in accesses(i):
            axes = tuple(index.index(v) if v in index else -1 for v in variables)
            owner = ANY if -1 in axes or s.start != const_int(0) or s.independent else (tuple(stops), axes)
            found.setdefault((buffer, stores), set()).add(owner)
    return [(b, o, stores) for (b, stores), owners in found.items() for o in owners]


def _flat(s: For, variables: list[Var], stops: list[Expr], body: list[Stmt]) -> For:
    """One loop over all iterations of a nest, the last variable running fastest."""
    if len(variables) == 1:
        return replace(s, share="team")
    total: Expr = const_int(1)
    for d in stops:
        total = mul(total, d)
    flat = Var("".join(v.name for v in variables), INT64)
    lets: list[Stmt] = []
    rest: Expr = flat
    for k in reversed(range(len(variables))):
        lets.append(Let(variables[k], Op("remainder", (rest, stops[k]), INT64) if k else rest))
        if k > 1:
            name = Var(f"{flat.name}_{k}", INT64)
            lets.append(Let(name, Op("floor_divide", (rest, stops[k]), INT64)))
            rest = name
        elif k:
            rest = Op("floor_divide", (rest, stops[k]), INT64)
    return For(flat, const_int(0), total, [*lets, *body], s.note, share="team")


def _gathered(s: For, out: list[Stmt]) -> Gather | None:
    """A loop that adds up a scalar, which was declared just before it with the value that a sum begins with."""
    if not out or not isinstance(out[-1], Declare) or not isinstance(out[-1].expr, Const):
        return None
    if isinstance(s.stop, Const) and s.stop.value < FEW:
        return None
    total = out[-1].var
    inside = list(statements(s.body))
    own = {i.var for i in inside if isinstance(i, Declare)}
    gather: Gather | None = None
    for i in inside:
        match i:
            case Assign(var, Op(name, (first, e), _)) if var == total:
                if gather is not None or first != total or name not in COMBINING or _mentions(e, total):
                    return None
                if not _is_identity(name, out[-1].expr):
                    return None
                gather = Gather(var, name)
            case Assign(var, _) if var not in own:
                return None
            case Let() | Declare() | Assign() | For() | If() | Note():
                if any(_mentions(e, total) for e in expressions(i)):
                    return None
            case _:
                return None
    return gather


def _is_identity(name: str, start: Const) -> bool:
    match name:
        case "add" | "logical_or":
            return bool(start.value == 0)
        case "multiply" | "logical_and":
            return bool(start.value == 1)
        case _:
            return True  # every thread may begin with the same value


def _mentions(e: Expr, var: Var) -> bool:
    return any(x == var for x in subexpressions(e))
