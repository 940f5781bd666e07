"""Runs of steps between the ends of a ring buffer, in which a step knows its row without asking whether it is the last.

    before   for t in 0..n
               let y = x[t] + b * ring[slot]; store ring[slot] = y; set slot = where(slot + 1 == 1000, 0, slot + 1)
    after    for run in 0..(slot + n + 999) / 1000
               let size = minimum(1000 - slot, n - first)
               for j in 0..size: let y = x[first + j] + b * ring[slot + j]; store ring[slot + j] = y
               set slot = where(slot + size == 1000, 0, slot + size);  set first = first + size

A transformation of the loop IR, after lowering: strip-mining (Allen and Kennedy, "Optimizing Compilers for Modern
Architectures", 2001) by the length of a ring. A step that reads nothing younger than the row it overwrites waits for no
other step of its run, so LLVM turns the run into vectors; where short taps stand beside the long one, `split_loops`
solves their recurrence. Results are equal bit for bit. Short rings, whose runs would be over at once, stay as they are.
"""

from __future__ import annotations

from scancc.ir.loop import (
    BOOL,
    INT64,
    Assign,
    Const,
    Declare,
    Expr,
    For,
    Kernel,
    Let,
    Note,
    Op,
    Stmt,
    Store,
    Var,
    add,
    const_int,
    sub,
)
from scancc.ir.rewrite import Replaced
from scancc.ir.walk import statements, without_unread
from scancc.passes.loops.fresh import Fresh

LEAST_ROWS = 64  # of a ring whose runs are worth a loop of their own


def ring_runs(kernel: Kernel) -> Kernel:
    """The same kernel; statements are changed in place."""
    _block(kernel.body, Fresh(kernel))
    return kernel


def _block(block: list[Stmt], fresh: Fresh) -> None:
    started: dict[Var, Expr] = {}  # variables with their values so far, as far as nothing else was assigned
    made: list[Stmt] = []
    for s in block:
        found = _rings(s, started) if isinstance(s, For) and s.note.startswith("steps of") else None
        if found is not None:
            assert isinstance(s, For)
            made += _runs(s, *found, fresh)
        else:
            made.append(s)
        if isinstance(s, Declare):
            started[s.var] = s.expr
        for inner in statements([s]):
            if isinstance(inner, Assign):
                started.pop(inner.var, None)
    block[:] = made


def _rings(loop: For, started: dict[Var, Expr]) -> tuple[list[Var], int] | None:
    """The slots of rings that are at the same row at the same time, and how many rows they have."""
    if not all(isinstance(s, (Let, Assign, Store, Note)) for s in loop.body):
        return None
    lets = {s.var: s.expr for s in loop.body if isinstance(s, Let)}
    found = {s.var: rows for s in loop.body if isinstance(s, Assign) and (rows := _rows(s, lets)) is not None}
    rows = next(iter(found.values()), 0)
    begin = {started.get(v) for v in found}
    if rows < LEAST_ROWS or set(found.values()) != {rows} or len(begin) != 1 or not isinstance(begin.pop(), Const):
        return None
    return list(found), rows


def _rows(s: Assign, lets: dict[Var, Expr]) -> int | None:
    """The rows of the ring whose slot a step sets to the next one."""
    match s.expr:
        case Op("where", (Op("equal", (Var() as following, Const(rows, _)), _), Const(0), other), _) if (
            other == following and lets.get(following) == add(s.var, 1)
        ):
            return int(rows)
        case _:
            return None


def _runs(loop: For, slots: list[Var], rows: int, fresh: Fresh) -> list[Stmt]:
    first, run, size, j = (fresh.var(base) for base in ("first", "run", "size", "j"))
    slot, of_ring = slots[0], const_int(rows)
    now: dict[Var, Expr] = {loop.var: add(first, j)} | {v: add(v, j) for v in slots}
    body: list[Stmt] = []
    for s in loop.body:
        if isinstance(s, Let) and s.expr in slots:
            now[s.var] = now[s.expr]  # type: ignore[index]  # a slot is a variable
        elif not (isinstance(s, Assign) and s.var in slots):
            body.append(Replaced(now).statement(s))
    count = Op("floor_divide", (add(Op("add", (slot, sub(loop.stop, loop.start)), INT64), rows - 1), of_ring), INT64)
    least = Op("minimum", (sub(of_ring, slot), sub(loop.stop, first)), INT64)
    name = loop.note.removeprefix("steps of ")
    inner: list[Stmt] = [
        Let(size, Op("maximum", (least, const_int(0)), INT64)),
        For(j, const_int(0), size, without_unread(body), loop.note),
        Assign(first, Op("add", (first, size), INT64)),
    ]
    for v in slots:
        end = Op("add", (v, size), INT64)
        whole = Op("equal", (end, of_ring), BOOL)
        inner.append(Assign(v, Op("where", (whole, const_int(0), end), INT64)))
    return [Declare(first, loop.start), For(run, const_int(0), count, inner, f"runs of {name}")]
