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

from dataclasses import replace

from scancc.ir import build
from scancc.ir.graph import Carry, Graph, Node, ScanSpec, operands, rebuild, spec_of, substitute, users, with_attrs
from scancc.ir.names import fresh_name
from scancc.ir.ops import OPS
from scancc.ir.types import Dim
from scancc.passes.sizes import in_registers

Terms = list[tuple[Node, Node | None]]  # sums over a row, and the factor of each that no step changes


def defer_sums(graph: Graph, apart: bool = False) -> Graph:
    """Only loops at the top. `apart`: only where lanes have nothing in common then."""
    mapping: dict[Node, Node] = {}
    changed = False
    for node in graph.nodes():
        new = rebuild(node, mapping)
        if node.op == "scan":
            sums = _sums(graph, node, apart)
            if sums and (not apart or _are_lanes(spec_of(node), sums)):
                new, after = _deferred(new, sums)
                mapping |= {g: after[g.attrs["name"]] for g in _gets(graph, node) if g.attrs["name"] in sums}
                changed = True
        mapping.setdefault(node, new)
    return Graph(graph.inputs, {k: mapping[v] for k, v in graph.results.items()}) if changed else graph


def _gets(graph: Graph, scan: Node) -> list[Node]:
    return [g for g in graph.nodes() if g.op == "get" and g.args[0] is scan]


def _sums(graph: Graph, scan: Node, factors: bool) -> dict[str, Terms]:
    """Carries that only add up sums, and of which only the end is read. `factors`: also sums times something."""
    spec, gets = spec_of(scan), _gets(graph, scan)
    readers = users(spec.body)
    found: dict[str, Terms] = {}
    for c in spec.carries:
        views = {g.attrs["view"] for g in gets if g.attrs["name"] == c.name}
        terms = _summands(spec, c.name, readers)
        alone = terms is not None and len(terms) == 1 and terms[0][1] is None
        if c.taps == (-1,) and views == {"final"} and terms and (factors or alone):
            found[c.name] = terms
    return found


def _summands(spec: ScanSpec, name: str, readers: dict[Node, list[Node]]) -> Terms | None:
    total = spec.body.results[name]
    if total.op != "add" or readers.get(total) or sum(r is total for r in spec.body.results.values()) > 1:
        return None
    taps = [a for a in total.args if a.op == "tap" and a.attrs["name"] == name]
    if len(taps) != 1 or readers[taps[0]] != [total]:
        return None
    (added,) = [a for a in total.args if a is not taps[0]]
    return _terms(added)


def _terms(node: Node) -> Terms | None:
    """A sum of sums times factors; None where it is something else."""
    match node.op:
        case "reduce_sum":
            row = node.args[0].type
            return None if any(isinstance(d, Dim) and d.define is not None for d in row.shape) else [(node, None)]
        case "add" | "subtract":
            left, right = map(_terms, node.args)
            if left is None or right is None:
                return None
            if node.op == "subtract":
                right = [(s, build.make("negative", _factor(s, f), loc=node.loc)) for s, f in right]
            return left + right
        case "negative":
            terms = _terms(node.args[0])
            return terms and [(s, build.make("negative", _factor(s, f), loc=node.loc)) for s, f in terms]
        case "multiply" | "divide":
            x, factor = node.args
            if node.op == "multiply" and _is_same(x):
                x, factor = factor, x
            terms = _terms(x) if _is_same(factor) and factor.type.dtype.kind in "fc" else None
            if terms is None or any(s.type != node.type for s, _ in terms):
                return None
            return [(s, factor if f is None and node.op == "multiply" else
                     build.make(node.op, _factor(s, f), factor, loc=node.loc)) for s, f in terms]  # fmt: skip
        case _:
            return None


def _factor(sum_: Node, factor: Node | None) -> Node:
    return build.const(1, sum_.type.dtype) if factor is None else factor


def _is_same(node: Node) -> bool:
    """Whether a value is the same at every step, and cheap."""
    return all(n.op in ("read", "const") or OPS[n.op].kind == "elementwise" for n in Graph((), {"": node}).nodes())


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
