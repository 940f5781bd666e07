"""Recurrences in runs of steps: the numbers of each run first, then its steps from the state that it begins with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from scancc.ir.graph import Graph, Node
from scancc.ir.loop import INT64, Assign, Expr, Op, Prefix, Stmt, Var, add, const_int
from scancc.ir.types import scalar
from scancc.passes.graph.mark_prefixes import prefix_of
from scancc.passes.lower.context import Lowering
from scancc.passes.lower.values import registers

TILE, TILES = Var("tile_size", INT64), Var("tiles", INT64)  # steps of a block, and how many blocks: set by the back end


def words_of(dtype: np.dtype) -> int:
    """How many words a number takes in which blocks tell it one another: each holds 32 bits of it, and a flag."""
    return max(1, dtype.itemsize // 4)


def lower_prefix(
    low: Lowering, node: Node, slots: dict[str, Any], steps: Expr, bind: Callable[[Expr], None],
    step: Callable[[Expr], None],
) -> None:  # fmt: skip
    """Emit the scan. `bind(t)` makes the leaves of step t known, `step(t)` emits the whole step after that."""
    monoid = prefix_of(node)
    assert monoid is not None
    dtypes = [e.type.dtype for e in monoid.element]
    run, left, right = ([low.var(f"{base}{i}", d) for i, d in enumerate(dtypes)] for base in ("run", "left", "right"))
    for v in run:
        low.mutable.add(v.name)
    low.host_dims |= {TILE.name, TILES.name}
    tiles = Op("floor_divide", (add(Op("add", (steps, TILE), INT64), -1), TILE), INT64)
    low.definitions[TILES.name] = Op("maximum", (tiles, const_int(1)), INT64)  # one stores the initial rows
    low.kernel.params += [TILES]
    words = low.scratch("told", INT64, (add(TILES, 1), const_int(sum(map(words_of, dtypes)))))
    words.role = "zeros"
    t = low.var("t", INT64)
    statement = Prefix(t, steps, tuple(run), tuple(left), tuple(right), words)
    low.emit(statement)

    def leaves(variables: list[Var]) -> list[Node]:
        nodes = []
        for v in variables:
            leaf = Node("read", (), scalar(v.dtype), {"name": v.name})
            low.env[leaf] = registers([v], ())
            nodes.append(leaf)
        return nodes

    def assigned(block: list[Stmt], make: Callable[[], list[Node]], at_step: bool) -> None:
        with low.block(block, attached=False):
            if at_step:
                _enter(low, t)
                bind(t)
            found = make()
            low.graph(Graph((), {str(i): n for i, n in enumerate(found)}))
            new = [low.let(low.element(n, ()), "v", n.loc) for n in found]
            for v, e in zip(run, new, strict=True):
                low.emit(Assign(v, e))
            if at_step:
                _leave(low)

    assigned(statement.element, lambda: list(monoid.element), True)
    assigned(statement.fold, lambda: monoid.combine(leaves(run), list(monoid.element)), True)
    assigned(statement.join, lambda: monoid.combine(leaves(left), leaves(right)), False)
    with low.block(statement.start, attached=False):
        taps = {(name, k): v[()] for name, s in slots.items() for k, v in s.taps.items()}
        now = dict(zip(taps, leaves(list(taps.values())), strict=True))
        after = monoid.apply(leaves(run), now)
        low.graph(Graph((), {f"{n}{k}": x for (n, k), x in after.items()}))
        new = {tap: low.let(low.element(x, ()), "v", x.loc) for tap, x in after.items()}
        for tap, e in new.items():
            low.emit(Assign(taps[tap], e))
    with low.block(statement.body, attached=False):
        _enter(low, t)
        bind(t)
        step(t)
        _leave(low)


def _enter(low: Lowering, t: Var) -> None:
    low.depth += 1
    low.step.append(t)


def _leave(low: Lowering) -> None:
    low.step.pop()
    low.depth -= 1
