"""The statements of a loop over rows by when they can run, if several rows are to be under way at once.

    early   scalars that a row's loops need, ring slots among them: they depend on no loop, so all rows of a group can
            have theirs before the first
    parts   loops over the columns, and stores of single elements
    late    scalars that depend on what a row's loops made, and stores of them: after the row
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace

from scancc.ir.loop import (
    Assign,
    Buffer,
    Const,
    Declare,
    Expr,
    For,
    Kernel,
    Let,
    Load,
    Note,
    Op,
    Stmt,
    Store,
    Var,
    add,
)
from scancc.ir.rewrite import Replaced
from scancc.ir.walk import expressions, statement_loads, statements, subexpressions, variables


@dataclass(eq=False)
class Part:
    """A loop over columns, or one statement that touches memory (`var` is None, and its only column 0)."""

    statement: Stmt
    body: list[Stmt]
    var: Var | None
    start: int
    stop: int
    states: list[Var]
    late: bool = False
    shift: int = 0  # column `j` runs in phase `j + shift` of its row

    @property
    def first(self) -> int:
        return self.start + self.shift

    @property
    def end(self) -> int:
        return self.stop + self.shift


@dataclass
class Rows:
    """A loop over rows in parts."""

    loop: For
    body: list[Stmt]
    parts: list[Part]
    early: list[Let | Assign]  # in their order
    states: dict[Var, Declare]  # carried from column to column
    lets: dict[Var, Expr]
    own: set[Var]  # everything that a row defines
    advance: dict[Var, int] = field(default_factory=dict)  # by how much a variable grows from row to row
    rings: dict[Var, int] = field(default_factory=dict)  # where it starts again

    @property
    def carried(self) -> list[Var]:
        """Early variables that go from row to row."""
        return [s.var for s in self.early if isinstance(s, Assign)]


def rows_of(loop: For, kernel: Kernel) -> Rows | None:
    """The parts of a loop over rows; None where it has statements that do not fit."""
    if not any(isinstance(s, For) for s in loop.body):
        return None  # most loops: the kernel around them need not be looked at
    if not all(isinstance(s, (Let, Declare, Assign, Store, For, Note)) for s in loop.body):
        return None
    body = _without_spills(loop.body, kernel)
    stored = {s.buffer for s in statements(body) if isinstance(s, Store)}
    parts: list[Part] = []
    for s in body:
        if isinstance(s, For):
            part = _loop(s)
            if part is None:
                return None
            parts.append(part)
        elif isinstance(s, Store) or any(x.buffer in stored for x in statement_loads(s)):
            parts.append(Part(s, [s], None, 0, 1, []))
    declared = {s.var: s for s in body if isinstance(s, Declare)}
    changed = [v for p in parts for v in p.states]
    if not changed or len(set(changed)) != len(changed) or not set(changed) <= declared.keys():
        return None  # nothing waits, or for something that goes from row to row
    lets = {s.var: s.expr for s in statements(body) if isinstance(s, Let)}
    own = {s.var for s in statements(body) if isinstance(s, (Let, Declare, For))}
    states = {v: declared[v] for v in changed}
    rows = Rows(loop, body, parts, [], states, lets, own)
    if not (_classify(rows, stored) and _in_order(rows)):
        return None
    _count_slots(rows, kernel)
    return rows


def _loop(s: For) -> Part | None:
    """A loop of straight code whose bounds are known."""
    if not (isinstance(s.start, Const) and isinstance(s.stop, Const)) or s.threads or s.share:
        return None
    if not all(isinstance(i, (Let, Assign, Store, Note)) for i in s.body) or s.stop.value <= s.start.value:
        return None
    states = list(dict.fromkeys(i.var for i in s.body if isinstance(i, Assign)))
    return Part(s, s.body, s.var, int(s.start.value), int(s.stop.value), states)


def _needs(s: Stmt) -> set[Var]:
    """Variables that a statement takes from outside of it."""
    inside = {i.var for i in statements([s]) if isinstance(i, (Let, For)) and i is not s}
    read = {v for i in statements([s]) for e in expressions(i) for v in variables(e)}
    return read - inside - ({s.var} if isinstance(s, For) else set())


def _classify(rows: Rows, stored: set[Buffer]) -> bool:
    """Sets `early` and which parts are late; whether the loops can do without what is late."""
    by_part = {id(p.statement) for p in rows.parts}
    scalars = [s for s in rows.body if isinstance(s, (Let, Declare, Assign))]
    tainted = set(rows.states)
    size = -1
    while size != len(tainted):  # to the end: a carried variable comes back in the next row
        size = len(tainted)
        tainted |= {s.var for s in scalars if _needs(s) & tainted or id(s) in by_part}
    needed: set[Var] = set()
    for p in rows.parts:
        others = tainted - set(p.states)
        p.late = not p.states and bool(_needs(p.statement) & tainted or not isinstance(p.statement, (For, Store)))
        if p.late:
            continue
        if _needs(p.statement) & others:
            return False
        needed |= _needs(p.statement) - set(p.states)
    needed |= {v for d in rows.states.values() for v in variables(d.expr)}
    if any(variables(d.expr) & tainted or _loads(d.expr) & stored for d in rows.states.values()):
        return False
    size = -1
    while size != len(needed):
        size = len(needed)
        needed |= {v for s in scalars if s.var in needed for v in variables(s.expr)}
    if needed & tainted or any(isinstance(s, Declare) and s.var in needed for s in scalars):
        return False
    rows.early = [s for s in scalars if s.var in needed and isinstance(s, (Let, Assign))]
    return not any(_loads(s.expr) & stored for s in rows.early)


def _loads(e: Expr) -> set[Buffer]:
    return {x.buffer for x in subexpressions(e) if isinstance(x, Load)}


def _in_order(rows: Rows) -> bool:
    """Whether what goes from row to row is set once, after all of a row that reads it; and what goes from column to
    column is read by others when it is complete."""
    set_already: set[Var] = set()
    begun: set[Var] = set()
    for s in rows.body:
        if isinstance(s, For):
            begun -= {i.var for i in s.body if isinstance(i, Assign)}
        if _needs(s) & (set_already | begun):
            return False
        if isinstance(s, Declare):
            begun |= {s.var} & rows.states.keys()
        if isinstance(s, Assign):
            if s.var in set_already or s.var in rows.own:
                return False
            set_already.add(s.var)
    return True


def _count_slots(rows: Rows, kernel: Kernel) -> None:
    """Finds the counters of ring slots: 0, 1, ... rows - 1, 0, ..."""
    rows.advance[rows.loop.var] = 1
    declared = [s for s in statements(kernel.body) if isinstance(s, Declare)]
    outside = {s.var: s.expr for s in declared}
    changes = [s.var for s in statements(kernel.body) if isinstance(s, Assign)]
    for s in rows.early:
        if not isinstance(s, Assign):
            continue
        start, known = outside.get(s.var), _ring(s, rows.lets)
        once = changes.count(s.var) == 1 == sum(d.var == s.var for d in declared)
        if once and known and isinstance(start, Const) and 0 <= start.value < known:
            rows.advance[s.var], rows.rings[s.var] = 1, known


def _ring(s: Assign, lets: dict[Var, Expr]) -> int:
    """How many slots a counter goes around in: set slot = where(equal(slot + 1, rows), 0, slot + 1); else 0."""
    match s.expr:
        case Op("where", (Op("equal", (a, Const(count, _)), _), Const(0, _), b), _) if a == b:
            following = lets.get(a, a) if isinstance(a, Var) else a
            return int(count) if following == add(s.var, 1) else 0
    return 0


# -- values that take a way through memory -----------------------------------------------------------------------------


def _without_spills(body: list[Stmt], kernel: Kernel) -> list[Stmt]:
    """Single elements that a row reads back are the value itself: spill[0] = v; for c in 0..1: r[t, c] = spill[c]."""
    if not any(_is_single(s) for s in body):
        return body
    every = list(statements(kernel.body))
    stores = Counter(s.buffer for s in every if isinstance(s, Store))
    mutable = {s.var for s in every if isinstance(s, Assign)}
    found: dict[Load, Expr] = {}
    made: list[Stmt] = []
    for s in body:
        if isinstance(s, Store) and stores[s.buffer] == 1 and _is_fixed(s.expr, mutable):
            found[Load(s.buffer, s.index)] = s.expr
        made.append(_read_back(s, found) if isinstance(s, For) else s)
    return made


def _is_single(s: Stmt) -> bool:
    """Whether a statement is a loop of one iteration."""
    return isinstance(s, For) and isinstance(s.start, Const) and add(s.start, 1) == s.stop


def _read_back(s: For, found: dict[Load, Expr]) -> For:
    if not _is_single(s):
        return s
    values: dict[Load, Expr] = {}
    for x in statement_loads(s):
        value = found.get(Load(x.buffer, tuple(s.start if i == s.var else i for i in x.index)))
        if value is not None:
            values[x] = value
    return replace(s, body=Replaced({}, values).block(s.body))


def _is_fixed(e: Expr, mutable: set[Var]) -> bool:
    return isinstance(e, Const) or (isinstance(e, Var) and e not in mutable)
