"""`sc.vmap` of a function whose rows do different things: a loop over the rows, each of which runs the function itself.

    sc.vmap(lambda x: f(x))(X)      ->      sc.map(lambda x: f(x), X)

So a row that does not take a branch, or has left its loop, has no effect: that is what the function says. Results whose
lengths differ from row to row have zeros after the end of each, and as many rows as the longest.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from scancc.errors import UnsupportedError
from scancc.frontend.location import here
from scancc.frontend.pytrees import flatten
from scancc.frontend.scan_arguments import normalise
from scancc.frontend.scans import TracedScan, add_scan
from scancc.frontend.tracer import Tracer, as_stored, emit, tracing, unwrap, wrap
from scancc.ir import build
from scancc.ir.graph import Node
from scancc.ir.types import Dim

Ragged = dict[int, int]  # by the number of a result: its axis whose length differs from row to row


def by_rows(call: Callable[..., Any], batched: list[Node], ragged: Ragged, name: str) -> list[Node]:
    """The results of `call(*rows)`, flattened, for every row of the arguments that have them along their first axis."""
    lengths: list[Any] = []
    if ragged:
        found = _loop(lambda *rows: [_length(_leaves(call(*rows))[i], axis) for i, axis in ragged.items()], batched, [],
                      f"{name}_lengths")  # fmt: skip
        lengths = [np.max(wrap(n), initial=0) for n in found]

    def step(*given: Any) -> list[Any]:
        rows, rooms = given[: len(batched)], given[len(batched) :]
        results = _leaves(call(*rows))
        for room, (i, axis) in zip(rooms, ragged.items(), strict=True):
            results[i] = _padded(results[i], room, axis)
        return results

    rooms = [wrap(_iota(_dim(n))) for n in lengths]
    return _loop(step, batched, rooms, name)


def _loop(step: Callable[..., list[Any]], batched: list[Node], shared: list[Tracer], name: str) -> list[Node]:
    count = 0

    def tupled(*given: Any) -> tuple[Any, ...]:
        nonlocal count
        results = step(*given)
        count = len(results)
        return (*results, True, True)  # several, whatever they are

    sequences = [wrap(n) for n in batched]
    args = normalise(tupled, sequences, None, shared, None)
    traced: TracedScan = add_scan(tupled, args, name)
    return [traced.trace(n) for n in traced.names[:count]]


def _leaves(results: Any) -> list[Any]:
    return [wrap(as_stored(r)) for r in flatten(results)[0]]


def _length(x: Any, axis: int) -> Any:
    return wrap(build.dim_of(unwrap(x), axis, here()))


def _iota(length: int | Dim) -> Node:
    return build.make("iota", type=build.integer(0).type.with_shape((length,)), shape=(length,), loc=here())


def _dim(length: Any) -> int | Dim:
    return build.dim_from(unwrap(length), tracing().root.unique("longest"))


def _padded(x: Tracer, room: Tracer, axis: int) -> Tracer:
    """As long along an axis as `room`, with zeros after the end."""
    node = unwrap(x)
    rank = node.type.ndim
    order = (axis, *(a for a in range(rank) if a != axis))
    front = node if axis == 0 else build.make("transpose", node, loc=here(), perm=order)
    length, rest = front.type.shape[0], front.type.shape[1:]
    if any(isinstance(d, Dim) and d.define is not None for d in rest):
        raise UnsupportedError("a result of which several lengths differ from row to row of a batch", here(),
                               fix="return the parts one by one")
    ones = (1,) * len(rest)
    none = build.cast(unwrap(room < 0), node.type.dtype, here())  # its length is that of the room
    none = build.reshape(none, (none.type.shape[0], *ones), here())
    space = build.broadcast_to(none, (none.type.shape[0], *rest), here())
    filled = emit("put", space, _iota(length), front, axis=0, mode="set")
    back = tuple(int(p) for p in np.argsort(order))
    return wrap(filled if axis == 0 else build.make("transpose", filled, loc=here(), perm=back))


def ragged_axes(results: list[Node], batched: set[Node]) -> Ragged:
    """Which results have a length that the rows decide."""
    found: Ragged = {}
    for i, r in enumerate(results):
        axes = [a for a, d in enumerate(r.type.shape) if isinstance(d, Dim) and d.define in batched]
        if len(axes) > 1:
            raise UnsupportedError("a result of which several lengths differ from row to row of a batch", r.loc,
                                   fix="return the parts one by one")
        if axes:
            found[i] = axes[0]
    return found

