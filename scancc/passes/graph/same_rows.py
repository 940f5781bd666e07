"""Sequences whose rows are all the same become non-sequences.

    before   %3 = broadcast_to (reshape %row) [n, lanes];  scan s sequence d = %3 { ... tap d[0] ... }
    after    scan s nonseq d = %row { ... read d ... }

As the derivative of a sum or a mean over time is: what such a row is computed from is then computed once (`hoist`), not
once a step. Only where the sequence is known to have as many rows as the loop makes steps, which it no longer tells;
and only rows of many lanes: of shorter ones the loop computes what it needs without memory.
"""

from __future__ import annotations

from dataclasses import replace

from scancc.ir import build
from scancc.ir.graph import Graph, Node, map_bodies, operands, rewrite, spec_of, substitute, with_attrs
from scancc.ir.lengths import long_enough
from scancc.passes.graph.bodies import of_loops
from scancc.passes.graph.hoist import are_lanes


@of_loops
def same_rows(graph: Graph) -> Graph:
    def rule(node: Node) -> Node:
        node = map_bodies(node, same_rows)
        return _without_sequences(node) if node.op == "scan" else node

    return rewrite(graph, rule)


def _without_sequences(scan: Node) -> Node:
    spec, value = spec_of(scan), operands(scan)
    rows: dict[str, Node] = {}
    for s in spec.sequences:
        row = _row(value[s.name]) if s.taps and long_enough(scan.args[0], value[s.name], s) else None
        if row is not None and are_lanes(row.type.shape):
            rows[s.name] = row
    if not rows:
        return scan
    taps = [n for n in spec.body.nodes() if n.op == "tap" and n.attrs["name"] in rows]
    read = {n: build.make("read", type=n.type, name=n.attrs["name"], loc=n.loc) for n in taps}
    body = substitute(spec.body.results.values(), read)
    changed = replace(
        spec,
        sequences=tuple(s for s in spec.sequences if s.name not in rows),
        nonseqs=(*spec.nonseqs, *rows),
        body=Graph((), {k: body[r] for k, r in spec.body.results.items()}),
    )
    value |= rows
    args = (scan.args[0], *(value[n] for n in changed.operand_names()))
    return with_attrs(Node("scan", args, scan.type, scan.attrs, scan.loc), spec=changed)


def _row(sequence: Node) -> Node | None:
    """The row that a sequence repeats."""
    while sequence.op == "flip" and sequence.attrs["axes"] == (0,):
        (sequence,) = sequence.args
    if sequence.op != "broadcast_to":
        return None
    (source,), shape = sequence.args, sequence.type.shape[1:]
    if source.type.ndim == sequence.type.ndim:
        if source.type.shape[0] != 1 or sequence.type.shape[0] == 1:
            return None
        source = build.reshape(source, source.type.shape[1:], sequence.loc)
    if source.op == "reshape" and source.args[0].op == "reshape":
        source = build.reshape(source.args[0].args[0], source.type.shape, source.loc)
    if source.op == "reshape" and source.args[0].type == source.type:
        (source,) = source.args
    return source if source.type.shape == shape else build.broadcast_to(source, shape, sequence.loc)
