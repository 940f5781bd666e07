"""How many steps of a scan an iteration of the hot loop makes.

It is told by how far loads and stores move; where that depends on what is known at run time only, or the loop touches
no memory, by how far the counter moves that ends the loop.
"""

from __future__ import annotations

from scancc.ir.loop import Buffer, Const, For
from scancc.ir.walk import accesses, statements, subexpressions
from scancc.passes.pipeline import Compilation
from scancc.static.critical_path import Dependencies
from scancc.static.iterations import counter_of, iterations
from scancc.static.loops import Loop


def steps_per_iteration(made: Compilation, hot: Loop, needs: Dependencies, outermost: bool) -> int | None:
    """`outermost`: whether no loop is around the hot one."""
    moved = needs.strides()
    if moved:
        return steps_of(moved, row_bytes(made))
    counter = counter_of(hot, needs)
    if not outermost or counter is None or iterations(hot, needs) is not None:
        return None  # the loop counts elements of a row, or nothing
    return abs(counter.step)


def row_bytes(made: Compilation) -> set[int]:
    """Bytes of a row of each array that a loop over steps goes along, where they are known before a call."""
    found: set[int] = set()
    for loop in statements(made.lowered.kernel.body):
        if isinstance(loop, For) and "steps of" in loop.note:
            for s in statements(loop.body):
                for b, index, _ in accesses(s):
                    size = _row(b)
                    if size is None and len(index) == 1 and loop.var in subexpressions(index[0]):
                        size = b.dtype.itemsize  # scratch memory of some hundred steps
                    found |= set() if size is None else {size}
    return found


def _row(b: Buffer) -> int | None:
    """None for arrays whose first axis is not a number of steps: those lengths are known only at run time."""
    if not b.shape or isinstance(b.shape[0], Const):
        return None
    size = b.dtype.itemsize
    for d in b.shape[1:]:
        if not isinstance(d, Const):
            return None
        size *= int(d.value)
    return size


def steps_of(strides: set[int], rows: set[int]) -> int | None:
    """The one number of steps after which every access has moved by as many rows, or None."""
    possible: set[int] | None = None
    for stride in strides:
        fits = {stride // row for row in rows if row and stride % row == 0}
        possible = fits if possible is None else possible & fits
    return possible.pop() if possible is not None and len(possible) == 1 else None
