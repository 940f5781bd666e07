"""Leaves out the last steps of a scan when nobody reads what they make.

    before   %2 = scan s steps %n ...;                 %3 = get %2 y last 3; %4 = index %3 axis=0 position=0
    after    %2 = scan s steps maximum(%n - 2, 0) ...; %3 = get %2 y last 1; %4 = index %3 axis=0 position=0

Every view of the scan must leave the last rows out: `ys[-3]` of ten steps runs eight. A step count that may be
negative, or more than the sequences have rows for, is an error that must stay one: only counts known to be right are
lowered.
"""

from __future__ import annotations

from scancc.ir import build
from scancc.ir.graph import Graph, Node, map_bodies, rebuild, spec_of, users
from scancc.ir.lengths import steps_fit


def shorten(graph: Graph) -> Graph:
    readers = users(graph)
    results = set(graph.results.values())
    mapping: dict[Node, Node] = {}
    dropped: dict[Node, int] = {}
    changed = False
    for node in graph.nodes():
        new = map_bodies(rebuild(node, mapping), shorten)
        if node.op == "scan":
            rows = _unread(node, readers, results)
            if rows:
                dropped[node] = rows
                left = build.make("subtract", new.args[0], build.integer(rows), loc=node.loc)
                steps = build.make("maximum", left, build.integer(0), loc=node.loc)
                new = Node("scan", (steps, *new.args[1:]), new.type, new.attrs, new.loc)
        elif node.op == "get" and node.args[0] in dropped:
            kept = _rows(node) - dropped[node.args[0]]
            new = build.last(new.args[0], node.attrs["name"], kept, node.loc)
        mapping[node] = new
        changed = changed or new is not node
    if not changed:
        return graph
    return Graph(graph.inputs, {k: mapping[v] for k, v in graph.results.items()})


def _unread(scan: Node, readers: dict[Node, list[Node]], results: set[Node]) -> int:
    """How many steps at the end make nothing that is read."""
    gets = readers.get(scan, [])
    spec = spec_of(scan)
    if spec.has_until or spec.effects or not gets or not steps_fit(scan) or not _never_negative(scan.args[0]):
        return 0
    unread = []
    for get in gets:
        if get in results or not get.attrs["view"].startswith("last"):
            return 0
        ends = [_end(u) for u in readers.get(get, [])]
        if not ends or any(e is None for e in ends):
            return 0
        unread.append(_rows(get) - max(e for e in ends if e is not None))
    return min(unread)


def _rows(get: Node) -> int:
    return int(get.attrs["view"].split()[1])


def _end(user: Node) -> int | None:
    """The row after the last one that an index reads, counted from the first; None for anything else."""
    if user.op == "index" and user.attrs["axis"] == 0 and user.attrs["position"] >= 0:
        return int(user.attrs["position"]) + 1
    return None


def _never_negative(steps: Node) -> bool:
    match steps.op:
        case "const":
            return bool(steps.attrs["value"] >= 0)
        case "dim":
            return True
        case "maximum":
            return any(_never_negative(a) for a in steps.args)
        case "minimum":
            return all(_never_negative(a) for a in steps.args)
        case _:
            return False
