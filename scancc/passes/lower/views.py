"""Views: no element is moved, only indices are mapped. On registers they are NumPy views of the expressions."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from scancc.ir.graph import Node
from scancc.ir.loop import BOOL, INT64, Const, Expr, Load, Op, Place, add, const_int, mul, product, sub
from scancc.ir.types import Dim, Shape
from scancc.passes.lower.context import Lowering
from scancc.passes.lower.values import Index, Lazy, Registers
from scancc.passes.sizes import in_registers


def _view(
    low: Lowering,
    node: Node,
    on_registers: Callable[[np.ndarray], np.ndarray],
    on_index: Callable[[Index], Index],
    place: Lazy | None = None,
) -> None:
    (x,) = node.args
    if isinstance(low.env[x], Registers) and in_registers(node.type):
        low.env[node] = Registers(np.asarray(on_registers(low.registers_of(x)), dtype=object))
        return
    value = Lazy(lambda index: low.element(x, on_index(index)))
    if place is not None and isinstance(low.env[x], Lazy):
        value.place, value.row_stride, value.transposed = place.place, place.row_stride, place.transposed
    low.env[node] = value
    if in_registers(node.type):
        low.registers_of(node)


def _place(low: Lowering, x: Node) -> Lazy | None:
    value = low.env[x]
    return value if isinstance(value, Lazy) and value.place is not None else None


def lower_broadcast_to(low: Lowering, node: Node) -> None:
    (x,) = node.args
    shape = x.type.shape
    if x.type.ndim == 0 and not in_registers(node.type):
        low.env[node] = Lazy(lambda index: low.element(x, ()))
        return

    def on_index(index: Index) -> Index:
        own = index[len(index) - len(shape) :]
        return tuple(const_int(0) if d == 1 else i for d, i in zip(shape, own, strict=True))

    _view(low, node, lambda a: np.broadcast_to(a, node.type.shape), on_index)  # type: ignore[arg-type]


def lower_reshape(low: Lowering, node: Node) -> None:
    (x,) = node.args
    new = node.type.shape

    def on_index(index: Index) -> Index:
        own: list[Expr] = [const_int(0)] * x.type.ndim
        old_lengths, new_lengths = low.lengths(x.type), low.lengths(node.type)
        for old_axes, new_axes in together(x.type.shape, new):
            flat: Expr = const_int(0)
            for axis in new_axes:
                flat = add(flat, mul(index[axis], product(new_lengths[axis + 1 : new_axes.stop])))
            own[old_axes.start : old_axes.stop] = unravel(flat, old_lengths[old_axes.start : old_axes.stop])
        return tuple(own)

    source = _place(low, x)
    dense = source if source is not None and source.row_stride is None and not source.transposed else None
    _view(low, node, lambda a: a.reshape(new), on_index, dense)  # type: ignore[arg-type]


def together(old: Shape, new: Shape) -> list[tuple[range, range]]:
    """The axes of a reshape in groups that have as many elements before as after, from the last ones on.

    An axis that stays, beside others that do not, needs no arithmetic: in (n, 32, 128) to (n 32, 128) the last axis has
    the same subscript, which a loop over it can count. A flat position would have to be divided by 128.
    """
    found: list[tuple[range, range]] = []
    a, b = len(old), len(new)
    while a and b:
        if (old[a - 1] == 1) != (new[b - 1] == 1):
            a, b = (a - 1, b) if old[a - 1] == 1 else (a, b - 1)  # axes of length 1 come and go
            continue
        i, j = a - 1, b - 1
        before, after = old[i], new[j]
        while before != after and isinstance(before, int) and isinstance(after, int) and (i if before < after else j):
            if before < after:
                i -= 1
                before = before * old[i] if isinstance(old[i], int) else old[i]  # type: ignore[operator]
            else:
                j -= 1
                after = after * new[j] if isinstance(new[j], int) else new[j]  # type: ignore[operator]
        if before != after or before == 0:
            break
        found.append((range(i, a), range(j, b)))
        a, b = i, j
    return [*found, (range(a), range(b))] if a and b else found


def unravel(flat: Expr, lengths: Index) -> Index:
    """Indices of a flat position, row-major."""
    out: list[Expr] = []
    for axis in range(len(lengths)):
        stride = product(lengths[axis + 1 :])
        i = _floor_divide(flat, stride)
        out.append(i if axis == 0 else _remainder(i, lengths[axis]))
    return tuple(out)


def _floor_divide(a: Expr, b: Expr) -> Expr:
    if isinstance(b, Const) and b.value == 1:
        return a
    if isinstance(a, Const) and isinstance(b, Const):
        return const_int(a.value // b.value if b.value else 0)
    return Op("floor_divide", (a, b), INT64)


def _remainder(a: Expr, b: Expr) -> Expr:
    if isinstance(a, Const) and isinstance(b, Const):
        return const_int(a.value % b.value if b.value else 0)
    return Op("remainder", (a, b), INT64)


def lower_expect(low: Lowering, node: Node) -> None:
    (x,) = node.args
    for have, want in zip(x.type.shape, node.type.shape, strict=True):
        if have != want:
            differ = Op("not_equal", (low.length(have), low.length(want)), BOOL)
            low.fail_if(differ, "shape", f"lengths {have} and {want} differ where they must be equal", node.loc)
    low.env[node] = low.env[x]


def lower_transpose(low: Lowering, node: Node) -> None:
    perm = node.attrs["perm"]
    inverse = np.argsort(perm)
    source = _place(low, node.args[0])
    place = None
    if source is not None and tuple(perm) == (1, 0):
        place = Lazy(source.at, source.place, source.row_stride, not source.transposed)
    _view(low, node, lambda a: np.transpose(a, perm), lambda index: tuple(index[i] for i in inverse), place)


def lower_flip(low: Lowering, node: Node) -> None:
    axes = node.attrs["axes"]
    shape = node.type.shape

    def on_index(index: Index) -> Index:
        return tuple(
            sub(add(low.length(shape[a]), -1), i) if a in axes else i for a, i in enumerate(index)
        )

    value = low.env[node.args[0]]
    if isinstance(value, Lazy) and value.flipped is not None and axes == (0,):
        place = value.flipped
        lead = place.index[: len(place.index) - node.type.ndim]
        low.env[node] = Lazy(lambda index: Load(place.buffer, (*lead, *index)), place)
        return
    _view(low, node, lambda a: np.flip(a, axes), on_index)


def lower_index(low: Lowering, node: Node) -> None:
    (x,) = node.args
    axis, position = node.attrs["axis"], node.attrs["position"]
    dim = x.type.shape[axis]
    at: Expr = const_int(position if position >= 0 else position + dim if isinstance(dim, int) else position)
    if isinstance(dim, Dim):
        n = low.length(dim)
        at = at if position >= 0 else add(n, position)
        need = const_int(position + 1 if position >= 0 else -position)
        low.fail_if(
            Op("less", (n, need), BOOL), "index", f"index {position} is out of bounds for a run of too few steps",
            node.loc,
        )  # fmt: skip
    source = _place(low, x)
    place = None
    if source is not None and axis == 0 and source.row_stride is None and not source.transposed:
        place = Lazy(source.at, row_place(low, x, source.place, at))  # type: ignore[arg-type]
    _view(
        low,
        node,
        lambda a: np.asarray(a[(slice(None),) * axis + (position,)], dtype=object),
        lambda index: index[:axis] + (at,) + index[axis:],
        place,
    )


def lower_rows(low: Lowering, node: Node) -> None:
    x, start = node.args
    first = low.let(low.element(start, ()), "first", node.loc)
    first = const_int(first.value) if isinstance(first, Const) else first  # type: ignore[arg-type]
    if isinstance(low.env[x], Registers):
        low.spill(x)
    source = _place(low, x)
    value = Lazy(lambda index: low.element(x, (add(first, index[0]), *index[1:])))
    if source is not None and source.row_stride is None and not source.transposed:
        value.place = row_place(low, x, source.place, first)  # type: ignore[arg-type]
    low.env[node] = value
    if in_registers(node.type):
        low.registers_of(node)


def lower_same(low: Lowering, node: Node) -> None:
    low.env[node] = low.env[node.args[0]]


def row_place(low: Lowering, x: Node, place: Place, row: Expr) -> Place:
    """The place of one row of a dense array that lies at `place`."""
    return moved(place, (row, *[const_int(0)] * (x.type.ndim - 1)), low.lengths(x.type))


def moved(place: Place, start: Index, lengths: Index) -> Place:
    """The place of an element of a dense array with these lengths, which lies at `place`.

    A reshaped array lies in a buffer of other axes: there the element is counted along the last one.
    """
    lead = len(place.index) - len(start)
    if lead >= 0 and place.buffer.shape[lead + 1 :] == tuple(lengths[1:]):
        index = tuple(add(a, s) for a, s in zip(place.index[lead:], start, strict=True))
        return Place(place.buffer, (*place.index[:lead], *index))
    offset: Expr = const_int(0)
    for axis, s in enumerate(start):
        offset = add(offset, mul(s, product(lengths[axis + 1 :])))
    return Place(place.buffer, (*place.index[:-1], add(place.index[-1], offset)))


def lower_slice(low: Lowering, node: Node) -> None:
    (x,) = node.args
    bounds = list(zip(node.attrs["starts"], node.attrs["stops"], node.attrs["steps"], strict=True))
    first: list[Expr] = []
    stride: list[int] = []
    for dim, (start, stop, step) in zip(x.type.shape, bounds, strict=True):
        if isinstance(dim, int):
            start, _, step = slice(start, stop, step).indices(dim)
            first.append(const_int(start))
        else:
            step = 1 if step is None else step
            first.append(_run_time_start(low.length(dim), start, step))
        stride.append(step)

    def on_index(index: Index) -> Index:
        return tuple(add(f, mul(i, s)) for f, i, s in zip(first, index, stride, strict=True))

    source = _place(low, x)
    place = None
    if source is not None and not source.transposed and all(s == 1 for s in stride):
        whole = [a == b for a, b in zip(x.type.shape, node.type.shape, strict=True)]
        lengths = low.lengths(x.type)
        if source.row_stride is not None:
            lengths = (lengths[0], source.row_stride)
        there = moved(source.place, tuple(first), lengths)  # type: ignore[arg-type]
        if all(whole[1:]):
            place = Lazy(source.at, there, source.row_stride)
        elif len(first) == 2:
            place = Lazy(source.at, there, source.row_stride or low.length(x.type.shape[1]))
    keys = tuple(slice(*b) for b in bounds)
    _view(low, node, lambda a: a[keys], on_index, place)


def _run_time_start(n: Expr, start: int | None, step: int) -> Expr:
    """First index of a Python slice over an axis whose length `n` is known at run time."""
    if start is None:
        return const_int(0) if step > 0 else add(n, -1)
    low_end, high_end = (const_int(0), n) if step > 0 else (const_int(-1), add(n, -1))
    at = const_int(start) if start >= 0 else add(n, start)
    at = Op("maximum", (at, low_end), INT64) if start < 0 else at
    return Op("minimum", (at, high_end), INT64) if start >= 0 and start != 0 else at
