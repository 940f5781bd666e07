"""Loops over the same tiles of lanes become one, so that what one of them leaves is still in the cache for the next.

    before   for tile in ...: for t in 0..n: for i in first..end: store y[t + 1, i] = f(y[t, i], x[t, i])
             let row = n - 1
             for i in 0..lanes: store d[i] = g(y[row, i])
             for tile in ...: for t in 0..n: for i in first..end: store d[i] = h(d[i], y[n - t, i])
    after    for tile in ...:
                 for t in 0..n: for i in first..end: store y[t + 1, i] = f(y[t, i], x[t, i])
                 let row = n - 1
                 for i in first..end: store d[i] = g(y[row, i])
                 for t in 0..n: for i in first..end: store d[i] = h(d[i], y[n - t, i])

After `tile_lanes`, whose loops these are. A loop that goes back over the steps of another, as for a derivative, reads
what that one has stored, and a loop over rows sets up a state or copies it. Lanes have to be independent in all of them
together. What is computed between the loops is the same for all lanes: it is computed for each tile, and once more
after the loop for those who read it there. A check between them comes first, unless it waits for one of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from scancc.ir.loop import Assign, Const, Declare, Expr, Fail, For, If, Let, Note, Stmt, Store, Var, const_int
from scancc.ir.rewrite import Replaced
from scancc.ir.walk import statements, variables
from scancc.passes.loops.fresh import Fresh
from scancc.passes.loops.own_lanes import Axes, is_own, loads_any, stored_in

TILES = "lanes of "  # notes of loops over tiles begin so
ROWS = 8  # of a loop around loops over lanes, as that over the initial values of some taps


@dataclass(frozen=True)
class Tiles:
    """A loop over tiles, whose first statements define the first lane of a tile and the end of its lanes."""

    loop: For
    first: Var
    end: Var
    stop: Expr  # the number of lanes


def join_tiles(body: list[Stmt], tiles: list[Tiles], fresh: Fresh) -> list[Stmt]:
    """The same statements with joined loops."""
    made: list[Stmt] = []
    known = {id(t.loop): t for t in tiles}
    lanes: list[Expr | None] = [None]  # by statement, from the end: how many the next loop over tiles has
    for s in reversed(body):
        lanes.append(known[id(s)].stop if id(s) in known else lanes[-1])
    lanes.reverse()
    place = 0
    while place < len(body):
        group = _group(body, place, known, lanes[place]) if lanes[place] is not None else None
        if group is None:
            made.append(body[place])
            place += 1
        else:
            made += group.joined(fresh)
            place += len(group.parts)
    return made


def _group(body: list[Stmt], start: int, known: dict[int, Tiles], lanes: Expr | None) -> _Group | None:
    """The longest run of statements from here on that are one loop over tiles; None where that is no gain."""
    if not isinstance(body[start], For):
        return None
    best: _Group | None = None
    for end in range(start + 1, len(body) + 1):
        s = body[end - 1]
        if isinstance(s, (Note, Let, Declare)) or _is_check(s):
            continue
        tile = known.get(id(s))
        if not isinstance(s, For) or (tile.stop != lanes if tile else not _is_rows(s, lanes)):
            break
        group = _Group(body[start:end], [t for p in body[start:end] if (t := known.get(id(p)))])
        if not group.independent():
            break
        if end > start + 1 and group.tiles:
            best = group
    return best


def _is_check(s: Stmt) -> bool:
    return isinstance(s, If) and not s.orelse and all(isinstance(i, Fail) for i in s.then)


def _is_rows(s: For, lanes: Expr | None) -> bool:
    """A loop over all lanes, or over a few rows of them."""
    if s.start == const_int(0) and s.stop == lanes:
        return True
    few = isinstance(s.stop, Const) and s.stop.value <= ROWS and s.start == const_int(0)
    return few and bool(s.body) and all(isinstance(i, For) and _is_rows(i, lanes) for i in s.body)


def _lanes(parts: list[Stmt], tiles: list[Tiles], stop: Expr) -> Iterator[For]:
    """The loops over lanes in these statements, in tiles or not."""
    ends = {t.end for t in tiles}
    for s in statements(parts):
        if isinstance(s, For) and (s.stop in ends or (s.stop == stop and s.start == const_int(0))):
            yield s


@dataclass
class _Group:
    parts: list[Stmt]
    tiles: list[Tiles]

    def independent(self) -> bool:
        stored = stored_in(self.parts)
        stop = self.tiles[0].stop if self.tiles else self._rows_stop()
        lanes = list(_lanes(self.parts, self.tiles, stop))
        axes: Axes = {}
        inside = {id(i) for lane in lanes for i in statements(lane.body)}
        shared = [s for s in statements(self.parts) if id(s) not in inside]
        if any(isinstance(s, Store) or loads_any(s, stored) for s in shared):
            return False
        if any(isinstance(s, Declare) and not isinstance(s.expr, Const) for s in self.parts):
            return False
        later = self._later()
        if any(isinstance(s, If) and variables(s.condition) & later for s in self.parts):
            return False
        return all(is_own(lane, stored, axes) for lane in lanes)

    def _later(self) -> set[Var]:
        """Variables whose values are there only after a loop of these."""
        later = {s.var for s in statements(self.parts) if isinstance(s, Assign)}
        for s in self.parts:
            if isinstance(s, Let) and variables(s.expr) & later:
                later.add(s.var)
        return later

    def _rows_stop(self) -> Expr:
        loop = self.parts[0]
        assert isinstance(loop, For)
        while isinstance(loop.body[0], For):
            loop = loop.body[0]
        return loop.stop

    def joined(self, fresh: Fresh) -> list[Stmt]:
        like = self.tiles[0]
        before: list[Stmt] = []
        inside: list[Stmt] = list(like.loop.body[:2])
        after: list[Stmt] = []
        names: dict[Var, Expr] = {}
        known = {id(t.loop): t for t in self.tiles}
        later = self._later()
        for s in self.parts:
            tile = known.get(id(s))
            if tile is not None:
                same: dict[Var, Expr] = {tile.loop.var: like.loop.var, tile.first: like.first, tile.end: like.end}
                inside += Replaced({**names, **same}).block(tile.loop.body[2:])
            elif isinstance(s, For):
                inside.append(self._of_tile(Replaced(names).block([s])[0], like))
            elif isinstance(s, Let) and s.var in later:
                copy = fresh.var(s.var.name, s.var)
                inside.append(Let(copy, Replaced(names).expr(s.expr), s.loc))
                names[s.var] = copy
                after.append(s)
            else:
                before.append(s)
        shown = dict.fromkeys(t.loop.note.removeprefix(TILES) for t in self.tiles)
        return [*before, replace(like.loop, body=inside, note=TILES + ", ".join(shown)), *after]

    def _of_tile(self, s: Stmt, like: Tiles) -> Stmt:
        """A loop over all lanes as one over those of a tile."""
        assert isinstance(s, For)
        if s.stop == like.stop and s.start == const_int(0):
            return replace(s, start=like.first, stop=like.end)
        return replace(s, body=[self._of_tile(i, like) for i in s.body])
