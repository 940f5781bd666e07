"""The arrays of a tile of steps, in a block's own memory: neighbouring threads move neighbouring elements.

A thread of a prefix has several steps in a row, so what it reads lies apart from what its neighbours read at the same
time, and a transfer of memory would serve one of them. Arrays whose last subscript is the step are copied to shared
memory by all threads together, before the steps or after them; all reads of a thread are under way at the same time.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from scancc.backends.cuda.warp import SIMULATED_WARP, WARP
from scancc.ir.loop import INT64, Buffer, Const, Expr, For, Load, Op, Prefix, Stmt, Store, Var, add, const_int
from scancc.ir.rewrite import Rewriter
from scancc.ir.types import in_memory
from scancc.ir.walk import accesses, always_loaded, expressions, statements

ITEMS = (16, 8, 4, 2)  # steps of a thread: the first for which the tile's arrays fit
MOST_THREADS = 256
ROOM = 32_768  # bytes of a tile's arrays, so that a multiprocessor has six blocks of so many threads
LINE = 128  # bytes of shared memory that are read at the same time: behind so many a bank is left out
BANK = 4
ITEM = Var("item", INT64)  # a step's number among those of its thread


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

    @property
    def size(self) -> int:
        return self.threads * self.items

    @property
    def warp(self) -> int:
        """Threads of a warp. Only the simulator's blocks have fewer than a warp has on a device."""
        return WARP if self.threads >= WARP else SIMULATED_WARP

    @property
    def warps(self) -> int:
        return self.threads // self.warp

    @cached_property
    def parts(self) -> dict[Part, Buffer]:
        """Parts that pass through shared memory, and where."""
        found = copies_of(self.prefix)
        buffers = {n: Buffer(f"tile{n}_", p.buffer.dtype, (const_int(self.slots(self.size_of(p))),), "shared")
                   for p, n in found.items()}  # fmt: skip
        return {p: buffers[n] for p, n in found.items()}

    @cached_property
    def sizes(self) -> list[int]:
        """Bytes of an element, of all copies."""
        return sorted({self.size_of(p) for p in self.parts})

    def size_of(self, p: Part) -> int:
        return in_memory(p.buffer.dtype, self.halves).itemsize

    # -- slots: where in a copy a step is ----------------------------------------------------------------------------
    # Steps of a thread lie in a row, so that their slots differ by constants: what is left out is between threads.

    def _line(self, size: int) -> tuple[int, int]:
        """Elements in a row, and those that are left out behind them, so that all banks serve a warp's threads."""
        return min(max(LINE // size, self.items), self.threads), max(1, BANK // size)

    def slots(self, size: int, steps: int | None = None) -> int:
        """Slots of so many whole lines of steps; of all steps of a tile."""
        line, out = self._line(size)
        steps = self.size if steps is None else steps
        return steps + steps // line * out

    def slot(self, size: int, step: str) -> str:
        """The slot of a step, by its number in the tile."""
        line, out = self._line(size)
        lines = f"({step} >> {line.bit_length() - 1})"
        return f"{step} + {lines if out == 1 else f'{lines} * {out}'}"

    def own(self, size: int) -> Var:
        """The variable that holds the slot of a thread's first step."""
        return Var(f"own{size}_", INT64)

    def of(self, block: list[Stmt]) -> list[Stmt]:
        """Statements of step `ITEM` of a thread that read and write the copies."""
        return _Copied(self).block(block)


def threads_of(prefix: Prefix, halves: tuple[str, ...]) -> int:
    """How many threads a block has: as many as have room for two steps each."""
    threads = MOST_THREADS
    while threads > WARP and threads * ITEMS[-1] * _bytes(prefix, halves) > ROOM:
        threads //= 2
    return threads


def items_of(prefix: Prefix, threads: int, halves: tuple[str, ...]) -> int:
    """How many steps a thread has."""
    element = _bytes(prefix, halves)
    return next((i for i in ITEMS if threads * i * element <= ROOM), ITEMS[-1])


def _bytes(prefix: Prefix, halves: tuple[str, ...]) -> int:
    """Of all copies, of one step."""
    copies = {n: in_memory(p.buffer.dtype, halves).itemsize for p, n in copies_of(prefix).items()}
    return sum(copies.values())


def copies_of(s: Prefix) -> dict[Part, int]:
    """The parts, and the number of the copy that each is in.

    What is written takes the place of what is read, if the step does not read that later: each step has a slot of its
    own in every copy, and less memory leaves room for more blocks.
    """
    parts = parts_of(s)
    found = {p: n for n, p in enumerate(p for p in parts if not p.written)}
    free = {} if any(isinstance(x, For) for x in statements(s.body)) else dict(found)
    reads = {(b, index): k for k, x in enumerate(statements(s.body)) for b, index, stores in accesses(x) if not stores}
    for p in parts:
        if p.written:
            at = next(k for k, x in enumerate(statements(s.body)) if isinstance(x, Store)
                      and (x.buffer, x.index) == (p.buffer, p.place(s.var).index))  # fmt: skip
            over = next((q for q in free if q.buffer.dtype == p.buffer.dtype
                         and reads.get((q.buffer, q.place(s.var).index), at) <= at), None)  # fmt: skip
            found[p] = len(set(found.values())) if over is None else free.pop(over)
    return found


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
        step = tiles.prefix.var
        self.places = {(p.buffer, p.place(step).index): (copy, (add(tiles.own(tiles.size_of(p)), ITEM),))
                       for p, copy in tiles.parts.items()}  # fmt: skip

    def access(self, buffer: Buffer, index: tuple[Expr, ...]) -> tuple[Buffer, tuple[Expr, ...]]:
        return self.places.get((buffer, index), (buffer, index))
