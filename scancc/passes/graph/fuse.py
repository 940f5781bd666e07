"""Merges sibling scans over the same steps.

    before   %3 = scan a steps %n ...; %4 = scan b steps %n ...
    after    %3 = scan a_and_b steps %n ...

Scans merge when their step counts are one node, neither depends on the other, neither may stop early, and their steps
are not too long together. Sequences that both read are read once. (Element-wise ops merge into loop nests when they
are lowered.)
"""

from __future__ import annotations

from collections.abc import Iterator
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
from scancc.ir.ops import OPS
from scancc.passes.graph.bodies import of_loops
from scancc.passes.sizes import in_registers

JOINED = "_and_"  # between the names of merged scans
# Operations of a step beyond which a loop gets no further scan. Side by side, chains of operations fill the cycles in
# which each waits for itself, but a dozen of them do that already, and the states of many do not stay in registers: 60
# scans of three `where` each take 3.2 ns a scan and step as one loop, and 2.2 ns in loops of 256 operations.
MOST_OPS = 256


@of_loops
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
    while True:
        groups = next((parts for siblings in _siblings(graph) if (parts := _loops(siblings))), None)
        if groups is None:
            return graph
        graph = _with_merged(graph, groups)


def _siblings(graph: Graph) -> Iterator[list[Node]]:
    """Scans of one step count of which none depends on another."""
    order = graph.nodes()
    by_steps: dict[Node, list[Node]] = {}
    for n in order:
        if n.op == "scan" and _may_merge(spec_of(n)):
            by_steps.setdefault(n.args[0], []).append(n)
    for scans in by_steps.values():
        if len(scans) < 2:
            continue
        found: dict[Node, None] = {}
        wanted, after = set(scans), set[Node]()  # of those found, they and what depends on them
        for n in order:
            if any(d in after for d in dependencies(n)):
                after.add(n)
            elif n in wanted:
                found[n] = None
                after.add(n)
        yield list(found)


def _may_merge(spec: ScanSpec) -> bool:
    return (not spec.has_until and not spec.effects and STRIDE not in spec.nonseqs
            and spec.strategy not in (ASSOCIATIVE, PREFIX))  # fmt: skip


def _loops(siblings: list[Node]) -> list[list[Node]]:
    """Those that become one loop each, of which there are several if their steps are long together."""
    parts: list[list[Node]] = []
    size = MOST_OPS + 1
    for scan in siblings:
        own = _size(spec_of(scan))
        if size + own > MOST_OPS:
            parts.append([])
            size = 0
        parts[-1].append(scan)
        size += own
    return [part for part in parts if len(part) > 1]


def _size(spec: ScanSpec) -> int:
    """Operations of a step; those on arrays that stay in registers are one for each element."""
    return sum((n.type.size or 0) if in_registers(n.type) else 1 for n in spec.body.nodes() if OPS[n.op].kind != "leaf")


def _with_merged(graph: Graph, groups: list[list[Node]]) -> Graph:
    """Each merged scan stands for all of its parts. Its operands come before the first reader of any part."""
    mapping: dict[Node, Node] = {}
    renamed: dict[Node, dict[str, str]] = {}
    for group in groups:
        merged = Merged(group[0].args[0])
        for scan in group:
            merged.add(scan)
        mapping |= dict.fromkeys(group, merged.node(group[0]))
        renamed |= merged.renamed
    for node in graph.nodes():
        if node in renamed:
            continue
        new = rebuild(node, mapping)
        if node.op == "get" and node.args[0] in renamed and node.attrs["name"]:
            new = with_attrs(new, name=renamed[node.args[0]][node.attrs["name"]])
        mapping[node] = new
    return Graph(graph.inputs, {k: mapping[v] for k, v in graph.results.items()})
