"""Orders the terms of floating-point sums so that what is known last is added last.

    before   add(add(x, multiply(a, y[-1])), multiply(b, y[-2]))     two dependent operations a step
    after    add(add(x, multiply(b, y[-2])), multiply(a, y[-1]))     one: the rest is ready a step early

A term is as young as the youngest tap it depends on; sums of terms that depend on no tap come first. The order of
equally young terms is kept. Rounding may change in the last bit, so `strict_fp` leaves the pass out.
"""

from __future__ import annotations

from collections import Counter

import numpy as np

from scancc.ir import build
from scancc.ir.graph import Graph, Node, dependencies, map_bodies, rebuild, rewrite, spec_of
from scancc.passes.graph.bodies import of_loops


@of_loops
def order_sums(graph: Graph) -> Graph:
    return rewrite(graph, _in_bodies)


def _in_bodies(node: Node) -> Node | None:
    if node.op == "scan":
        carries = {c.name for c in spec_of(node).carries}
        return map_bodies(node, lambda body: _order(order_sums(body), carries))
    return map_bodies(node, order_sums) if node.op == "cond" else None


def _order(body: Graph, carries: set[str]) -> Graph:
    age: dict[Node, float] = {}  # larger is older; infinite: no tap of a carry
    for node in body.nodes():
        if node.op == "tap" and node.attrs["name"] in carries:
            age[node] = -node.attrs["offset"]
        else:
            age[node] = min((age[d] for d in dependencies(node)), default=float("inf"))
    uses = Counter(d for n in body.nodes() for d in dependencies(n))
    uses.update(body.results.values())

    def terms(node: Node, root: bool) -> list[Node]:
        """Addends of a chain of sums that nobody else uses."""
        stack, found = [(node, root)], []
        while stack:
            n, inside = stack.pop()
            if n.op == "add" and n.type.dtype.kind == "f" and (inside or uses[n] == 1) and n.type == node.type:
                stack += [(n.args[1], False), (n.args[0], False)]
            else:
                found.append(n)
        return found

    inner: set[Node] = set()
    replaced: dict[Node, list[Node]] = {}
    for node in reversed(body.nodes()):
        if node.op != "add" or node.type.dtype.kind != "f" or node in inner:
            continue
        parts = terms(node, True)
        ordered = sorted(parts, key=lambda n: -age[n])
        inner |= _chain(node, uses)
        if ordered != parts and not _wants_rounding(parts):
            replaced[node] = ordered
    return body if not replaced else _rebuild(body, replaced)


def _wants_rounding(terms: list[Node]) -> bool:
    """Whether an operand of one term is taken away by another one, as from t = y + x: what is left is what rounding
    has lost. Or whether a constant is added that leaves no digits behind the point."""
    operands = {a for t in terms if t.op in ("add", "subtract") for a in t.args}
    if any(t.op == "negative" and t.args[0] in operands for t in terms):
        return True
    large = 2.0 ** np.finfo(terms[0].type.dtype).nmant
    return any(t.op == "const" and t.type.size == 1 and np.isfinite(t.attrs["value"]).all()
               and abs(t.attrs["value"]).max() >= large for t in terms)  # fmt: skip


def _chain(node: Node, uses: Counter[Node]) -> set[Node]:
    stack, found = list(node.args), set()
    while stack:
        n = stack.pop()
        if n.op == "add" and uses[n] == 1 and n.type == node.type:
            found.add(n)
            stack += n.args
    return found


def _rebuild(body: Graph, replaced: dict[Node, list[Node]]) -> Graph:
    mapping: dict[Node, Node] = {}
    for node in body.nodes():
        if node in replaced:
            first, *rest = (mapping[p] for p in replaced[node])
            for part in rest:
                first = build.make("add", first, part, loc=node.loc)
            mapping[node] = first
        else:
            mapping[node] = rebuild(node, mapping)
    return Graph(body.inputs, {k: mapping[v] for k, v in body.results.items()})
