"""In which order the parts of several rows may run together: dependences, and the shifts and the skew they ask for.

Part p of row k of a group runs column j in phase j + shift(p) + skew * k; within a phase rows are in order, and the
parts of a row. If row k needs row k' < k, or overwrites what it reads, all that has to be true is that the phase of
the one that comes first in the program is not later; where one reads what the other stored it is earlier, so that
nothing waits within a phase. That is a wavefront (Lamport, "The parallel execution of DO loops", 1974); the shifts are
those of loop fusion.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from scancc.ir.loop import Assign, Buffer, Const, Expr, Let, Load, Store, Var
from scancc.ir.walk import accesses, statements, variables
from scancc.passes.loops.affine import Form, form
from scancc.passes.loops.row_parts import Part, Rows

OLDEST = 4  # phases that a value may wait in registers for its last reader


@dataclass(frozen=True, slots=True)
class Access:
    part: Part
    buffer: Buffer
    index: tuple[Expr, ...]
    stores: bool
    statement: int  # its number in the part


@dataclass(frozen=True, slots=True)
class Ahead:
    """By how many columns the first of two accesses is ahead of the second where both name one element."""

    least: int
    most: int
    exact: bool  # they name one element if and only if the distance is this


@dataclass(frozen=True, slots=True)
class Forward:
    """What a load reads where all rows run: what `source` stored `age` phases before, `rows` rows above."""

    load: Load
    part: Part
    source: Access
    rows: int
    age: int


class Order:
    """`ok`: whether the rows of a group may run together. In phases first..end, of the first row, all of them run."""

    def __init__(self, rows: Rows, group: int) -> None:
        self.rows, self.group = rows, group
        self.of_part = {id(p): list(self._accesses(p)) for p in rows.parts}
        self.accesses = [a for p in rows.parts for a in self.of_part[id(p)]]
        self.stored = {a.buffer for a in self.accesses if a.stores}
        known = {*rows.advance, *(p.var for p in rows.parts)}
        changed = {s.var for s in rows.body if isinstance(s, Assign)}
        self.unknown = (rows.own | changed) - known  # numbers that a row computes
        self.skew = 0
        self.first = self.end = 0
        self.forwards: list[Forward] = []
        self.long = self._long()
        self._shift()
        self.ok = self._place()
        if self.ok:
            self._forward()

    def _accesses(self, p: Part) -> Iterator[Access]:
        for n, s in enumerate(p.body):
            for buffer, index, stores in accesses(s):
                yield Access(p, buffer, index, stores, n)

    def _long(self) -> list[Part]:
        longest = max(p.stop - p.start for p in self.rows.parts)
        return [p for p in self.rows.parts if not p.late and p.var is not None and 2 * (p.stop - p.start) > longest]

    # -- where two accesses meet ---------------------------------------------------------------------------------------

    def _form(self, e: Expr) -> Form | None:
        found = form(e, self.rows.lets, self.rows.rings)
        return None if found is None or found.factors.keys() & self.unknown else found

    def meet(self, a: Access, b: Access, rows: int, columns: range | None = None) -> Ahead | None:
        """Where `a` in one row and `b`, so many rows below, name one element; None where they never do.

        `columns`: those of `b`, if not all.
        """
        there, here = range(a.part.start, a.part.stop), columns or range(b.part.start, b.part.stop)
        least, most, exact = there.start - (here.stop - 1), there.stop - 1 - here.start, True
        fixed = False
        for x, y in zip(a.index, b.index, strict=True):
            axis = self._axis(a.part, b.part, x, y, rows)
            if axis is None:
                exact = False
                continue
            p, q, away = axis  # p * column of a - q * column of b = away
            if p == q == 0:
                if away:
                    return None
            elif p == q:
                if away % p:
                    return None
                least, most, fixed = max(least, away // p), min(most, away // p), True
            elif q == 0:
                if away % p or away // p not in there:
                    return None
                least, most = max(least, away // p - (here.stop - 1)), min(most, away // p - here.start)
                exact = False
            elif p == 0:
                if away % q or -(away // q) not in here:
                    return None
                least, most = max(least, there.start + away // q), min(most, there.stop - 1 + away // q)
                exact = False
            else:
                exact = False
        return None if least > most else Ahead(least, most, exact and fixed and least == most)

    def _axis(self, a: Part, b: Part, x: Expr, y: Expr, rows: int) -> tuple[int, int, int] | None:
        """Factors of the columns of both and what their difference has to be; None where that is not known."""
        left, right = self._form(x), self._form(y)
        if left is None or right is None or left.around != right.around:
            return None
        p, left = left.without(a.var)
        q, right = right.without(b.var)
        if left.factors != right.factors:
            return None
        away = right.rest - left.rest
        away += rows * sum(f * self.rows.advance.get(v, 0) for v, f in right.factors.items())
        if left.around:
            return None if p or q else (0, 0, away % left.around)
        return p, q, away

    # -- shifts and the skew -------------------------------------------------------------------------------------------

    def _shift(self) -> None:
        far = max(p.stop for p in self.rows.parts)
        for n, p in enumerate(self.rows.parts):
            p.shift = far - p.start if p.late else 0 if p in self.long else self._natural(p)
            for before in self.rows.parts[:n]:
                for a, b, rows in self._pairs(before, p, range(1)):
                    ahead = self.meet(a, b, rows)
                    if ahead is not None:
                        p.shift = max(p.shift, ahead.most + before.shift)
        for n, p in reversed(list(enumerate(self.rows.parts))):
            if isinstance(p.statement, Store) and not p.late and all(isinstance(i, Const) for i in p.statement.index):
                self._delay(p, self.rows.parts[n + 1 :])
        for p in self.rows.parts:
            for q in self.rows.parts:
                for a, b, rows in self._pairs(p, q, range(1, self.group)):
                    ahead = self.meet(a, b, rows)
                    if ahead is not None:
                        reads = a.stores and not b.stores
                        self.skew = max(self.skew, -(-(ahead.most + p.shift - q.shift + reads) // rows))

    def _delay(self, p: Part, later: list[Part]) -> None:
        """An element that every row stores anew is stored next to the first of the row that reads it."""
        shifts: list[int] = []
        for q in later:
            for a, b, rows in self._pairs(p, q, range(1)):
                ahead = self.meet(a, b, rows)
                if ahead is not None:
                    shifts.append(q.shift - ahead.most)
        p.shift = max(p.shift, min(shifts, default=p.shift))

    def _natural(self, p: Part) -> int:
        """A few elements are stored when a long loop would come by: next to its own."""
        for s in statements([p.statement]):
            if isinstance(s, Store) and s.index:
                found = self._form(s.index[-1])
                if found is not None and not found.without(p.var)[1].factors:
                    return found.rest
        return 0

    def _pairs(self, p: Part, q: Part, distances: range) -> Iterator[tuple[Access, Access, int]]:
        for a in self.of_part[id(p)]:
            for b in self.of_part[id(q)]:
                if a.buffer is b.buffer and (a.stores or b.stores):
                    for rows in distances:
                        yield a, b, rows

    def _place(self) -> bool:
        """The phases in which all long parts run, and nothing else."""
        if not self.long:
            return False
        self.first, self.end = max(p.first for p in self.long), min(p.end for p in self.long)
        middle = (self.first + self.end) // 2
        for p in self.rows.parts:
            if p not in self.long and p.end <= middle:
                self.first = max(self.first, p.end)
            elif p not in self.long:
                self.end = min(self.end, p.first)
        return self.start < self.end

    @property
    def start(self) -> int:
        """The first phase in which all rows run."""
        return self.first + (self.group - 1) * self.skew

    # -- values in registers -------------------------------------------------------------------------------------------

    def _forward(self) -> None:
        for load in self.accesses:
            if load.stores or load.buffer not in self.stored or load.part not in self.long:
                continue
            found = self._source(load)
            if found is None:
                continue
            source, rows, away = found
            age = rows * self.skew + load.part.shift - source.part.shift - away
            if age > OLDEST:
                continue
            # In all these phases the element is one that the source stored, and in the last ones it is read once more.
            first = max(self.first, source.part.start - away + load.part.shift)
            end = min(self.end, source.part.stop - away + load.part.shift,
                      load.part.end - max(0, age - rows * self.skew))  # fmt: skip
            if first + (self.group - 1) * self.skew >= end:
                continue
            self.first, self.end = first, end
            self.forwards.append(Forward(Load(load.buffer, load.index), load.part, source, rows, age))

    def _source(self, load: Access) -> tuple[Access, int, int] | None:
        """The store whose value a load finds, how many rows above, and how many columns ahead."""
        columns = range(self.first - load.part.shift, self.end - load.part.shift)
        for rows in range(self.group):
            found: list[tuple[Access, Ahead]] = []
            for a in self.accesses:
                if not a.stores or a.buffer is not load.buffer:
                    continue
                ahead = self.meet(a, load, rows, columns)
                if ahead is None:
                    continue
                if rows == 0 and not self._before(a, load, ahead):
                    continue
                found.append((a, ahead))
            if found:
                ((a, ahead), *more) = found
                if more or not ahead.exact or a.part not in self.long:
                    return None
                if any(variables(i) & own_lets(a.part) for i in a.index):
                    return None
                if a.part is load.part and rows == 0 and ahead.most == 0:
                    return None  # in one iteration: the machine's compiler sees that
                return a, rows, ahead.most
        return None

    def _before(self, a: Access, load: Access, ahead: Ahead) -> bool:
        """Whether, in one row, the store may come before the load."""
        if a.part is load.part:
            return ahead.least < 0 or (ahead.least == 0 and a.statement < load.statement)
        return self.rows.parts.index(a.part) < self.rows.parts.index(load.part)

    def whole(self, f: Forward) -> bool:
        """Whether no other row above has the element in another column."""
        load = next(a for a in self.accesses if not a.stores and a.part is f.part and
                    (a.buffer, a.index) == (f.load.buffer, f.load.index))  # fmt: skip
        here = self.meet(f.source, load, f.rows)
        others = (self.meet(f.source, load, rows) for rows in range(2 * self.group))
        return all(o is None or o == here for o in others)


def own_lets(p: Part) -> set[Var]:
    return {s.var for s in p.body if isinstance(s, Let)}
