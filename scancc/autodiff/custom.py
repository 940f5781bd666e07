"""Functions whose derivative the user gives: the op `custom` stands between their values and whoever reads them.

    %5 = custom %y0 %y1 ... %x0 %x1 ...       %6 = get %5 out0 branch        is %y0

Its operands are the values, computed as usual, and what they were computed from. Only derivatives look at its rule: a
closed graph of the operands `in0`, `in1`..., of what comes in (`d0`... of each value in reverse mode, `t0`... of each
operand in forward mode), with results `g0`... or `t_out0`.... `simplify` removes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from scancc.autodiff.reverse import Kept, pullback, with_kept
from scancc.errors import UnsupportedError
from scancc.ir import build
from scancc.ir.graph import Graph, Node, rebuild


@dataclass(frozen=True, eq=False)
class CustomRule:
    name: str
    kind: str  # vjp | jvp
    values: int  # how many results
    inputs: int  # how many operands with derivatives; captured values follow them
    graph: Graph


def inline(graph: Graph, leaves: Mapping[str, Node]) -> dict[str, Node]:
    """The results of a closed graph with its reads replaced."""
    mapping: dict[Node, Node] = {}
    for n in graph.nodes():
        mapping[n] = leaves[n.attrs["name"]] if n.op == "read" else rebuild(n, mapping)
    return {name: mapping[r] for name, r in graph.results.items()}


def _operands(node: Node) -> tuple[CustomRule, dict[str, Node]]:
    rule: CustomRule = node.attrs["rule"]
    return rule, {f"in{i}": a for i, a in enumerate(node.args[rule.values :])}


def reverse_custom(node: Node, reads: list[tuple[Node, Node]]) -> list[Node | None]:
    rule, leaves = _operands(node)
    incoming: dict[str, Node] = {}
    for get, d in reads:
        name = get.attrs["name"]
        incoming[name] = d if name not in incoming else build.make("add", incoming[name], d)
    ds = {f"d{i}": incoming.get(f"out{i}") or build.zeros(node.args[i].type) for i in range(rule.values)}
    if rule.kind == "vjp":
        found = inline(rule.graph, leaves | ds)
        given = [found[f"g{i}"] for i in range(rule.inputs)]
    else:
        # Forward mode is linear in the tangents: its transpose is what reverse mode needs.
        tangents = [build.make("alias", build.zeros(leaves[f"in{i}"].type)) for i in range(rule.inputs)]
        out = inline(rule.graph, leaves | {f"t{i}": t for i, t in enumerate(tangents)})
        seeds: dict[Node, Node] = {}
        for i in range(rule.values):
            t = out[f"t_out{i}"]
            seeds[t] = ds[f"d{i}"] if t not in seeds else build.make("add", seeds[t], ds[f"d{i}"])
        kept: Kept = {}
        parts = pullback(seeds, tangents, kept)
        whole = [build.zeros(t.type) if p is None else p for p, t in zip(parts, tangents, strict=True)]
        mapping = with_kept(whole, kept)
        given = [mapping[p] for p in whole]
    return [*(None for _ in range(rule.values)), *given, *(None for _ in node.args[rule.values + rule.inputs :])]


def forward_custom(node: Node, tangents: list[Node | None]) -> dict[str, Node]:
    """Tangents of the values by name."""
    rule, leaves = _operands(node)
    if rule.kind == "vjp":
        raise UnsupportedError(f"forward mode of {rule.name}, which has a rule for reverse mode only", node.loc,
                               fix="give it a rule by sc.custom_jvp, which serves both")  # fmt: skip
    given = tangents[rule.values :][: rule.inputs]
    ts = {f"t{i}": t or build.zeros(leaves[f"in{i}"].type) for i, t in enumerate(given)}
    out = inline(rule.graph, leaves | ts)
    return {f"out{i}": out[f"t_out{i}"] for i in range(rule.values)}
