"""Checks and prints: what they show is stored to buffers of its own first, where the host finds it."""

from __future__ import annotations

from scancc.ir.graph import Node
from scancc.ir.loop import BOOL, INT64, Buffer, Const, Fail, Failure, If, Op, Print, Store, const_int
from scancc.passes.lower.context import Lowering, Target
from scancc.passes.lower.values import registers

DONE = Const(True, BOOL)


def lower_print(low: Lowering, node: Node) -> None:
    low.emit(_shown(low, node, node.args))
    low.env[node] = registers([DONE], ())


def lower_check(low: Lowering, node: Node) -> None:
    """`if not condition: report the values and the steps, and fail`."""
    condition, *values = node.args
    wrong = low.let(Op("logical_not", (low.element(condition, ()),), BOOL), "wrong", node.loc)
    for v in values:
        _computed(low, v)
    branch = If(wrong)
    with low.block(branch.then, attached=False):
        seen = _shown(low, node, tuple(values))
        steps = low.scratch("steps", INT64, (len(low.step),)) if low.step else None
        for i, t in enumerate(low.step):
            assert steps is not None
            low.emit(Store(steps, (const_int(i),), t))
        low.kernel.failures.append(Failure(node.attrs["error"], node.attrs["message"], node.loc, seen, steps))
        low.emit(Fail(len(low.kernel.failures)))
    low.emit(branch)
    low.env[node] = registers([DONE], ())


def _computed(low: Lowering, value: Node) -> None:
    """Later users find what is computed here: nothing of it may be left to the branch alone."""
    if not value.type.ndim:
        low.element(value, ())


def _shown(low: Lowering, node: Node, values: tuple[Node, ...]) -> Print:
    buffers: list[Buffer] = []
    for v in values:
        buffer = low.scratch("shown", v.type.dtype, v.type.shape or (1,))
        buffers.append(buffer)
        if v.type.ndim:
            low.fill(v, Target(buffer, ()))
        else:
            low.fill_scalar(buffer, low.element(v, ()))
    scalars = tuple(v.type.ndim == 0 for v in values)
    return Print(node.attrs["message"], node.attrs["names"], tuple(buffers), scalars, node.loc)
