"""Element-wise functions of a loop's outputs that are only reduced over time are computed in the loop.

    before   %3 = scan a ... carry y ...;    %4 = multiply (get %3 y trace) %3y;    %5 = reduce_sum %4 axes=[0]
    after    %3 = scan a ... output y_map;   %5 = reduce_sum (get %3 y_map trace) axes=[0]

`accumulate` then makes a carry of the reduction, so that a loss such as ((ys - target)**2).sum() needs no trace. What
is there besides the outputs of the one loop becomes a sequence of it, or a value that does not change. A linear
recurrence whose trace somebody else reads stays as it is: it is solved in blocks, faster than a pass over the trace is
worth.
"""

from __future__ import annotations

from dataclasses import replace

from scancc.ir import build
from scancc.ir.graph import (
    PREFIX,
    STRIDE,
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
    users,
    with_attrs,
)
from scancc.ir.names import fresh_name
from scancc.ir.ops import OPS
from scancc.ir.types import Dim, Type
from scancc.passes.graph.accumulate import REDUCTIONS
from scancc.passes.graph.block_recurrences import linear_recurrence
from scancc.passes.graph.bodies import of_loops


@of_loops
def absorb(graph: Graph) -> Graph:
    graph = rewrite(graph, lambda node: map_bodies(node, absorb))
    while True:
        changed = _absorb_some(graph)
        if changed is None:
            return graph
        graph = changed


def _absorb_some(graph: Graph) -> Graph | None:
    """All that need nothing of other loops at once; else one that does, since that loop may change as well."""
    if not any(n.op == "scan" for n in graph.nodes()):
        return None
    readers, results = users(graph), set(graph.results.values())
    sources = _scans_read(graph)
    after_any = _after(graph, None)
    changed: dict[Node, Node] = {}  # by scan: what it has become
    names: dict[Node, str] = {}
    found_of: dict[Node, _Map] = {}
    for node in graph.nodes():
        if node in results or OPS[node.op].kind != "elementwise" or node.op == "wrap_index":
            continue
        if not readers.get(node) or not all(_over_time(r) for r in readers[node]) or len(sources[node]) != 1:
            continue
        found = _Map(node)
        if found.scan is None:
            continue
        apart = found.fits(after_any)
        if not apart and (names or not found.fits(_after(graph, found.scan))):
            continue
        now = changed.get(found.scan, found.scan)
        if _solved_in_blocks(found, spec_of(now), readers, results):
            continue
        changed[found.scan], names[node] = found.absorbed(now)
        found_of[node] = found
        if not apart:
            break
    return _with_absorbed(graph, changed, names, found_of) if names else None


def _with_absorbed(
    graph: Graph, changed: dict[Node, Node], names: dict[Node, str], found_of: dict[Node, _Map]
) -> Graph:
    mapping: dict[Node, Node] = {}
    for n in graph.nodes():
        new = rebuild(changed.get(n, n), mapping)
        if n in names:  # its lengths may be those of the loop that ends early
            found = found_of[n]
            assert found.scan is not None
            scan = mapping[found.scan]
            row = new.type.with_shape(new.type.shape[1:])
            length = mapping[found.traces[0]].type.shape[0]
            get = build.trace(scan, names[n])
            new = Node("get", (scan,), row.with_shape((length, *row.shape)), get.attrs, n.loc)
        mapping[n] = new
    return Graph(graph.inputs, {n: mapping[r] for n, r in graph.results.items()})


def _after(graph: Graph, scan: Node | None) -> set[Node]:
    """What needs a scan, or any, and the scan itself."""
    found: set[Node] = set()
    for n in graph.nodes():
        if n is scan or (scan is None and n.op == "scan") or any(d in found for d in dependencies(n)):
            found.add(n)
    return found


def _scans_read(graph: Graph) -> dict[Node, frozenset[Node]]:
    """By value: the scans whose traces it is made of element by element. Of several, two are as good as all."""
    found: dict[Node, frozenset[Node]] = {}
    for n in graph.nodes():
        if _is_trace(_below(n)):
            found[n] = frozenset({_below(n).args[0]})
        elif OPS[n.op].kind == "elementwise" and n.op != "wrap_index":
            read = [found[a] for a in n.args if a.type.shape == n.type.shape or _is_trace(_below(a))]
            found[n] = frozenset(list(frozenset().union(*read))[:2])
        else:
            found[n] = frozenset()
    return found


def _over_time(node: Node) -> bool:
    return node.op in REDUCTIONS and 0 in node.attrs["axes"]


def _is_trace(node: Node) -> bool:
    return (node.op == "get" and node.args[0].op == "scan" and node.attrs["view"] == "trace"
            and spec_of(node.args[0]).strategy != PREFIX)  # fmt: skip


def _below(node: Node) -> Node:
    return node.args[0] if node.op == "expect" else node


def _solved_in_blocks(found: _Map, spec: ScanSpec, readers: dict[Node, list[Node]], results: set[Node]) -> bool:
    if linear_recurrence(spec) is None:
        return False
    inside = {*found.nodes, *found.leaves}
    return any(t in results or any(r not in inside for r in readers[t]) for t in found.traces)


class _Map:
    """A tree of element-wise ops over the traces of one scan."""

    def __init__(self, root: Node) -> None:
        self.root = root
        self.nodes: list[Node] = []  # operands before users
        self.leaves: list[Node] = []
        self.scan: Node | None = None
        self.length = root.type.shape[0] if root.type.shape else None
        path, seen = [(root, iter(root.args))], {root}
        while path:
            n, below = path[-1]
            for a in below:
                if a not in seen:
                    seen.add(a)
                    path.append((a, iter(a.args if self._inside(a) else ())))
                    break
            else:
                path.pop()
                (self.nodes if self._inside(n) else self.leaves).append(n)
        # A trace whose length has yet to be compared with that of another array: the array is compared with it.
        self.trace_of = {n: _below(n) for n in self.leaves if _is_trace(_below(n))}
        self.traces = list(self.trace_of.values())
        scans = {t.args[0] for t in self.traces}
        if len(scans) == 1:
            self.scan = scans.pop()

    def _inside(self, n: Node) -> bool:
        return n.type.shape == self.root.type.shape and OPS[n.op].kind == "elementwise" and n.op != "wrap_index"

    def fits(self, after: set[Node]) -> bool:
        """Whether what is not a trace needs none of `after`, and has a row for every step, or none."""
        assert self.scan is not None
        spec = spec_of(self.scan)
        if STRIDE in spec.nonseqs or spec.effects:
            return False
        for leaf in self.leaves:
            if leaf in self.trace_of:
                trace = self.trace_of[leaf]
                if leaf.type.shape[1:] != trace.type.shape[1:] or leaf.type.shape[:1] != (self.length,):
                    return False
                if leaf.type.ndim != self.root.type.ndim or (leaf is not trace and spec.has_until):
                    return False
            elif leaf in after or any(isinstance(d, Dim) and d.define in after for d in leaf.type.shape):
                return False
            elif leaf.type.ndim == self.root.type.ndim and (leaf.type.shape[0] != self.length or spec.has_until):
                return False
        return True

    def absorbed(self, scan: Node) -> tuple[Node, str]:
        """The scan, as it is by now, with one output more, and the name of that."""
        spec, value = spec_of(scan), operands(scan)
        taken = {*spec.operand_names(), *spec.outputs}
        sequences: dict[Sequence, Node] = {}
        nonseqs: dict[str, Node] = {}
        mapping: dict[Node, Node] = {}
        for leaf in self.leaves:
            if leaf in self.trace_of:
                mapping[leaf] = spec.body.results[self.trace_of[leaf].attrs["name"]]
            elif leaf.op == "const" and not leaf.type.shape:
                mapping[leaf] = leaf
            elif leaf.type.ndim == self.root.type.ndim:
                label = fresh_name("rows", taken)
                shape = (self.traces[0].type.shape[0], *leaf.type.shape[1:])
                rows = leaf if leaf.type.shape == shape else build.make("expect", leaf, loc=leaf.loc, shape=shape)
                sequences[Sequence(label, (0,))] = rows
                mapping[leaf] = build.make("tap", type=_local(leaf.type, 1), name=label, offset=0)
            else:
                label = fresh_name("captured", taken)
                nonseqs[label] = leaf
                mapping[leaf] = build.make("read", type=_local(leaf.type, 0), name=label)
        for n in self.nodes:
            attrs = {k: v for k, v in n.attrs.items() if k != "shape"}
            mapping[n] = build.make(n.op, *(mapping[a] for a in n.args), loc=n.loc, **attrs)
        name = fresh_name("map", taken)
        changed = replace(
            spec, sequences=(*spec.sequences, *sequences), nonseqs=(*spec.nonseqs, *nonseqs),
            outputs=(*spec.outputs, name),
            body=Graph((), {**spec.body.results, name: mapping[self.root]}),
        )  # fmt: skip
        args = (
            scan.args[0], *(value[s.name] for s in spec.sequences), *sequences.values(),
            *(value[c.name] for c in spec.carries), *(value[n] for n in spec.nonseqs), *nonseqs.values(),
        )  # fmt: skip
        return with_attrs(Node("scan", args, scan.type, scan.attrs, scan.loc), spec=changed), name


def _local(t: Type, skip: int) -> Type:
    return t.with_shape(tuple(Dim(d.name, d.hint) if isinstance(d, Dim) else d for d in t.shape[skip:]))
