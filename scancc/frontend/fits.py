"""What lengths have to satisfy that are known when the program runs only: whoever adds a node asks for it here.

Lengths that are known while tracing are compared then, by the type rules (`ir/ops.py`). Where one of two is not, an
`expect` is put on the operand: a view that fails when the program runs, before anything reads what is behind it.

    x @ w           n_x and n_w are the same, or one of them is 6          expect w: [n_x]
    x.reshape(a, b) x has as many elements as a * b                        expect ravel(x): [a * b]
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from scancc.frontend.location import here
from scancc.ir import build
from scancc.ir.graph import Node
from scancc.ir.ops import OPS
from scancc.ir.types import Dim, Shape

Axis = tuple[int, int]  # of an operand: its position, and the axis


def expect(node: Node, shape: Shape) -> Node:
    """`node` checked at run time to have `shape`; a no-op where the type says so already."""
    shape = tuple(a if isinstance(a, int) and isinstance(b, int) else b for a, b in zip(node.type.shape, shape,
                  strict=True))
    return node if node.type.shape == shape else build.make("expect", node, loc=here(), shape=shape)


def may_be_equal(a: Shape, b: Shape) -> bool:
    """Whether no length that is known differs."""
    pairs = zip(a, b, strict=False)
    return len(a) == len(b) and all(m == n or isinstance(m, Dim) or isinstance(n, Dim) for m, n in pairs)


def at_least(node: Node, rows: int, name: str) -> Node:
    """The first rows of `node`, checked to be as many."""
    length = node.type.shape[0]
    if isinstance(length, int):
        return node
    there = build.make("minimum", build.dim_of(node, 0, here()), build.integer(rows), loc=here())
    first = build.rows(node, build.integer(0), build.dim_from(there, name), here())
    return expect(first, (rows, *node.type.shape[1:]))


def fitting(op: str, nodes: Sequence[Node], attrs: Mapping[str, Any]) -> Sequence[Node]:
    """The operands of an op, checked for what it asks of their lengths."""
    if len(nodes) < 2 or all(n.type.is_static for n in nodes):
        return nodes
    if OPS[op].kind == "elementwise":
        return _broadcasting(nodes)
    return same(nodes, _equal_axes(op, nodes, attrs))


def same(nodes: Sequence[Node], groups: Iterable[Sequence[Axis]]) -> list[Node]:
    """The nodes, checked for axes of one group being equally long."""
    wanted = [list(n.type.shape) for n in nodes]
    for group in groups:
        lengths = [nodes[i].type.shape[axis] for i, axis in group]
        length = next((d for d in lengths if isinstance(d, int)), lengths[0])
        for i, axis in group:
            if isinstance(wanted[i][axis], Dim):
                wanted[i][axis] = length
    return [expect(n, tuple(shape)) for n, shape in zip(nodes, wanted, strict=True)]


def _equal_axes(op: str, nodes: Sequence[Node], attrs: Mapping[str, Any]) -> Iterator[list[Axis]]:
    match op:
        case "matmul":
            yield [(0, nodes[0].type.ndim - 1), (1, 0)]
        case "einsum":
            by_letter: dict[str, list[Axis]] = {}
            for i, term in enumerate(attrs["subscripts"].split("->")[0].split(",")):
                for axis, letter in enumerate(term):
                    by_letter.setdefault(letter, []).append((i, axis))
            yield from by_letter.values()
        case "put":  # rows of the values are numbered by the indices, and are as rows of the array
            at, more = attrs["axis"], nodes[1].type.ndim
            for axis in range(nodes[0].type.ndim):
                if axis != at:
                    yield [(0, axis), (2, axis if axis < at else axis + more - 1)]
            for axis in range(more):
                yield [(1, axis), (2, at + axis)]
        case "concatenate":
            for axis in range(nodes[0].type.ndim):
                if axis != attrs["axis"]:
                    yield [(i, axis) for i in range(len(nodes))]


def _broadcasting(nodes: Sequence[Node]) -> list[Node]:
    rank = max((n.type.ndim for n in nodes), default=0)
    target: list[int | Dim] = [1] * rank
    for node in nodes:
        for axis, d in enumerate(node.type.shape, rank - node.type.ndim):
            if target[axis] == 1 or (isinstance(target[axis], Dim) and isinstance(d, int) and d != 1):
                target[axis] = d
    return [fitting_into(n, tuple(target)) for n in nodes]


def fitting_into(node: Node, shape: Shape) -> Node:
    """A node that is to be broadcast to a shape. A length that turns out to be 1 fits 1 only, see `docs/design.md`."""
    own = shape[len(shape) - node.type.ndim :]
    return expect(node, tuple(d if d == 1 else t for d, t in zip(node.type.shape, own, strict=True)))


def as_int64(node: Node) -> Node:
    """An index, a bound or a length; one beyond int64 is the largest there is, which no axis has either."""
    if node.type.dtype == "uint64":
        most = build.const(2**63 - 1, "uint64", here())
        node = build.make("minimum", node, build.broadcast_to(most, node.type.shape, here()), loc=here())
    return build.cast(node, "int64", here())


def same_size(node: Node, size: Node | int, name: str) -> Node:
    """The elements of `node` in a row, checked to be as many as `size`."""
    whole = flat(node)
    return expect(whole, (size if isinstance(size, int) else build.dim_from(size, name),))


def flat(node: Node) -> Node:
    from scancc.frontend.axes import merged

    return build.reshape(node, (merged(node, range(node.type.ndim)),), here())
