"""Sums over a row that a loop adds up are taken after the loop: the loop adds up the row itself.

    before   carry s = %0 { %v: f64[lanes] = ...; s = add(s[-1], multiply(reduce_sum %v, c)) }     result: get s final
    after    carry v = zeros { %v: f64[lanes] = ...; v = add(v[-1], %v) }        result: %0 + reduce_sum(get v final) c

The elements of the row are then those of lanes that do not wait for one another: a gradient with respect to parameters
that all lanes share. Carries that add up the same row share it. Only for sums that nobody reads before the end.

A device gains where lanes need not meet. A processor does where nothing else is left between them, so that they run in
tiles (`tile_lanes`), and otherwise keeps the one number, which needs no memory; there, several sums with factors that
are the same at every step are taken apart, too, since it is all of the sums or none.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from scancc.ir import build
from scancc.ir.graph import (
    Carry,
    Graph,
    Node,
    ScanSpec,
    dependencies,
    operands,
    rebuild,
    spec_of,
    substitute,
    users,
    with_attrs,
)
from scancc.ir.names import fresh_name
from scancc.ir.ops import OPS
from scancc.ir.types import Dim
from scancc.passes.graph.bodies import of_loops
from scancc.passes.sizes import in_registers

Terms = list[tuple[Node, Node | None]]  # sums over a row, and the factor of each that no step changes
MOST_TERMS = 64  # of one carry: each becomes a row in memory


@of_loops
def defer_sums(graph: Graph, apart: bool = False) -> Graph:
    """Only loops at the top. `apart`: only where lanes have nothing in common then."""
    gets: dict[Node, list[Node]] = {}
    for node in graph.nodes():
        if node.op == "get":
            gets.setdefault(node.args[0], []).append(node)
    mapping: dict[Node, Node] = {}
    changed = False
    for node in graph.nodes():
        new = rebuild(node, mapping)
        if node.op == "scan":
            sums = _sums(node, gets.get(node, []), apart)
            if sums and (not apart or _are_lanes(spec_of(node), sums)):
                new, after = _deferred(new, sums)
                mapping |= {g: after[g.attrs["name"]] for g in gets[node] if g.attrs["name"] in sums}
                changed = True
        mapping.setdefault(node, new)
    return Graph(graph.inputs, {k: mapping[v] for k, v in graph.results.items()}) if changed else graph


def _sums(scan: Node, gets: list[Node], factors: bool) -> dict[str, Terms]:
    """Carries that only add up sums, and of which only the end is read. `factors`: also sums times something."""
    views: dict[str, set[str]] = {}
    for g in gets:
        views.setdefault(g.attrs["name"], set()).add(g.attrs["view"])
    spec = spec_of(scan)
    wanted = [c.name for c in spec.carries if c.taps == (-1,) and views.get(c.name) == {"final"}]
    if not wanted:
        return {}
    readers, same = users(spec.body), _same_nodes(spec.body)
    times = Counter(spec.body.results.values())
    found: dict[str, Terms] = {}
    for name in wanted:
        total = spec.body.results[name]
        terms = _summands(total, name, readers, same) if times[total] == 1 else None
        alone = terms is not None and len(terms) == 1 and terms[0][1] is None
        if terms and (factors or alone):
            found[name] = terms
    return found


def _summands(total: Node, name: str, readers: dict[Node, list[Node]], same: set[Node]) -> Terms | None:
    if total.op != "add" or readers.get(total):
        return None
    taps = [a for a in total.args if a.op == "tap" and a.attrs["name"] == name]
    if len(taps) != 1 or readers[taps[0]] != [total]:
        return None
    (added,) = [a for a in total.args if a is not taps[0]]
    return _terms(added, same)


def _terms(root: Node, same: set[Node]) -> Terms | None:
    """A sum of sums times factors, operands first; None where it is something else."""
    found: dict[Node, Terms] = {}
    pending = [root]
    while pending:
        node = pending[-1]
        parts = _parts(node, same)
        if parts is None:
            return None
        missing = [x for x in parts if x not in found]
        if missing:
            pending += missing
            continue
        pending.pop()
        terms = _combined(node, [found[x] for x in parts], same)
        if terms is None or len(terms) > MOST_TERMS:
            return None
        found[node] = terms
    return found[root]


def _parts(node: Node, same: set[Node]) -> tuple[Node, ...] | None:
    """The operands that have to be sums for a node to be one; None where it cannot be."""
    match node.op:
        case "reduce_sum":
            row = node.args[0].type
            return None if any(isinstance(d, Dim) and d.define is not None for d in row.shape) else ()
        case "add" | "subtract" | "negative":
            return node.args
        case "multiply" | "divide":
            x, factor = _factors(node, same)
            return (x,) if factor in same and factor.type.dtype.kind in "fc" else None
        case _:
            return None


def _factors(node: Node, same: set[Node]) -> tuple[Node, Node]:
    """Operands of a product or quotient, the one that is the same at every step last."""
    x, factor = node.args
    return (factor, x) if node.op == "multiply" and x in same else (x, factor)


def _combined(node: Node, parts: list[Terms], same: set[Node]) -> Terms | None:
    match node.op:
        case "reduce_sum":
            return [(node, None)]
        case "add":
            return parts[0] + parts[1]
        case "subtract":
            return parts[0] + [(s, build.make("negative", _factor(s, f), loc=node.loc)) for s, f in parts[1]]
        case "negative":
            return [(s, build.make("negative", _factor(s, f), loc=node.loc)) for s, f in parts[0]]
        case _:
            if any(s.type != node.type for s, _ in parts[0]):
                return None
            _, factor = _factors(node, same)
            return [(s, factor if f is None and node.op == "multiply" else
                     build.make(node.op, _factor(s, f), factor, loc=node.loc)) for s, f in parts[0]]  # fmt: skip


def _factor(sum_: Node, factor: Node | None) -> Node:
    return build.const(1, sum_.type.dtype) if factor is None else factor


def _same_nodes(body: Graph) -> set[Node]:
    """Values that are the same at every step, and cheap."""
    found: set[Node] = set()
    for n in body.nodes():
        if n.op in ("read", "const") or (OPS[n.op].kind == "elementwise" and all(d in found for d in dependencies(n))):
            found.add(n)
    return found


def _are_lanes(spec: ScanSpec, sums: dict[str, Terms]) -> bool:
    """Whether all that is left in the loop is done element by element, on rows of one shape."""
    (shape, *others) = {s.args[0].type for terms in sums.values() for s, _ in terms}
    if others or shape.ndim != 1 or in_registers(shape):
        return False
    results: dict[str, Node] = {n: r for n, r in spec.body.results.items() if n not in sums}
    results |= {f"{n}.{i}": s.args[0] for n, terms in sums.items() for i, (s, _) in enumerate(terms)}
    return all(
        (OPS[n.op].kind in ("leaf", "elementwise") or n.op == "broadcast_to") and n.op != "wrap_index"
        and n.type.shape in ((), shape.shape)
        for n in Graph((), results).nodes()
    )  # fmt: skip


def _deferred(scan: Node, sums: dict[str, Terms]) -> tuple[Node, dict[str, Node]]:
    """The loop that adds up the rows, and the values that the carries have after it."""
    spec, value = spec_of(scan), operands(scan)
    taken = {*spec.operand_names(), *spec.outputs}
    names: dict[Node, str] = {}
    for name, terms in sums.items():
        for s, _ in terms:
            names.setdefault(s, name if name not in names.values() else fresh_name(name, taken))
    results: dict[str, Node] = {}
    for s, name in names.items():
        row = s.args[0]
        results[name] = build.make("add", build.make("tap", type=row.type, name=name, offset=-1), row)
        value[name] = build.zeros(row.type)
    carries = [c for c in spec.carries if c.name not in sums] + [Carry(n, (-1,)) for n in names.values()]
    kept = {n: r for n, r in spec.body.results.items() if n not in sums}
    changed = replace(spec, carries=tuple(carries), body=Graph((), kept | results))
    args = (scan.args[0], *(value[n] for n in changed.operand_names()))
    new = Node("scan", args, scan.type, with_attrs(scan, spec=changed).attrs, scan.loc)
    before = operands(scan)
    wholes = {s: build.make("reduce_sum", build.final(new, n, s.loc), loc=s.loc, axes=s.attrs["axes"])
              for s, n in names.items()}  # fmt: skip
    after: dict[str, Node] = {}
    for name, terms in sums.items():
        total = before[name]
        for s, factor in terms:
            scaled = wholes[s] if factor is None else (
                build.make("multiply", wholes[s], _outside(factor, before), loc=s.loc)
            )  # fmt: skip
            total = build.make("add", scaled, total, loc=s.loc)
        if any(factor is not None for _, factor in terms):
            # Without a step nothing is multiplied: a factor may be infinite.
            none = build.make("equal", scan.args[0], build.const(0, scan.args[0].type.dtype))
            total = build.make("where", none, before[name], total, loc=scan.loc)
        after[name] = total
    return new, after


def _outside(node: Node, value: dict[str, Node]) -> Node:
    reads = {n: value[n.attrs["name"]] for n in Graph((), {"": node}).nodes() if n.op == "read"}
    return substitute([node], reads)[node]
