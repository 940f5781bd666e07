"""Sums over a row that a loop adds up are taken after the loop: the loop adds up the row itself.

    before   carry s = %0 { %v: f64[lanes] = ...; s = add(s[-1], reduce_sum %v) }     result: get s final
    after    carry s = zeros { %v: f64[lanes] = ...; s = add(s[-1], %v) }          result: reduce_sum(get s final) + %0

On a device the elements of the row are then those of lanes that do not wait for one another: a gradient with respect to
parameters that all lanes share. Only for sums that nobody reads before the end.
"""

from __future__ import annotations

from dataclasses import replace

from scancc.ir import build
from scancc.ir.graph import Graph, Node, ScanSpec, operands, rebuild, spec_of, substitute, users, with_attrs
from scancc.ir.types import Dim


def defer_sums(graph: Graph) -> Graph:
    """Only loops at the top."""
    while True:
        found = next((f for n in graph.nodes() if n.op == "scan" for f in [_found(graph, n)] if f), None)
        if found is None:
            return graph
        graph = _deferred(graph, *found)


def _found(graph: Graph, scan: Node) -> tuple[Node, str, Node] | None:
    """A scan, the carry, and the reduction that it adds up."""
    spec = spec_of(scan)
    gets = [g for g in graph.nodes() if g.op == "get" and g.args[0] is scan]
    for c in spec.carries:
        views = {g.attrs["view"] for g in gets if g.attrs["name"] == c.name}
        sum_ = _summand(spec, c.name)
        if c.taps == (-1,) and views == {"final"} and sum_ is not None:
            return scan, c.name, sum_
    return None


def _summand(spec: ScanSpec, name: str) -> Node | None:
    total = spec.body.results[name]
    if total.op != "add":
        return None
    readers = users(spec.body)
    taps = [a for a in total.args if a.op == "tap" and a.attrs["name"] == name]
    sums = [a for a in total.args if a.op == "reduce_sum" and a.type == total.type]
    if len(taps) != 1 or len(sums) != 1 or readers[taps[0]] != [total] or readers.get(total):
        return None
    if sum(r is total for r in spec.body.results.values()) > 1:
        return None
    row = sums[0].args[0].type
    return None if any(isinstance(d, Dim) and d.define is not None for d in row.shape) else sums[0]


def _deferred(graph: Graph, scan: Node, name: str, sum_: Node) -> Graph:
    spec, value = spec_of(scan), operands(scan)
    row = sum_.args[0]
    tap = build.make("tap", type=row.type, name=name, offset=-1)
    changed = substitute(spec.body.results.values(), {spec.body.results[name]: build.make("add", tap, row)})
    body = Graph((), {k: changed[r] for k, r in spec.body.results.items()})
    initial = build.zeros(row.type)
    args = [initial if n == name else value[n] for n in spec.operand_names()]
    attrs = with_attrs(scan, spec=replace(spec, body=body)).attrs
    new = Node("scan", (scan.args[0], *args), scan.type, attrs, scan.loc)
    mapping: dict[Node, Node] = {}
    for n in graph.nodes():
        if n is scan:
            mapping[n] = Node("scan", tuple(mapping.get(a, a) for a in new.args), new.type, new.attrs, new.loc)
        elif n.op == "get" and n.args[0] is scan and n.attrs["name"] == name:
            total = build.make("reduce_sum", build.final(mapping[scan], name, n.loc), loc=sum_.loc,
                               axes=sum_.attrs["axes"])  # fmt: skip
            mapping[n] = build.make("add", total, mapping.get(value[name], value[name]), loc=n.loc)
        else:
            mapping[n] = rebuild(n, mapping)
    return Graph(graph.inputs, {k: mapping[v] for k, v in graph.results.items()})
