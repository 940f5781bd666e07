"""Runs loops over many independent lanes tile by tile, so that what a step reads of the last one is still in the cache.

    before   for t in 0..n: for i in 0..lanes: store y[t, i] = f(y[t - 1, i], x[i, t])
    after    for tile in ...: for t in 0..n: for i in first..end: the same

A transformation of the loop IR, after lowering. Lanes are independent where every access to a buffer that the loop
stores to has the lane as the index of one axis, always the same, and what the steps share (ring slots) does not depend
on them; it starts anew for each tile. An array with the lane first, as `vmap` has it by default, is read along its
cache lines again: every line serves as many steps as it has elements. A copy that transposes is tiled likewise.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import prod

from scancc.ir.loop import (
    INT64,
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
    const_int,
    mul,
)
from scancc.ir.walk import accesses, statements
from scancc.passes.loops.fresh import Fresh
from scancc.passes.loops.jam_steps import REST, jam_steps
from scancc.passes.loops.join_tiles import TILES, Tiles, join_tiles
from scancc.passes.loops.own_lanes import Axes, all_expressions, is_own, loads_any, stored_in
from scancc.passes.sizes import FEW_LANES, LANES

WIDE = 16384  # lanes of a tile that reads and writes along rows, which memory serves the better the longer they are
STATES = 131072  # bytes of a wide tile's states: they are in a second-level cache
COPIED = 16  # rows of a transposing copy: two cache lines of doubles


def tile_lanes(kernel: Kernel) -> Kernel:
    """The same kernel with loops over lanes in tiles. Results are equal bit for bit."""
    fresh = Fresh(kernel)
    body: list[Stmt] = []
    tiles: list[Tiles] = []
    for s in kernel.body:
        if isinstance(s, For):
            found = _Steps(s, body) if s.note else None
            if found is not None and found.independent():
                body += found.tiled(fresh, tiles)
                continue
            if _transposes(s):
                body += _tiled_copy(s, fresh)
                continue
        body.append(s)
    body = join_tiles(body, tiles, fresh)
    return replace(kernel, body=[_widened(s) if isinstance(s, For) and s.note.startswith(TILES) else s for s in body])


@dataclass
class _Steps:
    """A loop over steps, and what has to be true of it."""

    loop: For
    before: list[Stmt]
    lanes: list[For] = field(default_factory=list)
    shared: list[Stmt] = field(default_factory=list)  # what a step does once for all lanes
    initial: dict[Var, Const] = field(default_factory=dict)  # what changes for all lanes, and how it begins

    def independent(self) -> bool:
        for s in self.loop.body:
            match s:
                case For(_, Const(0), _, _):
                    self.lanes.append(s)
                case Let() | Declare() | Assign() | Note():
                    self.shared.append(s)
                case _:
                    return False
        stops = {s.stop for s in self.lanes}
        if len(stops) != 1:
            return False
        stored = stored_in(list(self.lanes))
        if any(loads_any(s, stored) for s in self.shared):
            return False
        axes: Axes = {}
        return all(is_own(s, stored, axes) for s in self.lanes) and self._restart()

    def _restart(self) -> bool:
        """What changes from step to step for all lanes begins with the same value in every tile."""
        declared = {s.var: s.expr for s in self.before if isinstance(s, Declare)}
        inside = {s.var for s in self.shared if isinstance(s, Declare)}
        for var in dict.fromkeys(s.var for s in self.shared if isinstance(s, Assign)):
            if var in inside:
                continue
            start = declared.get(var)
            if not isinstance(start, Const) or any(isinstance(s, Assign) and s.var == var
                                                   for s in statements(self.before)):  # fmt: skip
                return False
            self.initial[var] = start
        return True

    def tiled(self, fresh: Fresh, tiles: list[Tiles]) -> list[Stmt]:
        stop = self.lanes[0].stop
        if not _many(stop):
            return jam_steps(self.loop, self.initial, fresh)
        loop, first, end = _tiles(stop, LANES, fresh, TILES + self.loop.note.removeprefix("steps of "))
        body = [replace(s, start=first, stop=end) if isinstance(s, For) else s for s in self.loop.body]
        restarted = [Assign(var, start) for var, start in self.initial.items()]
        loop.body += [*restarted, *jam_steps(replace(self.loop, body=body), self.initial, fresh)]
        tiles.append(Tiles(loop, first, end, stop))
        return [loop]


def _many(stop: Expr) -> bool:
    return stop.value > FEW_LANES if isinstance(stop, Const) else isinstance(stop, Var)


def _tiles(stop: Expr, width: int, fresh: Fresh, note: str) -> tuple[For, Var, Var]:
    """A loop over tiles, one at least: what the steps share has to happen even without lanes."""
    tile, first, end = (fresh.var(n) for n in ("tile", "lane", "end"))
    return For(tile, const_int(0), _count(stop, width), _ends(first, end, tile, width, stop), note), first, end


def _count(stop: Expr, width: int) -> Expr:
    if isinstance(stop, Const):
        return const_int((stop.value + width - 1) // width)
    return Op("maximum", (Op("floor_divide", (add(stop, width - 1), const_int(width)), INT64), const_int(1)), INT64)


def _ends(first: Var, end: Var, tile: Var, width: int, stop: Expr) -> list[Stmt]:
    return [Let(first, mul(tile, const_int(width))), Let(end, Op("minimum", (add(first, width), stop), INT64))]


def _widened(tiles: For) -> For:
    """The same with as many lanes in a tile as have their states in the cache.

    Not where an input has its lanes first, nor where one loop goes back over what another has stored: those rely on
    more being there than the states.
    """
    match tiles.body[:2]:
        case [Let(first, Op("multiply", (Var() as tile, Const()), _)), Let(end, Op("minimum", (_, stop), _))]:
            pass
        case _:
            return tiles
    loops = [s for s in statements(tiles.body) if isinstance(s, For) and s.start == first and s.stop == end]
    lanes = {s.var for s in loops}
    touched = [a for s in loops for inner in statements(s.body) for a in accesses(inner)]
    if any(e in lanes for _, index, _ in touched for e in index[:-1]) or _goes_back(tiles):
        return tiles
    stored = {b for b, _, stores in touched if stores}
    again = {b for b, _, stores in touched if b in stored and not stores}
    state = sum(b.dtype.itemsize * _rows(b, {index[:-1] for x, index, _ in touched if x is b}) for b in again)
    wide = min(WIDE, STATES // max(state, 1))
    wide = int(stop.value) if isinstance(stop, Const) and stop.value <= wide else max(LANES, wide - wide % LANES)
    return replace(tiles, stop=_count(stop, wide), body=[*_ends(first, end, tile, wide, stop), *tiles.body[2:]])


def _rows(b: Buffer, places: set[tuple[Expr, ...]]) -> int:
    """Rows of memory that steps have in use: those that there are, or as many as subscripts tell apart."""
    lengths = [d.value if isinstance(d, Const) else len(places) for d in b.shape[:-1]]
    return int(min(prod(lengths), len(places)))


def _goes_back(tiles: For) -> bool:
    """Whether a loop over steps in a tile reads what another one has made."""
    made: set[Buffer] = set()
    for s in tiles.body:
        if isinstance(s, For) and s.note:
            inside = [a for inner in statements([s]) for a in accesses(inner)]
            if not s.note.startswith(REST) and any(b in made and not stores for b, _, stores in inside):
                return True
            made |= {b for b, _, stores in inside if stores}
    return False


# -- copies ----------------------------------------------------------------------------------------------------------


def _transposes(outer: For) -> bool:
    """for i: for j: store a[i, j] = f(b[j, i]): rows are written, columns read."""
    if len(outer.body) != 1 or not isinstance(outer.body[0], For) or outer.start != const_int(0):
        return False
    inner = outer.body[0]
    if not (_long(outer.stop) and _long(inner.stop)) or inner.start != const_int(0):
        return False
    stores = [s for s in inner.body if isinstance(s, Store)]
    if len(stores) != 1 or not all(isinstance(s, (Let, Store)) for s in inner.body):
        return False
    (store,) = stores
    loads = [e for s in inner.body for e in all_expressions(s) if isinstance(e, Load)]
    whole = {outer.var, inner.var} <= set(store.index)
    columns = any(e.index and e.index[-1] == outer.var for e in loads)
    return whole and store.index[-1] == inner.var and columns and all(e.buffer is not store.buffer for e in loads)


def _long(stop: Expr) -> bool:
    return not isinstance(stop, Const) or stop.value >= 2 * COPIED


def _tiled_copy(outer: For, fresh: Fresh) -> list[Stmt]:
    (inner,) = outer.body
    assert isinstance(inner, For)
    loop, first, end = _tiles(outer.stop, COPIED, fresh, "")
    rows = For(outer.var, first, end, inner.body)
    loop.body.append(replace(inner, body=[rows]))
    return [loop]
