"""Reverse mode: from derivatives with respect to results to those with respect to operands, in one walk back.

    before   %2 = multiply %x %x; %3 = sin %2                  d: the derivative with respect to %3
    after    %4 = multiply d (cos %2); %5 = multiply (multiply %4 2) %x      with respect to %x

Only nodes that depend on what is differentiated are visited. What is read of one scan is gathered until all of its
readers have been visited; then the scan is reversed as a whole (`reverse_scan.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from scancc.autodiff.arithmetic import fitted, named_as, total
from scancc.autodiff.rules import RULES, differentiable
from scancc.autodiff.zeros import ANY, Flow, Parts, behind, of_given
from scancc.errors import UnsupportedError
from scancc.ir import build
from scancc.ir.graph import STRIDE, Graph, Node, rebuild, spec_of, substitute, topological, with_attrs
from scancc.ir.names import fresh_name
from scancc.ir.types import INT

# By scan: values of its body that it keeps for the way back, by output name; under STRIDE the steps between states.
Kept = dict[Node, dict[str, Node]]


@dataclass
class Pullback:
    """One walk back through a graph."""

    of: dict[Node, Node] = field(default_factory=dict)  # derivatives by node, summed so far
    read: dict[Node, list[tuple[Node, Node]]] = field(default_factory=dict)  # of scans and conds: (get, derivative)
    kept: Kept = field(default_factory=dict)
    wrt: frozenset[Node] = frozenset()
    in_a_step: bool = False
    flow: dict[Node, Flow] = field(default_factory=dict)  # of the derivatives in `of`
    parts: dict[Node, Parts] = field(default_factory=dict)  # of those that are read row by row

    def add(self, node: Node, d: Node, flow: Flow = ANY, parts: Parts | None = None) -> None:
        d = fitted(d, node.type)
        flow = flow.in_a_step() if self.in_a_step else flow
        if parts is not None:
            self.parts[node] = parts = parts.and_of(self.parts.get(node))
            if len(parts.rows) == node.type.shape[parts.axis]:
                flow = parts.flow.in_a_step() if self.in_a_step else parts.flow
        self.of[node] = d if node not in self.of else _sum(self.of[node], d)
        self.flow[node] = flow.plus(self.flow.get(node))


def _sum(a: Node, b: Node) -> Node:
    found = total((a, b))
    assert found is not None
    return found


def pullback(
    seeds: Mapping[Node, Node], wrt: Sequence[Node], kept: Kept, flow: dict[Node, Flow] | None = None,
    in_a_step: bool = False,
) -> list[Node | None]:  # fmt: skip
    """Derivatives with respect to `wrt` of values whose own derivatives are `seeds`; None where nothing depends on it.

    `flow` says what is known of the seeds, and afterwards of what was found.

    The derivatives read outputs of scans that these do not have yet: what `kept` says afterwards. `with_kept` adds
    them, to the graph of the values as well, so that both use one loop. `wrt` may depend on one another.
    """
    back = Pullback(kept=kept, wrt=frozenset(wrt), in_a_step=in_a_step)
    known = {} if flow is None else flow
    order = topological(seeds)
    active = depending(order, wrt)
    for node, d in seeds.items():
        if node in active and differentiable(node.type.dtype):
            back.add(node, d, known.get(node) or of_given(d))
    for node in reversed(order):
        if node in active:
            _visit(back, node, active)
    known |= {x: back.flow[x] for x in wrt if x in back.flow}
    return [back.of.get(x) for x in wrt]


def depending(order: Iterable[Node], on: Iterable[Node]) -> set[Node]:
    """The nodes of `order` whose values depend on some of `on` in a way that may be differentiated."""
    found = set(on)
    for node in order:
        bundle = node.op in ("scan", "cond", "custom")
        if any(a in found for a in node.args) and (bundle or differentiable(node.type.dtype)):
            found.add(node)
    return found


def _visit(back: Pullback, node: Node, active: set[Node]) -> None:
    if node.op in ("scan", "cond", "custom"):
        reads = [(g, d) for g, d in back.read.get(node, []) if d is not None]
        if reads:
            known = {g: back.flow[g] for g, _ in reads}
            for arg, d in zip(node.args, _control(back, node, reads, active, known), strict=True):
                if d is not None and arg in active:
                    back.add(arg, d, known.get(d, ANY))
        return
    d = back.of.get(node)
    if d is None:
        return
    if node.op == "get":
        back.read.setdefault(node.args[0], []).append((node, d))
        return
    if node.op == "index" and _row_of_a_trace(node):
        # One row of a trace: kept apart, since it may start the loop back instead of being a row among zeros.
        back.read.setdefault(node.args[0].args[0], []).append((node, d))
        return
    if not any(a in active for a in node.args):
        return
    rule = RULES.get(node.op)
    if rule is None:
        raise UnsupportedError(f"'{node.op}' has no derivative", node.loc,
                               "its value cannot be differentiated with respect to its operands",
                               "use sc.stop_gradient where it shall count as a constant")  # fmt: skip
    flow = back.flow[node]
    for arg, part in zip(node.args, rule.vjp(node, d, flow), strict=True):
        if part is not None and arg in active and differentiable(arg.type.dtype):
            back.add(arg, part, behind(node, flow), Parts.read_by(node, flow))


def _row_of_a_trace(node: Node) -> bool:
    (x,) = node.args
    return (x.op == "get" and x.attrs["view"] == "trace" and x.args[0].op == "scan"
            and node.attrs["axis"] == 0 and node.attrs["position"] < 0)  # fmt: skip


def _control(
    back: Pullback, node: Node, reads: list[tuple[Node, Node]], active: set[Node], flow: dict[Node, Flow]
) -> list[Node | None]:
    """Derivatives with respect to the operands. `flow` is that of what is read, and later of what is found, too."""
    if node.op == "cond":
        return _cond(node, reads, active)
    if node.op == "custom":
        from scancc.autodiff.custom import reverse_custom

        return reverse_custom(node, reads)
    from scancc.autodiff.reverse_scan import Beyond, reverse_scan

    return reverse_scan(node, reads, active, back.kept, Beyond(back.add, back.wrt), flow)


def _cond(node: Node, reads: list[tuple[Node, Node]], active: set[Node]) -> list[Node | None]:
    """A conditional on the same predicate: each branch computes what its own way back needs."""
    predicate, *args = node.args
    names = node.attrs["names"]
    leaves_of = {n.attrs["name"]: n for key in ("then", "orelse") for n in node.attrs[key].nodes() if n.op == "read"}
    wanted = [n for n, a in zip(names, args, strict=True)
              if a in active and differentiable(a.type.dtype) and n in leaves_of]  # fmt: skip
    incoming: dict[str, list[Node]] = {}
    for get, d in reads:
        incoming.setdefault(get.attrs["name"], []).append(d)
    taken = set(names)
    label_of = {name: fresh_name(f"d_{name}", taken) for name in incoming}
    derivatives = {label_of[name]: total(ds) for name, ds in incoming.items()}
    branches = {}
    for key in ("then", "orelse"):
        graph: Graph = node.attrs[key]
        inner = [n for n in graph.nodes() if n.op == "read" and n.attrs["name"] in wanted]
        seeds: dict[Node, Node] = {}
        for name in incoming:
            result = graph.results[name]
            d = build.make("read", type=result.type, name=label_of[name], loc=result.loc)
            seeds[result] = d if result not in seeds else _sum(seeds[result], d)
        kept: Kept = {}
        whole = {f"g_{n}": build.zeros(leaves_of[n].type) for n in wanted}
        for leaf, part in zip(inner, pullback(seeds, inner, kept), strict=True):
            if part is not None:
                label = f"g_{leaf.attrs['name']}"
                whole[label] = _sum(whole[label], named_as(part, leaf.type))
        mapping = with_kept(whole.values(), kept)
        branches[key] = Graph((), {n: mapping[r] for n, r in whole.items()})
    operands = {**dict(zip(names, args, strict=True)), **derivatives}
    every = (*names, *derivatives)
    new = Node("cond", (predicate, *(operands[n] for n in every)), INT,  # type: ignore[misc]
               {"names": tuple(every), **branches}, node.loc)
    results = {n: build.make("get", new, loc=node.loc, type=branches["then"].results[f"g_{n}"].type, name=f"g_{n}",
                             view="branch") for n in wanted}
    return [None, *(results.get(n) for n in names)]


def with_kept(roots: Iterable[Node], kept: Kept) -> dict[Node, Node]:
    """Every node below `roots`, with the scans that keep more than they did."""
    mapping: dict[Node, Node] = {}
    for node in topological(roots):
        values = dict(kept.get(node, {}))
        if STRIDE in values:
            values[STRIDE] = substitute([values[STRIDE]], mapping)[values[STRIDE]]
        mapping[node] = keeping(rebuild(node, mapping), values)
    return mapping


def keeping(scan: Node, values: Mapping[str, Node]) -> Node:
    """A scan with some values of its body as further outputs."""
    if not values:
        return scan
    spec = spec_of(scan)
    more = {name: r for name, r in values.items() if name not in spec.body.results and name != STRIDE}
    body = Graph((), {**spec.body.results, **more})
    spec = replace(spec, outputs=(*spec.outputs, *more), body=body)
    if STRIDE in values and STRIDE not in spec.nonseqs:
        spec = replace(spec, nonseqs=(*spec.nonseqs, STRIDE))
        scan = Node("scan", (*scan.args, values[STRIDE]), scan.type, scan.attrs, scan.loc)
    return with_attrs(scan, spec=spec)
