"""A sum over time of outer products becomes one matrix product after the loop.

    before   scan s carry w = 0 { w = add (tap w[-1]) (multiply (reshape a [n, 1]) (reshape b [1, m])) }; get w final
    after    scan s output a_rows, output b_rows { a_rows = a; b_rows = b }
             matmul (transpose (get a_rows trace)) (get b_rows trace)

This is how the gradient of a weight matrix arrives: sum_t x_t^T d_t, which in the loop would touch the whole matrix at
every step. The same holds for sums of matrix products, whose inner axes are joined. What is in registers stays there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from scancc.ir import build
from scancc.ir.graph import Graph, Node, ScanSpec, map_bodies, operands, rebuild, rewrite, spec_of, users, with_attrs
from scancc.ir.names import fresh_name
from scancc.ir.types import Dim
from scancc.passes.graph.bodies import of_loops
from scancc.passes.graph.simplify import uniform
from scancc.passes.sizes import in_registers


@dataclass(frozen=True, slots=True)
class Product:
    """The sum over the first axis of the outer products of the rows of two matrices, at every step."""

    left: Node
    right: Node


@of_loops
def defer_products(graph: Graph) -> Graph:
    return _defer(rewrite(graph, lambda node: map_bodies(node, defer_products)))


def _defer(graph: Graph) -> Graph:
    readers = users(graph)
    results = set(graph.results.values())
    for node in graph.nodes():
        if node.op != "scan" or spec_of(node).has_until:
            continue
        gets = [g for g in readers.get(node, []) if g.op == "get"]
        finals = {g.attrs["name"] for g in gets if g.attrs["view"] == "final"}
        others = {g.attrs["name"] for g in gets if g.attrs["view"] != "final"}
        found = {name: p for name in sorted(finals - others) if (p := _products(spec_of(node), name))}
        if found and not any(g in results and g.attrs["view"] == "effects" for g in gets):
            return _defer(_replaced(graph, node, found))
    return graph


def _products(spec: ScanSpec, name: str) -> list[Product] | None:
    """The products that a carry sums up, if that is all that it does."""
    carry = spec.carry(name)
    result = spec.body.results[name]
    if carry is None or carry.taps != (-1,) or in_registers(result.type) or result.type.ndim != 2:
        return None
    if result.op != "add" or not result.type.is_static:
        return None
    uses = users(spec.body)
    tap = next((a for a in result.args if a.op == "tap" and a.attrs["name"] == name), None)
    if tap is None or uses[tap] != [result] or result in uses or _shared(spec, name, (tap, result)):
        return None
    (rest,) = (a for a in result.args if a is not tap)
    return _split(rest)


def _shared(spec: ScanSpec, name: str, nodes: tuple[Node, ...]) -> bool:
    return any(r in nodes for other, r in spec.body.results.items() if other != name)


def _split(x: Node) -> list[Product] | None:
    if x.op == "add" and all(a.type == x.type for a in x.args):
        parts = [_split(a) for a in x.args]
        return None if any(p is None for p in parts) else [p for part in parts for p in part or ()]
    if x.op == "multiply":
        for a, b in (x.args, x.args[::-1]):
            left, right = _vector(a, 1), _vector(b, 0)
            if left is not None and right is not None:
                return [Product(left, right)]
    if x.op == "matmul" and all(a.type.ndim == 2 and a.type.is_static for a in x.args):
        a, b = x.args
        flipped = a.args[0] if a.op == "transpose" else build.make("transpose", a, loc=x.loc, perm=(1, 0))
        return [Product(flipped, b)]
    return None


def _vector(x: Node, one: int) -> Node | None:
    """A vector that stands as a column (one=1) or a row (one=0): as a matrix of one row."""
    if x.type.ndim == 2 and x.type.shape[one] == 1 and x.type.shape[1 - one] != 1:
        return build.reshape(x, (1, x.type.shape[1 - one]), x.loc)
    return None


def _replaced(graph: Graph, scan: Node, found: Mapping[str, list[Product]]) -> Graph:
    spec, value = spec_of(scan), operands(scan)
    taken = {*spec.operand_names(), *spec.outputs}
    body = {n: r for n, r in spec.body.results.items() if n not in found}
    outputs = list(spec.outputs)
    named: dict[Node, str] = {}

    def kept(x: Node, base: str) -> str:
        inner = x
        while inner.op == "reshape" and x.type.shape[0] == 1:  # rows that are vectors are kept as such
            inner = inner.args[0]
        if inner not in named:
            named[inner] = fresh_name(base, taken)
            outputs.append(named[inner])
            body[named[inner]] = inner
        return named[inner]

    rows = {name: [(p, kept(p.left, f"{name}_left"), kept(p.right, f"{name}_right")) for p in ps]
            for name, ps in found.items()}  # fmt: skip
    changed = replace(
        spec, carries=tuple(c for c in spec.carries if c.name not in found), outputs=tuple(outputs),
        body=Graph((), body),
    )  # fmt: skip
    args = (scan.args[0], *(value[n] for n in changed.operand_names()))
    new = with_attrs(Node("scan", args, scan.type, scan.attrs, scan.loc), spec=changed)
    mapping: dict[Node, Node] = {}
    joined: dict[int, int | Dim] = {}  # lengths of all rows of all steps, by the rows of one
    for node in graph.nodes():
        if node is scan:
            mapping[node] = with_attrs(rebuild(new, mapping))
        elif node.op == "get" and node.args[0] is scan and node.attrs["name"] in found:
            start = mapping.get(value[node.attrs["name"]], value[node.attrs["name"]])
            mapping[node] = _sum(mapping[scan], start, rows[node.attrs["name"]], node, joined)
        else:
            mapping[node] = rebuild(node, mapping)
    return Graph(graph.inputs, {k: mapping[v] for k, v in graph.results.items()})


def _sum(
    scan: Node, start: Node, rows: list[tuple[Product, str, str]], get: Node, joined: dict[int, int | Dim]
) -> Node:
    total: Node | None = None if uniform(start) == 0 else start
    for p, left, right in rows:
        both = (left, p.left), (right, p.right)
        a, b = (_matrix(build.trace(scan, name, get.loc), like, joined) for name, like in both)
        product = build.make("matmul", build.make("transpose", a, loc=get.loc, perm=(1, 0)), b, loc=get.loc)
        total = product if total is None else build.make("add", total, product, loc=get.loc)
    assert total is not None
    return total


def _matrix(trace: Node, row: Node, joined: dict[int, int | Dim]) -> Node:
    """All rows of all steps, one below the other."""
    count, width = row.type.shape
    if count == 1 and trace.type.shape[1:] == (width,):
        return trace
    if count == 1:
        return build.reshape(trace, (trace.type.shape[0], width), row.loc)
    assert isinstance(count, int)
    if count not in joined:
        steps = trace.type.shape[0]
        total = build.make("multiply", build.dim_of(trace, 0), build.integer(count))
        joined[count] = steps * count if isinstance(steps, int) else build.dim_from(total, f"{steps}_times_{count}")
    return build.reshape(trace, (joined[count], width), row.loc)
