"""The source of a prefix: one pass over the steps, with decoupled look-back.

A block takes the next tile of steps, and each of its threads some of them in a row. A thread puts its steps together,
a warp those of its threads, the first warp of a block those of all warps. That warp publishes what they come to, in
words of global memory, and looks back at the tiles before: of each the numbers of all tiles up to there are known, or
at least its own. Every tile is read once (Merrill and Garland, "Single-pass parallel prefix scan with decoupled
look-back", 2016). Tiles are taken in order, so those before one are under way or done.

A join that a user wrote may have no neutral element: what has nothing before it is joined with nothing.
"""

from __future__ import annotations

from collections.abc import Callable

from scancc.backends.cuda.tiles import ITEM, LINE, Part, Tiles
from scancc.backends.cuda.words import BITS
from scancc.ir.loop import INT64, Expr, Load, Stmt, Var, add
from scancc.passes.lower.prefix import words_of

PART, WHOLE = 1, 2  # flags: the words are of a tile, or of all tiles up to it
MOVES = 32  # elements that a thread has read and not stored yet; each takes a register
SOON = 4_300_000  # bytes: a tile that so much is read before is fetched into the second-level cache

Block = Callable[[list[Stmt], int], list[str]]  # statements at a depth, as lines
Element = Callable[[Var], str]  # the dtype of a variable, as NumPy's name


def declarations(tiles: Tiles, element: Element) -> list[str]:
    """Shared memory of a block."""
    lines = ["thread = cuda.threadIdx.x", "cells = cuda.shared.array((1,), np.int64)  # the tile"]
    for i, v in enumerate(tiles.prefix.run):
        lines += [f"{base}{i}_ = cuda.shared.array(({tiles.warps},), {element(v)})" for base in ("sums", "starts")]
    copies = {copy: tiles.slots(tiles.size_of(p)) for p, copy in tiles.parts.items()}
    lines += [f"{copy.name} = cuda.shared.array(({slots},), {element(Var('', copy.dtype))})"
              for copy, slots in copies.items()]  # fmt: skip
    return lines


def source(tiles: Tiles, block: Block, expr: Callable[[Expr], str], element: Element) -> str:
    """The kernel's statements, at the depth of its body."""
    return "\n".join(_Source(tiles, block, expr, element).lines)


class _Source:
    def __init__(self, tiles: Tiles, block: Block, expr: Callable[[Expr], str], element: Element) -> None:
        self.s, self.tiles, self.expr, self.element = tiles.prefix, tiles, expr, element
        self.print = block
        self.lines: list[str] = []
        self.mine = "".join(f"{v.name}, " for v in self.s.lane)
        self.words = [words_of(v.dtype) for v in self.s.run]
        self.begin()
        self.fetch()
        self.copies(written=False)
        self.own_steps()
        self.over_threads()
        self.first_warp()
        self.run()
        self.copies(written=True)

    def put(self, depth: int, *text: str) -> None:
        self.lines += ["    " * depth + x for x in text]

    def block(self, depth: int, block: list[Stmt]) -> None:
        self.lines += self.print(self.tiles.of(block), depth)

    def each(self, depth: int, text: str, values: list[str] | None = None) -> None:
        """A line for each number; `{i}` stands for its place, `{run}` and so on for its variables and its value."""
        s, word = self.s, 0
        for i, (v, words) in enumerate(zip(s.run, self.words, strict=True)):
            names = {"i": i, "run": v.name, "left": s.left[i].name, "right": s.right[i].name, "word": word,
                     "dtype": self.element(v), "value": values[i] if values else ""}  # fmt: skip
            self.put(depth, text.format(**names))
            word += words

    def join(self, depth: int, left: str | None = None, right: str = "{run}") -> None:
        """The numbers `run` of two runs of steps, the earlier one on the left; None: it is there already."""
        if left is not None:
            self.each(depth, f"{{left}} = {left}")
        self.each(depth, f"{{right}} = {right}")
        self.block(depth, self.s.join)

    def publish(self, depth: int, flag: str, value: str) -> None:
        self.each(depth, f"words.put({self.s.words.name}, ({self.mine}tile, {{word}}), {flag}, {{dtype}}({value}))")

    # -- the parts of a kernel ---------------------------------------------------------------------------------------

    def begin(self) -> None:
        tiles, warp, steps = self.tiles, self.tiles.warp, self.expr(self.s.stop)
        ticket = f"{self.s.words.name}, ({self.mine}tiles, 0)"
        self.put(
            1, f"rank = thread & {warp - 1}  # of a thread in its warp",
            # All threads of a warp take the same branches by it: that this is so the compiler cannot tell otherwise.
            f"warp = warps.of(thread >> {warp.bit_length() - 1}, 0)",
            "if thread == 0:", f"    cells[0] = cuda.atomic.add({ticket}, 1)", "cuda.syncthreads()",
            "tile = cells[0]", f"base = tile * {tiles.size}", f"full = base + {tiles.size} <= {steps}",
            f"first = base + thread * {tiles.items}", f"busy = first < {steps}", "more = tile + 1 < tiles",
            "here = base + thread",
        )  # fmt: skip
        for size in tiles.sizes:
            self.put(1, f"own{size}_ = {tiles.slot(size, f'thread * {tiles.items}')}",
                     f"place{size}_ = {tiles.slot(size, 'thread')}")  # fmt: skip

    def fetch(self) -> None:
        """What a block some time from now will read is on its way from memory while this one computes and waits."""
        tiles = self.tiles
        parts = [p for p in tiles.parts if not p.written]
        later = max(1, SOON // max(1, tiles.size * sum(tiles.size_of(p) for p in parts)))
        for p in parts:
            lines = -(-tiles.size * tiles.size_of(p) // LINE)
            for k in range(0, lines, tiles.threads):
                some = f" and thread < {lines - k}" if lines - k < tiles.threads else ""
                index = ", ".join(self.expr(i) for i in p.place(Var("soon", INT64)).index)
                self.put(1, f"soon = base + {later * tiles.size} + (thread + {k}) * {LINE // tiles.size_of(p)}",
                         f"if soon < {self.expr(self.s.stop)}{some}:",
                         f"    words.fetch({p.buffer.name}, ({index},))")  # fmt: skip

    def copies(self, written: bool) -> None:
        """All threads move the tile's arrays: values of a thread are read before any is stored."""
        tiles = self.tiles
        parts = [(p, copy) for p, copy in tiles.parts.items() if p.written == written]
        if not parts:
            return
        if written:
            self.put(1, "cuda.syncthreads()")
        moves = []
        for n, (p, copy) in enumerate(parts):
            size = tiles.size_of(p)
            for k in range(tiles.items):
                slot = add(Var(f"place{size}_", INT64), tiles.slots(size, k * tiles.threads))
                there = self.there(p, add(Var("here", INT64), k * tiles.threads))
                here = f"{copy.name}[at({self.expr(slot)})]"
                moves.append((f"moved{n}_{k}", *((there, here) if written else (here, there))))
        self.put(1, "if full:")
        for k in range(0, len(moves), MOVES):
            self.put(2, *(f"{value} = {source}" for value, _, source in moves[k : k + MOVES]))
            self.put(2, *(f"{target} = {value}" for value, target, _ in moves[k : k + MOVES]))
        end = f"min({tiles.size}, {self.expr(self.s.stop)} - base)"
        self.put(1, "else:", f"    for place in range(thread, {end}, {tiles.threads}):")
        for p, copy in parts:
            there = self.there(p, add(Var("base", INT64), Var("place", INT64)))
            here = f"{copy.name}[at({tiles.slot(tiles.size_of(p), 'place')})]"
            self.put(3, f"{there} = {here}" if written else f"{here} = {there}")
        if not written:
            self.put(1, "cuda.syncthreads()")

    def there(self, p: Part, step: Expr) -> str:
        index = p.place(step)
        return self.expr(Load(index.buffer, index.index))

    def steps(self, depth: int, start: int, block: list[Stmt], end: str) -> None:
        """A loop over the thread's own steps."""
        self.put(depth, f"for {ITEM.name} in range({start}, {end}):", f"    {self.s.var.name} = first + {ITEM.name}")
        self.block(depth + 1, block)

    def ends(self) -> list[tuple[str, str]]:
        """When a thread has how many steps: a number that is known is for the compiler to unroll the loop."""
        items = self.tiles.items
        return [("if full:", str(items)), ("elif busy:", f"min({items}, {self.expr(self.s.stop)} - first)")]

    def own_steps(self) -> None:
        self.each(1, "{run} = {dtype}(0)")
        for condition, end in self.ends():
            self.put(1, condition, f"    {ITEM.name} = 0", f"    {self.s.var.name} = first")
            self.block(2, self.s.element)
            self.steps(2, 1, self.s.fold, end)

    def rounds(self, depth: int, threads: int, direction: str, condition: str) -> None:
        """Put together the numbers of neighbours, of twice as many threads each round."""
        reach = 1
        while reach < threads:
            self.each(depth, f"{{left}} = warps.{direction}({{run}}, {reach})")
            self.put(depth, f"if {condition.format(reach=reach)}:")
            self.join(depth + 1)
            reach *= 2

    def over_threads(self) -> None:
        """`run`: of all threads of the warp up to this one; `earlier`: of those before it."""
        self.rounds(1, self.tiles.warp, "up", "rank >= {reach} and busy")
        self.put(1, f"if rank == {self.tiles.warp - 1}:")
        self.each(2, "sums{i}_[warp] = {run}")
        self.each(1, "earlier{i}_ = warps.up({run}, 1)")
        self.put(1, "cuda.syncthreads()")

    def first_warp(self) -> None:
        """What the warps begin with, `starts`: a thread of the first warp for each of them."""
        warps, last = self.tiles.warps, self.tiles.warps - 1
        self.put(1, "if warp == 0:", f"    if rank < {warps}:")
        self.each(3, "{run} = sums{i}_[rank]")
        self.rounds(2, warps, "up", f"{{reach}} <= rank < {warps}")
        self.each(2, f"sum{{i}}_ = warps.of({{run}}, {last})")
        self.each(2, "start{i}_ = warps.up({run}, 1)")
        self.put(2, "if rank == 0 and more:")
        self.publish(3, f"{WHOLE} if tile == 0 else {PART}", "sum{i}_")
        self.each(2, "{run} = start{i}_")
        self.put(2, "if tile > 0:")
        self.look_back(3)
        self.put(3, "if rank == 0 and more:")
        self.join(4, "before{i}_", "sum{i}_")
        self.publish(4, str(WHOLE), "{run}")
        self.put(3, "if rank == 0:")
        self.each(4, "{run} = before{i}_")
        self.put(3, "else:")
        self.join(4, "before{i}_", "start{i}_")
        self.put(2, f"if rank < {warps}:")
        self.each(3, "starts{i}_[rank] = {run}")
        self.put(1, "cuda.syncthreads()")

    def look_back(self, depth: int) -> None:
        """The numbers of all tiles before this one, `before`, which all threads of the first warp know then.

        A thread looks at one tile, the first one at that nearest to this. In place of tiles before tile 0 it looks at
        that one again, which is whole from the start, so that nothing behind it is of use.
        """
        warp, inside = self.tiles.warp, depth + 1
        words = [f"word{w}_" for w in range(sum(self.words))]
        gets = [f"{name} = words.get({self.s.words.name}, ({self.mine}back, {w}))" for w, name in enumerate(words)]
        differ = " | ".join(f"({words[0]} ^ {w})" for w in words[1:])
        self.each(depth, "before{i}_ = {dtype}(0)")
        self.put(depth, "nearest = tile - 1", "far = False", "looking = True", "while looking:")
        self.put(inside, "back = max(nearest - rank, 0)", *gets)
        self.put(inside, f"while {words[0]} >> {BITS} == 0{f' or ({differ}) >> {BITS} != 0' if differ else ''}:")
        self.put(inside + 1, *gets)
        self.each(inside, "{run} = {value}", self.numbers(words))
        self.put(inside, f"found = warps.first({words[0]} >> {BITS} == {WHOLE})", f"reach = min(found, {warp - 1})")
        self.rounds(inside, warp, "down", "rank + {reach} <= reach")
        self.each(inside, "{left} = warps.of({run}, 0)")
        self.put(inside, "if far:")
        self.join(inside + 1, None, "before{i}_")
        self.each(inside + 1, "before{i}_ = {run}")
        self.put(inside, "else:")
        self.each(inside + 1, "before{i}_ = {left}")
        self.put(inside, "far = True", f"looking = found == {warp}", f"nearest -= {warp}")

    def numbers(self, words: list[str]) -> list[str]:
        """The numbers that the words of a tile hold."""
        left, found = list(words), []
        for v, count in zip(self.s.run, self.words, strict=True):
            found.append(f"words.number({self.element(v)}, ({', '.join(left[:count])},))")
            del left[:count]
        return found

    def run(self) -> None:
        self.put(1, "if busy and (thread > 0 or tile > 0):", "    if warp == 0 and tile == 0:")
        self.each(3, "{run} = earlier{i}_")
        self.put(2, "elif rank == 0:")
        self.each(3, "{run} = starts{i}_[warp]")
        self.put(2, "else:")
        self.join(3, "starts{i}_[warp]", "earlier{i}_")
        self.block(2, self.s.start)
        for condition, end in self.ends():
            self.put(1, condition)
            self.steps(2, 0, self.s.body, end)
