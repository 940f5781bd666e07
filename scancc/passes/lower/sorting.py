"""Sorting as loops, for every target: a stable merge sort of positions, runs of 1, 2, 4... elements merged in turn.

Knuth, The Art of Computer Programming, volume 3, 5.2.4. The positions are in two tables, of which each round reads one
and writes the other.
"""

from __future__ import annotations

import numpy as np

from scancc.ir.graph import Node
from scancc.ir.loop import BOOL, INT64, Assign, Const, Declare, Expr, For, Load, Op, Store, Var, add, const_int, mul
from scancc.passes.lower.context import Lowering
from scancc.passes.sizes import in_registers

ROUNDS = 62  # that merge as many elements as there can be


def lower_argsort(low: Lowering, node: Node) -> None:
    (x,) = node.args
    axis = node.attrs["axis"]
    low.materialise(x, "keys")
    lengths = low.lengths(x.type)
    n = lengths[axis]
    tables = low.scratch("order", INT64, (const_int(2), *lengths))
    target = low.output_target(node, "sorted")
    rounds = _rounds(low, n)
    statements = low.blocks[-1].statements
    low.blocks[-1].nest = None
    others: dict[int, Var] = {}
    for a in range(x.type.ndim):
        if a != axis:
            others[a] = low.var("i", INT64)
            loop = For(others[a], const_int(0), lengths[a])
            statements.append(loop)
            statements = loop.body

    def at(position: Expr) -> tuple[Expr, ...]:
        return tuple(others[a] if a in others else position for a in range(x.type.ndim))

    def key(position: Expr) -> Expr:
        return low.let(low.element(x, at(position)), "key", node.loc)

    with low.block(statements, inside_nest=True):
        with low.loop("k", n, inside_nest=True) as k:
            low.emit(Store(tables, (const_int(0), *at(k)), k, node.loc))
        with low.loop("turn", rounds, inside_nest=True) as turn:
            source = low.let(Op("bitwise_and", (turn, const_int(1)), INT64), "source")
            other = low.let(Op("bitwise_xor", (source, const_int(1)), INT64), "other")
            width = low.let(Op("left_shift", (const_int(1), turn), INT64), "width")
            both = low.let(mul(width, 2), "both")
            runs = low.let(Op("floor_divide", (add(add(n, both), -1), both), INT64), "runs")
            with low.loop("run", runs, inside_nest=True) as run:
                start = low.let(mul(run, both), "start")
                middle = low.let(Op("minimum", (add(start, width), n), INT64), "middle")
                end = low.let(Op("minimum", (add(start, both), n), INT64), "end")
                left, right = _counter(low, "left", start), _counter(low, "right", middle)
                merged = low.var("k", INT64)
                merge = For(merged, start, end)
                low.emit(merge)
                with low.block(merge.body, inside_nest=True):
                    last = add(n, -1)  # a run that is used up is looked at, but nothing is taken from it
                    one = low.let(Load(tables, (source, *at(Op("minimum", (left, last), INT64)))), "one", node.loc)
                    two = low.let(Load(tables, (source, *at(Op("minimum", (right, last), INT64)))), "two", node.loc)
                    wins = _before(key(two), key(one))
                    there = Op("less", (left, middle), BOOL)
                    alone = Op("greater_equal", (right, end), BOOL)
                    stays = Op("logical_or", (alone, Op("logical_not", (wins,), BOOL)), BOOL)
                    first = low.let(Op("logical_and", (there, stays), BOOL), "first_run")
                    chosen = Op("where", (first, one, two), INT64)
                    low.emit(Store(tables, (other, *at(merged)), chosen, node.loc))
                    taken = low.let(Op("cast", (first,), INT64), "taken")
                    low.emit(Assign(left, Op("add", (left, taken), INT64)))
                    rest = Op("subtract", (const_int(1), taken), INT64)
                    low.emit(Assign(right, Op("add", (right, rest), INT64)))
        final = low.let(Op("bitwise_and", (rounds, const_int(1)), INT64), "final")
        with low.loop("k", n, inside_nest=True) as k:
            low.emit(Store(target.buffer, target.prefix + at(k), Load(tables, (final, *at(k))), node.loc))
    low.stored(node, target)
    if in_registers(node.type):
        low.registers_of(node)


def _rounds(low: Lowering, n: Expr) -> Expr:
    """How often runs are merged: the logarithm of the length, rounded up."""
    if isinstance(n, Const):
        return const_int(max(0, int(n.value) - 1).bit_length())
    total = _counter(low, "rounds", const_int(0))
    with low.loop("r", const_int(ROUNDS), inside_nest=True) as r:
        longer = Op("greater", (n, Op("left_shift", (const_int(1), r), INT64)), BOOL)
        low.emit(Assign(total, Op("add", (total, Op("cast", (longer,), INT64)), INT64)))
    return low.let(total, "rounds")


def _counter(low: Lowering, base: str, start: Expr) -> Var:
    var = low.var(base, INT64)
    low.mutable.add(var.name)
    low.emit(Declare(var, start))
    return var


def _before(a: Expr, b: Expr) -> Expr:
    """Whether `a` comes before `b`: NaN after everything else."""
    less = Op("less", (a, b), BOOL)
    if not np.issubdtype(a.dtype, np.floating):
        return less
    known = Op("logical_not", (Op("isnan", (a,), BOOL),), BOOL)
    return Op("logical_or", (less, Op("logical_and", (Op("isnan", (b,), BOOL), known), BOOL)), BOOL)
