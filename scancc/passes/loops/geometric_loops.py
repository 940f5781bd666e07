"""Loops that multiply by the same number at every step are powers of it.

    before   for t in 0..n: set r = multiply(r, a)
    after    var left: int64 = n
             if less_equal(64, n)
               let p = power(a, n)
               if p is a normal number: set r = multiply(r, p); set left = 0
             for t in 0..left: set r = multiply(r, a)

A transformation of the loop IR, after lowering, as compilers replace what a loop does to its induction variables by its
value after the loop (Wolfe, "Beyond induction variables", 1992). A^k, the first example of Theano's documentation of
scan, takes one power for each element. What is rounded once a step by the loop is rounded twice in all, so `strict_fp`
leaves the pass out. Where a power overflows or is subnormal, what the loop makes of r may be another number, so there
it runs. Few steps are left to the loop, too.
"""

from __future__ import annotations

import numpy as np

from scancc.ir.loop import (
    BOOL,
    Assign,
    Const,
    Declare,
    Expr,
    For,
    If,
    Kernel,
    Let,
    Load,
    Note,
    Op,
    Stmt,
    Var,
    const_int,
    sub,
)
from scancc.ir.rewrite import Replaced
from scancc.ir.walk import subexpressions
from scancc.passes.loops.fresh import Fresh

LEAST_STEPS = 64
DOUBLE = np.dtype(np.float64)
LIMITS = np.finfo(DOUBLE)


def geometric_loops(kernel: Kernel) -> Kernel:
    """The same kernel; statements are changed in place."""
    fresh = Fresh(kernel)
    body: list[Stmt] = []
    for s in kernel.body:
        factors = _factors(s) if isinstance(s, For) and s.note.startswith("steps of") else None
        if factors:
            assert isinstance(s, For)
            body += _closed(s, factors, fresh)
        body.append(s)
    kernel.body[:] = body
    return kernel


def _factors(loop: For) -> dict[Var, Expr] | None:
    """By what each state is multiplied at every step; None where a step does anything else."""
    lets: dict[Var, Expr] = {}
    sets = [s for s in loop.body if isinstance(s, Assign)]
    states = {s.var for s in sets}
    found: dict[Var, Expr] = {}
    for s in loop.body:
        match s:
            case Let(var, e):
                lets[var] = Replaced(lets).expr(e)
            case Assign(var, e):
                match Replaced(lets).expr(e):
                    case Op("multiply", (a, b), dtype) if dtype.name in ("float32", "float64") and var in (a, b):
                        found[var] = b if a == var else a
                    case _:
                        return None
            case Note():
                pass
            case _:
                return None
    changing = {loop.var, *states}
    if len(sets) != len(states) or any(isinstance(x, Load) or x in changing
                                       for e in found.values() for x in subexpressions(e)):  # fmt: skip
        return None
    return found


def _closed(loop: For, factors: dict[Var, Expr], fresh: Fresh) -> list[Stmt]:
    """What goes before the loop, which gets a variable for its end."""
    steps, left = sub(loop.stop, loop.start), fresh.var("left")
    count = Op("cast", (steps,), DOUBLE)
    powers: list[Stmt] = []
    sets: list[Stmt] = []
    normal: Expr | None = None
    for state, factor in factors.items():
        p = Var(fresh.name("p"), DOUBLE)
        powers.append(Let(p, Op("power", (_as(factor, DOUBLE), count), DOUBLE)))
        size = Op("absolute", (p,), DOUBLE)
        for test in (Op("greater_equal", (size, Const(LIMITS.tiny, DOUBLE)), BOOL),
                     Op("less_equal", (size, Const(LIMITS.max, DOUBLE)), BOOL)):  # fmt: skip
            normal = test if normal is None else Op("logical_and", (normal, test), BOOL)
        sets.append(Assign(state, _as(Op("multiply", (_as(state, DOUBLE), p), DOUBLE), state.dtype)))
    assert normal is not None
    end, loop.stop = loop.stop, left
    many = Op("less_equal", (const_int(LEAST_STEPS), steps), BOOL)
    closed = If(normal, [*sets, Assign(left, loop.start)], [])
    return [Declare(left, end), If(many, [*powers, closed], [])]


def _as(e: Expr, dtype: np.dtype) -> Expr:
    return e if e.dtype == dtype else Op("cast", (e,), dtype)
