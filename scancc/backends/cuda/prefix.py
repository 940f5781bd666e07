"""The source of a prefix: one pass over the steps, with decoupled look-back.

A block takes the next tile of steps, and each of its threads some of them in a row. Threads put their steps together,
then the block does so over its threads, then it looks back: at the tiles before it, of each of which the numbers of all
tiles up to there are known, or at least its own; every tile is read once (Merrill and Garland, "Single-pass parallel
prefix scan with decoupled look-back", 2016). Tiles are taken in order, so those before one are under way or done.
"""

from __future__ import annotations

from collections.abc import Callable

from scancc.ir.loop import Prefix, Stmt, Var

ITEMS = 8  # steps of a thread
WINDOW = 32  # tiles that a block looks at together
PART, WHOLE = 1, 2  # flags: the numbers of a tile are there, or those of all tiles up to it

Block = Callable[[list[Stmt], int], list[str]]  # statements at a depth, as lines


def declarations(s: Prefix, threads: int, element: Callable[[Var], str]) -> list[str]:
    """Shared memory of a block."""
    lines = ["thread = cuda.threadIdx.x", "cells = cuda.shared.array((2,), np.int64)  # the tile; whether it looks on",
             f"seen = cuda.shared.array(({WINDOW},), np.int64)"]  # fmt: skip
    for i, v in enumerate(s.run):
        lines += [f"runs{i} = cuda.shared.array(({threads},), {element(v)})",
                  f"window{i} = cuda.shared.array(({WINDOW},), {element(v)})",
                  f"before{i} = cuda.shared.array((1,), {element(v)})"]  # fmt: skip
    return lines


def source(s: Prefix, steps: str, threads: int, items: int, block: Block) -> str:
    """The kernel's statements, at the depth of its body."""
    t, flags = s.var.name, s.flags.name
    mine = "".join(f"{v.name}, " for v in s.lane)
    numbers = range(len(s.run))

    def move(targets: str, sources: str) -> list[str]:
        """One assignment a number; `{i}` stands for its place, `{run}` and so on for its variables."""
        return [
            f"{targets} = {sources}".format(i=i, run=s.run[i].name, left=s.left[i].name, right=s.right[i].name,
                                            part=s.parts[i].name, whole=s.wholes[i].name)
            for i in numbers
        ]  # fmt: skip

    lines: list[str] = []

    def put(depth: int, *text: str) -> None:
        lines.extend("    " * depth + x for x in text)

    def join(depth: int) -> None:
        lines.extend(block(s.join, depth))

    put(1, "if thread == 0:", f"    cells[0] = cuda.atomic.add({flags}, ({mine}tiles), 1)", "cuda.syncthreads()",
        "tile = cells[0]", f"first = (tile * {threads} + thread) * {items}", f"last = min(first + {items}, {steps})",
        f"busy = first < {steps}")  # fmt: skip
    put(1, "if busy:  # the steps of this thread, put together", f"    {t} = first")
    lines.extend(block(s.element, 2))
    put(2, f"for {t} in range(first + 1, last):")
    lines.extend(block(s.fold, 3))
    put(2, *move("runs{i}[thread]", "{run}"))
    put(1, "cuda.syncthreads()", "reach = 1", f"while reach < {threads}:  # those of all threads up to this one",
        "    if busy and thread >= reach:")  # fmt: skip
    put(3, *move("{left}", "runs{i}[thread - reach]"), *move("{right}", "runs{i}[thread]"))
    join(3)
    put(1, "    cuda.syncthreads()", "    if busy and thread >= reach:")
    put(3, *move("runs{i}[thread]", "{run}"))
    put(1, "    cuda.syncthreads()", "    reach *= 2")
    last = threads - 1
    put(1, "more = tile + 1 < tiles", "if thread == 0 and more:")
    put(2, "if tile == 0:", *("    " + x for x in move(f"{{whole}}[{mine}tile]", f"runs{{i}}[{last}]")),
        "else:", *("    " + x for x in move(f"{{part}}[{mine}tile]", f"runs{{i}}[{last}]")), "cuda.threadfence()",
        f"cuda.atomic.add({flags}, ({mine}tile), {WHOLE} if tile == 0 else {PART})")  # fmt: skip
    put(1, "if tile > 0:  # look back", "    nearest = tile - 1", "    looking = True", "    found = False",
        "    while looking:", f"        if thread < {WINDOW}:", "            q = nearest - thread",
        "            flag = 0", "            if q >= 0:", "                while flag == 0:",
        f"                    flag = cuda.atomic.add({flags}, ({mine}q), 0)", "                cuda.threadfence()",
        f"                if flag == {WHOLE}:")  # fmt: skip
    put(6, *move("window{i}[thread]", f"{{whole}}[{mine}q]"))
    put(5, "else:", *("    " + x for x in move("window{i}[thread]", f"{{part}}[{mine}q]")))
    put(3, "    seen[thread] = flag", "cuda.syncthreads()", "if thread == 0:", "    k = 0", "    ended = False",
        f"    while k < {min(WINDOW, threads)} and not ended:", "        if found:")  # fmt: skip
    put(6, *move("{left}", "window{i}[k]"), *move("{right}", "before{i}[0]"))
    join(6)
    put(6, *move("before{i}[0]", "{run}"))
    put(5, "else:", *("    " + x for x in move("before{i}[0]", "window{i}[k]")), "found = True",
        f"ended = seen[k] == {WHOLE}", "k += 1")  # fmt: skip
    put(4, "cells[1] = 0 if ended else 1")
    put(3, "cuda.syncthreads()", "looking = cells[1] != 0", f"nearest -= {min(WINDOW, threads)}")
    put(2, "if thread == 0 and more:")
    put(3, *move("{left}", "before{i}[0]"), *move("{right}", f"runs{{i}}[{last}]"))
    join(3)
    put(3, *move(f"{{whole}}[{mine}tile]", "{run}"), "cuda.threadfence()",
        f"cuda.atomic.add({flags}, ({mine}tile), {WHOLE - PART})")  # fmt: skip
    put(1, "if busy:", "    if thread > 0 and tile > 0:")
    put(3, *move("{left}", "before{i}[0]"), *move("{right}", "runs{i}[thread - 1]"))
    join(3)
    put(1, "    elif tile > 0:")
    put(3, *move("{run}", "before{i}[0]"))
    put(1, "    elif thread > 0:")
    put(3, *move("{run}", "runs{i}[thread - 1]"))
    put(1, "    if thread > 0 or tile > 0:")
    lines.extend(block(s.start, 3))
    put(2, f"for {t} in range(first, last):")
    lines.extend(block(s.body, 3))
    return "\n".join(lines)
