"""Stores to memory that nobody reads go, and the memory with them.

    before   for i in 0..n: store tmp[i] = v; store y[i] = f(v)          tmp: scratch
    after    for i in 0..n: store y[i] = f(v)

Lowering gives a value with several users memory before it knows that they all take it from the loop that made it.
"""

from __future__ import annotations

from dataclasses import replace

from scancc.ir.loop import Alloc, Buffer, Call, Grow, Place, Prefix, Print, Stmt, Store
from scancc.ir.walk import accesses, blocks, statements
from scancc.passes.lower import Lowered


def drop_dead_stores(lowered: Lowered) -> Lowered:
    """The same program; statements are changed in place."""
    kernel = lowered.kernel
    read = lowered.seen()
    for s in statements(kernel.body):
        read |= {b for b, _, stores in accesses(s) if not stores}
        match s:
            case Call(_, args, _):
                read |= {a.buffer for a in args if isinstance(a, Place)}
            case Print():
                read |= set(s.values)
            case Prefix():
                read.add(s.words)
            case Alloc(b) | Grow(b, _):
                read.add(b)
    dead = {b for b in lowered.allocated if b not in read}
    if not dead:
        return lowered
    _remove(kernel.body, dead)
    params = [p for p in kernel.params if p not in dead]
    allocated = [b for b in lowered.allocated if b not in dead]
    return replace(lowered, kernel=replace(kernel, params=params), allocated=allocated)


def _remove(block: list[Stmt], dead: set[Buffer]) -> None:
    for s in block:
        for inner in blocks(s):
            _remove(inner, dead)
    block[:] = [s for s in block if not (isinstance(s, Store) and s.buffer in dead)]
