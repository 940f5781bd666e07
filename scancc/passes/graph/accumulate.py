"""Sums (of exponentials, too), products, extremes, any and all over time become carries of the loop.

    before   %3 = scan a ... output y ...;       %6 = reduce_sum (get %3 y trace) axes=[0]
    after    %3 = scan a ... carry y_sum ...;    %6 = get %3 y_sum final

So the output itself need not be kept, where these are all that is read of it. A minimum or maximum of no rows is an
error: a check of the step count stands for what the reduction would have found.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any

import numpy as np

from scancc.ir import build
from scancc.ir.graph import (
    EFFECT,
    PREFIX,
    Carry,
    Graph,
    Node,
    map_bodies,
    operands,
    rebuild,
    rewrite,
    spec_of,
    users,
    with_attrs,
)
from scancc.ir.names import fresh_name
from scancc.passes.graph.bodies import of_loops

EXTREMES = frozenset({"reduce_min", "reduce_max"})
REDUCTIONS = {
    "reduce_sum": "add", "reduce_prod": "multiply", "reduce_any": "logical_or", "reduce_all": "logical_and",
    "reduce_min": "minimum", "reduce_max": "maximum", "reduce_logsumexp": "logaddexp",
}  # fmt: skip


@of_loops
def accumulate(graph: Graph) -> Graph:
    return _accumulate(rewrite(graph, lambda node: map_bodies(node, accumulate)))


def _accumulate(graph: Graph) -> Graph:
    found = _reductions(graph)
    if not found:
        return graph
    carries: dict[Node, str] = {}  # of the new scans, by the reductions that they stand for
    checks: dict[str, Node] = {}
    mapping: dict[Node, Node] = {}
    for node in graph.nodes():
        new = rebuild(node, mapping)
        if node in found:
            new, names = _with_sums(new, found[node])
            carries |= names
            extremes = [r for r in names if r.op in EXTREMES]
            if extremes:
                checks |= _steps_exist(build.length(new), extremes[0], {**graph.results, **checks})
        elif node in carries:
            new = build.final(mapping[node.args[0].args[0]], carries[node], node.loc)
        mapping[node] = new
    return Graph(graph.inputs, checks | {k: mapping[v] for k, v in graph.results.items()})


def _reductions(graph: Graph) -> dict[Node, list[Node]]:
    """By scan: the reductions over time of outputs of which nothing else is read."""
    used = users(graph)
    results = set(graph.results.values())
    found: dict[Node, list[Node]] = {}
    for node in graph.nodes():
        if node.op != "scan" or spec_of(node).strategy == PREFIX:
            continue
        traces = [g for g in used.get(node, []) if g.op == "get" and g.attrs["view"] == "trace" and g not in results]
        reductions = [r for g in traces if all(_over_time(u) for u in used.get(g, [])) for r in used.get(g, [])]
        if reductions:
            found[node] = reductions
    return found


def _over_time(node: Node) -> bool:
    if node.op in EXTREMES and node.type.dtype.kind == "c":
        return False
    return node.op in REDUCTIONS and 0 in node.attrs["axes"]


def _identity(op: str, dtype: np.dtype) -> Any:
    """What the combination of nothing is; of extremes it never comes out, as there is a step or an error."""
    if op == "reduce_logsumexp":
        return -np.inf
    if op not in EXTREMES:
        return {"reduce_sum": 0, "reduce_prod": 1, "reduce_any": False, "reduce_all": True}[op]
    lowest = op == "reduce_max"
    if dtype.kind == "f":
        return -np.inf if lowest else np.inf
    if dtype.kind == "b":
        return not lowest
    return np.iinfo(dtype).min if lowest else np.iinfo(dtype).max


def _with_sums(scan: Node, reductions: list[Node]) -> tuple[Node, dict[Node, str]]:
    """The scan with one carry more for each reduction; by reduction, the carry's name."""
    spec = spec_of(scan)
    value = operands(scan)
    taken = {*spec.operand_names(), *spec.outputs}
    carries, initials, results = list(spec.carries), [], dict(spec.body.results)
    names: dict[Node, str] = {}
    for r in reductions:
        source = r.args[0].attrs["name"]
        names[r] = name = fresh_name(f"{source}_{r.op.split('_')[1]}", taken)
        combine = REDUCTIONS[r.op]
        row = spec.body.results[source]
        inner = tuple(a - 1 for a in r.attrs["axes"] if a > 0)
        row = build.make(r.op, row, loc=r.loc, axes=inner) if inner else row
        tap = build.make("tap", type=r.type, name=name, offset=-1)
        carries.append(Carry(name, (-1,)))
        nothing = build.const(_identity(r.op, r.type.dtype), r.type.dtype)
        initials.append(build.broadcast_to(nothing, r.type.shape, r.loc))
        results[name] = build.make(combine, tap, row, loc=r.loc)
    changed = replace(spec, carries=tuple(carries), body=Graph((), results))
    args = (
        scan.args[0],
        *(value[s.name] for s in spec.sequences),
        *(value[c.name] for c in spec.carries),
        *initials,
        *(value[n] for n in spec.nonseqs),
    )
    return with_attrs(Node("scan", args, scan.type, scan.attrs, scan.loc), spec=changed), names


def _steps_exist(length: Node, reduction: Node, taken: Collection[str]) -> dict[str, Node]:
    """An extreme of no rows is an error, which the loop would not notice by itself."""
    if length.op == "const" and length.attrs["value"] > 0:
        return {}
    some = build.make("greater", length, build.integer(0), loc=reduction.loc)
    message = "zero-size array to a minimum or maximum, which has no identity"
    check = build.make("check", some, loc=reduction.loc, message=message, names=(), site=-1, error="value")
    return {fresh_name(EFFECT + "rows", set(taken)): check}
