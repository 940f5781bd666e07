"""Batching of scans, conditionals, gathers and updates; and of single ops that have no rule, by a loop over the rows.

    before   scan s sequence x = %x: f64[n] carry y = %0 { y = y[-1] + x[0] }                        for every row of %X
    after    scan s sequence x = transpose %X: f64[n, b] carry y = broadcast %0: f64[b] { y = y[-1] + x[0] }

A loop runs for all rows at once where they all make the same steps and take the same branches. The rest is found by
`divergence.py` and run for one row after the other by `by_rows.py`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from types import MappingProxyType

from scancc.autodiff.arithmetic import fresh
from scancc.autodiff.custom import CustomRule
from scancc.batching.by_rows import run_by_rows
from scancc.batching.divergence import by_rows, is_uneven, varying
from scancc.batching.masked import masked_loop, while_running
from scancc.batching.padded import NotMasked, on_padded
from scancc.batching.rules import Batch
from scancc.errors import UnsupportedError
from scancc.ir import build
from scancc.ir.graph import (
    EFFECT,
    STRIDE,
    UNTIL,
    Graph,
    Node,
    ScanSpec,
    Sequence,
    operands,
    rebuild,
    spec_of,
    topological,
    with_attrs,
)
from scancc.ir.types import INT, Dim, Type


def batch(roots: Iterable[Node], leaves: dict[Node, Node], length: int | Dim, together: bool = False) -> Batch:
    """Everything below `roots`, with the nodes `leaves` having become values with one more leading axis.

    `together`: rows that leave a loop at different steps go through it together where they may, with masks, as threads
    of a device do; so do loops whose rows the roots show. Otherwise each row runs its own.
    """
    roots = list(roots)
    nodes = topological(roots)
    b = Batch(length, dict(leaves), set(leaves), loops=_loops)
    apart = by_rows(nodes, b.batched, masks=False)
    if not (together and apart) and not any(is_uneven(r, apart | b.batched) for r in roots):
        return _run(b, nodes, apart, roots)
    try:
        masked = Batch(length, dict(leaves), set(leaves), loops=_loops)
        return _run(masked, nodes, by_rows(nodes, b.batched, masks=True), roots)
    except NotMasked:  # what reads a loop needs the rows that each row of the batch made, and no others
        return _run(b, nodes, apart, roots)


def _run(b: Batch, nodes: list[Node], apart: set[Node], roots: list[Node]) -> Batch:
    if apart:
        run_by_rows(b, nodes, apart, roots)
    b.run_all(roots)
    return b


def _loops(b: Batch, node: Node) -> Node | None:
    """Sets the value of `node` and says that it has the axis; or returns the value that all rows share."""
    if node.op != "dim" and any(a in b.padded for a in node.args):
        return on_padded(b, node, _row_by_row)
    match node.op:
        case "scan":
            return _scan(b, node)
        case "cond":
            return _cond(b, node)
        case "custom":
            return _custom(b, node)
        case "get":
            return _get(b, node)
        case "dim":
            return _dim(b, node)
        case "take" | "put":
            value = _take(b, node) if node.op == "take" else _put(b, node)
        case "rows" if node.args[1] not in b.batched:
            x, start = map(b.operand, node.args)
            count = b.shape(node.type.shape)[0]
            value = _to_rows(build.rows(_time_first(x), start, count, node.loc))
        case _:
            value = _row_by_row(b, node)
    b.value[node] = value
    b.batched.add(node)
    return None


def _time_first(x: Node) -> Node:
    return build.make("transpose", x, loc=x.loc, perm=(1, 0, *range(2, x.type.ndim)))


_to_rows = _time_first  # the same exchange of axes back


def _dim(b: Batch, node: Node) -> Node | None:
    (x,), axis = node.args, node.attrs["axis"]
    d = x.type.shape[axis]
    if isinstance(d, Dim) and d.define is not None and d.define in b.batched:
        b.value[node] = b.value[d.define]  # how many steps a row made
        b.batched.add(node)
        return None
    return build.dim_of(b.operand(x), axis + 1, node.loc)


def _take(b: Batch, node: Node) -> Node:
    """One gather along the batch and the axis folded into one, or along the axis where all rows read alike."""
    x, i = node.args
    axis = node.attrs["axis"]
    if i not in b.batched:
        return build.make("take", b.operand(x), b.operand(i), loc=node.loc, axis=axis + 1)
    if x not in b.batched:
        found = build.make("take", b.operand(x), b.operand(i), loc=node.loc, axis=axis)
        perm = (axis, *range(axis), *range(axis + 1, found.type.ndim))
        return build.make("transpose", found, loc=node.loc, perm=perm) if axis else found
    return _row_by_row(b, node)


def _put(b: Batch, node: Node) -> Node:
    x, i, v = node.args
    if i in b.batched:
        return _row_by_row(b, node)
    axis, mode = node.attrs["axis"] + 1, node.attrs["mode"]
    values = b.operand(v)
    if v in b.batched and v.type.ndim < x.type.ndim - 1 + i.type.ndim:
        ones = (1,) * (x.type.ndim - 1 + i.type.ndim - v.type.ndim)
        values = build.reshape(values, (b.length, *ones, *b.shape(v.type.shape)), node.loc)
    return build.make("put", b.whole(x), b.operand(i), values, loc=node.loc, axis=axis, mode=mode)


def _row_by_row(b: Batch, node: Node) -> Node:
    """A scan over the rows: what has no rule is computed for one after the other."""
    sequences: dict[Sequence, Node] = {}
    nonseqs: dict[str, Node] = {}
    args = []
    for k, a in enumerate(node.args):
        outer = b.operand(a)
        if a in b.batched:
            sequences[Sequence(f"x{k}", (0,))] = outer
            args.append(build.make("tap", type=_inner(a.type), name=f"x{k}", offset=0))
        else:
            nonseqs[f"x{k}"] = outer
            args.append(build.make("read", type=_inner(a.type), name=f"x{k}"))
    body = Node(node.op, tuple(args), _inner(node.type), node.attrs, node.loc)
    if "shape" in node.attrs and any(isinstance(d, Dim) and d.define is not None for d in node.attrs["shape"]):
        raise UnsupportedError(f"{node.op} of a length known at run time only, for each row of a batch", node.loc,
                               fix="give it a length that is a number, or a length of an array")  # fmt: skip
    spec = ScanSpec(fresh(f"{node.op}_rows"), tuple(sequences), (), tuple(nonseqs), ("row",), Graph((), {"row": body}))
    first = next(iter(sequences.values()))
    scan = build.scan(spec, (build.dim_of(first, 0), *sequences.values(), *nonseqs.values()), node.loc)
    return build.trace(scan, "row", node.loc)


def _inner(t: Type) -> Type:
    return t.with_shape(tuple(Dim(d.name, d.hint) if isinstance(d, Dim) else d for d in t.shape))


# -- scans ---------------------------------------------------------------------------------------------------------


def _scan(b: Batch, node: Node) -> Node | None:
    spec, old = spec_of(node), operands(node)
    having, _, leaving, _ = varying(node, b.batched)
    leaves: dict[Node, Node] = {}
    for leaf in spec.body.nodes():
        if leaf.op in ("tap", "read") and leaf.attrs["name"] in having:
            width = Dim(b.length.name, b.length.hint) if isinstance(b.length, Dim) else b.length
            leaves[leaf] = Node(leaf.op, (), leaf.type.with_shape((width, *leaf.type.shape)), leaf.attrs, leaf.loc)
    width = Dim(b.length.name, b.length.hint) if isinstance(b.length, Dim) else b.length
    if leaving:
        for leaf in spec.body.nodes():
            if leaf.op == "tap" and spec.sequence(leaf.attrs["name"]) is not None and leaf.type.dtype.kind in "fc":
                row = leaves.get(leaf, leaf)
                if leaf not in leaves:
                    row = build.broadcast_to(leaf, (width, *leaf.type.shape))
                leaves[leaf] = while_running(row, width, spec)
    inner = Batch(width, dict(leaves), set(leaves), loops=_loops)
    inner.run_all(spec.body.results.values())
    results = {}
    for name, r in spec.body.results.items():
        batched = r in inner.batched
        if name in having and not batched:  # a carry that starts batched and goes on alike for all rows
            results[name], batched = _spread(inner, r), True
        else:
            results[name] = inner.value[r]
        if leaving and not batched and name != UNTIL:
            results[name] = _spread(inner, r)
    given: dict[str, Node] = {}
    for name, x in old.items():
        carry, value = spec.carry(name), b.operand(x)
        if spec.sequence(name) is not None or (carry is not None and carry.rows):
            if name in having:
                value = _time_first(b.whole(x))
        elif carry is not None and name in having:
            value = b.whole(x)
        given[name] = value
    if leaving:
        return masked_loop(b, node, spec, given, results, inner)
    new = replace(spec, body=Graph((), results))
    b.value[node] = build.scan(new, (b.operand(node.args[0]), *given.values()), node.loc)
    b.scans[node] = frozenset(n for n in results if n in having or spec.body.results[n] in inner.batched)
    return None


def _spread(inner: Batch, r: Node) -> Node:
    """A value that all rows share, for each of them."""
    return build.broadcast_to(inner.value[r], (inner.length, *r.type.shape), r.loc)


def _get(b: Batch, node: Node) -> Node | None:
    source, name, view = node.args[0], node.attrs["name"], node.attrs["view"]
    new = b.value[source]
    if view == "effects":
        return build.effects(new)
    if source.op == "custom":
        b.value[node] = _view(new, node, new.args[int(name.removeprefix("out"))].type)
        b.batched.add(node)
        return None
    if source.op == "cond":
        value = _view(new, node, new.attrs["then"].results[name].type)
        if name not in b.scans[source]:
            return value
        b.value[node] = value
        b.batched.add(node)
        return None
    if view == "length" and source in b.counts:
        b.value[node] = b.counts[source]
        b.batched.add(node)
        return None
    if name not in b.scans[source]:
        return rebuild(node, b.value)
    if source in b.counts:
        if view not in ("trace", "final"):
            raise NotMasked(view)
        if view == "trace":
            name = b.traces[source].get(name, name)
            b.padded[node] = source
    row = spec_of(new).body.results[name].type
    row = row.with_shape((b.length, *b.shape(node.type.shape[node.type.ndim - (row.ndim - 1) :])))
    if view == "trace":
        value = build.trace(new, name, node.loc)
        value = Node("get", value.args, row.with_shape((value.type.shape[0], *row.shape)), value.attrs, value.loc)
    elif view == "final":
        value = _view(new, node, row)
    elif view == "every":
        value = build.samples(new, name, operands(new)[STRIDE], node.loc)
        b.value[node] = build.make("transpose", value, perm=(2, 0, 1, *range(3, value.type.ndim)))
        b.batched.add(node)
        return None
    elif view == "history":
        value = build.history(new, name, node.loc)
    else:
        value = _view(new, node, row.with_shape((node.type.shape[0], *row.shape)))
    b.value[node] = value if view == "final" else _to_rows(value)
    b.batched.add(node)
    return None


def _custom(b: Batch, node: Node) -> Node | None:
    """The rule is batched like everything else: all of its operands get the axis."""
    rule: CustomRule = node.attrs["rule"]
    width = Dim(b.length.name, b.length.hint) if isinstance(b.length, Dim) else b.length
    leaves = {n: Node("read", (), n.type.with_shape((width, *n.type.shape)), n.attrs, n.loc)
              for n in rule.graph.nodes() if n.op == "read"}  # fmt: skip
    inner = Batch(width, dict(leaves), set(leaves), loops=_loops)
    inner.run_all(rule.graph.results.values())
    graph = Graph((), {name: inner.whole(r) for name, r in rule.graph.results.items()})
    args = tuple(map(b.whole, node.args))
    b.value[node] = Node("custom", args, INT, MappingProxyType({"rule": replace(rule, graph=graph)}), node.loc)
    b.scans[node] = frozenset(f"out{i}" for i in range(rule.values))
    return None


def _view(scan: Node, node: Node, type_: Type) -> Node:
    return with_attrs(Node("get", (scan,), type_, node.attrs, node.loc))


# -- conditionals --------------------------------------------------------------------------------------------------


def _cond(b: Batch, node: Node) -> Node | None:
    predicate, *args = node.args
    names = node.attrs["names"]
    having = {n for n, a in zip(names, args, strict=True) if a in b.batched}
    labels = [n for n in node.attrs["then"].results if not n.startswith(EFFECT)]
    branches, batched = {}, {}
    for key in ("then", "orelse"):
        graph = node.attrs[key]
        width = Dim(b.length.name, b.length.hint) if isinstance(b.length, Dim) else b.length
        leaves = {leaf: Node("read", (), leaf.type.with_shape((width, *leaf.type.shape)), leaf.attrs, leaf.loc)
                  for leaf in graph.nodes() if leaf.op == "read" and leaf.attrs["name"] in having}  # fmt: skip
        inner = Batch(width, dict(leaves), set(leaves), loops=_loops)
        inner.run_all(graph.results.values())
        branches[key], batched[key] = (inner, graph), {n for n in labels if graph.results[n] in inner.batched}
    every = batched["then"] | batched["orelse"]
    graphs = {}
    for key, (inner, graph) in branches.items():
        graphs[key] = Graph((), {n: inner.whole(r) if n in every else inner.value[r] for n, r in graph.results.items()})
    attrs = MappingProxyType({"names": names, **graphs})
    b.value[node] = Node("cond", (b.operand(predicate), *map(b.operand, args)), INT, attrs, node.loc)
    b.scans[node] = frozenset(every)
    return None

