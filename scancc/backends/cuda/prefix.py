"""The source of a prefix: one pass over the steps, with decoupled look-back.

A block takes the next tile of steps, and each of its threads some of them in a row. Threads put their steps together,
then the block does so over its threads, then it looks back: at the tiles before it, of each of which the numbers of all
tiles up to there are known, or at least its own; every tile is read once (Merrill and Garland, "Single-pass parallel
prefix scan with decoupled look-back", 2016). Tiles are taken in order, so those before one are under way or done.
Numbers are put together in trees over the block's shared memory, by turns in one half of it and in the other.
"""

from __future__ import annotations

from collections.abc import Callable

from scancc.backends.cuda.tiles import BASE, Part, Tiles
from scancc.ir.loop import Expr, Load, Prefix, Stmt, Var, add

PART, WHOLE = 1, 2  # flags: the numbers of a tile are there, or those of all tiles up to it

Block = Callable[[list[Stmt], int], list[str]]  # statements at a depth, as lines


def declarations(s: Prefix, tiles: Tiles, element: Callable[[Var], str]) -> list[str]:
    """Shared memory of a block."""
    lines = ["thread = cuda.threadIdx.x", "cells = cuda.shared.array((1,), np.int64)  # the tile",
             f"seen = cuda.shared.array((2, {tiles.threads}), np.int32)"]  # fmt: skip
    for i, v in enumerate(s.run):
        lines += [f"runs{i} = cuda.shared.array((2, {tiles.threads}), {element(v)})",
                  f"window{i} = cuda.shared.array((2, {tiles.threads}), {element(v)})"]  # fmt: skip
    for p, copy in tiles.parts.items():
        lines.append(f"{copy.name} = cuda.shared.array(({tiles.slots(p)},), {element(Var('', copy.dtype))})")
    return lines


def source(s: Prefix, tiles: Tiles, block: Block, expr: Callable[[Expr], str]) -> str:
    """The kernel's statements, at the depth of its body."""
    return "\n".join(_Source(s, tiles, block, expr).lines)


class _Source:
    def __init__(self, s: Prefix, tiles: Tiles, block: Block, expr: Callable[[Expr], str]) -> None:
        self.s, self.tiles, self.expr = s, tiles, expr
        self.print = block
        self.lines: list[str] = []
        self.mine = "".join(f"{v.name}, " for v in s.lane)
        self.begin()
        self.copies(written=False)
        self.own_steps()
        self.over_threads()
        self.publish()
        self.look_back()
        self.run()
        self.copies(written=True)

    def put(self, depth: int, *text: str) -> None:
        self.lines += ["    " * depth + x for x in text]

    def block(self, depth: int, block: list[Stmt]) -> None:
        self.lines += self.print(self.tiles.of(block), depth)

    def move(self, depth: int, target: str, value: str) -> None:
        """One assignment a number; `{i}` stands for its place, `{run}` and so on for its variables."""
        s = self.s
        for i in range(len(s.run)):
            names = {"i": i, "run": s.run[i].name, "left": s.left[i].name, "right": s.right[i].name,
                     "part": f"{s.parts[i].name}[{self.mine}", "whole": f"{s.wholes[i].name}[{self.mine}"}  # fmt: skip
            self.put(depth, f"{target} = {value}".format(**names))

    def join(self, depth: int, left: str, right: str, target: str) -> None:
        self.move(depth, "{left}", left)
        self.move(depth, "{right}", right)
        self.block(depth, self.s.join)
        if target != "{run}":
            self.move(depth, target, "{run}")

    # -- the parts of a kernel ---------------------------------------------------------------------------------------

    def begin(self) -> None:
        threads, items, steps = self.tiles.threads, self.tiles.items, self.expr(self.s.stop)
        self.put(1, "if thread == 0:", f"    cells[0] = cuda.atomic.add({self.s.flags.name}, ({self.mine}tiles), 1)",
                 "cuda.syncthreads()", "tile = cells[0]", f"{BASE.name} = tile * {threads * items}",
                 f"first = {BASE.name} + thread * {items}", f"last = min(first + {items}, {steps})",
                 f"busy = first < {steps}")  # fmt: skip

    def copies(self, written: bool) -> None:
        """All threads move the tile's arrays: values of a thread are read before any is stored."""
        parts = [(p, copy) for p, copy in self.tiles.parts.items() if p.written == written]
        if not parts:
            return
        threads, items, steps = self.tiles.threads, self.tiles.items, self.expr(self.s.stop)
        if written:
            self.put(1, "cuda.syncthreads()")
        self.put(1, f"if {BASE.name} + {threads * items} <= {steps}:")
        places = {
            f"moved{n}_{k}": self.moved(p, copy.name, Var("thread", BASE.dtype), k * threads)
            for n, (p, copy) in enumerate(parts) for k in range(items)
        }  # fmt: skip
        self.put(2, *(f"{value} = {here if written else there}" for value, (there, here) in places.items()))
        self.put(2, *(f"{there if written else here} = {value}" for value, (there, here) in places.items()))
        end = f"min({threads * items}, {steps} - {BASE.name})"
        self.put(1, "else:", f"    for place in range(thread, {end}, {threads}):")
        for p, copy in parts:
            there, here = self.moved(p, copy.name, Var("place", BASE.dtype), 0)
            self.put(3, f"{there} = {here}" if written else f"{here} = {there}")
        if not written:
            self.put(1, "cuda.syncthreads()")

    def moved(self, p: Part, copy: str, start: Var, more: int) -> tuple[str, str]:
        """Element `start + more` of the tile, in the array and in the block's copy."""
        step = add(start, more)
        index = p.place(add(BASE, step))
        return self.expr(Load(index.buffer, index.index)), f"{copy}[at({self.expr(self.tiles.slot(p, step))})]"

    def own_steps(self) -> None:
        t = self.s.var.name
        self.put(1, "if busy:  # the steps of this thread, put together", f"    {t} = first")
        self.block(2, self.s.element)
        self.put(2, f"for {t} in range(first + 1, last):")
        self.block(3, self.s.fold)
        self.move(2, "runs{i}[0, thread]", "{run}")
        self.put(1, "cuda.syncthreads()")

    def over_threads(self) -> None:
        threads = self.tiles.threads
        self.put(1, "now = 0", "reach = 1", f"while reach < {threads}:  # those of all threads up to this one")
        self.put(2, "if busy:", "    if thread >= reach:")
        self.join(4, "runs{i}[now, thread - reach]", "runs{i}[now, thread]", "runs{i}[1 - now, thread]")
        self.put(3, "else:")
        self.move(4, "runs{i}[1 - now, thread]", "runs{i}[now, thread]")
        self.put(2, "cuda.syncthreads()", "now = 1 - now", "reach *= 2")

    def publish(self) -> None:
        last = self.tiles.threads - 1
        self.put(1, "more = tile + 1 < tiles", "if thread == 0 and more:", "    if tile == 0:")
        self.move(3, "{whole}tile]", f"runs{{i}}[now, {last}]")
        self.put(2, "else:")
        self.move(3, "{part}tile]", f"runs{{i}}[now, {last}]")
        flags = f"{self.s.flags.name}, ({self.mine}tile)"
        self.put(2, "cuda.threadfence()", f"cuda.atomic.add({flags}, {WHOLE} if tile == 0 else {PART})")

    def look_back(self) -> None:
        """The numbers of all tiles before this one, `before`; every thread knows them."""
        s, window, last = self.s, self.tiles.threads, self.tiles.threads - 1
        poll = f"flag = poll({s.flags.name}, ({self.mine}q))"
        self.put(1, "if tile > 0:")
        self.move(2, "before{i}", f"runs{{i}}[now, {last}]  # not of use yet")
        self.put(2, "nearest = tile - 1", "looking = True", "found = False", "while looking:",
                 "    q = nearest - thread", f"    flag = {WHOLE}", "    if q >= 0:  # each thread at another tile",
                 f"        {poll}", "        while flag == 0:", f"            {poll}",
                 f"        if flag == {WHOLE}:")  # fmt: skip
        self.move(5, "window{i}[0, thread]", "{whole}q]")
        self.put(4, "else:")
        self.move(5, "window{i}[0, thread]", "{part}q]")
        self.put(3, "seen[0, thread] = flag", "cuda.syncthreads()", "side = 0", "reach = 1",
                 f"while reach < {window}:  # back to the nearest tile that knows of all before it",
                 f"    if seen[side, thread] != {WHOLE} and thread + reach < {window}:")  # fmt: skip
        self.join(5, "window{i}[side, thread + reach]", "window{i}[side, thread]", "window{i}[1 - side, thread]")
        self.put(5, "seen[1 - side, thread] = seen[side, thread + reach]")
        self.put(4, "else:")
        self.move(5, "window{i}[1 - side, thread]", "window{i}[side, thread]")
        self.put(5, "seen[1 - side, thread] = seen[side, thread]")
        self.put(4, "cuda.syncthreads()", "side = 1 - side", "reach *= 2")
        self.put(3, "if found:")
        self.join(4, "window{i}[side, 0]", "before{i}", "before{i}")
        self.put(3, "else:")
        self.move(4, "before{i}", "window{i}[side, 0]")
        self.put(3, "found = True", f"looking = seen[side, 0] != {WHOLE}", f"nearest -= {window}",
                 "cuda.syncthreads()")  # fmt: skip
        self.put(2, "if thread == 0 and more:")
        self.join(3, "before{i}", f"runs{{i}}[now, {last}]", "{whole}tile]")
        self.put(3, "cuda.threadfence()",
                 f"cuda.atomic.add({s.flags.name}, ({self.mine}tile), {WHOLE - PART})")  # fmt: skip

    def run(self) -> None:
        t = self.s.var.name
        self.put(1, "if busy:", "    if thread > 0 and tile > 0:")
        self.join(3, "before{i}", "runs{i}[now, thread - 1]", "{run}")
        self.put(1, "    elif tile > 0:")
        self.move(3, "{run}", "before{i}")
        self.put(1, "    elif thread > 0:")
        self.move(3, "{run}", "runs{i}[now, thread - 1]")
        self.put(1, "    if thread > 0 or tile > 0:")
        self.block(3, self.s.start)
        self.put(2, f"for {t} in range(first, last):")
        self.block(3, self.s.body)
