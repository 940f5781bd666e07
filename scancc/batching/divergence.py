"""Whether the rows of a batch do different things: then one program runs for each row, not all rows at once.

    if x > 0: y = sc.take(t, i)        a row that does not take the branch must not look at t[i]
    while k < 100: k = k * 2           a row that has left the loop must not go on
    sc.check(x > 0)                    each row has its own message

Branches that only compute, and cannot fail, are computed for all rows, and each takes what is its own: that is
vectorised, and nothing is seen of it.
"""

from __future__ import annotations

from collections.abc import Iterable

from scancc.batching.loops import _varying
from scancc.ir.graph import Graph, Node, graphs_within, spec_of
from scancc.ir.ops import OPS

ONLY_COMPUTE = ("leaf", "elementwise", "view", "reduce", "contract")
MAY_FAIL = ("wrap_index", "expect", "rows")
MANY = 64  # operations of a branch, beyond which it is not worth being computed for rows that do not take it


def rows_diverge(nodes: Iterable[Node], differing: set[Node], ends_apart: bool = True) -> bool:
    """`nodes`: all of the function of a row, operands first. `differing` has those arguments that differ between rows,
    and gets everything that does.

    `ends_apart`: whether loops that rows leave at different steps count.
    """
    diverge = False
    of_scan: dict[Node, set[str]] = {}  # results that differ
    for n in nodes:
        if n.op == "get" and n.args[0] in of_scan:
            names = of_scan[n.args[0]]
            differs = n.attrs["name"] in names or (n.attrs["view"] in ("length", "effects") and "" in names)
        else:
            differs = n in differing or any(a in differing for a in n.args)
        if not differs:
            continue
        differing.add(n)
        match n.op:
            case "check" | "print":
                diverge = True
            case "cond":
                diverge = _branches_diverge(n, differing, ends_apart) or diverge
            case "scan":
                having, reached, leaving = _varying(n, differing)
                body = spec_of(n).body
                leaves = {x for x in body.nodes() if x.op in ("tap", "read") and x.attrs["name"] in having}
                inside = rows_diverge(body.nodes(), leaves, ends_apart)
                diverge = diverge or inside or (leaving and (ends_apart or not _only_computes(body)))
                results = body.results
                of_scan[n] = {"", *results} if leaving else {x for x in results if x in having or results[x] in reached}
    return diverge


def _branches_diverge(cond: Node, differing: set[Node], ends_apart: bool) -> bool:
    branches = (cond.attrs["then"], cond.attrs["orelse"])
    if cond.args[0] in differing:
        return not all(map(_only_computes, branches)) or any(len(b.nodes()) > MANY for b in branches)
    having = {name for name, a in zip(cond.attrs["names"], cond.args[1:], strict=True) if a in differing}
    leaves = [{x for x in b.nodes() if x.op == "read" and x.attrs["name"] in having} for b in branches]
    return any([rows_diverge(b.nodes(), x, ends_apart) for b, x in zip(branches, leaves, strict=True)])


def _only_computes(graph: Graph) -> bool:
    """Whether nothing can fail in it, go on for ever, or be seen from outside."""
    for g in graphs_within(graph):
        for n in g.nodes():
            integer_power = n.op == "power" and n.type.dtype.kind in "iu"
            computes = OPS[n.op].kind in ONLY_COMPUTE or n.op in ("cond", "get", "concatenate")
            if n.op in MAY_FAIL or integer_power or not computes:
                return False
    return True
