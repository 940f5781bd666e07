"""What is made element by element is put where an operand was that nobody reads any more.

    before   for t in 0..n: store rows[t + 1] = f(rows[t])
             for i in 0..n: store result[i] = rows[i + 1] * 2
    after    for t in 0..n: store rows[t + 1] = f(rows[t])
             for i in 0..n: store rows[i + 1] = rows[i + 1] * 2          the result: rows[1:]

Memory that is allocated anew is taken from the operating system page by page, and written for the first time, which
takes as long as the arithmetic. After `shrink_scratch`: memory for one tile of lanes is in the cache as it is.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

from scancc.ir.loop import Buffer, Const, Expr, For, Let, Op, Stmt, Store, Var, add
from scancc.ir.rewrite import Rewriter
from scancc.ir.walk import accesses, statements, uses
from scancc.passes.lower import Lowered


def reuse_memory(lowered: Lowered) -> Lowered:
    """The same program with less memory; results are equal bit for bit."""
    return _Reuse(lowered).program()


class _Reuse:
    """Goes through the statements of a kernel once. Where buffers are named is kept up to date on the way."""

    def __init__(self, lowered: Lowered) -> None:
        self.lowered = lowered
        self.body = lowered.kernel.body
        self.places: dict[Buffer, list[int]] = {}  # of the statements that name a buffer
        self.called: dict[Buffer, int] = {}  # the last of them that does not only load or store elements
        for place, s in enumerate(self.body):
            named, elements = uses([s]), Counter(b for inner in statements([s]) for b, _, _ in accesses(inner))
            for b, n in named.items():
                self.places.setdefault(b, []).append(place)
                if elements[b] != n:
                    self.called[b] = place
        self.free = lowered.own_scratch()
        self.results = dict(lowered.results)
        self.labels: dict[Buffer, list[str]] = {}  # of the results that lie in a buffer
        for label, (b, _) in self.results.items():
            self.labels.setdefault(b, []).append(label)
        self.others = replace(lowered, results={}).seen()
        self.allocated = set(lowered.allocated)
        self.gone: set[Buffer] = set()

    def program(self) -> Lowered:
        for place, s in enumerate(self.body):
            found = self._operand(s, place)
            if found is not None:
                self._put(found)
        if not self.gone:
            return self.lowered
        return replace(self.lowered, results=self.results).without(self.gone)

    def _put(self, found: _InPlace) -> None:
        """Have what is made where the operand was."""
        made, operand = found.made, found.operand
        for place in dict.fromkeys(self.places[made]):
            self.body[place] = found.statement(self.body[place])
        self.places[operand] += self.places.pop(made)
        for label in self.labels.get(made, ()):
            self.results[label] = operand, found.lead
        if made in self.labels:
            self.labels.setdefault(operand, []).extend(self.labels.pop(made))
            self.free.discard(operand)
        self.free.discard(made)
        self.gone.add(made)

    def _operand(self, s: Stmt, place: int) -> _InPlace | None:
        """What a loop reads last, and what it makes in its place; None if there is nothing of the kind."""
        store = _element_by_element(s)
        if store is None or self.places[store.buffer][0] < place or uses([s])[store.buffer] > 1:
            return None
        made = store.buffer
        if not (made in self.free or self._is_result(made)) or self.called.get(made, place) > place:
            return None
        places: dict[Buffer, set[tuple[Expr, ...]]] = {}
        for inner in statements([s]):
            for buffer, index, _ in accesses(inner):
                places.setdefault(buffer, set()).add(index)
        for buffer, indices in places.items():
            last = self.places[buffer][-1] == place
            if buffer in self.free and buffer is not made and buffer.dtype == made.dtype and last:
                more = _rows_more(buffer, made)
                for first, lead in () if more is None else ((0, -more), (more, more)):
                    if indices == {(add(store.index[0], first), *store.index[1:])}:
                        return _InPlace(buffer, made, first, lead)
        return None

    def _is_result(self, b: Buffer) -> bool:
        """Whether all that is seen of a buffer is that it is a result, as it is."""
        labels = [k for k in self.labels.get(b, ()) if self.results[k] == (b, 0)]
        return (b in self.allocated and b not in self.others and bool(labels)
                and not any(k in self.lowered.executed for k in labels))  # fmt: skip


@dataclass(frozen=True)
class _InPlace(Rewriter):
    """Accesses to what is made, where it is now: `first` rows further on in the memory of an operand.

    `lead`: the rows in front of it that are not part of it, or, less than 0, behind it.
    """

    operand: Buffer
    made: Buffer
    first: int
    lead: int

    def access(self, buffer: Buffer, index: tuple[Expr, ...]) -> tuple[Buffer, tuple[Expr, ...]]:
        if buffer is not self.made:
            return buffer, index
        return self.operand, (add(index[0], self.first), *index[1:])


def _rows_more(b: Buffer, than: Buffer) -> int | None:
    """How many rows more one buffer has than another one that is like it otherwise."""
    if len(b.shape) != len(than.shape) or b.shape[1:] != than.shape[1:]:
        return None
    match b.shape[0], than.shape[0]:
        case x, y if x == y:
            return 0
        case Const(m), Const(n):
            return int(m - n) if m > n else None
        case Op("add", (x, Const(more)), _), y if x == y:
            return int(more)
        case _:
            return None


def _element_by_element(s: Stmt) -> Store | None:
    """The last store of a nest of loops that makes one element of each of some arrays in each of its iterations."""
    loops: set[Var] = set()
    while isinstance(s, For):
        if not s.body or not all(isinstance(x, (Let, Store)) for x in s.body[:-1]):
            return None
        loops.add(s.var)
        s = s.body[-1]
    if isinstance(s, Store) and loops and set(s.index) == loops and len(s.index) == len(loops):
        return s
    return None
