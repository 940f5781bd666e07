"""Outputs that need no loop: a row of a sequence at every step, or the same value at every step.

    before   scan s sequence x = %X { o = tap x[0], p = read a }; %3 = get %2 o trace; %4 = get %2 p trace
    after    %3 = %X; %4 = broadcast_to %a shape=[n, ...]

After `hoist` these are the outputs of a `map` whose work could be done for all rows at once, and of loops in which
nothing varies. `dce` then removes what is left of them, and the loop itself when nothing is.
"""

from __future__ import annotations

from scancc.ir import build
from scancc.ir.graph import Graph, Node, ScanSpec, map_bodies, operands, rewrite, spec_of
from scancc.ir.lengths import steps_fit
from scancc.ir.types import Dim
from scancc.passes.graph.bodies import of_loops


@of_loops
def forward_outputs(graph: Graph) -> Graph:
    return rewrite(graph, _forward)


def _forward(node: Node) -> Node | None:
    if node.op in ("scan", "cond"):
        return map_bodies(node, forward_outputs)
    if node.op != "get" or node.attrs["view"] != "trace" or node.args[0].op != "scan":
        return None
    scan = node.args[0]
    spec = spec_of(scan)
    result = spec.body.results[node.attrs["name"]]
    # A step count that may ask for too many rows must be checked, by the loop that reads them.
    if spec.has_until or not result.type.is_static or not steps_fit(scan):
        return None
    if result.op == "tap" and spec.sequence(result.attrs["name"]) is not None:
        return _rows(scan, spec, result, node)
    shared = _shared(result, operands(scan))
    return None if shared is None else build.broadcast_to(shared, node.type.shape, node.loc)


def _rows(scan: Node, spec: ScanSpec, tap: Node, node: Node) -> Node:
    sequence = spec.sequence(tap.attrs["name"])
    assert sequence is not None
    rows = operands(scan)[sequence.name]
    first = tap.attrs["offset"] + sequence.lead
    steps, length = node.type.shape[0], rows.type.shape[0]
    if first == 0 and (steps == length or (isinstance(length, Dim) and length.define is scan.args[0])):
        return rows
    return build.rows(rows, build.integer(first), steps, node.loc)


def _shared(result: Node, value: dict[str, Node]) -> Node | None:
    match result.op:
        case "const":
            return result
        case "read":
            return value[result.attrs["name"]]
        case "broadcast_to":
            inner = _shared(result.args[0], value)
            return None if inner is None else build.broadcast_to(inner, result.type.shape, result.loc)
        case _:
            return None
