"""Linear recurrences solved in blocks: a vectorised loop for what is free of the carry, then a run-time call.

    for c in 0 .. (steps + 2047) // 2048      chunks that stay in the first-level cache between the two passes
        for j in 0 .. m                       y_rows[2048 c + j] = u of that step
        call solve2(&y_rows[2048 c], m, &coefficients, &state, &x[2048 (c + 1)])
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from scancc.ir.graph import Graph, Node, operands, spec_of
from scancc.ir.loop import INT64, Assign, Call, Expr, Load, Op, Place, Store, add, const_int, mul, sub
from scancc.passes.graph.block_recurrences import linear_recurrence
from scancc.passes.lower.context import Lowering, Target
from scancc.passes.lower.values import Lazy

CHUNK = 2048


def solve_in_blocks(
    low: Lowering, node: Node, slots: Any, steps: Expr, bind: Callable[[Expr | None], None], trace: Target | None
) -> None:
    """Emit the solution of a scan that `block_recurrences` marked. `bind(t)` makes the leaves of step t
    known; `bind(None)` only those that are the same at every step."""
    spec = spec_of(node)
    linear = linear_recurrence(spec)
    assert linear is not None
    (carry,) = spec.carries
    dtype = slots.row.dtype
    taps = carry.depth

    def room(base: str, size: int) -> Place:
        return Place(low.scratch(f"{carry.name}_{base}", dtype, (size,)), (const_int(0),))

    coefficients, state = room("coefficients", taps), room("state", taps)
    chunk = None if trace is not None else room("chunk", CHUNK)
    with low.block(low.blocks[-1].statements):
        bind(None)
        names = {f"c{k}": c for k, c in linear.coefficients.items()}
        low.graph(Graph((), names))
        for k, c in linear.coefficients.items():
            low.emit(Store(coefficients.buffer, (const_int(k - 1),), low.element(c, ()), c.loc))
    for k in range(1, taps + 1):
        low.emit(Store(state.buffer, (const_int(k - 1),), slots.taps[-k][()]))
    chunks = low.let(Op("floor_divide", (add(steps, CHUNK - 1), const_int(CHUNK)), INT64), "chunks")
    with low.loop("chunk", chunks, f"{CHUNK} steps of {spec.name}, in blocks") as number:
        base = low.let(mul(number, CHUNK), "first")
        size = low.let(Op("minimum", (sub(steps, base), const_int(CHUNK)), INT64), "size")
        if trace is not None:
            start = Place(trace.buffer, (*trace.prefix, add(base, slots.storage.lead)))
        else:
            assert chunk is not None
            start = chunk
        ahead = _ahead(low, node, add(base, size), start)
        with low.loop("j", size, inside_nest=True) as j:
            t = low.let(add(base, j), "t")
            low.depth += 1
            low.step.append(t)
            bind(t)
            low.graph(Graph((), {"u": linear.rest}))
            place = (*start.index[:-1], add(start.index[-1], j))
            low.emit(Store(start.buffer, place, low.element(linear.rest, ()), linear.rest.loc))
            low.step.pop()
            low.depth -= 1
        low.emit(Call(f"recurrences.solve{taps}", (start, size, coefficients, state, ahead), loc=node.loc))
    for k in range(1, taps + 1):
        low.emit(Assign(slots.taps[-k][()], Load(state.buffer, (const_int(k - 1),))))


def _ahead(low: Lowering, node: Node, row: Expr, otherwise: Place) -> Place:
    """What the next chunk reads first of a sequence that lies in memory."""
    for s in spec_of(node).sequences:
        value = low.env[operands(node)[s.name]]
        if isinstance(value, Lazy) and value.place is not None and value.row_stride is None:
            place = value.place
            return Place(place.buffer, (*place.index[:-1], add(place.index[-1], row)))
    return otherwise
