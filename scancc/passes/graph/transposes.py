"""Rules of `simplify` that move transposes towards the results, so that what is read of a loop is seen to be read.

    before   %4 = transpose %3 perm=[1, 0];    %5 = index %4 axis=1 position=-1;    %6 = reduce_sum %4 axes=[1]
    after    %5 = index %3 axis=0 position=-1;    %6 = reduce_sum %3 axes=[0]

Batches put the lanes first where a loop has time first, so this is what most views of a batched loop are made of.
"""

from __future__ import annotations

from scancc.ir import build
from scancc.ir.graph import Node
from scancc.ir.ops import OPS

REDUCTIONS = frozenset(f"reduce_{n}" for n in ("sum", "prod", "min", "max", "any", "all", "logsumexp"))


def view_of_transposed(node: Node) -> Node | None:
    """Views and reductions of a transposed array are those of the array, transposed where axes are left to order."""
    if not node.args or node.args[0].op != "transpose":
        return None
    x, perm = node.args[0].args[0], node.args[0].attrs["perm"]
    if node.op == "index":
        axis = perm[node.attrs["axis"]]
        found = build.make("index", x, loc=node.loc, axis=axis, position=node.attrs["position"])
        return _ordered(found, perm, {axis}, node)
    if node.op == "flip":
        found = build.make("flip", x, loc=node.loc, axes=tuple(sorted(perm[a] for a in node.attrs["axes"])))
        return _ordered(found, perm, set(), node)
    if node.op == "slice":
        bounds = {k: _permuted(node.attrs[k], perm) for k in ("starts", "stops", "steps")}
        shape = _permuted(node.type.shape, perm)
        found = build.make("slice", x, loc=node.loc, type=node.type.with_shape(shape), **bounds)
        return _ordered(found, perm, set(), node)
    if node.op in REDUCTIONS:
        axes = {perm[a] for a in node.attrs["axes"]}
        found = build.make(node.op, x, loc=node.loc, axes=tuple(sorted(axes)))
        return _ordered(found, perm, axes, node)
    return None


def elementwise_of_transposed(node: Node) -> Node | None:
    """Arrays transposed alike, with numbers: the result is transposed instead."""
    if OPS[node.op].kind != "elementwise" or node.op == "wrap_index":
        return None
    perms = {a.attrs["perm"] for a in node.args if a.op == "transpose" and a.type.shape == node.type.shape}
    if len(perms) != 1:
        return None
    perm = perms.pop()
    shape = _permuted(node.type.shape, perm)
    operands = []
    for a in node.args:
        if a.op == "transpose" and a.type.shape == node.type.shape:
            operands.append(a.args[0])
        elif a.op == "broadcast_to" and not a.args[0].type.shape and a.type.shape == node.type.shape:
            operands.append(build.broadcast_to(a.args[0], shape, a.loc))
        elif not a.type.shape:
            operands.append(a)
        else:
            return None
    attrs = {k: v for k, v in node.attrs.items() if k != "shape"}
    return build.make("transpose", build.make(node.op, *operands, loc=node.loc, **attrs), loc=node.loc, perm=perm)


def _permuted(values: tuple, perm: tuple[int, ...]) -> tuple:
    """What belongs to the axes after a transposition, by the axes before."""
    found = [None] * len(perm)
    for value, axis in zip(values, perm, strict=True):
        found[axis] = value
    return tuple(found)


def _ordered(x: Node, perm: tuple[int, ...], gone: set[int], node: Node) -> Node:
    """The axes that are left, in the order that `perm` has them."""
    left = [p for p in perm if p not in gone]
    order = tuple(sorted(left).index(p) for p in left)
    return x if order == tuple(range(len(order))) else build.make("transpose", x, loc=node.loc, perm=order)
