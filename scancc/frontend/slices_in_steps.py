"""Slices with traced bounds in a step: `x[i : i + 4]`, whose length is the same in every step.

The length of a value may not depend on values in a step. It does not where the bounds differ by a number: as far as the
rows exist, which is checked when the step runs.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from scancc.errors import ScanIndexError, UnsupportedError
from scancc.frontend.location import here
from scancc.frontend.operators import ArrayOperators
from scancc.frontend.tracer import emit, unwrap
from scancc.ir import build
from scancc.ir.graph import Node

WIDE = tuple(map(np.dtype, ("int32", "uint32", "int64", "uint64")))  # no array has so many rows that sums of these wrap


def rows_in_step(node: Node, axis: int, k: slice) -> Node:
    """The rows of a slice. Raises UnsupportedError where their number may change, and, when the step runs, IndexError
    where the array has not so many."""
    count = _difference(k.stop, k.start) if k.start is not None and k.stop is not None else None
    if count is None or isinstance(k.step, ArrayOperators):
        raise UnsupportedError(
            "slices with traced bounds are not supported in a step: the length would depend on values", here(),
            fix="write both bounds, as in x[i : i + 4], or index with start + np.arange(length)",
        )  # fmt: skip
    step = 1 if k.step is None else int(k.step)
    if step < 1:
        raise UnsupportedError("a slice with traced bounds has a positive step in a step", here(),
                               fix="turn it round: x[i : i + 4][::-1]")  # fmt: skip
    start = build.cast(unwrap(k.start), "int64", here())
    if start.type.shape:
        raise ScanIndexError(f"a bound of a slice has {start.type.ndim} axes", here())
    count = max(0, count)
    # From the end, as Python counts: but the stop at 0 is one in front of all rows, so there are none.
    length, zero = build.dim_of(node, axis, here()), build.integer(0)
    end = emit("add", start, build.integer(count))
    crosses = emit("logical_and", emit("less", start, zero), emit("greater_equal", end, zero))
    first = emit("where", crosses, length, start) if count else zero
    rows = build.const(np.arange(0, count, step, dtype=np.int64), loc=here())
    # Rows before the first one would count from the end again: they are refused by the first one, which is one of them.
    places = emit("add", emit("wrap_index", first, length) if count else first, rows)
    return emit("take", node, emit("wrap_index", places, length), axis=axis)


def _difference(stop: Any, start: Any) -> int | None:
    """stop - start, where that is a number whatever the values are."""
    (high, low) = (_parts(unwrap(b)) for b in (stop, start))
    return high[1] - low[1] if high[0] == low[0] else None


def _parts(node: Node) -> tuple[dict[Node, int], int]:
    """An integer as a sum of multiples of nodes, and a number."""
    if node.op == "const" and node.type.size == 1 and node.type.dtype.kind in "iu":
        return {}, int(node.attrs["value"].reshape(())[()])
    if node.op == "cast" and node.args[0].type.dtype.kind in "iu" and _holds(node.type.dtype, node.args[0].type.dtype):
        return _parts(node.args[0])
    if node.op in ("add", "subtract") and node.type.dtype in WIDE:
        (a, m), (b, n) = map(_parts, node.args)
        sign = 1 if node.op == "add" else -1
        total = {x: a.get(x, 0) + sign * b.get(x, 0) for x in {**a, **b}}
        return {x: c for x, c in total.items() if c}, m + sign * n
    if node.op == "multiply" and node.type.dtype in WIDE:
        (a, m), (b, n) = map(_parts, node.args)
        if not a or not b:
            factor, terms, number = (m, b, n) if not a else (n, a, m)
            return {x: c * factor for x, c in terms.items() if c * factor}, number * factor
    return {node: 1}, 0


def _holds(wide: np.dtype, narrow: np.dtype) -> bool:
    return np.can_cast(narrow, wide, "safe")
