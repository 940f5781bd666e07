"""Memory that only the lanes of one tile use has room for one tile, and is used again by the next.

    before   y: f64[n + 1, 10000]
             for tile in ...: for t in 0..n: for i in first..end: store y[t + 1, i] = f(y[t, i])
    after    y: f64[n + 1, 256]
             for tile in ...: for t in 0..n: for i in first..end: store y[t + 1, i - first] = f(y[t, i - first])

After `tile_lanes` and `join_tiles`: states, and paths that a loop goes back over for a derivative, then stay in the
cache, and need not be taken from the operating system page by page at every call. Only for memory that nobody sees
outside of the loop. A lane reads nothing that it has not stored before, so what the last tile has left there does not
matter.
"""

from __future__ import annotations

from dataclasses import replace

from scancc.ir.loop import Alloc, Buffer, Call, Const, Expr, For, Grow, Let, Op, Prefix, Print, Stmt, Var, sub
from scancc.ir.rewrite import Rewriter
from scancc.ir.walk import accesses, statements, touched, uses
from scancc.passes.loops.join_tiles import TILES
from scancc.passes.lower import Lowered


def shrink_scratch(lowered: Lowered) -> Lowered:
    """The same program with less memory."""
    kernel = lowered.kernel
    everywhere, free = uses(kernel.body), lowered.own_scratch()
    new: dict[Buffer, Buffer] = {}
    body: list[Stmt] = []
    for s in kernel.body:
        tile = _tile(s)
        if tile is not None:
            first, end, width = tile
            inside = uses([s])
            own = [b for b in inside if b in free and inside[b] == everywhere[b]]
            axes = {b: axis for b in own if (axis := _axis([s], b, first, end)) is not None}
            small = {b: Buffer(b.name, b.dtype, _with(b.shape, axis, width), b.role) for b, axis in axes.items()}
            new |= small
            s = _Shrunk(small, axes, first).statement(s)
        body.append(s)
    if not new:
        return lowered
    params = [new.get(p, p) if isinstance(p, Buffer) else p for p in kernel.params]
    kernel = replace(kernel, body=body, params=params)
    return replace(lowered, kernel=kernel, allocated=[new.get(b, b) for b in lowered.allocated])


def _tile(s: Stmt) -> tuple[Var, Expr, Const] | None:
    """The first lane of a tile, the end of its lanes, and the most lanes that a tile has."""
    if not (isinstance(s, For) and s.note.startswith(TILES)):
        return None
    match s.body[:2]:
        case [Let(first, Op("multiply", (_, Const() as width), _)), Let(end, _)]:
            return first, end, width
    return None


def _axis(block: list[Stmt], buffer: Buffer, first: Var, end: Expr) -> int | None:
    """The axis that has the lane as its subscript wherever the buffer is used; None without one."""
    inside = [s for s in statements(block) if buffer in touched(s)]
    if any(isinstance(s, (Call, Print, Prefix, Alloc, Grow)) for s in inside):
        return None
    lanes = {s.var for s in statements(block) if isinstance(s, For) and s.start == first and s.stop == end}
    used = [index for s in inside for b, index, _ in accesses(s) if b is buffer]
    return next((a for a in range(len(buffer.shape)) if all(index[a] in lanes for index in used)), None)


def _with(shape: tuple[Expr, ...], axis: int, length: Expr) -> tuple[Expr, ...]:
    return (*shape[:axis], length, *shape[axis + 1 :])


class _Shrunk(Rewriter):
    def __init__(self, new: dict[Buffer, Buffer], axes: dict[Buffer, int], first: Var) -> None:
        self.new, self.axes, self.first = new, axes, first

    def access(self, buffer: Buffer, index: tuple[Expr, ...]) -> tuple[Buffer, tuple[Expr, ...]]:
        if buffer not in self.new:
            return buffer, index
        axis = self.axes[buffer]
        return self.new[buffer], _with(index, axis, sub(index[axis], self.first))
