"""What is made element by element is put where an operand was that nobody reads any more.

    before   for t in 0..n: store rows[t + 1] = f(rows[t])
             for i in 0..n: store result[i] = rows[i + 1] * 2
    after    for t in 0..n: store rows[t + 1] = f(rows[t])
             for i in 0..n: store rows[i + 1] = rows[i + 1] * 2          the result: rows[1:]

Memory that is allocated anew is taken from the operating system page by page, and written for the first time, which
takes as long as the arithmetic. After `shrink_scratch`: memory for one tile of lanes is in the cache as it is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from scancc.ir.loop import Buffer, Const, Expr, For, Let, Op, Stmt, Store, Var, add
from scancc.ir.rewrite import Rewriter
from scancc.ir.walk import accesses, statements, touched, uses
from scancc.passes.lower import Lowered


def reuse_memory(lowered: Lowered) -> Lowered:
    """The same program with less memory; results are equal bit for bit."""
    place = 0
    while place < len(lowered.kernel.body):
        body = lowered.kernel.body
        found = _operand(body[place], body[:place], body[place + 1 :], lowered)
        if found is not None:
            body[place:] = found.block(body[place:])
            results = {k: (found.operand, found.lead) if b is found.made else (b, n)
                       for k, (b, n) in lowered.results.items()}  # fmt: skip
            lowered = replace(lowered, results=results).without({found.made})
        place += 1
    return lowered


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


def _operand(s: Stmt, before: list[Stmt], after: list[Stmt], lowered: Lowered) -> _InPlace | None:
    """What a loop reads last, and what it makes in its place; None if there is nothing of the kind."""
    store = _element_by_element(s)
    if store is None or uses(before)[store.buffer] or uses([s])[store.buffer] > 1:
        return None
    made, later, free = store.buffer, uses(after), lowered.own_scratch()
    if not (made in free or _is_result(made, lowered)) or not _by_subscripts(made, after):
        return None
    places: dict[Buffer, set[tuple[Expr, ...]]] = {}
    for inner in statements([s]):
        for buffer, index, _ in accesses(inner):
            places.setdefault(buffer, set()).add(index)
    for buffer, indices in places.items():
        if buffer in free and buffer is not made and buffer.dtype == made.dtype and not later[buffer]:
            more = _rows_more(buffer, made)
            for first, lead in () if more is None else ((0, -more), (more, more)):
                if indices == {(add(store.index[0], first), *store.index[1:])}:
                    return _InPlace(buffer, made, first, lead)
    return None


def _is_result(b: Buffer, lowered: Lowered) -> bool:
    """Whether all that is seen of a buffer is that it is a result, as it is."""
    labels = {k for k, result in lowered.results.items() if result == (b, 0)}
    others = replace(lowered, results={})
    return b in lowered.allocated and b not in others.seen() and bool(labels) and not labels & lowered.executed.keys()


def _by_subscripts(b: Buffer, block: list[Stmt]) -> bool:
    """Whether statements name a buffer only to load or store elements of it."""
    return all(touched(s).count(b) == sum(x is b for x, _, _ in accesses(s)) for s in statements(block))


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
