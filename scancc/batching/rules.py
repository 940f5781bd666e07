"""The same computation on many rows at once: every op with one more leading axis on some of its operands.

    before   %v = matmul %x %W; %y = tanh %v                 %x: f32[7]
    after    %V = matmul %X %W; %Y = tanh %V                 %X: f32[n, 7]

`sc.vmap` is made of it, and `hoist` uses it to take work on sequences out of a loop. The rules are those of `jax.vmap`:
an operand without the axis is shared by all rows. RULES lists what is batched as one op, which is all that `hoist`
does; scans, conditionals and other ops are in `loops.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from scancc.ir import build
from scancc.ir.graph import Node, rebuild, topological
from scancc.ir.ops import OPS
from scancc.ir.types import Dim, Shape


@dataclass
class Batch:
    """One batching: the added axis, what every inner node has become, and which of those have the axis."""

    length: int | Dim
    value: dict[Node, Node]
    batched: set[Node]  # inner nodes
    products: dict[tuple[str, int], Dim] = field(default_factory=dict)
    # For ops without a rule: it sets the value of the node, or returns the one that all rows share.
    loops: Callable[[Batch, Node], Node | None] | None = None
    scans: dict[Node, frozenset[str]] = field(default_factory=dict)  # of scans and conds: results that have the axis
    counts: dict[Node, Node] = field(default_factory=dict)  # of scans that rows leave one by one: steps of each row
    traces: dict[Node, dict[str, str]] = field(default_factory=dict)  # of those: the outputs that traces are read from
    padded: dict[Node, Node] = field(default_factory=dict)  # nodes whose rows are zeros after their end: the scan
    inside: set[Node] = field(default_factory=set)  # of the loop over the rows: not computed anywhere else

    def run(self, root: Node) -> Node:
        """`root` with the axis in front; the leaves it needs are in `value` already."""
        self.run_all([root])
        return self.value[root]

    def run_all(self, roots: Iterable[Node]) -> None:
        for node in topological(roots):
            if node in self.value or node in self.inside:
                continue
            if not any(a in self.batched or a in self.scans for a in node.args):
                self.value[node] = rebuild(node, self.value)
                continue
            rule = RULES.get(node.op) if not any(a in self.padded for a in node.args) else None
            if rule is not None:
                self.value[node] = rule(self, node)
                self.batched.add(node)
                continue
            assert self.loops is not None, f"{node.op} has no batching rule"
            shared = self.loops(self, node)
            if shared is not None:
                self.value[node] = shared

    def shape(self, shape: Shape) -> Shape:
        """A shape of one row, its lengths those of the graph that is made."""
        return tuple(
            build.dim_from(self.value[d.define], d.name, d.hint)
            if isinstance(d, Dim) and d.define is not None and self.value.get(d.define, d.define) is not d.define
            and d.define not in self.batched else d
            for d in shape
        )

    def operand(self, node: Node) -> Node:
        return self.value[node]

    def aligned(self, node: Node, rank: int) -> Node:
        """An operand of an op that broadcasts to rows of `rank` axes: the batch axis stays in front of all of them."""
        value = self.value[node]
        if node not in self.batched or node.type.ndim == rank:
            return value
        ones = (1,) * (rank - node.type.ndim)
        return build.reshape(value, (self.length, *ones, *self.shape(node.type.shape)), node.loc)

    def whole(self, node: Node) -> Node:
        """An operand that must have the axis itself."""
        value = self.value[node]
        if node in self.batched:
            return value
        return build.broadcast_to(value, (self.length, *value.type.shape), node.loc)

    def rows(self, node: Node) -> Shape:
        return (self.length, *self.shape(node.type.shape))

    def times(self, factor: int) -> int | Dim:
        """The axis folded with another one of length `factor`."""
        if isinstance(self.length, int):
            return self.length * factor
        key = (self.length.name, factor)
        if key not in self.products:
            some = next(v for n, v in self.value.items() if n in self.batched)
            define = build.make("multiply", build.dim_of(some, 0), build.integer(factor))
            hint = None if self.length.hint is None else self.length.hint * factor
            self.products[key] = Dim(f"{self.length.name}_times_{factor}", hint, define)
        return self.products[key]


def _elementwise(b: Batch, node: Node) -> Node:
    return build.make(node.op, *(b.aligned(a, node.type.ndim) for a in node.args), loc=node.loc, **node.attrs)


def _broadcast_to(b: Batch, node: Node) -> Node:
    return build.broadcast_to(b.aligned(node.args[0], node.type.ndim), b.rows(node), node.loc)


def _reshape(b: Batch, node: Node) -> Node:
    return build.reshape(b.operand(node.args[0]), b.rows(node), node.loc)


def _transpose(b: Batch, node: Node) -> Node:
    perm = (0, *(p + 1 for p in node.attrs["perm"]))
    return build.make("transpose", b.operand(node.args[0]), loc=node.loc, perm=perm)


def _axes(b: Batch, node: Node) -> Node:
    return build.make(node.op, b.operand(node.args[0]), loc=node.loc, axes=tuple(a + 1 for a in node.attrs["axes"]))


def _axis(b: Batch, node: Node) -> Node:
    attrs = {**node.attrs, "axis": node.attrs["axis"] + 1}
    return build.make(node.op, b.operand(node.args[0]), loc=node.loc, **attrs)


def _slice(b: Batch, node: Node) -> Node:
    attrs = {k: (None, *node.attrs[k]) for k in ("starts", "stops", "steps")}
    return build.make("slice", b.operand(node.args[0]), type=node.type.with_shape(b.rows(node)), loc=node.loc, **attrs)


def _expect(b: Batch, node: Node) -> Node:
    return build.make("expect", b.operand(node.args[0]), loc=node.loc, shape=b.rows(node))


def _same(b: Batch, node: Node) -> Node:
    return build.make(node.op, b.operand(node.args[0]), loc=node.loc)


def _concatenate(b: Batch, node: Node) -> Node:
    type_ = node.type.with_shape(b.rows(node))
    return build.make("concatenate", *map(b.whole, node.args), loc=node.loc, type=type_, axis=node.attrs["axis"] + 1)


def _matmul(b: Batch, node: Node) -> Node:
    """One matrix product for all rows where one operand is shared; otherwise a sum over the inner axis per row."""
    x, y = node.args
    if x in b.batched and y not in b.batched:
        rows, shared = b.operand(x), b.operand(y)
        if x.type.ndim == 1:
            return build.make("matmul", rows, shared, loc=node.loc)
        m, k = x.type.shape
        if isinstance(m, int):
            flat = build.make("matmul", build.reshape(rows, (b.times(m), k), node.loc), shared, loc=node.loc)
            return build.reshape(flat, b.rows(node), node.loc)
    if y in b.batched and x not in b.batched and y.type.ndim == 1:
        shared = b.operand(x)
        if x.type.ndim == 2:
            shared = build.make("transpose", shared, loc=node.loc, perm=(1, 0))
        return build.make("matmul", b.operand(y), shared, loc=node.loc)
    letters = "ij"[: x.type.ndim - 1] + "k", "k" + "l"[: y.type.ndim - 1]
    return _contract(b, node, [letters[0], letters[1]], letters[0][:-1] + letters[1][1:])


def _einsum(b: Batch, node: Node) -> Node:
    terms, out = node.attrs["subscripts"].split("->")
    return _contract(b, node, terms.split(","), out)


def _contract(b: Batch, node: Node, terms: list[str], out: str) -> Node:
    free = next(c for c in "tuvwxyzabcdefgh" if c not in "".join(terms))
    marked = [free + term if a in b.batched else term for term, a in zip(terms, node.args, strict=True)]
    subscripts = f"{','.join(marked)}->{free}{out}"
    return build.make("einsum", *map(b.operand, node.args), loc=node.loc, subscripts=subscripts)


RULES: dict[str, Callable[[Batch, Node], Node]] = {
    **{name: _elementwise for name, d in OPS.items() if d.kind == "elementwise" and name != "wrap_index"},
    **{name: _axes for name in OPS if name.startswith("reduce_") or name == "flip"},
    **{name: _axis for name in ("index", "argmin", "argmax", "cumsum", "cumprod", "cummin", "cummax", "argsort")},
    "broadcast_to": _broadcast_to,
    "reshape": _reshape,
    "transpose": _transpose,
    "slice": _slice,
    "alias": _same,
    "expect": _expect,
    "stop_gradient": _same,
    "concatenate": _concatenate,
    "matmul": _matmul,
    "einsum": _einsum,
}
