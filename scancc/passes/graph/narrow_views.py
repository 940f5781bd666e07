"""Turns reads of the end of a scan's output into views that need no trace: what is read decides what is stored.

    before   %3 = get %2 y trace; %4 = index %3 axis=0 position=-1
    after    %5 = get %2 y last 1; %4 = index %5 axis=0 position=0

`ys[-k]` becomes `last k` (the rows must exist: an IndexError otherwise), `ys[-k:]` becomes `tail k` (as many as there
are), `ys[-k:-j]` a slice of it. If another consumer wants the whole history the trace stays, and these views are read
from it.
"""

from __future__ import annotations

from scancc.ir import build
from scancc.ir.graph import PREFIX, Graph, Node, map_bodies, rewrite, spec_of
from scancc.passes.graph.bodies import of_loops


@of_loops
def narrow_views(graph: Graph) -> Graph:
    return rewrite(graph, _narrow)


def _narrow(node: Node) -> Node | None:
    if node.op in ("scan", "cond"):
        return map_bodies(node, narrow_views)
    if node.op not in ("index", "slice") or not _is_trace(node.args[0]):
        return None
    source = node.args[0]
    scan, name = source.args[0], source.attrs["name"]
    if node.op == "index" and node.attrs["axis"] == 0 and node.attrs["position"] < 0:
        rows = build.last(scan, name, -node.attrs["position"], node.loc)
        return build.make("index", rows, loc=node.loc, axis=0, position=0)
    if node.op == "slice":
        start, stop, step = (node.attrs[a][0] for a in ("starts", "stops", "steps"))
        whole = all(node.attrs[a][i] is None for a in ("starts", "stops", "steps") for i in range(1, node.type.ndim))
        if start is None or start >= 0 or step not in (None, 1) or not whole:
            return None
        if stop is None:
            return build.make("get", scan, loc=node.loc, type=node.type, name=name, view=f"tail {-start}")
        if start < stop < 0:
            # Rows before the last ones: a slice of the tail, whose length is min(-start, rows).
            rows = build.dim_of(source, 0, node.loc)
            kept = build.make("minimum", rows, build.integer(-start), loc=node.loc)
            length = build.dim_from(kept, f"{name}_tail_{-start}")
            tail_type = source.type.with_shape((length, *source.type.shape[1:]))
            tail = build.make("get", scan, loc=node.loc, type=tail_type, name=name, view=f"tail {-start}")
            bounds = {k: (None, *node.attrs[k][1:]) for k in ("starts", "stops", "steps")}
            bounds["stops"] = (stop, *bounds["stops"][1:])
            return build.make("slice", tail, loc=node.loc, type=node.type, **bounds)
    return None


def _is_trace(node: Node) -> bool:
    """Whether a node is all rows of a loop that may do without some of them."""
    return (node.op == "get" and node.args[0].op == "scan" and node.attrs["view"] == "trace"
            and spec_of(node.args[0]).strategy != PREFIX)  # fmt: skip
