"""Leaves out the last steps of a scan when nobody reads what they make.

    before   %2 = scan s steps %n ...;                 %3 = get %2 y last 3; %4 = index %3 axis=0 position=0
    after    %2 = scan s steps maximum(%n - 2, 0) ...; %3 = get %2 y last 1; %4 = index %3 axis=0 position=0

Every view of the scan must leave the last rows out: `ys[-3]` of ten steps runs eight. Views from the start run the
steps that they reach: `ys[:3]` and `ys[2]` three, `ys[i]` for a traced i as many as the row says, of which only the
last is kept where nothing else is read. A step count that may be negative, or more than the sequences have rows for, is
an error that must stay one: only counts known to be right are lowered.
"""

from __future__ import annotations

from scancc.ir import build
from scancc.ir.graph import PREFIX, Graph, Node, map_bodies, rebuild, spec_of, topological, users
from scancc.ir.lengths import never_negative, steps_fit
from scancc.passes.graph.bodies import of_loops


@of_loops
def shorten(graph: Graph) -> Graph:
    return _end_early(_leave_out(graph))


def _leave_out(graph: Graph) -> Graph:
    """For views from the end."""
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
    if spec.strategy == PREFIX or spec.has_until or spec.effects or not gets:
        return 0
    if not steps_fit(scan) or not never_negative(scan.args[0]):
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


# -- views from the start ----------------------------------------------------------------------------------------------


def _end_early(graph: Graph) -> Graph:
    readers = users(graph)
    results = set(graph.results.values())
    cuts: dict[Node, Node] = {}
    reads_of: dict[Node, list[tuple[Node, Node]]] = {}
    done: set[str] = set()
    for scan in graph.nodes():
        if scan.op != "scan" or spec_of(scan).name in done or spec_of(scan).has_until or spec_of(scan).effects:
            continue
        if spec_of(scan).strategy == PREFIX or not steps_fit(scan) or not never_negative(scan.args[0]):
            continue
        reads = [(g, u) for g in readers.get(scan, []) for u in readers.get(g, []) or [g]]
        if not reads or any(g in results or g.attrs["view"] != "trace" for g, _ in reads):
            continue
        ends = [_reached(scan, g, u) for g, u in reads]
        if any(e is None for e in ends):
            continue
        steps = _fewer(scan.args[0], [e for e in ends if e is not None])
        if steps is not None:
            done.add(spec_of(scan).name)
            cuts[scan], reads_of[scan] = steps, reads
    return _cut(graph, cuts, reads_of) if cuts else graph


def _reached(scan: Node, get: Node, user: Node) -> Node | None:
    """How many steps the rows need that are read, as far as they exist; None where that is all of them or not known."""
    if user.op == "index" and user.attrs["axis"] == 0 and user.attrs["position"] >= 0:
        return build.integer(user.attrs["position"] + 1)
    if user.op == "slice":
        start, stop, step = (user.attrs[k][0] for k in ("starts", "stops", "steps"))
        forward = (start is None or start >= 0) and (step is None or step > 0)
        return build.integer(stop) if forward and stop is not None and stop >= 0 else None
    if user.op == "rows" and user.args[0] is get:
        count = user.type.shape[0]
        if isinstance(count, int) or count.define is None:
            return None
        end = build.make("add", user.args[1], count.define, loc=user.loc)
        known = not any(n.op in ("scan", "cond", "get") for n in topological([end]))
        return end if known else None
    if user.op == "take" and user.attrs["axis"] == 0 and user.args[0] is get and not user.args[1].type.shape:
        row = user.args[1]
        # The row must be known before the loop, and have been checked to exist.
        if row.op == "wrap_index" and not any(n.op in ("scan", "cond", "get") for n in topological([row])):
            return build.make("add", row, build.integer(1), loc=user.loc)
    return None


def _fewer(steps: Node, ends: list[Node]) -> Node | None:
    fixed = [int(e.attrs["value"]) for e in ends if e.op == "const"]
    end = build.integer(max(fixed)) if fixed else None
    for e in (e for e in ends if e.op != "const"):
        end = e if end is None else build.make("maximum", end, e)
    assert end is not None
    if steps.op == end.op == "const":
        return end if end.attrs["value"] < steps.attrs["value"] else None
    return build.make("minimum", steps, end)


def _cut(graph: Graph, cuts: dict[Node, Node], reads_of: dict[Node, list[tuple[Node, Node]]]) -> Graph:
    """The graph with scans making as many steps as `cuts` says, none of which is made of results of scans."""
    source = {x: scan for scan, reads in reads_of.items() for pair in reads for x in pair}
    mapping: dict[Node, Node] = {}
    for n in graph.nodes():
        new = rebuild(n, mapping)
        if n in cuts:
            mapping[n] = Node("scan", (rebuild(cuts[n], mapping), *new.args[1:]), n.type, n.attrs, n.loc)
            continue
        scan = source.get(n)
        if scan is not None:
            shorter, reads, steps = mapping[scan], reads_of[scan], cuts[scan]
            name = (n if n.op == "get" else next(g for g, u in reads if u is n)).attrs["name"]
            if n.op == "get":
                new = build.trace(shorter, name, n.loc)
            elif n.op == "take" and len(reads) == 1:  # the one row that is read is the last one made
                last = build.last(shorter, name, 1, n.loc)
                new = build.make("index", last, loc=n.loc, axis=0, position=0)
            elif n.op == "index" and steps.op == "const" and all(u.op == "index" for _, u in reads):
                rows = build.last(shorter, name, int(steps.attrs["value"]) - n.attrs["position"], n.loc)
                new = build.make("index", rows, loc=n.loc, axis=0, position=0)
        mapping[n] = new
    return Graph(graph.inputs, {k: mapping[v] for k, v in graph.results.items()})
