"""The program of one lane: a graph whose results are made for many lanes alike, without their axis.

    before   scan s sequence x = %X [n, lanes] carry y = %y0 [lanes] { y = add x[0] y[-1] }     result: trace [n, lanes]
    after    scan s sequence x = %X [n]        carry y = %y0 []      { y = add x[0] y[-1] }     result: trace [n]

It undoes what `vmap` does, and finds the lanes of programs that were written over wide rows. A back end that gives
every lane a thread of its own compiles this, and puts the axis back where arrays lie in memory. The walk goes from the
results down: each value is wanted without one of its axes, or whole when all lanes share it. There are no lanes where a
value is wanted in two ways, or where an op brings elements of several lanes together.

A loop that goes on until its last lane has ended is the loop of a lane, which leaves when that lane ends. Rows after
its end are then left to whoever runs the lanes, so nothing but results may show them. A loop over the lanes themselves,
as batching makes of what has no rule, is its body.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from scancc.batching.ended_lanes import is_all, running_lanes, shown, steps_of_each
from scancc.batching.lane_rules import OPERANDS, REMAKE, NoLanes, aligned, squeezed, without
from scancc.ir import build
from scancc.ir.graph import (
    EFFECT,
    UNTIL,
    Graph,
    Node,
    ScanSpec,
    mentioned_dims,
    operands,
    rebuild,
    spec_of,
    substitute,
    topological,
)
from scancc.ir.ops import OPS
from scancc.ir.types import Dim, Type

VIEWS = ("trace", "history", "state", "final", "length")


@dataclass(frozen=True)
class Lanes:
    """The graph of one lane, how many there are, and where their axis is in inputs and results (None: in no place).

    `moved`: inputs whose axis of lanes is elsewhere in the caller's arrays, and has to be moved first. `ragged`:
    results whose rows end with their lane, and whether those after it repeat the last one; otherwise they are zeros.
    """

    graph: Graph
    count: int | Dim
    inputs: dict[str, int | None]
    results: dict[str, int]
    moved: dict[str, int] = field(default_factory=dict)
    ragged: dict[str, bool] = field(default_factory=dict)
    apart: bool = False  # whether a loop ends at different steps in different lanes


def lanes_of(graph: Graph) -> Lanes | None:
    """The lanes of a graph, or None: where there is an effect, or no axis that all results share."""
    if any(r.startswith(EFFECT) for r in graph.results):
        return None
    first = next(iter(graph.results.values()))
    rows = shown(graph)
    for count in dict.fromkeys(d for d in first.type.shape if isinstance(d, Dim) or d > 1):
        walk = _Walk(count, shown=rows)
        try:
            results = {name: walk.result(node) for name, node in graph.results.items()}
        except NoLanes:
            continue
        if not any(axis is not None for axis in walk.inputs.values()):
            continue
        inputs = tuple(walk.input(n) for n in graph.inputs)
        axes = {n.attrs["name"]: walk.inputs.get(n) for n in graph.inputs}
        return Lanes(Graph(inputs, {k: n for k, (n, _) in results.items()}), count, axes,
                     {k: axis for k, (_, axis) in results.items()}, ragged=walk.ragged,
                     apart=walk.apart[0])  # fmt: skip
    return None


@dataclass
class _Walk:
    count: int | Dim
    inputs: dict[Node, int | None] = field(default_factory=dict)
    made: dict[tuple[Node, int | None], Node] = field(default_factory=dict)
    scans: dict[Node, _Loop] = field(default_factory=dict)
    leaves: Callable[[Node, int | None], Node] | None = None  # of the body that is walked
    shown: dict[Node, list[str]] = field(default_factory=dict)  # gets that nothing but results read
    ragged: dict[str, bool] = field(default_factory=dict)
    apart: list[bool] = field(default_factory=lambda: [False])  # of this walk and those of bodies inside

    def result(self, node: Node) -> tuple[Node, int]:
        for axis, d in enumerate(node.type.shape):
            if d == self.count:
                before = dict(self.inputs), dict(self.made), dict(self.scans)
                try:
                    return self.want(node, axis), axis
                except NoLanes:
                    self.inputs, self.made, self.scans = before
        raise NoLanes

    def input(self, node: Node) -> Node:
        axis = self.inputs.get(node)
        return self.made.get((node, axis), node)

    def want(self, node: Node, axis: int | None) -> Node:
        """`node` without `axis`, or as it is, the same for all lanes. Bodies may be deep: no recursion over ops."""
        stack = [(node, axis)]
        while stack:
            key = stack[-1]
            if key in self.made:
                stack.pop()
                continue
            needs = self.needs(*key)
            missing = [n for n in needs if n not in self.made]
            if missing:
                stack += missing
                continue
            self.made[key] = self.renewed(key[0], self.make(*key, [self.made[n] for n in needs]))
            stack.pop()
        return self.made[node, axis]

    def guess(self, t: Type) -> int | None:
        """Where the lanes should be: the first axis of their length, as batching has it, where there is one. What is
        made of it shows whether it is so."""
        return next((a for a, d in enumerate(t.shape) if d == self.count), None)

    # -- what is wanted of the operands ----------------------------------------------------------------------
    def needs(self, node: Node, axis: int | None) -> list[tuple[Node, int | None]]:
        if node.op in ("tap", "read", "input", "const", "step", "iota"):
            return []
        if node.op == "get":
            return self.over_lanes(node, axis)
        if node.op == "dim":
            return [(node.args[0], self.guess(node.args[0].type))]
        if axis is None:
            defines = [d.define for d in node.type.shape if isinstance(d, Dim) and d.define is not None]
            return [(n, None) for n in (*node.args, *defines)]
        if node.type.shape[axis] != self.count:
            raise NoLanes
        rule = OPERANDS.get(node.op)
        if OPS[node.op].kind == "elementwise":
            return [(a, aligned(a.type, node.type, axis)) for a in node.args]
        if rule is None:
            raise NoLanes
        return rule(node, axis)

    # -- the node of one lane --------------------------------------------------------------------------------
    def make(self, node: Node, axis: int | None, args: list[Node]) -> Node:
        if node.op in ("tap", "read"):
            assert self.leaves is not None
            return self.leaves(node, axis)
        if node.op == "input":
            if self.inputs.setdefault(node, axis) != axis:
                raise NoLanes
            if axis is None:
                return node
            if node.type.shape[axis] != self.count:
                raise NoLanes
            return Node("input", (), node.type.with_shape(without(node.type.shape, axis)), node.attrs, node.loc)
        if node.op == "get":
            return self.body_of_lane(node, args) if args else self.view(node, axis)
        if node.op == "dim":
            lanes, own = self.guess(node.args[0].type), node.attrs["axis"]
            if lanes == own:
                raise NoLanes
            own -= lanes is not None and lanes < own
            return build.make("dim", args[0], loc=node.loc, axis=own)
        if axis is None:
            return rebuild(node, dict(zip(node.args, args, strict=False)) | {
                d.define: self.made[d.define, None]
                for d in node.type.shape if isinstance(d, Dim) and d.define is not None
            })
        if node.op == "const":
            flat = node.attrs["value"].ravel()
            if flat.size == 0 or any(x.tobytes() != flat[0].tobytes() for x in flat):
                raise NoLanes
            scalar = build.const(flat[0], node.type.dtype, node.loc)
            return build.broadcast_to(scalar, without(node.type.shape, axis), node.loc)
        if OPS[node.op].kind == "elementwise":
            args = [squeezed(a, n, node.type, axis) for a, n in zip(args, node.args, strict=True)]
            attrs = {k: v for k, v in node.attrs.items() if k != "shape"}
            return build.make(node.op, *args, loc=node.loc, **attrs)
        if node.op not in REMAKE:
            raise NoLanes
        return REMAKE[node.op](node, axis, args)

    def renewed(self, old: Node, new: Node) -> Node:
        """Lengths that the old node has from scalars of the old graph come from those of the new one."""
        if old.op in ("tap", "read", "input"):
            return new
        defines = {d.define for d in mentioned_dims(new) if d.define is not None}
        known = {d.define for d in mentioned_dims(old) if d.define is not None}
        changes = {d: self.want(d, None) for d in defines & known}
        same = {a: a for a in new.args}
        return rebuild(new, {**same, **changes}) if any(k is not v for k, v in changes.items()) else new

    # -- scans -----------------------------------------------------------------------------------------------
    def over_lanes(self, node: Node, axis: int | None) -> list[tuple[Node, int | None]]:
        """What the body of a loop over the lanes reads of its operands; nothing for other loops."""
        source = node.args[0]
        if axis != 0 or source.op != "scan" or node.attrs["view"] != "trace" or node.type.shape[0] != self.count:
            return []
        spec, values = spec_of(source), operands(source)
        if spec.carries or spec.has_until or spec.effects or any(s.taps != (0,) for s in spec.sequences):
            return []
        if any(n.op == "step" for n in topological([spec.body.results[node.attrs["name"]]])):
            return []
        return [*((values[s.name], 0) for s in spec.sequences), *((values[n], None) for n in spec.nonseqs)]

    def body_of_lane(self, node: Node, args: list[Node]) -> Node:
        result = spec_of(node.args[0]).body.results[node.attrs["name"]]
        values = dict(zip(spec_of(node.args[0]).operand_names(), args, strict=True))
        leaves = {n: values[n.attrs["name"]] for n in topological([result]) if n.op in ("tap", "read")}
        return substitute([result], leaves)[result]

    def view(self, node: Node, axis: int | None) -> Node:
        source, name, view = node.args[0], node.attrs["name"], node.attrs["view"]
        if source.op != "scan" or view not in VIEWS and not view.startswith(("last", "tail")):
            raise NoLanes
        loop = self.scans.get(source)
        if loop is None:
            loop = self.scans[source] = _Loop(self, source)
        if loop.running is not None and view != "final" and not (view == "last 1" and spec_of(source).carry(name)):
            if view not in ("trace", "history") or node not in self.shown:
                raise NoLanes  # rows after the end of a lane would be read
            repeats = spec_of(source).carry(name) is not None
            self.ragged |= dict.fromkeys(self.shown[node], repeats)
        if view == "length":
            return build.length(loop.scan())
        row = axis if view == "final" or axis is None else axis - 1
        if row is not None and row < 0:
            raise NoLanes
        if loop.axis(name) != row:
            raise NoLanes
        scan = loop.scan()
        if view == "trace":
            return build.trace(scan, name, node.loc)
        if view == "final":
            return build.final(scan, name, node.loc)
        if view in ("history", "state"):
            return (build.history if view == "history" else build.state)(scan, name, node.loc)
        if view.startswith("last"):
            return build.last(scan, name, int(view.split()[1]), node.loc)
        row_type = spec_of(scan).body.results[name].type
        return build.make("get", scan, loc=node.loc, type=row_type.with_shape((node.type.shape[0], *row_type.shape)),
                          name=name, view=view)


class _Loop:
    """One scan: the axis of each of its operands and results, found from the body by fix-point."""

    def __init__(self, walk: _Walk, node: Node) -> None:
        self.walk, self.node, self.spec = walk, node, spec_of(node)
        if self.spec.effects:
            raise NoLanes
        self.running = running_lanes(self.spec)
        self._scan: Node | None = None
        self.axes: dict[str, int | None] = {}
        values = operands(node)
        for c in self.spec.carries:
            self.axes[c.name] = walk.guess(self.spec.body.results[c.name].type)
        for s in self.spec.sequences:
            self.axes[s.name] = walk.guess(values[s.name].type.with_shape(values[s.name].type.shape[1:]))
        for n in self.spec.nonseqs:
            self.axes[n] = None
        for name in self.spec.outputs:
            self.axes[name] = walk.guess(self.spec.body.results[name].type)

    def axis(self, name: str) -> int | None:
        return self.axes[name]

    def scan(self) -> Node:
        if self._scan is None:
            self._scan = self._make()
        return self._scan

    def _make(self) -> Node:
        spec, values, walk = self.spec, operands(self.node), self.walk
        taken: dict[str, set[int | None]] = {}

        def leaf(node: Node, axis: int | None) -> Node:
            name = node.attrs["name"]
            if name in spec.nonseqs:
                taken.setdefault(name, set()).add(axis)
                if len(taken[name]) > 1:
                    raise NoLanes
                self.axes[name] = axis
            elif self.axes[name] != axis:
                raise NoLanes
            if always and name == self.running:
                return build.const(True)
            shape = node.type.shape if axis is None else without(node.type.shape, axis)
            return Node(node.op, (), node.type.with_shape(shape), node.attrs, node.loc)

        own = None if self.running is None else self.own_steps(self.running)
        # A lane that has ended makes no more steps, and none at all where it is not to make a first one.
        always = self.running is not None and (own is not None or is_all(values[self.running], True))
        inner = _Walk(walk.count, leaves=leaf, apart=walk.apart)
        results = {}
        for name, r in spec.body.results.items():
            if name != UNTIL or self.running is None:
                results[name] = inner.want(r, None if name == UNTIL else self.axes[name])
        if self.running is not None:
            if self.axes[self.running] != 0:
                raise NoLanes
            walk.apart[0] = True
            results[UNTIL] = build.make("logical_not", results[self.running])
        steps = walk.want(self.node.args[0], None) if own is None else walk.want(own, 0)
        args = [steps]
        for s in spec.sequences:
            args.append(walk.want(values[s.name], _later(self.axes[s.name])))
        for c in spec.carries:
            axis = self.axes[c.name]
            args.append(walk.want(values[c.name], _later(axis) if c.rows else axis))
        args += [walk.want(values[n], self.axes[n]) for n in spec.nonseqs]
        new: ScanSpec = replace(spec, body=Graph((), results))
        return build.scan(new, tuple(args), self.node.loc)

    def own_steps(self, running: str) -> Node | None:
        """Steps of each lane. Rows that are kept need memory for those of the longest, before anything runs."""
        kept = any(get.args[0] is self.node and get.attrs["view"] != "final" for get in self.walk.shown)
        return None if kept else steps_of_each(self.node, running)


def _later(axis: int | None) -> int | None:
    return None if axis is None else axis + 1
