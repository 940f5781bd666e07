"""Merges sibling scans over the same steps.

    before   %3 = scan a steps %n ...; %4 = scan b steps %n ...
    after    %3 = scan a_and_b steps %n ...

Scans merge when their step counts are one node, neither depends on the other, and neither may stop early. Sequences
that both read are read once. (Element-wise ops merge into loop nests when they are lowered.)
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from scancc.ir import build
from scancc.ir.graph import (
    ASSOCIATIVE,
    PREFIX,
    STRIDE,
    Carry,
    Graph,
    Node,
    ScanSpec,
    Sequence,
    dependencies,
    map_bodies,
    operands,
    rebuild,
    rewrite,
    spec_of,
    with_attrs,
)
from scancc.ir.names import fresh_name

JOINED = "_and_"  # between the names of merged scans


def fuse(graph: Graph) -> Graph:
    graph = rewrite(graph, lambda node: map_bodies(node, fuse))
    return _merge_siblings(graph)


# -- sibling scans -----------------------------------------------------------------------------------------------


@dataclass
class Merged:
    """A scan under construction from several."""

    steps: Node
    names: list[str] = field(default_factory=list)
    sequences: dict[str, tuple[set[int], Node]] = field(default_factory=dict)
    carries: dict[Carry, Node] = field(default_factory=dict)
    nonseqs: dict[str, Node] = field(default_factory=dict)
    outputs: list[str] = field(default_factory=list)
    results: dict[str, Node] = field(default_factory=dict)
    renamed: dict[Node, dict[str, str]] = field(default_factory=dict)  # by scan: results by their old names
    taken: set[str] = field(default_factory=set)

    def add(self, scan: Node) -> None:
        spec, value = spec_of(scan), operands(scan)
        new: dict[str, str] = {}
        shift: dict[str, int] = {}
        for s in spec.sequences:
            known = next((n for n, (_, x) in self.sequences.items() if x is value[s.name]), None)
            new[s.name] = name = known or fresh_name(s.name, self.taken)
            # Counted from row 0, taps of both scans mean the same rows.
            shift[s.name] = s.lead
            taps = {k + s.lead for k in s.taps}
            self.sequences[name] = (self.sequences.get(name, (set(), None))[0] | taps, value[s.name])
        for c in spec.carries:
            new[c.name] = fresh_name(c.name, self.taken)
            self.carries[Carry(new[c.name], c.taps)] = value[c.name]
        for name in spec.nonseqs:
            known = next((k for k, x in self.nonseqs.items() if x is value[name]), None)
            new[name] = known or fresh_name(name, self.taken)
            self.nonseqs[new[name]] = value[name]
        for o in spec.outputs:
            new[o] = fresh_name(o, self.taken)
            self.outputs.append(new[o])
        self.names.append(spec.name)
        self.renamed[scan] = new
        mapping: dict[Node, Node] = {}
        for n in spec.body.nodes():
            mapping[n] = _leaf(n, new, shift) if n.op in ("tap", "read") else rebuild(n, mapping)
        self.results |= {new[k]: mapping[v] for k, v in spec.body.results.items()}

    def node(self, first: Node) -> Node:
        sequences = {Sequence(n, tuple(sorted(taps))): x for n, (taps, x) in self.sequences.items()}
        spec = ScanSpec(
            JOINED.join(self.names), tuple(sequences), tuple(self.carries), tuple(self.nonseqs), tuple(self.outputs),
            Graph((), self.results),
        )  # fmt: skip
        args = (self.steps, *sequences.values(), *self.carries.values(), *self.nonseqs.values())
        return build.scan(spec, args, first.loc)


def _leaf(n: Node, new: dict[str, str], shift: dict[str, int]) -> Node:
    name = n.attrs["name"]
    if n.op == "read":
        return build.make("read", type=n.type, name=new[name], loc=n.loc)
    return build.make("tap", type=n.type, name=new[name], offset=n.attrs["offset"] + shift.get(name, 0), loc=n.loc)


def _merge_siblings(graph: Graph) -> Graph:
    for group in _groups(graph):
        merged = Merged(group[0].args[0])
        for scan in group:
            merged.add(scan)
        return _merge_siblings(_with_merged(graph, merged, group))
    return graph


def _groups(graph: Graph) -> Iterable[list[Node]]:
    """Scans of one step count of which none depends on another."""
    order = graph.nodes()
    scans = [n for n in order if n.op == "scan" and not spec_of(n).has_until and not spec_of(n).effects
             and STRIDE not in spec_of(n).nonseqs and spec_of(n).strategy not in (ASSOCIATIVE, PREFIX)]
    by_steps: dict[Node, list[Node]] = {}
    for n in scans:
        by_steps.setdefault(n.args[0], []).append(n)
    if all(len(group) < 2 for group in by_steps.values()):
        return
    above: dict[Node, frozenset[Node]] = {}
    for n in order:
        inherited: set[Node] = {n} if n.op == "scan" else set()
        above[n] = frozenset(inherited.union(*(above[d] for d in dependencies(n))))
    for siblings in by_steps.values():
        group: list[Node] = []
        for n in siblings:
            if all(m not in above[n] for m in group):
                group.append(n)
        if len(group) > 1:
            yield group


def _with_merged(graph: Graph, merged: Merged, group: list[Node]) -> Graph:
    """The merged scan stands for all of its parts. Its operands come before the first reader of any part."""
    whole = merged.node(group[0])
    members = set(group)
    mapping: dict[Node, Node] = {n: whole for n in members}
    readers = {n for n in graph.nodes() if n.op == "get" and n.args[0] in members}
    for node in graph.nodes():
        if node in members:
            continue
        if node in readers:
            name = node.attrs["name"]
            new_name = merged.renamed[node.args[0]][name] if name else name
            mapping[node] = with_attrs(rebuild(node, mapping), name=new_name)
        else:
            mapping[node] = rebuild(node, mapping)
    return Graph(graph.inputs, {k: mapping[v] for k, v in graph.results.items()})
