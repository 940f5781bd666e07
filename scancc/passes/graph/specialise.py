"""Gives a program the shapes of a call: a graph built on symbolic lengths becomes one on known ones.

    before   input x: f64[x_0, x_1] ...  %3: f64[x_0, w_1] = matmul %x %w
    after    input x: f64[100, 3] ...    %3: f64[100, 4] = matmul %x %w

Types are inferred anew from the operands; lengths that stay symbolic (those of sequences, so that they never compile
anything again) do so through the whole program. Shapes that do not fit are found here and are errors at the user's
line. This is no part of PIPELINE: it is how a graph built outside of any call enters it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import numpy as np

from scancc import interpreter
from scancc.errors import CarryShapeError, ShapeError
from scancc.ir import build
from scancc.ir.graph import STRIDE, Graph, Node, ScanSpec, operands, spec_of
from scancc.ir.ops import OPS, ShapeMismatch
from scancc.ir.types import Dim, Shape, Type, show_shape


def specialise(graph: Graph, inputs: Mapping[Node, Node]) -> Graph:
    """`graph` with its inputs replaced. Raises ShapeError where the new shapes do not fit one another."""
    state = _Specialise(dict(inputs))
    for old, new in inputs.items():
        state.introduce(old.type.shape, new.type.shape)
    results = state.graph(graph).results
    return Graph(tuple(inputs.values()), results)


@dataclass
class _Specialise:
    mapping: dict[Node, Node]
    dims: dict[str, int | Dim] = field(default_factory=dict)  # lengths that inputs and leaves introduce

    def introduce(self, old: Shape, new: Shape) -> None:
        for a, b in zip(old, new, strict=True):
            if isinstance(a, Dim) and a.define is None:
                self.dims.setdefault(a.name, b)

    def graph(self, graph: Graph) -> Graph:
        for node in graph.nodes():
            if node not in self.mapping:
                self.mapping[node] = self.node(node)
        return Graph((), {name: self.mapping[node] for name, node in graph.results.items()})

    def length(self, d: int | Dim) -> int | Dim:
        if isinstance(d, int):
            return d
        if d.define is None:
            return self.dims.get(d.name, d)
        return build.dim_from(self.mapping[d.define], d.name, d.hint)

    def shape(self, shape: Shape) -> Shape:
        return tuple(self.length(d) for d in shape)

    def node(self, node: Node) -> Node:
        args = tuple(self.mapping[a] for a in node.args)
        attrs = dict(node.attrs)
        if "shape" in attrs:
            attrs["shape"] = self.shape(attrs["shape"])
        match node.op:
            case "const":
                return node
            case "dim":
                return _length_of(args[0], attrs["axis"], node)
            case "iota":
                (n,) = attrs["shape"]
                return build.make("iota", type=node.type.with_shape((n,)), loc=node.loc, shape=(n,))
            case "slice":
                return _slice(args[0], node)
            case "concatenate":
                return build.concatenate(args, attrs["axis"], node.loc, _name_of_length(node, attrs["axis"], "joined"))
            case "expect":
                return _expect(args[0], attrs["shape"], node)
            case "scan":
                return self.scan(node, args)
            case "cond":
                return self.cond(node, args)
            case "custom":
                return Node("custom", args, node.type, node.attrs, node.loc)
            case "get":
                return self.get(node, args[0])
        try:
            new = build.make(node.op, *args, loc=node.loc, **attrs)
        except ShapeMismatch as e:
            raise ShapeError(str(e), node.loc, context=node.op) from None
        return _folded(new)

    def scan(self, node: Node, args: tuple[Node, ...]) -> Node:
        spec = spec_of(node)
        value = dict(zip(operands(node), args[1:], strict=True))
        leaves: dict[str, Type] = {}
        for name, x in value.items():
            carry = spec.carry(name)
            row = spec.sequence(name) is not None or (carry is not None and carry.rows)
            leaves[name] = x.type.with_shape(x.type.shape[1:]) if row else x.type
        inner = _Specialise({}, dict(self.dims))
        for leaf in spec.body.nodes():
            if leaf.op in ("tap", "read"):
                outside = leaves[leaf.attrs["name"]].shape
                shape = tuple(Dim(d.name, d.hint) if isinstance(d, Dim) else d for d in outside)
                inner.introduce(leaf.type.shape, shape)
                inner.mapping[leaf] = Node(leaf.op, (), leaf.type.with_shape(shape), leaf.attrs, leaf.loc)
            elif leaf.op == "step":
                inner.mapping[leaf] = leaf
        body = inner.graph(spec.body)
        for c in spec.carries:
            got, want = body.results[c.name].type.shape, leaves[c.name].shape
            if got != want:
                raise CarryShapeError(
                    f"carry '{c.name}' has shape {show_shape(want)} but the step returns shape "
                    f"{show_shape(got)}", body.results[c.name].loc or node.loc,
                    "a carry must keep its shape from step to step",
                )  # fmt: skip
        changed: ScanSpec = replace(spec, body=body)
        return build.scan(changed, args, node.loc)

    def cond(self, node: Node, args: tuple[Node, ...]) -> Node:
        names = node.attrs["names"]
        branches = {}
        for key in ("then", "orelse"):
            inner = _Specialise({}, dict(self.dims))
            for leaf in node.attrs[key].nodes():
                if leaf.op == "read":
                    shape = args[1 + names.index(leaf.attrs["name"])].type.shape
                    inner.introduce(leaf.type.shape, shape)
                    inner.mapping[leaf] = Node("read", (), leaf.type.with_shape(shape), leaf.attrs, leaf.loc)
            branches[key] = inner.graph(node.attrs[key])
        return Node("cond", args, node.type, MappingProxyType({"names": names, **branches}), node.loc)

    def get(self, node: Node, source: Node) -> Node:
        name, view = node.attrs["name"], node.attrs["view"]
        if view == "effects":
            return build.effects(source)
        if source.op == "custom":
            type_ = source.args[int(name.removeprefix("out"))].type
            return Node("get", (source,), type_, node.attrs, node.loc)
        if source.op == "cond":
            type_ = source.attrs["then"].results[name].type
            return Node("get", (source,), type_, node.attrs, node.loc)
        if view == "length":
            return build.length(source, node.loc)
        if view == "trace":
            return build.trace(source, name, node.loc)
        if view == "final":
            return build.final(source, name, node.loc)
        if view == "every":
            return build.samples(source, name, operands(source)[STRIDE], node.loc)
        if view in ("history", "state"):
            return (build.history if view == "history" else build.state)(source, name, node.loc)
        row = spec_of(source).body.results[name].type
        type_ = row.with_shape((self.length(node.type.shape[0]), *row.shape))
        return Node("get", (source,), type_, node.attrs, node.loc)


def _name_of_length(node: Node, axis: int, otherwise: str) -> str:
    d = node.type.shape[axis]
    return d.name if isinstance(d, Dim) else otherwise


def _length_of(x: Node, axis: int, node: Node) -> Node:
    d = x.type.shape[axis]
    if isinstance(d, Dim) and d.define is not None:
        return d.define
    return build.dim_of(x, axis, node.loc)


def _folded(node: Node) -> Node:
    """Integer scalars of constants are constants: lengths are made of them."""
    if node.type.shape or node.type.dtype.kind != "i" or OPS[node.op].kind != "elementwise" or node.op == "wrap_index":
        return node
    if any(a.op != "const" for a in node.args):
        return node
    with np.errstate(all="ignore"):
        value = interpreter.EVALUATE[node.op](*(a.attrs["value"] for a in node.args), **node.attrs)
    return build.const(np.asarray(value, node.type.dtype), loc=node.loc)


def _slice(x: Node, node: Node) -> Node:
    bounds = [slice(*b) for b in zip(*(node.attrs[k] for k in ("starts", "stops", "steps")), strict=True)]
    shape: list[Any] = []
    for d, b in zip(x.type.shape, bounds, strict=True):
        if isinstance(d, int):
            shape.append(len(range(*b.indices(d))))
        elif b in (slice(None), slice(None, None, -1)):
            shape.append(d)
        else:
            rows = build.sliced_length(build.dim_of(x, len(shape), node.loc), b)
            shape.append(build.dim_from(rows, _name_of_length(node, len(shape), "cut")))
    return Node("slice", (x,), node.type.with_shape(tuple(shape)), node.attrs, node.loc)


def _expect(x: Node, shape: Shape, node: Node) -> Node:
    for have, want in zip(x.type.shape, shape, strict=True):
        if isinstance(have, int) and isinstance(want, int) and have != want:
            raise ShapeError(f"lengths {have} and {want} differ", node.loc)
    wanted = tuple(a if isinstance(a, int) else b for a, b in zip(x.type.shape, shape, strict=True))
    return x if wanted == x.type.shape else build.make("expect", x, loc=node.loc, shape=wanted)
