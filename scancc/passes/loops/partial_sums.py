"""Sums over the elements of a row may be added up by several partial sums side by side, as NumPy's are.

    before   for r in 0..n: set acc = add(acc, f(x[r]))
    after    for r in 0..n: set acc = partial_add(acc, f(x[r]))

A loop that adds floats one after the other waits 4 cycles for each, and LLVM does not turn it into vectors: the order
of additions is part of the program. `partial_add` is an addition whose order is not. Left out under `strict_fp`.
"""

from __future__ import annotations

from dataclasses import replace

from scancc.ir.loop import Assign, Const, Expr, For, Kernel, Let, Load, Note, Op, Stmt, Store, Var
from scancc.ir.walk import blocks, expressions, subexpressions

FEW = 16  # elements that are as fast one by one


def partial_sums(kernel: Kernel) -> Kernel:
    """The same kernel; statements are changed in place."""
    _block(kernel.body)
    return kernel


def _block(block: list[Stmt]) -> None:
    for s in block:
        inner = blocks(s)
        for b in inner:
            _block(b)
        if isinstance(s, For) and not any(blocks(i) for i in s.body):
            _loop(s)


def _loop(loop: For) -> None:
    if isinstance(loop.stop, Const) and loop.stop.value <= FEW:
        return
    if not all(isinstance(s, (Let, Assign, Store, Note)) for s in loop.body):
        return
    stored = {s.buffer for s in loop.body if isinstance(s, Store)}
    inside = [x for s in loop.body for e in expressions(s) for x in subexpressions(e)]
    if any(isinstance(x, Load) and x.buffer in stored for x in inside):
        return
    sets = [s for s in loop.body if isinstance(s, Assign)]
    if not sets or not all(s.var.dtype.kind == "f" and is_sum(s, loop) for s in sets):
        return  # something else waits from one iteration to the next
    loop.body = [_partial(s) if isinstance(s, Assign) else s for s in loop.body]


def is_sum(s: Assign, loop: For) -> bool:
    """Whether all that a loop does with a variable is to add to it."""
    e = s.expr
    if not (isinstance(e, Op) and e.name == "add" and s.var in e.args):
        return False
    readers = sum(x == s.var for other in loop.body for e in expressions(other) for x in subexpressions(e))
    return readers == 1


def _partial(s: Assign) -> Assign:
    assert isinstance(s.expr, Op)
    a, b = s.expr.args
    args: tuple[Expr, ...] = (a, b) if isinstance(a, Var) and a == s.var else (b, a)
    return replace(s, expr=Op("partial_add", args, s.expr.dtype))
