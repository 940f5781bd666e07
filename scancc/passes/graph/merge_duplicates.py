"""Makes one of the sequences, non-sequences and states of a scan that are always equal.

    before   scan s sequence x = %X, sequence z = %X, carry p = %0, carry q = %0 { p = p[-1] + x[0]; q = q[-1] + z[0] }
    after    scan s sequence x = %X, carry p = %0 { p = p[-1] + x[0] }                          gets of q are gets of p

Sequences that read the same array share their taps. Carries are assumed equal if they start alike, and told apart again
as long as their next values differ under that assumption (partition refinement, as Hopcroft minimises automata).
"""

from __future__ import annotations

from dataclasses import replace

from scancc.ir import build
from scancc.ir.graph import (
    STRIDE,
    Graph,
    Node,
    ScanSpec,
    Sequence,
    map_bodies,
    operands,
    rebuild,
    spec_of,
    with_attrs,
)
from scancc.passes.graph.bodies import of_loops
from scancc.passes.graph.cse import cse


@of_loops
def merge_duplicates(graph: Graph) -> Graph:
    mapping: dict[Node, Node] = {}
    renamed: dict[Node, dict[str, str]] = {}  # of merged scans: results by their old names
    changed = False
    for node in graph.nodes():
        new = map_bodies(rebuild(node, mapping), merge_duplicates)
        if node.op == "scan":
            new, names = _merge(new)
            renamed[node] = names
        elif node.op == "get" and node.args[0] in renamed and node.attrs["name"] in renamed[node.args[0]]:
            new = with_attrs(new, name=renamed[node.args[0]][node.attrs["name"]])
        mapping[node] = new
        changed = changed or new is not node
    if not changed:
        return graph
    return Graph(graph.inputs, {k: mapping[v] for k, v in graph.results.items()})


def _merge(scan: Node) -> tuple[Node, dict[str, str]]:
    spec, value = spec_of(scan), operands(scan)
    leaf: dict[str, tuple[str, int]] = {}  # name -> the name that stands for it, and a shift of its taps
    sequences = _sequences(spec, value, leaf)
    nonseqs: dict[Node, str] = {}
    for name in (n for n in spec.nonseqs if n != STRIDE):
        kept = nonseqs.setdefault(value[name], name)
        if kept != name:
            leaf[name] = (kept, 0)
    body = _renamed(spec.body, leaf)
    same = _equal_carries(spec, value, body)
    if not leaf and not same:
        return scan, {}
    body = _renamed(body, {name: (kept, 0) for name, kept in same.items()})
    results = {name: r for name, r in body.results.items() if name not in same}
    carries = tuple(c for c in spec.carries if c.name not in same)
    changed = replace(
        spec, sequences=tuple(sequences), carries=carries, body=Graph((), results),
        nonseqs=(*nonseqs.values(), *(n for n in spec.nonseqs if n == STRIDE)),
    )
    args = (scan.args[0], *(value[name] for name in changed.operand_names()))
    return with_attrs(Node("scan", args, scan.type, scan.attrs, scan.loc), spec=changed), same


def _sequences(spec: ScanSpec, value: dict[str, Node], leaf: dict[str, tuple[str, int]]) -> list[Sequence]:
    found: list[Sequence] = []
    first: dict[Node, int] = {}
    for s in spec.sequences:
        place = first.setdefault(value[s.name], len(found))
        if place == len(found):
            found.append(s)
            continue
        known = found[place]
        # Counted from row 0, taps of both mean the same rows.
        rows = {k + known.lead for k in known.taps} | {k + s.lead for k in s.taps}
        merged = Sequence(known.name, tuple(sorted(rows)))
        if merged.reach < max(known.reach, s.reach):
            found.append(s)  # a step count that is too large for it must stay an error
            continue
        leaf[s.name] = (known.name, s.lead)
        if known.lead:
            leaf[known.name] = (known.name, known.lead)
        found[place] = merged
    return found


def _renamed(body: Graph, leaf: dict[str, tuple[str, int]]) -> Graph:
    mapping: dict[Node, Node] = {}
    for n in body.nodes():
        if n.op in ("tap", "read") and n.attrs["name"] in leaf:
            name, shift = leaf[n.attrs["name"]]
            attrs = {"name": name} if n.op == "read" else {"name": name, "offset": n.attrs["offset"] + shift}
            mapping[n] = build.make(n.op, type=n.type, loc=n.loc, **attrs)
        else:
            mapping[n] = rebuild(n, mapping)
    return Graph(body.inputs, {k: mapping[v] for k, v in body.results.items()})


def _equal_carries(spec: ScanSpec, value: dict[str, Node], body: Graph) -> dict[str, str]:
    """Carries that equal an earlier one at every step, by name."""
    groups: dict[object, list[str]] = {}
    for c in spec.carries:
        groups.setdefault((value[c.name], c.taps, body.results[c.name].type), []).append(c.name)
    partition = list(groups.values())
    while any(len(g) > 1 for g in partition):
        assumed = {name: (g[0], 0) for g in partition for name in g[1:]}
        results = cse(_renamed(body, assumed)).results
        finer: list[list[str]] = []
        for g in partition:
            split: dict[Node, list[str]] = {}
            for name in g:
                split.setdefault(results[name], []).append(name)
            finer += split.values()
        if len(finer) == len(partition):
            break
        partition = finer
    return {name: g[0] for g in partition for name in g[1:]}
