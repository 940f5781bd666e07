"""The arrays of a tile of steps, in a block's own memory: neighbouring threads move neighbouring elements.

A thread of a prefix has several steps in a row, so what it reads lies apart from what its neighbours read at the same
time, and a transfer of memory would serve one of them. Arrays whose last subscript is the step are copied to shared
memory by all threads together, before the steps or after them; all reads of a thread are under way at the same time.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from scancc.ir.loop import INT64, Buffer, Const, Expr, Load, Op, Prefix, Stmt, Store, Var, add, const_int, sub
from scancc.ir.rewrite import Rewriter
from scancc.ir.types import in_memory
from scancc.ir.walk import accesses, always_loaded, expressions, statements

ITEMS = (8, 4, 2)  # steps of a thread: the first for which the tile's arrays fit
ROOM = 28_000  # bytes of a tile, so that a multiprocessor has as many blocks as its threads allow
MOST_THREADS, FEWEST_THREADS = 256, 32
RUNS = 26_000  # bytes of what is put together; with the tile within the 48 kB that every device has
ALL = 46_000
LINE = 128  # bytes of shared memory that are read at the same time: after so many an element is left out
BASE = Var("tile_base", INT64)


@dataclass(frozen=True)
class Part:
    """What every step reads or writes of an array: the element `shift` after that of the step, on the last axis."""

    buffer: Buffer
    before: tuple[Expr, ...]
    shift: int
    written: bool

    def place(self, step: Expr) -> Load:
        return Load(self.buffer, (*self.before, add(step, self.shift)))


@dataclass(frozen=True)
class Tiles:
    """The tiles of a prefix. `halves`: dtypes of 16 bits that the target has."""

    prefix: Prefix
    threads: int
    items: int
    halves: tuple[str, ...]

    @cached_property
    def parts(self) -> dict[Part, Buffer]:
        """Parts that pass through shared memory, and where."""
        return {
            p: Buffer(f"tile{i}_", p.buffer.dtype, (const_int(self.slots(p)),), "shared")
            for i, p in enumerate(parts_of(self.prefix))
        }

    def slots(self, p: Part) -> int:
        size = self.threads * self.items
        return size + size // self._line(p)

    def _line(self, p: Part) -> int:
        return LINE // in_memory(p.buffer.dtype, self.halves).itemsize

    def slot(self, p: Part, step: Expr) -> Expr:
        """Where in the tile's copy a step is, by its number in the tile."""
        return add(step, Op("floor_divide", (step, const_int(self._line(p))), INT64))

    def of(self, block: list[Stmt]) -> list[Stmt]:
        """Statements of a step that read and write the copies."""
        return _Copied(self).block(block)


def threads_of(prefix: Prefix) -> int:
    """How many threads a block has."""
    threads = MOST_THREADS
    while threads > FEWEST_THREADS and _runs(prefix, threads) > RUNS:
        threads //= 2
    return threads


def items_of(prefix: Prefix, threads: int, halves: tuple[str, ...]) -> int:
    """How many steps a thread has."""
    element = sum(in_memory(p.buffer.dtype, halves).itemsize for p in parts_of(prefix))
    room = min(ROOM, ALL - _runs(prefix, threads))
    return next((i for i in ITEMS if threads * i * element <= room), ITEMS[-1])


def _runs(prefix: Prefix, threads: int) -> int:
    """Bytes of the numbers of all threads, and of the tiles that they look at: twice each, and a flag."""
    return 2 * threads * (2 * sum(v.dtype.itemsize for v in prefix.run) + 4)


def parts_of(s: Prefix) -> list[Part]:
    """Parts of arrays that every step reads and none writes, or that every step writes and none reads."""
    inside = [*s.element, *s.fold, *s.body]
    touched = [a for x in statements(inside) for a in accesses(x)]
    stored = {b for b, _, stores in touched if stores}
    read = {b for b, _, stores in touched if not stores}
    found: dict[Part, None] = {}
    for x in inside:
        loads = [load for e in expressions(x) for load in always_loaded(e) if load.buffer not in stored]
        stores = [Load(x.buffer, x.index)] if isinstance(x, Store) and x.buffer not in read else []
        for place in loads + stores:
            shift = _shift(place.index, s)
            if shift is not None:
                found[Part(place.buffer, place.index[:-1], shift, place in stores)] = None
    # What is written in other places, too, would be written in another order.
    mixed = {b for b, index, stores in touched if stores
             and not any(p.buffer == b and p.place(s.var).index == index for p in found)}  # fmt: skip
    return [p for p in found if p.buffer not in mixed]


def _shift(index: tuple[Expr, ...], s: Prefix) -> int | None:
    if not index or not all(isinstance(i, Const) or i in s.lane for i in index[:-1]):
        return None
    match index[-1]:
        case Op("add", (t, Const(k, _)), _) if t == s.var:
            return int(k)
        case Op("subtract", (t, Const(k, _)), _) if t == s.var:
            return -int(k)
        case t if t == s.var:
            return 0
    return None


class _Copied(Rewriter):
    def __init__(self, tiles: Tiles) -> None:
        self.tiles = tiles
        step = tiles.prefix.var
        self.places = {(p.buffer, p.place(step).index): (copy, tiles.slot(p, sub(step, BASE)))
                       for p, copy in tiles.parts.items()}  # fmt: skip

    def access(self, buffer: Buffer, index: tuple[Expr, ...]) -> tuple[Buffer, tuple[Expr, ...]]:
        found = self.places.get((buffer, index))
        return (buffer, index) if found is None else (found[0], (found[1],))
