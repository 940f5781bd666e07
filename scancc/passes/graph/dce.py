"""Removes what nobody reads: outputs and states of scans, and the operands that only they needed.

    before   scan s carry y, carry z, output o; y uses y[-1]; z uses z[-1]; only `get s y trace` follows
    after    scan s carry y

Live are the results that a `get` reads, the stopping condition, effects, and every carry whose taps a live result
needs: a fix-point, so states that only feed one another go together. A carry that no live result taps becomes an
output without feedback, unless its final value is read (after zero steps that is the initial one).
"""

from __future__ import annotations

from dataclasses import replace

from scancc.ir.closed import with_lengths
from scancc.ir.graph import (
    EFFECT,
    STRIDE,
    UNTIL,
    Graph,
    Node,
    ScanSpec,
    dependencies,
    operands,
    rewrite_nodes,
    spec_of,
    topological,
    with_attrs,
)
from scancc.ir.lengths import long_enough


def dce(graph: Graph) -> Graph:
    """Results are read by whoever asked for the program: only what is inside of them can be dead."""
    read: dict[Node, set[str]] = {}
    final: dict[Node, set[str]] = {}
    sampled: set[Node] = set()
    for node in graph.nodes():
        if node.op == "get":
            read.setdefault(node.args[0], set()).add(node.attrs["name"])
            if node.attrs["view"] in ("final", "history", "state", "every"):
                sampled |= {node.args[0]} if node.attrs["view"] == "every" else set()
                final.setdefault(node.args[0], set()).add(node.attrs["name"])
    mapping: dict[Node, Node] = {}

    def shrink(original: Node, node: Node) -> Node:
        if node.op == "scan":
            return _shrink_scan(node, read.get(original, set()), final.get(original, set()), original in sampled)
        if node.op == "cond":
            return _shrink_cond(node, read.get(original, set()))
        return node

    # `rewrite` hands over rebuilt nodes; what is read is known of the original ones, which come in the same order.
    originals = iter(topological(graph.results.values()))
    mapping = rewrite_nodes(graph.results.values(), lambda node: shrink(next(originals), node))
    results = {name: mapping[node] for name, node in graph.results.items()}
    if all(results[k] is v for k, v in graph.results.items()):
        return graph
    return Graph(graph.inputs, results)


def _shrink_scan(node: Node, read: set[str], final: set[str], sampled: bool) -> Node:
    spec = spec_of(node)
    live = _live_results(spec, read)
    body = dce(Graph((), {n: r for n, r in spec.body.results.items() if n in live}))
    value, steps = operands(node), node.args[0]
    body, more = with_lengths(body, value, {*spec.operand_names(), *spec.outputs})
    value |= more
    tapped = {n.attrs["name"] for n in body.nodes() if n.op in ("tap", "read")}
    tapped |= {STRIDE} if sampled else set()
    demoted = {c.name for c in spec.carries if c.name in live and c.name not in tapped | final}
    changed = replace(
        spec,
        sequences=tuple(s for s in spec.sequences if s.name in tapped or not long_enough(steps, value[s.name], s)),
        carries=tuple(c for c in spec.carries if c.name in live and c.name not in demoted),
        nonseqs=tuple(n for n in (*spec.nonseqs, *more) if n in tapped),
        outputs=tuple(n for n in spec.body.results if n in live and (n in spec.outputs or n in demoted)),
        body=body,
    )
    if changed == spec:
        return node
    args = (node.args[0], *(value[name] for name in changed.operand_names()))
    return with_attrs(Node("scan", args, node.type, node.attrs, node.loc), spec=changed)


def _live_results(spec: ScanSpec, read: set[str]) -> set[str]:
    carries = {c.name for c in spec.carries}
    live = {name for name in read if name} | ({UNTIL} if spec.has_until else set()) | set(spec.effects)
    seen: set[Node] = set()
    pending = [spec.body.results[name] for name in live]
    while pending:
        node = pending.pop()
        if node in seen:
            continue
        seen.add(node)
        pending += dependencies(node)
        if node.op == "tap" and node.attrs["name"] in carries and node.attrs["name"] not in live:
            live.add(node.attrs["name"])
            pending.append(spec.body.results[node.attrs["name"]])
    return live


def _shrink_cond(node: Node, read: set[str]) -> Node:
    branches = {}
    for key in ("then", "orelse"):
        graph: Graph = node.attrs[key]
        kept = {n: r for n, r in graph.results.items() if n in read or n.startswith(EFFECT)}
        branches[key] = dce(graph if kept == dict(graph.results) else Graph((), kept))
    used = {n.attrs["name"] for g in branches.values() for n in g.nodes() if n.op == "read"}
    names = tuple(n for n in node.attrs["names"] if n in used)
    if names == tuple(node.attrs["names"]) and all(branches[k] is node.attrs[k] for k in branches):
        return node
    args = dict(zip(node.attrs["names"], node.args[1:], strict=True))
    shorter = Node("cond", (node.args[0], *(args[n] for n in names)), node.type, node.attrs, node.loc)
    return with_attrs(shorter, names=names, **branches)
