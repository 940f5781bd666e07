"""Several iterations of a loop at once, whose reads of memory all come first: for devices.

    before   for t in 0..n: let v = x[t, lane]; set y = f(y, v); store y_rows[t, lane] = y
    after    for c in 0..n / 8
               let v1 = x[8 c, lane]; ... let v8 = x[8 c + 7, lane]
               set y = f(y, v1); store y_rows[8 c, lane] = y; ... set y = f(y, v8); store y_rows[8 c + 7, lane] = y
             for t in 8 (n / 8)..n: as before

A thread of a GPU waits at the first use of a value that is not there yet, for some 600 cycles if it comes from memory,
and takes its instructions in order. A compiler that sees addresses only may not move a read over a store; buffers of
the loop IR lie apart, so here it may. Values that a loop does not change are read once an iteration of the new one.
Iterations that threads share out read what they need beside an inner loop before they begin with it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from scancc.ir.loop import (
    INT64,
    Assign,
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
    sub,
)
from scancc.ir.rewrite import Replaced
from scancc.ir.walk import accesses, always_loaded, blocks, expressions, statements, subexpressions
from scancc.passes.loops.fresh import Fresh

AHEAD = 8  # iterations
MOST_LOADS = 32  # that are under way in a thread; each needs a register
MOST_STATEMENTS = 256  # of the new loop


def load_ahead(kernel: Kernel) -> Kernel:
    """The same kernel, for a device. Results are equal bit for bit."""
    return replace(kernel, body=_block(kernel.body, Fresh(kernel)))


def _block(block: list[Stmt], fresh: Fresh) -> list[Stmt]:
    out: list[Stmt] = []
    for s in block:
        for inner in blocks(s):
            inner[:] = _block(inner, fresh)
        match s:
            case For(share="", threads=False):
                out += _loop(s, fresh)
            case For(share=share) if share:
                out.append(_first(s, fresh))
            case _:
                out.append(s)
    return out


def _first(loop: For, fresh: Fresh) -> For:
    """An iteration of a thread's own, which reads before it computes: what it adds to a product is there by then."""
    if not any(isinstance(s, For) for s in loop.body):
        return loop
    values: dict[Load, Expr] = {}
    early = [x for x in _early_loads(loop) if loop.var in x.index][:AHEAD]
    reads = list(_read(early, values, {}, fresh))
    return replace(loop, body=[*reads, *Replaced({}, values).block(loop.body)])


def _loop(loop: For, fresh: Fresh) -> list[Stmt]:
    if not all(isinstance(s, (Let, Declare, Assign, Store, Note)) for s in loop.body):
        return [loop]
    early = _early_loads(loop)
    moving = [x for x in early if any(loop.var in subexpressions(i) for i in x.index)]
    size = AHEAD
    while size > 1 and (size * len(moving) > MOST_LOADS or size * len(loop.body) > MOST_STATEMENTS):
        size //= 2
    trips = sub(loop.stop, loop.start)
    if not moving or size == 1 or isinstance(trips, Const) and trips.value < size:
        return [loop]
    first, count = fresh.var("first"), fresh.var("c")
    fixed = [x for x in early if x not in moving]
    values: dict[Load, Expr] = {}
    reads: list[Stmt] = list(_read(fixed, values, {}, fresh))
    body: list[Stmt] = []
    for k in range(size):
        now: dict[Var, Expr] = {loop.var: add(first, k)}
        own = dict(values)
        reads += _read(moving, own, now, fresh)
        for s in loop.body:
            if isinstance(s, Note):
                continue
            if isinstance(s, Let) and isinstance(s.expr, Load) and s.expr in own:
                now[s.var] = own[s.expr]
                continue
            new = Replaced(now, own).statement(s)
            if isinstance(s, (Let, Declare)):
                now[s.var] = fresh.var(s.var.name, s.var)
            if isinstance(new, (Let, Declare, Assign)):
                new = replace(new, var=now.get(new.var, new.var))  # type: ignore[arg-type]  # what is set is a variable
            body.append(new)
    whole: Expr = Op("floor_divide", (trips, const_int(size)), INT64)
    head = Let(first, add(loop.start, mul(count, size)))
    note = f"{size} {loop.note} at once" if loop.note else ""
    chunks = For(count, const_int(0), whole, [head, *reads, *body], note)
    if isinstance(trips, Const) and trips.value % size == 0:
        return [chunks]
    done = add(loop.start, mul(whole, size))
    return [chunks, replace(loop, start=done, note="those that are left" if loop.note else "")]


def _early_loads(loop: For) -> list[Load]:
    """What every iteration reads, of memory that the loop does not write, at places that are known before it begins."""
    stored = {b for s in statements(loop.body) for b, _, stores in accesses(s) if stores}
    set_here = {s.var for s in loop.body if isinstance(s, (Let, Declare, Assign))}
    found: dict[Load, None] = {}
    for s in loop.body:
        for e in expressions(s):
            for x in always_loaded(e):
                parts = [p for i in x.index for p in subexpressions(i)]
                if x.buffer not in stored and not any(isinstance(p, Load) or p in set_here for p in parts):
                    found[x] = None
    return list(found)


def _read(loads: list[Load], values: dict[Load, Expr], now: dict[Var, Expr], fresh: Fresh) -> Iterator[Stmt]:
    for x in loads:
        var = values[x] = fresh.var("v", x)
        yield Let(var, Replaced(now).expr(x))
