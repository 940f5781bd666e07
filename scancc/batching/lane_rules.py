"""How ops lose the axis of lanes: where it is in their operands, and the op of one lane. See `lanes.py`."""

from __future__ import annotations

from collections.abc import Callable

from scancc.ir import build
from scancc.ir.graph import Node
from scancc.ir.types import Type


class NoLanes(Exception):
    """Lanes depend on one another."""


def without(shape: tuple, axis: int) -> tuple:
    return shape[:axis] + shape[axis + 1 :]


def aligned(operand: Type, result: Type, axis: int) -> int | None:
    own = axis - (result.ndim - operand.ndim)
    return None if own < 0 or operand.shape[own] == 1 else own


def squeezed(new: Node, old: Node, result: Type, axis: int) -> Node:
    """An operand that all lanes share has an axis of length one in their place: it goes, too."""
    own = axis - (result.ndim - old.type.ndim)
    if own < 0 or new.type.ndim < old.type.ndim:
        return new
    return build.make("index", new, loc=new.loc, axis=own, position=0)


def _broadcast_operand(node: Node, axis: int) -> list[tuple[Node, int | None]]:
    (a,) = node.args
    return [(a, aligned(a.type, node.type, axis))]


def _broadcast(node: Node, axis: int, args: list[Node]) -> Node:
    x = squeezed(args[0], node.args[0], node.type, axis)
    return build.broadcast_to(x, without(node.type.shape, axis), node.loc)


def _reshape_operand(node: Node, axis: int) -> list[tuple[Node, int | None]]:
    """The lanes keep their place where the axes before them are as many and as long as they were."""
    (a,) = node.args
    rows = _rows_of_product(node, axis)
    if rows is not None:
        return [(rows, 0), (a.args[1], None)]
    if a.type.shape[: axis + 1] != node.type.shape[: axis + 1]:
        raise NoLanes
    return [(a, axis)]


def _rows_of_product(node: Node, axis: int) -> Node | None:
    """For one product of the rows of all lanes, as batching makes it, [lanes * m, k] @ [k, n]: the rows by lane."""
    (a,) = node.args
    if axis != 0 or a.op != "matmul" or a.type.ndim != 2 or node.type.ndim != 3 or a.args[0].op != "reshape":
        return None
    rows = a.args[0].args[0]
    same = rows.type.ndim == 3 and rows.type.shape[:2] == node.type.shape[:2]
    return rows if same and rows.type.shape[2] == a.args[0].type.shape[1] else None


def _reshape(node: Node, axis: int, args: list[Node]) -> Node:
    if len(args) == 2:
        return build.make("matmul", *args, loc=node.loc)
    return build.reshape(args[0], without(node.type.shape, axis), node.loc)


def _einsum_operands(node: Node, axis: int) -> list[tuple[Node, int | None]]:
    terms, out = node.attrs["subscripts"].split("->")
    letter = out[axis]
    return [(a, t.index(letter) if letter in t else None) for a, t in zip(node.args, terms.split(","), strict=True)]


def _einsum(node: Node, axis: int, args: list[Node]) -> Node:
    letter = node.attrs["subscripts"].split("->")[1][axis]
    return build.make("einsum", *args, loc=node.loc, subscripts=node.attrs["subscripts"].replace(letter, ""))


def _reduced_axis(node: Node, axis: int) -> int:
    left = [a for a in range(node.args[0].type.ndim) if a not in node.attrs["axes"]]
    return left[axis]


def _moved(axes: tuple[int, ...], gone: int) -> tuple[int, ...]:
    return tuple(a - (a > gone) for a in axes)


def _index_operand(node: Node, axis: int) -> int:
    return axis + int(axis >= node.attrs["axis"])


def _slice_whole(node: Node, axis: int) -> list[tuple[Node, int | None]]:
    if any(node.attrs[k][axis] not in (None, 1 if k == "steps" else None) for k in ("starts", "stops", "steps")):
        raise NoLanes
    return [(node.args[0], axis)]


def _slice(node: Node, axis: int, args: list[Node]) -> Node:
    bounds = {k: without(node.attrs[k], axis) for k in ("starts", "stops", "steps")}
    shape = without(node.type.shape, axis)
    return build.make("slice", args[0], loc=node.loc, type=node.type.with_shape(shape), **bounds)


def _concatenate_operands(node: Node, axis: int) -> list[tuple[Node, int | None]]:
    if node.attrs["axis"] == axis:
        raise NoLanes
    return [(a, axis) for a in node.args]


def _concatenate(node: Node, axis: int, args: list[Node]) -> Node:
    (at,) = _moved((node.attrs["axis"],), axis)
    shape = without(node.type.shape, axis)
    return build.make("concatenate", *args, loc=node.loc, type=node.type.with_shape(shape), axis=at)


def _transpose(node: Node, axis: int, args: list[Node]) -> Node:
    gone = node.attrs["perm"][axis]
    perm = _moved(without(node.attrs["perm"], axis), gone)
    if perm == tuple(range(len(perm))):
        return args[0]
    return build.make("transpose", args[0], loc=node.loc, perm=perm)


def _reduce(node: Node, axis: int, args: list[Node]) -> Node:
    gone = _reduced_axis(node, axis)
    return build.make(node.op, args[0], loc=node.loc, axes=_moved(node.attrs["axes"], gone))


def _index(node: Node, axis: int, args: list[Node]) -> Node:
    (at,) = _moved((node.attrs["axis"],), _index_operand(node, axis))
    return build.make("index", args[0], loc=node.loc, axis=at, position=node.attrs["position"])


def _matmul_operands(node: Node, axis: int) -> list[tuple[Node, int | None]]:
    a, b = node.args
    if axis != 0 or a.type.ndim != 2:
        raise NoLanes
    return [(a, 0), (b, None)]


def _rows_operands(node: Node, axis: int) -> list[tuple[Node, int | None]]:
    if axis == 0:
        raise NoLanes
    return [(node.args[0], axis), (node.args[1], None)]


def _take_operands(node: Node, axis: int) -> list[tuple[Node, int | None]]:
    """Elements that all lanes take at the same places."""
    a, i = node.args
    at = node.attrs["axis"]
    if at <= axis < at + i.type.ndim:
        raise NoLanes
    return [(a, axis if axis < at else axis - i.type.ndim + 1), (i, None)]


def _take(node: Node, axis: int, args: list[Node]) -> Node:
    at = node.attrs["axis"]
    return build.make("take", *args, loc=node.loc, axis=at - (axis < at))


def _flip_operand(node: Node, axis: int) -> list[tuple[Node, int | None]]:
    if axis in node.attrs["axes"]:
        raise NoLanes
    return [(node.args[0], axis)]


REDUCTIONS = tuple(f"reduce_{n}" for n in ("sum", "prod", "min", "max", "any", "all", "logsumexp"))
Operands = Callable[[Node, int], list[tuple[Node, int | None]]]
OPERANDS: dict[str, Operands] = {
    "broadcast_to": _broadcast_operand,
    "reshape": _reshape_operand,
    "transpose": lambda node, axis: [(node.args[0], node.attrs["perm"][axis])],
    "index": lambda node, axis: [(node.args[0], _index_operand(node, axis))],
    "slice": _slice_whole,
    "flip": _flip_operand,
    "concatenate": _concatenate_operands,
    "matmul": _matmul_operands,
    "einsum": _einsum_operands,
    "rows": _rows_operands,
    "take": _take_operands,
    "const": lambda node, axis: [],
    **dict.fromkeys(REDUCTIONS, lambda node, axis: [(node.args[0], _reduced_axis(node, axis))]),
}
Remake = Callable[[Node, int, list[Node]], Node]
REMAKE: dict[str, Remake] = {
    "broadcast_to": _broadcast,
    "reshape": _reshape,
    "einsum": _einsum,
    "transpose": _transpose,
    "index": _index,
    "slice": _slice,
    "flip": lambda node, axis, args: build.make("flip", args[0], loc=node.loc,
                                                axes=_moved(node.attrs["axes"], axis)),
    "concatenate": _concatenate,
    "matmul": lambda node, axis, args: build.make("matmul", *args, loc=node.loc),
    "rows": lambda node, axis, args: build.make("rows", *args, loc=node.loc, shape=without(node.type.shape, axis)),
    "take": _take,
    **dict.fromkeys(REDUCTIONS, _reduce),
}

