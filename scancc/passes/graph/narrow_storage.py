"""What is stored with 16 bits is read and written so by the loops themselves.

    before   %0: f16[n] = input x;     %1: f32[n] = cast %0
             %2 = scan s sequence x = %1 { y = tanh x[0] };   %3: f16[n] = cast (get %2 y trace)
    after    %2 = scan s sequence x = %0 { y: f16[] = cast (tanh (cast x[0])) };   %3: f16[n] = get %2 y trace

Loops compute with float32: where a program converts whole arrays before and after them, the arrays of 32 bits are not
made. A state whose rows are wanted with 16 bits only becomes an output beside the state, which keeps its 32.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from scancc.ir import build
from scancc.ir.graph import (
    PREFIX,
    STRIDE,
    Graph,
    Node,
    ScanSpec,
    map_bodies,
    operands,
    rebuild,
    rewrite,
    spec_of,
    substitute,
    users,
    with_attrs,
)
from scancc.ir.names import fresh_name
from scancc.ir.types import is_half
from scancc.passes.graph.bodies import of_loops


@of_loops
def narrow_storage(graph: Graph) -> Graph:
    graph = rewrite(graph, lambda node: map_bodies(node, narrow_storage))
    rows = _narrow_rows(graph)
    if not rows and not any(_wide_sequences(n) for n in graph.nodes()):
        return graph
    label_of: dict[Node, str] = {}
    mapping: dict[Node, Node] = {}
    for node in graph.nodes():
        new = rebuild(node, mapping)
        if node.op == "scan" and spec_of(node).strategy != PREFIX:
            new = _with_narrow_rows(_with_narrow_sequences(new), [g for g in rows if g.args[0] is node], rows, label_of,
                                    graph)  # fmt: skip
        elif node in rows:
            new = with_attrs(Node(new.op, new.args, new.type.with_dtype(rows[node]), new.attrs, new.loc),
                             name=label_of[node])  # fmt: skip
        elif node.op == "cast" and node.args[0] in rows:
            new = mapping[node.args[0]]
        mapping[node] = new
    return Graph(graph.inputs, {n: mapping[r] for n, r in graph.results.items()})


def _narrow_rows(graph: Graph) -> dict[Node, np.dtype]:
    """Traces of loops that are converted to 16 bits and not used otherwise."""
    found: dict[Node, np.dtype] = {}
    readers, results = users(graph), set(graph.results.values())
    for node in graph.nodes():
        if node.op != "get" or node.attrs["view"] != "trace" or node.args[0].op != "scan" or node in results:
            continue
        spec = spec_of(node.args[0])
        wanted = {r.type.dtype for r in readers.get(node, ()) if r.op == "cast"}
        if spec.strategy == PREFIX or STRIDE in spec.nonseqs or any(r.op != "cast" for r in readers.get(node, ())):
            continue
        if len(wanted) == 1 and is_half(dtype := wanted.pop()):
            found[node] = dtype
    return found


def _wide_sequences(scan: Node) -> dict[str, Node]:
    """Sequences of a loop that were 16 bits wide before they were converted for it."""
    if scan.op != "scan" or spec_of(scan).strategy == PREFIX:
        return {}
    value = operands(scan)
    return {s.name: value[s.name].args[0] for s in spec_of(scan).sequences
            if value[s.name].op == "cast" and is_half(value[s.name].args[0].type.dtype)}  # fmt: skip


def _with_narrow_sequences(scan: Node) -> Node:
    narrow = _wide_sequences(scan)
    if not narrow:
        return scan
    spec, value = spec_of(scan), operands(scan)
    taps = {}
    for n in spec.body.nodes():
        if n.op == "tap" and n.attrs["name"] in narrow:
            dtype = narrow[n.attrs["name"]].type.dtype
            taps[n] = build.cast(Node("tap", (), n.type.with_dtype(dtype), n.attrs, n.loc), n.type.dtype, n.loc)
    new = substitute(spec.body.results.values(), taps)
    body = Graph((), {k: new[v] for k, v in spec.body.results.items()})
    args = (scan.args[0], *(narrow.get(k, value[k]) for k in spec.operand_names()))
    return with_attrs(Node("scan", args, scan.type, scan.attrs, scan.loc), spec=replace(spec, body=body))


def _with_narrow_rows(
    scan: Node, gets: list[Node], dtypes: dict[Node, np.dtype], label_of: dict[Node, str], graph: Graph
) -> Node:
    spec = spec_of(scan)
    results, outputs = dict(spec.body.results), list(spec.outputs)
    taken = {*spec.operand_names(), *outputs}
    for get in gets:
        name = get.attrs["name"]
        label_of[get] = label = name
        if not _only(get, name, spec, graph):
            label_of[get] = label = fresh_name(f"{name}_{dtypes[get].name}", taken)
            outputs.append(label)
        results[label] = _narrowed(results[name], dtypes[get])
    if not gets:
        return scan
    return with_attrs(scan, spec=replace(spec, outputs=tuple(outputs), body=Graph((), results)))


def _only(get: Node, name: str, spec: ScanSpec, graph: Graph) -> bool:
    """Whether nobody, the loop itself included, reads the rows in another way."""
    others = (n for n in graph.nodes() if n.op == "get" and n.args[0] is get.args[0] and n.attrs["name"] == name)
    return spec.carry(name) is None and all(n is get for n in others)


def _narrowed(x: Node, dtype: np.dtype) -> Node:
    rounded = x.op == "cast" and x.args[0].type.dtype == dtype  # by the step itself
    return x.args[0] if rounded else build.cast(x, dtype, x.loc)
