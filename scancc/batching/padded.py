"""Traces that have zeros after the end of their rows: what may be done with them, and what is raised otherwise."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from scancc.autodiff.arithmetic import constant, where
from scancc.batching.rules import RULES, Batch
from scancc.ir import build
from scancc.ir.graph import Node
from scancc.ir.ops import OPS
from scancc.ir.types import INT, Type


class NotMasked(Exception):
    """What reads the rows of a masked loop would count the zeros after their ends: the loop has to be run by rows."""


def on_padded(b: Batch, node: Node, row_by_row: Callable[[Batch, Node], Node]) -> Node | None:
    """What may be done with traces that have zeros after the end of their rows."""
    scans = {b.padded[a] for a in node.args if a in b.padded}
    (source,) = scans if len(scans) == 1 else (None,)
    (x, *_) = node.args
    count = None if source is None else b.counts[source]
    if count is not None:
        if node.op == "reduce_sum" or node.op in ("alias", "stop_gradient"):
            b.value[node] = RULES[node.op](b, node)
            b.batched.add(node)
            if not (node.op == "reduce_sum" and 0 in node.attrs["axes"]):
                b.padded[node] = source  # type: ignore[assignment]
            return None
        if node.op in ("reduce_max", "reduce_min") and 0 in node.attrs["axes"] and x.type.dtype.kind == "f":
            lowest = constant(-np.inf if node.op == "reduce_max" else np.inf, x)
            filled = where(_alive(b, x, count), b.value[x], lowest)
            axes = tuple(a + 1 for a in node.attrs["axes"])
            b.value[node] = build.make(node.op, filled, loc=node.loc, axes=axes)
            b.batched.add(node)
            return None
        if OPS[node.op].kind == "elementwise" and all(a in b.padded or a.type.ndim == 0 for a in node.args):
            made = RULES[node.op](b, node)
            b.value[node] = where(_alive(b, node, count), made, constant(0, made))
            b.batched.add(node)
            b.padded[node] = source  # type: ignore[assignment]
            return None
        if node.op == "index" and node.attrs["axis"] == 0 and node.attrs["position"] < 0:
            # The length of a row is the one of its own loop, which may be too short for the position.
            at = build.make("wrap_index", build.integer(node.attrs["position"]), count, loc=node.loc)
            b.value[node] = _pick(b, x, row_by_row, at)
            b.batched.add(node)
            return None
    raise NotMasked(node.op)


def _alive(b: Batch, like: Node, count: Node) -> Node:
    """Which rows of a trace are there, for each row of the batch."""
    steps = b.value[next(a for a in (like, *like.args) if a in b.value and a in b.padded)].type.shape[1]
    rank = like.type.ndim
    time = build.make("iota", type=Type(INT.dtype, (steps,)), shape=(steps,))
    there = build.make("less", build.reshape(time, (1, steps)), build.reshape(count, (b.length, 1)))
    return build.reshape(there, (b.length, steps, *(1,) * (rank - 1)))


def _pick(b: Batch, x: Node, row_by_row: Callable[[Batch, Node], Node], at: Node) -> Node:
    take = build.make("take", build.make("alias", x), build.integer(0), axis=0)
    shell = Batch(b.length, {take.args[0]: b.value[x], take.args[1]: at}, {*take.args}, loops=b.loops)
    return row_by_row(shell, take)
