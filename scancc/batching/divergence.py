"""Where the rows of a batch do not all do the same: which nodes a loop over the rows has to compute.

    diverges   a conditional whose predicate differs from row to row; a loop that rows leave at different
               steps, unless masks do; checks
               and prints of what differs; loops, branches and rules that hold any of these
    uneven     a value whose length differs from row to row, and all that reads it

A node that diverges is run for each row by itself, so a row has no part in what it does not do. So is what reads uneven
values, and what lies between two such nodes. Everything else is computed for all rows together.
"""

from __future__ import annotations

from collections.abc import Iterable

from scancc.batching.masked import can_be_masked
from scancc.ir.graph import UNTIL, Graph, Node, dependencies, mentioned_dims, operands, spec_of


def differing(nodes: Iterable[Node], leaves: set[Node], masks: bool) -> tuple[set[Node], set[Node]]:
    """Nodes whose values differ from row to row where those of `leaves` do, and which of them diverge.

    `nodes` are in order, operands first.
    """
    found, apart = set(leaves), set()
    of_bundle: dict[Node, set[str]] = {}  # results that differ
    for n in nodes:
        if n in found:
            continue
        if n.op == "get" and n.args[0] in of_bundle:
            if n.attrs["view"] == "effects":
                differs = n.args[0] in apart
            else:
                differs = n.attrs["name"] in of_bundle[n.args[0]] or is_uneven(n, found)
        elif n.op == "dim":
            define = getattr(n.args[0].type.shape[n.attrs["axis"]], "define", None)
            differs = define in found
        else:
            differs = any(a in found for a in dependencies(n))
        if not differs:
            continue
        found.add(n)
        if n.op == "scan":
            having, reached, leaving, diverges = varying(n, found, masks)
            results = spec_of(n).body.results
            of_bundle[n] = {"", *results} if leaving else {x for x in results if x in having or results[x] in reached}
        elif n.op == "cond":
            names = {k for k, a in zip(n.attrs["names"], n.args[1:], strict=True) if a in found}
            branches = [_of_graph(n.attrs[k], names, masks) for k in ("then", "orelse")]
            diverges = n.args[0] in found or any(inside for _, inside in branches)
            of_bundle[n] = {
                r for k, (reached, _) in zip(("then", "orelse"), branches, strict=True)
                for r, x in n.attrs[k].results.items() if n.args[0] in found or x in reached
            }  # fmt: skip
        elif n.op == "custom":
            graph: Graph = n.attrs["rule"].graph
            diverges = bool(_of_graph(graph, {r.attrs["name"] for r in graph.nodes() if r.op == "read"}, masks)[1])
        else:
            diverges = n.op in ("check", "print")
        if diverges:
            apart.add(n)
    return found, apart


def varying(scan: Node, batched: set[Node], masks: bool = True) -> tuple[set[str], set[Node], bool, bool]:
    """Operands that differ between the rows, what depends on them in the body, whether rows end apart, and whether they
    do not all do the same."""
    spec = spec_of(scan)
    having = {name for name, x in operands(scan).items() if x in batched}
    while True:
        reached, inside = _of_graph(spec.body, having, masks)
        leaving = scan.args[0] in batched or (spec.has_until and spec.body.results[UNTIL] in reached)
        # Where rows end at different steps, every carry stops for some of them.
        more = {c.name for c in spec.carries if leaving or spec.body.results[c.name] in reached} - having
        if not more:
            masked = masks and leaving and can_be_masked(spec)
            return having, reached, leaving, bool(inside) or (leaving and not masked)
        having |= more


def _of_graph(graph: Graph, names: set[str], masks: bool) -> tuple[set[Node], set[Node]]:
    leaves = {n for n in graph.nodes() if n.op in ("tap", "read") and n.attrs["name"] in names}
    return differing(graph.nodes(), leaves, masks)


def is_uneven(node: Node, found: set[Node]) -> bool:
    """Whether a length of `node` differs from row to row."""
    return any(d.define in found for d in mentioned_dims(node))


def by_rows(nodes: list[Node], leaves: set[Node], masks: bool) -> set[Node]:
    """What a loop over the rows computes; empty where all rows do the same. `nodes` are in order, operands first."""
    found, apart = differing(nodes, leaves, masks)
    if not apart:
        return set()
    needed: set[Node] = set()
    below: set[Node] = set()  # what depends on a node of the loop
    for n in nodes:
        needs = dependencies(n)
        if n in leaves:
            continue
        if any(a in below for a in needs):
            below.add(n)
        bundle = n.op == "get" and n.args[0] in needed
        uneven = n in below and any(is_uneven(a, found) for a in (n, *needs))
        if n in apart or bundle or uneven:
            needed.add(n)
            below.add(n)
    above: set[Node] = set()  # what a node of the loop depends on
    for n in reversed(nodes):
        if n in needed or n in above:
            above.update(dependencies(n))
            if n in below:
                needed.add(n)
    # A loop or conditional gives its values to the loop's own nodes only.
    return needed | {n for n in nodes if n.op == "get" and n.args[0] in needed}

