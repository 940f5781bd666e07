"""Forward mode: values and their tangents side by side, in one walk forward.

    before   scan s carry y = %y0, nonseq a { y = a y[-1] }                            tangents: of a
    after    scan s carry y = %y0, carry t_y = 0, nonseq a, nonseq t_a
             { y = a y[-1]; t_y = t_a y[-1] + a t_y[-1] }

A scan computes its tangents in the same loop as its values: one tangent a sequence, carry and non-sequence that varies.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from scancc.autodiff.arithmetic import fitted
from scancc.autodiff.custom import forward_custom
from scancc.autodiff.reverse import depending
from scancc.autodiff.rules import RULES, differentiable
from scancc.autodiff.zeros import ANY, Flow, behind, of_given
from scancc.errors import UnsupportedError
from scancc.ir import build
from scancc.ir.graph import EFFECT, Graph, Node, operands, rebuild, spec_of, topological, with_attrs
from scancc.ir.names import fresh_name
from scancc.ir.types import INT


@dataclass
class Pushforward:
    """One walk forward through a graph."""

    value: dict[Node, Node] = field(default_factory=dict)
    tangent: dict[Node, Node] = field(default_factory=dict)  # of those that have one
    names: dict[Node, dict[str, str]] = field(default_factory=dict)  # of scans and conds: tangents of results, by name
    given: dict[Node, dict[str, Node]] = field(default_factory=dict)  # tangents of values with rules of their own
    flow: dict[Node, Flow] = field(default_factory=dict)  # of the tangents

    def of_operands(self, node: Node) -> Flow | None:
        """Of the sum of what the tangents of its operands become; None where there are none."""
        found: Flow | None = None
        for a in node.args:
            if a in self.flow:
                found = self.flow[a].plus(found)
        return found


def pushforward(
    roots: Sequence[Node], given: Mapping[Node, Node], flow: dict[Node, Flow] | None = None
) -> tuple[list[Node], list[Node | None]]:
    """The values of `roots`, computed beside their tangents, and these (None: zero); `given` are the inputs'.

    `flow` is what is known of the inputs' tangents, and afterwards of all others.
    """
    forward = Pushforward(flow={x: of_given(t) for x, t in given.items()} if flow is None else flow)
    for node in topological(roots):
        if node in given:
            forward.value[node], forward.tangent[node] = node, given[node]
            continue
        new = rebuild(node, forward.value)
        if node.op in ("scan", "cond"):
            if any(a in forward.tangent for a in node.args):
                new, forward.names[node] = (_scan if node.op == "scan" else _cond)(forward, node, new)
            forward.value[node] = new
            continue
        forward.value[node] = new
        known = forward.of_operands(node)
        if known is not None:
            forward.flow[node] = Flow(known.masked, behind(node, known).infinite)
        if node.op == "custom":
            if any(a in forward.tangent for a in node.args):
                forward.given[node] = forward_custom(new, [forward.tangent.get(a) for a in node.args])
                forward.flow[node] = ANY
            continue
        if not differentiable(node.type.dtype):
            continue
        t = _get(forward, node, new) if node.op == "get" else _by_rule(forward, node, new)
        if t is not None:
            forward.tangent[node] = fitted(t, new.type)
    return [forward.value[n] for n in roots], [forward.tangent.get(n) for n in roots]


def _any_of(flows: Sequence[Flow]) -> Flow:
    found = Flow()
    for flow in flows:
        found = found.either(flow)
    return found


def _by_rule(forward: Pushforward, node: Node, new: Node) -> Node | None:
    tangents = [forward.tangent.get(a) for a in node.args]
    if all(t is None for t in tangents):
        return None
    rule = RULES.get(node.op)
    if rule is None:
        raise UnsupportedError(f"'{node.op}' has no derivative", node.loc,
                               "its value cannot be differentiated with respect to its operands",
                               "use sc.stop_gradient where it shall count as a constant")  # fmt: skip
    # Of each tangent, not of their sum: any may be 0.
    return rule.jvp(new, tangents, _any_of([forward.flow[a] for a in node.args if a in forward.flow]))


def _get(forward: Pushforward, node: Node, new: Node) -> Node | None:
    if node.args[0].op == "custom":
        return forward.given.get(node.args[0], {}).get(node.attrs["name"])
    name = forward.names.get(node.args[0], {}).get(node.attrs["name"])
    return None if name is None else with_attrs(new, name=name)


def _scan(forward: Pushforward, node: Node, new: Node) -> tuple[Node, dict[str, str]]:
    spec = spec_of(node)
    old, value = operands(node), operands(new)
    tangents = {n: forward.tangent[x] for n, x in old.items() if x in forward.tangent}
    order = spec.body.nodes()
    varying = set(tangents)
    while True:
        leaves = [n for n in order if n.op in ("tap", "read") and n.attrs["name"] in varying]
        reached = depending(order, leaves)
        more = {c.name for c in spec.carries if spec.body.results[c.name] in reached} - varying
        if not more:
            break
        varying |= more
    taken = {*spec.operand_names(), *spec.outputs}
    named = {n: fresh_name(f"t_{n}", taken) for n in (*spec.operand_names(), *spec.outputs)
             if n in varying or (n in spec.outputs and spec.body.results[n] in reached)}  # fmt: skip
    given = {leaf: with_attrs(leaf, name=named[leaf.attrs["name"]]) for leaf in leaves}
    labels = list(spec.body.results)
    known = {n: forward.flow.get(x, Flow()).in_a_step() for n, x in old.items()}
    while True:
        flow = {leaf: known[leaf.attrs["name"]] for leaf in leaves}
        bodies, found = pushforward([spec.body.results[n] for n in labels], given, flow)
        grown = {c.name: known[c.name].either(flow.get(spec.body.results[c.name], Flow())) for c in spec.carries}
        if grown == {name: known[name] for name in grown}:
            break
        known |= grown
    forward.flow[node] = _any_of([flow[r] for r in spec.body.results.values() if r in flow])
    results = dict(zip(labels, bodies, strict=True))
    tangent = dict(zip(labels, found, strict=True))
    outputs = [n for n in spec.outputs if n in named and tangent[n] is not None]
    for name in (*(c.name for c in spec.carries if c.name in named), *outputs):
        results[named[name]] = tangent[name] or build.zeros(results[name].type)  # type: ignore[assignment]
    sequences = [s for s in spec.sequences if s.name in named]
    carries = [c for c in spec.carries if c.name in named]
    nonseqs = [n for n in spec.nonseqs if n in named]
    joint = replace(
        spec,
        sequences=(*spec.sequences, *(replace(s, name=named[s.name]) for s in sequences)),
        carries=(*spec.carries, *(replace(c, name=named[c.name]) for c in carries)),
        nonseqs=(*spec.nonseqs, *(named[n] for n in nonseqs)),
        outputs=(*spec.outputs, *(named[n] for n in outputs)),
        body=Graph((), results),
    )

    def of(name: str) -> Node:
        return tangents[name] if name in tangents else build.zeros(value[name].type)

    args = (
        new.args[0],
        *(value[s.name] for s in spec.sequences), *(of(s.name) for s in sequences),
        *(value[c.name] for c in spec.carries), *(of(c.name) for c in carries),
        *(value[n] for n in spec.nonseqs), *(of(n) for n in nonseqs),
    )  # fmt: skip
    made = {n: named[n] for n in (*(c.name for c in carries), *outputs)}
    return build.scan(joint, args, node.loc), made


def _cond(forward: Pushforward, node: Node, new: Node) -> tuple[Node, dict[str, str]]:
    names = node.attrs["names"]
    operand = dict(zip(names, node.args[1:], strict=True))
    tangents = {n: forward.tangent[a] for n, a in operand.items() if a in forward.tangent}
    taken = {*names, *node.attrs["then"].results}
    named = {n: fresh_name(f"t_{n}", taken) for n in tangents}
    labels = [n for n in node.attrs["then"].results if not n.startswith(EFFECT)]
    found: dict[str, tuple[dict[str, Node], dict[str, Node | None]]] = {}
    inner: list[Flow] = []
    for key in ("then", "orelse"):
        graph: Graph = node.attrs[key]
        given = {leaf: with_attrs(leaf, name=named[leaf.attrs["name"]]) for leaf in graph.nodes()
                 if leaf.op == "read" and leaf.attrs["name"] in named}  # fmt: skip
        every = list(graph.results)
        flow = {leaf: forward.flow.get(operand[leaf.attrs["name"]], Flow()) for leaf in given}
        values, ts = pushforward([graph.results[n] for n in every], given, flow)
        inner += [flow[r] for r in graph.results.values() if r in flow]
        found[key] = dict(zip(every, values, strict=True)), dict(zip(every, ts, strict=True))
    forward.flow[node] = _any_of(inner)
    made = {n: fresh_name(f"t_{n}", taken) for n in labels if any(found[k][1][n] is not None for k in found)}
    branches = {}
    for key, (values_, ts_) in found.items():
        more = {made[n]: ts_[n] or build.zeros(values_[n].type) for n in made}
        branches[key] = Graph((), {**values_, **more})
    attrs = MappingProxyType({"names": (*names, *named.values()), **branches})
    joint = Node("cond", (*new.args, *(tangents[n] for n in named)), INT, attrs, node.loc)
    return joint, made
