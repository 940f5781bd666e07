"""What is only made to be copied is made where the copy would be.

    before   for t in 0..n: store rows[t] = f(t)
             for c in 0..m: store joined[c] = 0
             for c in 0..n: store joined[m + c] = rows[c]
    after    for t in 0..n: store joined[m + t] = f(t)
             for c in 0..m: store joined[c] = 0

Lowering gives every value that needs memory some of its own: rows of a loop that are joined with others, as the
derivatives with respect to the rows of a sequence are with zeros for rows that no step reads, and what becomes a
result. A copy may go if it is of everything and the last use of its source, and if its target is used meanwhile for
other rows only.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

from scancc.ir.loop import (
    Assign,
    Buffer,
    Call,
    Declare,
    Expr,
    For,
    Let,
    Load,
    Op,
    Place,
    Stmt,
    Store,
    Var,
    add,
    const_int,
    sub,
)
from scancc.ir.rewrite import Rewriter
from scancc.ir.walk import accesses, blocks, statements, subexpressions, uses, variables
from scancc.passes.loops.fold import folded
from scancc.passes.lower import Lowered

ZERO = const_int(0)


@dataclass(frozen=True, slots=True)
class Fill:
    """A nest of loops that only stores: along axis a of `target` counts[a] elements, from starts[a] on, upwards or
    downwards."""

    target: Buffer
    starts: tuple[Expr, ...]
    down: tuple[bool, ...]
    counts: tuple[Expr, ...]
    value: Expr
    loops: tuple[Var, ...]

    def regions(self) -> list[tuple[Expr, Expr]]:
        """Along each axis the first element, and the one after the last."""
        axes = zip(self.starts, self.down, self.counts, strict=True)
        return [(add(sub(s, n), 1), add(s, 1)) if down else (s, add(s, n)) for s, down, n in axes]

    @property
    def source(self) -> Buffer | None:
        """What it is a copy of, from the first element to the last; None if it is of anything else."""
        value = self.value
        if not isinstance(value, Load) or value.buffer.shape != self.counts:
            return None
        if any(i not in (v, _back(n, v)) for i, v, n in zip(value.index, self.loops, self.counts, strict=True)):
            return None
        same = value.buffer is not self.target and value.buffer.dtype == self.target.dtype
        return value.buffer if same else None


@dataclass(frozen=True, slots=True)
class Copy:
    """Where element i of what is copied goes: to starts[a] + i[a], or to starts[a] - i[a] along a reversed axis."""

    fill: Fill
    starts: tuple[Expr, ...]
    reversed: tuple[bool, ...]

    def index(self, at: tuple[Expr, ...]) -> tuple[Expr, ...]:
        axes = zip(self.starts, self.reversed, at, strict=True)
        return tuple(sub(start, i) if back else add(start, i) for start, back, i in axes)


def _back(count: Expr, var: Expr) -> Expr:
    """The subscript of reversed rows."""
    return sub(sub(count, 1), var)


def forward_copies(lowered: Lowered) -> Lowered:
    """The same program with less memory and fewer loops."""
    kernel, free, removed = lowered.kernel, lowered.own_scratch(), set[Buffer]()
    while True:
        found = {c.fill.source: c for c in _copies(kernel.body, _Uses(kernel.body), free - removed)}
        # One after the other where one's target is another's source: last first.
        now = {b: c for b, c in found.items() if b is not None and c.fill.target not in found}
        if not now:
            break
        kernel = replace(kernel, body=_Forwarded(now).block(kernel.body))
        removed |= now.keys()
    return replace(lowered, kernel=kernel).without(removed) if removed else lowered


class _Uses:
    """How often the statements of a block name each buffer, and which are used by other things than elements."""

    def __init__(self, block: list[Stmt]) -> None:
        self.count = uses(block)
        self.elements = Counter(b for s in statements(block) for b, _, _ in accesses(s))
        self.called = Counter(a.buffer for s in statements(block) if isinstance(s, Call)
                              for a in s.args if isinstance(a, Place))  # fmt: skip


class _Named:
    """Where the statements of one block name what: each is looked at once, whatever is asked."""

    def __init__(self, block: list[Stmt], fills: list[Fill | None]) -> None:
        self.fills = fills
        self.places: dict[Buffer, list[int]] = {}  # of the statements that name a buffer
        self.counts: dict[Buffer, list[int]] = {}  # how often it has been named up to and with each of them
        self.lets: dict[Var, tuple[int, Expr]] = {}
        self.changed: dict[Var, list[int]] = {}  # the statements that set a variable, or hold one that does
        for i, s in enumerate(block):
            for b, n in uses([s]).items():
                self.places.setdefault(b, []).append(i)
                counts = self.counts.setdefault(b, [0])
                counts.append(counts[-1] + n)
            if isinstance(s, Let):
                self.lets[s.var] = i, s.expr
            for inner in statements([s]):
                if isinstance(inner, (Declare, Assign)):
                    self.changed.setdefault(inner.var, []).append(i)

    def times(self, b: Buffer, start: int, stop: int) -> int:
        """How often the statements from `start` to before `stop` name a buffer."""
        places, counts = self.places.get(b, []), self.counts.get(b, [0])
        return counts[bisect_left(places, stop)] - counts[bisect_left(places, start)]

    def within(self, b: Buffer, start: int, stop: int) -> list[int]:
        """The statements from `start` to before `stop` that name a buffer."""
        places = self.places.get(b, [])
        return places[bisect_left(places, start) : bisect_left(places, stop)]

    def defined(self, v: Var, start: int, stop: int) -> Expr | None:
        """What a variable is, if it is defined from `start` to before `stop`."""
        place, e = self.lets.get(v, (-1, None))
        return e if start <= place < stop else None

    def is_later(self, v: Var, start: int, stop: int) -> bool:
        """Whether a variable has no value, or another one, before statement `start`."""
        places = self.changed.get(v, [])
        return self.defined(v, start, stop) is not None or bisect_left(places, start) < bisect_left(places, stop)


def _copies(block: list[Stmt], whole: _Uses, free: set[Buffer]) -> Iterator[Copy]:
    """The copies that may go, of this block and of those in it."""
    fills = [_filled(s) for s in block]
    wanted = [i for i, f in enumerate(fills) if f is not None and f.source in free]
    named = _Named(block, fills) if wanted else None
    for i in wanted:
        assert named is not None
        copy = _copy(named, i, whole)
        if copy is not None:
            yield copy
    for s in block:
        for inner in blocks(s):
            yield from _copies(inner, whole, free)


def _copy(named: _Named, end: int, whole: _Uses) -> Copy | None:
    """The copy that statement `end` makes, if it may go."""
    fill = named.fills[end]
    assert fill is not None and fill.source is not None and isinstance(fill.value, Load)
    source, target = fill.source, fill.target
    first = named.places[source][0]
    if named.times(source, end, end + 1) != 1 or named.times(source, 0, end + 1) != whole.count[source]:
        return None  # somebody reads it later, or around this block
    if whole.elements[source] + whole.called[source] != whole.count[source]:
        return None
    read_back = tuple(i != v for i, v in zip(fill.value.index, fill.loops, strict=True))
    back = tuple(r != d for r, d in zip(read_back, fill.down, strict=True))
    if whole.called[source] and (target.shape[1:] != source.shape[1:] or any(s != ZERO for s in fill.starts[1:])):
        return None  # what is called knows the length of a row
    if whole.called[source] and any(back):
        return None
    if any(not _is_beside(named.fills[i], fill) for i in named.within(target, first, end)):
        return None
    # What is defined between the first use and the copy has to be made of what is known before.
    axes = zip(fill.starts, fill.counts, read_back, fill.down, strict=True)
    last = [(sub(s, sub(n, 1)) if d else add(s, sub(n, 1))) if r else s for s, n, r, d in axes]  # of element 0
    starts = tuple(_resolved(e, named, first, end) for e in last)
    if any(isinstance(x, Load) or isinstance(x, Var) and named.is_later(x, first, end)
           for e in starts for x in subexpressions(e)):  # fmt: skip
        return None
    return Copy(fill, starts, back)


def _resolved(e: Expr, named: _Named, start: int, stop: int) -> Expr:
    """Lengths by what they are made of; they are short."""
    while lets := {v: x for v in variables(e) if (x := named.defined(v, start, stop)) is not None}:
        e = folded(e, lets)
    return e


def _is_beside(other: Fill | None, copy: Fill) -> bool:
    """Whether a loop fills other elements of what is copied to, for all that lowering knows: one region ends where the
    other starts."""
    if other is None or other.target is not copy.target or any(b is copy.target for b in _loaded(other.value)):
        return False
    axes = zip(other.regions(), copy.regions(), strict=True)
    return any(end == start_of_copy or end_of_copy == start for (start, end), (start_of_copy, end_of_copy) in axes)


def _loaded(e: Expr) -> Iterator[Buffer]:
    return (x.buffer for x in subexpressions(e) if isinstance(x, Load))


def _filled(s: Stmt) -> Fill | None:
    loops: list[Var] = []
    counts: list[Expr] = []
    block = [s]
    while len(block) == 1 and isinstance(block[0], For) and block[0].start == ZERO:
        loops.append(block[0].var)
        counts.append(block[0].stop)
        block = block[0].body
    match block:
        case [Store(target, index, value)]:
            pass
        case [Let(var, value), Store(target, index, Var() as stored)] if stored == var:
            pass
        case _:
            return None
    if len(loops) != len(index):
        return None
    starts = [_start(i, var) for i, var in zip(index, loops, strict=True)]
    found = [s for s in starts if s is not None]
    if len(found) < len(starts) or any(v in loops for e in (*counts, *(s for s, _ in found)) for v in variables(e)):
        return None
    return Fill(target, tuple(s for s, _ in found), tuple(d for _, d in found), tuple(counts), value, tuple(loops))


def _start(index: Expr, var: Var) -> tuple[Expr, bool] | None:
    """What the subscript adds to the loop's variable, or takes that from."""
    match index:
        case Var() if index == var:
            return ZERO, False
        case Op("add", (a, b), _) if var in (a, b) and a != b:
            return b if a == var else a, False
        case Op("subtract", (a, b), _) if (inner := _start(b, var)) is not None and not inner[1]:
            return sub(a, inner[0]), True
        case _:
            return None


class _Forwarded(Rewriter):
    def __init__(self, copies: dict[Buffer, Copy]) -> None:
        self.copies = copies

    def access(self, buffer: Buffer, index: tuple[Expr, ...]) -> tuple[Buffer, tuple[Expr, ...]]:
        copy = self.copies.get(buffer)
        return (buffer, index) if copy is None else (copy.fill.target, copy.index(index))

    def block(self, block: list[Stmt]) -> list[Stmt]:
        return super().block([s for s in block if not self._is_copy(s)])

    def _is_copy(self, s: Stmt) -> bool:
        filled = _filled(s)
        copy = None if filled is None or filled.source is None else self.copies.get(filled.source)
        return copy is not None and copy.fill == filled  # it may have been copied before as well
