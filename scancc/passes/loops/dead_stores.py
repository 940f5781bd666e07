"""Stores to memory that nobody reads go, and the memory with them.

    before   for i in 0..n: store tmp[i] = v; store y[i] = f(v)          tmp: scratch
    after    for i in 0..n: store y[i] = f(v)

Lowering gives a value with several users memory before it knows that they all take it from the loop that made it.
"""

from __future__ import annotations

from scancc.ir.loop import Buffer, Stmt, Store
from scancc.ir.walk import blocks, statements, touched
from scancc.passes.lower import Lowered


def drop_dead_stores(lowered: Lowered) -> Lowered:
    """The same program; statements are changed in place."""
    kernel = lowered.kernel
    read = lowered.seen()
    for s in statements(kernel.body):
        named = touched(s)
        if isinstance(s, Store):
            named.remove(s.buffer)  # once: it may be loaded as well
        read.update(named)
    dead = {b for b in lowered.allocated if b not in read}
    if not dead:
        return lowered
    _remove(kernel.body, dead)
    return lowered.without(dead)


def _remove(block: list[Stmt], dead: set[Buffer]) -> None:
    for s in block:
        for inner in blocks(s):
            _remove(inner, dead)
    block[:] = [s for s in block if not (isinstance(s, Store) and s.buffer in dead)]
