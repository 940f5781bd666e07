"""Batching of scans, conditionals, gathers and updates; and of what has no rule, by a loop over the rows.

    before   scan s sequence x = %x: f64[n] carry y = %0 { y = y[-1] + x[0] }                        for every row of %X
    after    scan s sequence x = transpose %X: f64[n, b] carry y = broadcast %0: f64[b] { y = y[-1] + x[0] }

A loop runs for all rows at once. Rows that leave it at different steps, by a condition or a step count of their own,
stop changing; the loop ends with the last one, and their traces have rows of zeros after their end. A padded trace may
be summed over time, read from its end or element by element; anything that would count the zeros is an error.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from types import MappingProxyType

from scancc.autodiff.arithmetic import constant, fresh, where
from scancc.autodiff.custom import CustomRule
from scancc.batching.padded import on_padded, refused
from scancc.batching.rules import Batch
from scancc.errors import UnsupportedError
from scancc.ir import build
from scancc.ir.graph import (
    EFFECT,
    STRIDE,
    UNTIL,
    Carry,
    Graph,
    Node,
    ScanSpec,
    Sequence,
    operands,
    rebuild,
    spec_of,
    with_attrs,
)
from scancc.ir.names import fresh_name
from scancc.ir.types import BOOL, INT, Dim, Type


def batch(roots: Iterable[Node], leaves: dict[Node, Node], length: int | Dim) -> Batch:
    """Everything below `roots`, with the nodes `leaves` having become values with one more leading axis."""
    roots = list(roots)
    b = Batch(length, dict(leaves), set(leaves), loops=_loops)
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
        case "check" | "print":
            name = "check" if node.op == "check" else "debug_print"
            raise UnsupportedError(f"sc.{name} of values that differ from row to row of a batch", node.loc,
                                   fix="call it on all of the batch, outside of sc.vmap")
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
    having, reached, leaving = _varying(node, b.batched)
    if spec.effects and any(spec.body.results[e] in reached for e in spec.effects):
        raise UnsupportedError("a step with checks or prints is batched", node.loc,
                               fix="call sc.check and sc.debug_print outside of sc.vmap")
    leaves: dict[Node, Node] = {}
    for leaf in spec.body.nodes():
        if leaf.op in ("tap", "read") and leaf.attrs["name"] in having:
            width = Dim(b.length.name, b.length.hint) if isinstance(b.length, Dim) else b.length
            leaves[leaf] = Node(leaf.op, (), leaf.type.with_shape((width, *leaf.type.shape)), leaf.attrs, leaf.loc)
    width = Dim(b.length.name, b.length.hint) if isinstance(b.length, Dim) else b.length
    inner = Batch(width, dict(leaves), set(leaves), loops=_loops)
    inner.run_all(spec.body.results.values())
    results = {}
    for name, r in spec.body.results.items():
        batched = r in inner.batched
        if name in having and not batched:  # a carry that starts batched and goes on alike for all rows
            results[name], batched = _spread(inner, r, leaves), True
        else:
            results[name] = inner.value[r]
        if leaving and not batched and name != UNTIL and not name.startswith(EFFECT):
            results[name] = _spread(inner, r, leaves)
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
        return _leaving(b, node, spec, given, results, inner)
    new = replace(spec, body=Graph((), results))
    b.value[node] = build.scan(new, (b.operand(node.args[0]), *given.values()), node.loc)
    b.scans[node] = frozenset(n for n in results if n in having or spec.body.results[n] in inner.batched)
    return None


def _spread(inner: Batch, r: Node, leaves: dict[Node, Node]) -> Node:
    """A value that all rows share, for each of them."""
    return build.broadcast_to(inner.value[r], (inner.length, *r.type.shape), r.loc)


def _varying(scan: Node, batched: set[Node]) -> tuple[set[str], set[Node], bool]:
    """Operands that differ between the rows, what depends on them in the body, and whether rows end apart."""
    spec = spec_of(scan)
    having = {name for name, x in operands(scan).items() if x in batched}
    while True:
        reached = _reached(spec.body, having)
        leaving = scan.args[0] in batched or (spec.has_until and spec.body.results[UNTIL] in reached)
        # Where rows end at different steps, every carry stops for some of them.
        more = {c.name for c in spec.carries if leaving or spec.body.results[c.name] in reached} - having
        if not more:
            return having, reached, leaving
        having |= more


def _reached(body: Graph, names: set[str]) -> set[Node]:
    found: set[Node] = set()
    of_scan: dict[Node, set[str]] = {}  # results that differ
    for n in body.nodes():
        if n.op == "get" and n.args[0] in of_scan:
            differs = n.attrs["name"] in of_scan[n.args[0]]
        else:
            differs = n.op in ("tap", "read") and n.attrs["name"] in names
            differs = differs or any(a in found for a in n.args)
        if not differs:
            continue
        found.add(n)
        if n.op == "scan":
            having, reached, leaving = _varying(n, found)
            results = spec_of(n).body.results
            of_scan[n] = {"", *results} if leaving else {x for x in results if x in having or results[x] in reached}
    return found


def _leaving(
    b: Batch, node: Node, spec: ScanSpec, given: dict[str, Node], results: dict[str, Node], inner: Batch
) -> Node | None:
    """Rows that end at different steps: a carry counts the steps of each, and what has ended repeats its last value."""
    taken = {*spec.operand_names(), *results}
    count, running = fresh_name("made", taken), fresh_name("running", taken)
    steps = b.operand(node.args[0])
    of_rows = node.args[0] in b.batched
    flags = (inner.length,)
    made = build.make("tap", type=Type(INT.dtype, flags), name=count, offset=-1)
    on = build.make("tap", type=Type(BOOL.dtype, flags), name=running, offset=-1)
    kept: dict[str, Node] = {}
    traces: dict[str, str] = {}
    for name, r in results.items():
        if name == UNTIL or name.startswith(EFFECT):
            continue
        still = build.reshape(on, (inner.length, *(1,) * (r.type.ndim - 1)))
        if spec.carry(name) is not None:
            before = build.make("tap", type=r.type, name=name, offset=-1)
            kept[name] = where(still, r, before)
        else:
            kept[name] = where(still, r, constant(0, r))
        if spec.carry(name) is not None:
            # The trace shows zeros after the end, the carry keeps its last value.
            shown = fresh_name(f"{name}_rows", taken)
            kept[shown] = where(still, r, constant(0, r))
            traces[name] = shown
    one = build.cast(on, "int64")
    kept[count] = build.make("add", made, one)
    goes_on = on
    if UNTIL in results:
        stop = results[UNTIL]
        goes_on = build.make("logical_and", on, build.make("logical_not", stop))
    nonseqs = dict.fromkeys(spec.nonseqs)
    extra: dict[str, Node] = {}
    if of_rows:
        limit = fresh_name("limit", taken)
        extra[limit] = steps
        read = build.make("read", type=Type(INT.dtype, flags), name=limit)
        goes_on = build.make("logical_and", goes_on, build.make("less", kept[count], read))
    kept[running] = goes_on
    kept[UNTIL] = build.make("logical_not", build.make("reduce_any", goes_on, axes=(0,)))
    most = build.make("reduce_max", steps, axes=(0,)) if of_rows else steps
    start = build.broadcast_to(build.integer(0), (b.length,))
    alive = build.broadcast_to(build.const(True), (b.length,))
    if of_rows:
        alive = build.make("less", start, steps)
    outputs = (*spec.outputs, *traces.values())
    carries = tuple(replace(c, taps=tuple(sorted({*c.taps, -1}))) for c in spec.carries)
    new = replace(
        spec, carries=(*carries, Carry(count, (-1,)), Carry(running, (-1,))),
        nonseqs=(*nonseqs, *extra), outputs=outputs, body=Graph((), kept),
    )  # fmt: skip
    values = {**given, count: start, running: alive, **extra}
    scan = build.scan(new, (most, *(values[n] for n in new.operand_names())), node.loc)
    b.value[node] = scan
    b.scans[node] = frozenset(spec.body.results)
    b.counts[node] = build.final(scan, count, node.loc)
    b.traces[node] = traces
    return None


def _get(b: Batch, node: Node) -> Node | None:
    source, name, view = node.args[0], node.attrs["name"], node.attrs["view"]
    if source in b.chosen:
        b.value[node] = b.chosen[source][name]
        b.batched.add(node)
        return None
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
            raise refused(node, f"the {view} of a loop whose rows end at different steps")
        if view == "trace":
            name = b.traces[source].get(name, name)
            b.padded[node] = source
    row = spec_of(new).body.results[name].type
    row = row.with_shape((b.length, *b.shape(node.type.shape[node.type.ndim - (row.ndim - 1) :])))
    if view == "trace":
        value = build.trace(new, name, node.loc)
        steps = value.type.shape[0]
        if source not in b.counts:  # as many as before, by the node that tells it of others, too
            (steps,) = b.shape(node.type.shape[:1])
        value = Node("get", value.args, row.with_shape((steps, *row.shape)), value.attrs, value.loc)
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
    if predicate in b.batched:
        if any(n.startswith(EFFECT) for k in ("then", "orelse") for n in node.attrs[k].results):
            raise UnsupportedError("a branch with checks or prints is batched", node.loc,
                                   fix="check or print outside of sc.cond: batches run both branches")  # fmt: skip
        # Rows choose differently: both branches are computed for all of them.
        found = {}
        for key in ("then", "orelse"):
            graph: Graph = node.attrs[key]
            inner = Batch(b.length, {}, set(), loops=_loops)
            for leaf in graph.nodes():
                if leaf.op == "read":
                    a = args[names.index(leaf.attrs["name"])]
                    inner.value[leaf] = b.operand(a)
                    if a in b.batched:
                        inner.batched.add(leaf)
            inner.run_all(graph.results.values())
            found[key] = {n: inner.whole(graph.results[n]) for n in labels}
        test = b.operand(predicate)
        b.value[node], b.scans[node], b.chosen[node] = node, frozenset(labels), {}
        for n in labels:
            chosen = found["then"][n]
            mask = build.reshape(test, (b.length, *(1,) * (chosen.type.ndim - 1)))
            b.chosen[node][n] = where(mask, chosen, found["orelse"][n])
        return None
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

