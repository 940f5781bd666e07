"""Several rows of a nested recurrence at once, each a column or more behind the row above.

    before   for t in 0..n
               for j in 0..m: left = f(r[t - 1, j], r[t - 1, j + 1], left); store r[t, j + 1] = left
    after    for g in 0..n / 4                                                 4 steps of ... at a time
               for k in 0..4: for j in 0..4 - k: ...                           the first columns of each row
               for p in 4..m - 1
                 left1 = f(r[4 g - 1, p], r[4 g - 1, p + 1], left1)
                 left2 = f(before1, last1, left2)                              column p - 1; the row above: registers
                 left3 = f(before2, last2, left3)                              column p - 2
                 left4 = f(before3, last3, left4); store r[4 g + 3, p - 2] = left4
                 before1 = last1; last1 = left1; ...
               for k in 0..4: for j in m - 1 - k..m: ...                       the last columns of each row
             for t in 4 (n / 4)..n: as before

A transformation of the loop IR, after lowering. A cell of such a table waits for the one on its left, so a row takes as
long as its chain of operations, and the processor idles; cells on a diagonal do not wait for one another. Loops of a
group of rows are skewed and jammed (Lamport, "The parallel execution of DO loops", 1974; Wolfe, "Loop skewing: the
wavefront method revisited", 1986), so that as many chains are under way as there are rows. Rows that do not wait for
one another at all are jammed without a skew. Arithmetic is that of the loop, operation by operation, whatever the order
of the rows, so it is done under `strict_fp`, too.

`row_parts` says what a row consists of, `row_order` whether rows may run together; a loop that does not fit stays as it
is. What a row reads of those above is in registers where all rows run; `row_readers` says which rows have to be stored
as well.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace

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
from scancc.ir.rewrite import Replaced
from scancc.ir.walk import expressions, subexpressions, variables
from scancc.passes.loops.arrival import Step
from scancc.passes.loops.dead_stores import drop_dead_stores
from scancc.passes.loops.fresh import Fresh
from scancc.passes.loops.row_order import Access, Forward, Order
from scancc.passes.loops.row_parts import Part, Rows, rows_of
from scancc.passes.loops.row_readers import rows_needed
from scancc.passes.loops.split_loops import CYCLES
from scancc.passes.lower import Lowered

ROWS = 4  # of a group: chains of 8 cycles keep two units busy, and their values fit in 16 registers
LEAST_PHASES = 16  # in which all rows run
REDUCTIONS = frozenset("add multiply multiply_add minimum maximum fmin fmax logical_and logical_or".split())
UNITS = {"f": 2.0}  # operations on floats that a core begins in a cycle
SIMPLE = 4.0  # those on integers and conditions
GAIN = 2.0  # what a row waits for, as a multiple of the cycles of its arithmetic
LEAST_WAIT = 3.0  # cycles


def skew_rows(lowered: Lowered) -> Lowered:
    """The same program. Results are equal bit for bit."""
    made: list[Buffer] = []
    body = _block(lowered.kernel.body, lowered, Fresh(lowered.kernel), made)
    if not made:
        return lowered
    kernel = replace(lowered.kernel, body=body, params=[*lowered.kernel.params, *made])
    return drop_dead_stores(replace(lowered, kernel=kernel, allocated=[*lowered.allocated, *made]))


def _block(block: list[Stmt], lowered: Lowered, fresh: Fresh, made: list[Buffer]) -> list[Stmt]:
    out: list[Stmt] = []
    for n, s in enumerate(block):
        group = _group(s, block[n + 1 :], lowered, fresh) if _has_loops(s) else None
        if group is not None:
            out += group.statements()
            made += group.made
        else:
            out.append(replace(s, body=_block(s.body, lowered, fresh, made)) if isinstance(s, For) else s)
    return out


def _has_loops(s: Stmt) -> bool:
    return isinstance(s, For) and any(isinstance(i, For) for i in s.body)


def _group(s: Stmt, after: list[Stmt], lowered: Lowered, fresh: Fresh) -> _Group | None:
    """`after`: what follows in the block."""
    assert isinstance(s, For)
    if isinstance(s.stop, Const) and isinstance(s.start, Const) and s.stop.value - s.start.value < ROWS:
        return None
    rows = rows_of(s, lowered.kernel)
    if rows is None or not _worth(rows):
        return None
    order = Order(rows, ROWS)
    if not order.ok or order.end - order.start < LEAST_PHASES:
        return None
    return _Group(rows, order, fresh, rows_needed(rows, order, after, lowered))


def _worth(rows: Rows) -> bool:
    """Whether a row waits for its chain at least twice as long as its arithmetic takes."""
    waits = busy = 0.0
    for p in rows.parts:
        if p.var is None or p.stop - p.start < LEAST_PHASES:
            continue
        ops = [x for s in p.body for e in expressions(s) for x in subexpressions(e) if isinstance(x, Op)]
        if not p.states and any(x.name in CYCLES for x in ops):
            return False  # vectorised as it is
        # Index arithmetic is part of addresses.
        ops = [x for x in ops if not (x.dtype == INT64 and p.var in variables(x) and not _loads(x))]
        busy += sum(CYCLES.get(x.name, 1) / UNITS.get(x.dtype.kind, SIMPLE) for x in ops)
        if not _reduces(p):
            waits = max(waits, _waits(p))
    return waits >= max(GAIN * busy, LEAST_WAIT)


def _reduces(p: Part) -> bool:
    """Whether all that goes from column to column is a sum, or the like, of a row: those are vectorised."""
    read = Counter(x for s in p.body for e in expressions(s) for x in subexpressions(e) if x in p.states)
    return all(
        isinstance(s.expr, Op) and s.expr.name in REDUCTIONS and s.var in s.expr.args and read[s.var] == 1
        for s in p.body
        if isinstance(s, Assign)
    )


def _loads(e: Expr) -> bool:
    return any(isinstance(x, Load) for x in subexpressions(e))


def _waits(p: Part) -> float:
    lets = {s.var: s.expr for s in p.body if isinstance(s, Let)}
    following = {s.var: s.expr for s in p.body if isinstance(s, Assign)}
    inside = lets.keys() | following.keys() | {p.var}
    stored = [s.expr for s in p.body if isinstance(s, Store)]
    step = Step(lets, following, stored, lambda e: not variables(e) & inside)
    return step.waits(set(p.states))[0]


# -- the new loops ---------------------------------------------------------------------------------------------------


class _Folded(Replaced):
    """Variables and loads that are others, and subscripts with their constants in one place."""

    def expr(self, e: Expr) -> Expr:
        made = super().expr(e)
        if isinstance(made, Op) and made.dtype == INT64 and made.name in ("add", "subtract"):
            a, b = made.args
            if isinstance(b, Const):
                return add(a, int(b.value) if made.name == "add" else -int(b.value))
        return made


@dataclass
class _Row:
    """A row of a group in the loop that runs all of them."""

    names: dict[Var, Expr]  # of what is the same in all columns, and of its states
    delayed: dict[int, list[Var]] = field(default_factory=dict)  # by store: its values of the last phases, latest first
    values: dict[int, Expr] = field(default_factory=dict)  # by store: that of this phase


class _Group:
    """What a loop over rows becomes."""

    def __init__(self, rows: Rows, order: Order, fresh: Fresh, last: dict[int, int]) -> None:
        self.rows, self.order, self.fresh, self.last = rows, order, fresh, last
        self.first = fresh.var("first")
        self.kept = {v: Buffer(fresh.name(f"{v.name}_kept"), v.dtype, (const_int(ROWS),), "scratch")
                     for v in rows.states}  # fmt: skip
        self.made = list(self.kept.values())
        self.mutable: set[Var] = set()
        self.saved = {v: fresh.var(f"{v.name}_first", v) for v in rows.carried}

    def statements(self) -> list[Stmt]:
        loop = self.rows.loop
        steps = sub(loop.stop, loop.start)
        count: Expr
        if isinstance(steps, Const):
            count = const_int(int(steps.value) // ROWS)
        else:
            whole = Op("floor_divide", (steps, const_int(ROWS)), INT64)
            count = Op("maximum", (whole, const_int(0)), INT64)
        groups, group = self.fresh.var("groups"), self.fresh.var("group")
        name = loop.note.removeprefix("steps of ") or "the loop"
        body: list[Stmt] = [Let(self.first, add(loop.start, mul(group, const_int(ROWS))))]
        body += [Let(saved, v) for v, saved in self.saved.items()]
        body.append(self._each_row(self._begin, "their first columns"))
        body += [Assign(v, saved) for v, saved in self.saved.items()]
        body += self._together()
        body.append(self._each_row(self._finish, "their last columns"))
        done = add(loop.start, mul(groups, const_int(ROWS)))
        return [
            Let(groups, count),
            For(group, const_int(0), groups, body, f"{ROWS} steps of {name} at a time"),
            replace(loop, start=done, body=self.rows.body),
        ]

    # -- where not all rows run ----------------------------------------------------------------------------------------

    def _each_row(self, statements: Callable[[Var], list[Stmt]], note: str) -> For:
        k = self.fresh.var("k")
        body: list[Stmt] = [Let(self.rows.loop.var, add(self.first, k)), *statements(k)]
        return For(k, const_int(0), const_int(ROWS), body, note)

    def _begin(self, k: Var) -> list[Stmt]:
        """The columns before all rows run."""
        order, made = self.order, list[Stmt]()
        behind = mul(k, const_int(order.skew))
        parts = {id(p.statement): p for p in self.rows.parts}
        for s in self.rows.body:
            part = parts.get(id(s))
            if part is not None and part in order.long:
                assert isinstance(s, For)
                made.append(replace(s, stop=sub(const_int(order.start - part.shift), behind), note=""))
            elif (part is not None and part.end <= order.first and not part.late) or s in self.rows.early:
                made.append(s)
            elif isinstance(s, Declare) and s.var in self.kept:
                made.append(s)
        return [*made, *(Store(b, (k,), v) for v, b in self.kept.items())]

    def _finish(self, k: Var) -> list[Stmt]:
        """The columns after that, and what comes at the end of a row."""
        order, made = self.order, list[Stmt]()
        behind = mul(k, const_int(order.skew))
        parts = {id(p.statement): p for p in self.rows.parts}
        for s in self.rows.body:
            part = parts.get(id(s))
            if part is not None and part in order.long:
                assert isinstance(s, For)
                made.append(replace(s, start=sub(const_int(order.end - part.shift), behind), note=""))
            elif isinstance(s, Declare) and s.var in self.kept:
                made.append(Declare(s.var, Load(self.kept[s.var], (k,)), s.loc))
            elif part is None or part.late or part.first >= order.end:
                made += [] if isinstance(s, Note) else [s]
        return made

    # -- where they do -------------------------------------------------------------------------------------------------

    def _together(self) -> list[Stmt]:
        before: list[Stmt] = []
        rows = self._prepared(before)
        phase = self.fresh.var("phase")
        body: list[Stmt] = []
        for k in range(ROWS):
            for p in self.order.long:
                body += self._column(p, k, rows, phase)
        for row in rows:
            for a, olds in row.delayed.items():
                following = [row.values[a], *olds[:-1]]
                body += [Assign(old, value) for old, value in zip(reversed(olds), reversed(following), strict=True)]
        order = self.order
        loop = For(phase, const_int(order.start), const_int(order.end), body, f"all {ROWS} rows")
        return [*before, loop, *self._back_in_memory(rows)]

    def _prepared(self, made: list[Stmt]) -> list[_Row]:
        """What each row needs before its first column, and the values that it reads of those above."""
        now: dict[Var, Expr] = dict(self.saved)
        rows: list[_Row] = []
        for k in range(ROWS):
            names: dict[Var, Expr] = {**now, self.rows.loop.var: add(self.first, k)}
            for s in self.rows.early:
                var = self.fresh.var(s.var.name, s.var)
                made.append(Let(var, _Folded(names).expr(s.expr), s.loc))
                if isinstance(s, Let):
                    names[s.var] = var
                else:
                    now[s.var] = var
            for v, buffer in self.kept.items():
                state = self.fresh.var(v.name, v)
                made.append(Declare(state, Load(buffer, (const_int(k),))))
                names[v] = state
                self.mutable.add(state)
            rows.append(_Row(names))
            for a in self._sources():
                phases = max((f.age for f in self._readers(a, k)), default=0)
                olds = [self.fresh.var(f"{a.buffer.name}_above", Load(a.buffer, a.index)) for _ in range(phases)]
                made += [Declare(v, Load(a.buffer, self._place(a, k, names, self.order.start - 1 - n)))
                         for n, v in enumerate(olds)]  # fmt: skip
                self.mutable |= set(olds)
                if olds:
                    rows[-1].delayed[id(a)] = olds
        return rows

    def _sources(self) -> list[Access]:
        return list({id(f.source): f.source for f in self.order.forwards}.values())

    def _readers(self, a: Access, k: int) -> list[Forward]:
        return [f for f in self.order.forwards if f.source is a and k + f.rows < ROWS]

    def _place(self, a: Access, k: int, names: dict[Var, Expr], phase: int) -> tuple[Expr, ...]:
        """Where the row's value of a phase is in memory."""
        assert a.part.var is not None
        column = const_int(phase - a.part.shift - k * self.order.skew)
        return tuple(_Folded({**names, a.part.var: column}).expr(i) for i in a.index)

    def _column(self, p: Part, k: int, rows: list[_Row], phase: Var) -> list[Stmt]:
        assert p.var is not None
        names = {**rows[k].names, p.var: sub(phase, p.shift + k * self.order.skew)}
        loads: dict[Load, Expr] = {}
        for f in self.order.forwards:
            if f.part is p and k >= f.rows:
                above = rows[k - f.rows]
                loads[f.load] = above.delayed[id(f.source)][f.age - 1] if f.age else above.values[id(f.source)]
        stores = {a.statement: a for a in self.order.accesses if a.stores and a.part is p}
        made: list[Stmt] = []
        for n, s in enumerate(p.body):
            new = _Folded(names, loads)
            if isinstance(s, Let):
                var = self.fresh.var(s.var.name, s.var)
                made.append(Let(var, new.expr(s.expr), s.loc))
                names[s.var] = var
            elif isinstance(s, Assign):
                state = names[s.var]
                assert isinstance(state, Var)
                made.append(Assign(state, new.expr(s.expr), s.loc))
            elif isinstance(s, Store):
                made += self._store(s, stores[n], k, rows[k], new)
        return made

    def _store(self, s: Store, a: Access, k: int, row: _Row, new: Replaced) -> list[Stmt]:
        value, made = new.expr(s.expr), list[Stmt]()
        if self._readers(a, k):
            if not isinstance(value, (Var, Const)) or value in self.mutable:
                var = self.fresh.var("cell", value)
                made.append(Let(var, value, s.loc))
                value = var
            row.values[id(a)] = value
        if self._stays(a, k):
            made.append(Store(s.buffer, tuple(map(new.expr, s.index)), value, s.loc))
        return made

    def _stays(self, a: Access, k: int) -> bool:
        return k >= ROWS - self.last.get(id(a), ROWS)

    def _back_in_memory(self, rows: list[_Row]) -> list[Stmt]:
        """States, and the values that the last columns read."""
        made: list[Stmt] = []
        for k, row in enumerate(rows):
            for v, buffer in self.kept.items():
                made.append(Store(buffer, (const_int(k),), row.names[v]))
            for a in self._sources():
                if not self._stays(a, k):
                    made += [Store(a.buffer, self._place(a, k, row.names, self.order.end - 1 - n), old)
                             for n, old in enumerate(row.delayed.get(id(a), []))]  # fmt: skip
        return made
