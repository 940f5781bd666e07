"""Derivatives of views, of moves of elements, and of reductions."""

from __future__ import annotations

import numpy as np

from scancc.autodiff.arithmetic import (
    add,
    broadcast,
    call,
    constant,
    div,
    fitted,
    fresh,
    integer_add,
    integer_sub,
    mul,
    pad,
    where,
    zeros,
)
from scancc.autodiff.zeros import Flow, product
from scancc.ir import build
from scancc.ir.graph import Node
from scancc.ir.types import Type

Given = list[Node | None]


def iota(n: Node, name: str = "rows") -> Node:
    """0, 1, ... as many as the scalar `n` says."""
    length = build.dim_from(n, fresh(name))
    return build.make("iota", type=Type(np.dtype("int64"), (length,)), shape=(length,))


# -- reverse mode: the derivative `d` of the result becomes those of the operands -----------------------------------


def reshape(n: Node, d: Node) -> Given:
    return [build.reshape(d, n.args[0].type.shape, n.loc)]


def same(n: Node, d: Node) -> Given:
    return [fitted(d, n.args[0].type)]


def transpose(n: Node, d: Node) -> Given:
    return [call("transpose", d, perm=tuple(int(p) for p in np.argsort(n.attrs["perm"])))]


def flip(n: Node, d: Node) -> Given:
    return [call("flip", d, axes=n.attrs["axes"])]


def rows(n: Node, d: Node) -> Given:
    x, start = n.args
    at = build.make("add", iota(build.dim_of(d, 0)), start, loc=n.loc)
    return [build.make("put", zeros(x), at, d, loc=n.loc, axis=0, mode="set"), None]


def index(n: Node, d: Node) -> Given:
    (x,) = n.args
    axis, position = n.attrs["axis"], n.attrs["position"]
    at = build.integer(position) if position >= 0 else integer_add(build.dim_of(x, axis), position)
    row = build.reshape(d, (*d.type.shape[:axis], 1, *d.type.shape[axis:]), n.loc)
    after = integer_sub(integer_sub(build.dim_of(x, axis), at), 1)
    return [fitted(pad(row, axis, at, after), x.type)]


def slice_(n: Node, d: Node) -> Given:
    """Axis by axis from the last one: between zeros where all of the rows are read, put to their places otherwise."""
    (x,) = n.args
    bounds = list(zip(n.attrs["starts"], n.attrs["stops"], n.attrs["steps"], strict=True))
    for axis, b in enumerate(bounds):
        if b[:2] == (None, None) and b[2] in (None, 1):
            continue
        whole = build.dim_of(x, axis)
        step = 1 if b[2] is None else int(b[2])
        start, count = _start(whole, b[0], step), build.dim_of(d, axis)
        if step == 1:
            d = pad(d, axis, start, integer_sub(integer_sub(whole, start), count))
            continue
        at = build.make("multiply", iota(count), build.integer(step))
        length = build.dim_from(whole, fresh("whole"))
        empty = build.zeros(d.type.with_shape((*d.type.shape[:axis], length, *d.type.shape[axis + 1 :])))
        d = build.make("put", empty, build.make("add", at, start), d, loc=n.loc, axis=axis, mode="set")
    return [fitted(d, x.type)]


def _start(n: Node, start: int | None, step: int) -> Node:
    """The first index of a Python slice over n rows that takes any."""
    if n.op == "const":
        return build.integer(slice(start, None, step).indices(int(n.attrs["value"]))[0])
    if start is None:
        return build.integer(0) if step > 0 else integer_sub(n, 1)
    last = n if step > 0 else integer_sub(n, 1)
    at = build.integer(start) if start >= 0 else build.make("maximum", integer_add(n, start), build.integer(0))
    return at if start == 0 and step > 0 else build.make("minimum", at, last)


def concatenate(n: Node, d: Node) -> Given:
    axis = n.attrs["axis"]
    found: Given = []
    start = build.integer(0)
    for part in n.args:
        count = build.dim_of(part, axis)
        found.append(_part(d, axis, start, part.type, count))
        start = integer_add(start, count)
    return found


def _part(d: Node, axis: int, start: Node, type_: Type, count: Node) -> Node:
    if start.op == "const" and count.op == "const":
        first, size, rank = int(start.attrs["value"]), int(count.attrs["value"]), d.type.ndim
        starts, stops = [None] * rank, [None] * rank
        starts[axis], stops[axis] = first, first + size  # type: ignore[call-overload]
        return build.make("slice", d, loc=d.loc, type=type_, starts=tuple(starts), stops=tuple(stops),
                          steps=(None,) * rank)  # fmt: skip
    if axis == 0:
        return build.rows(d, start, type_.shape[0], d.loc)
    perm = (axis, *(a for a in range(d.type.ndim) if a != axis))
    part = build.rows(call("transpose", d, perm=perm), start, type_.shape[axis], d.loc)
    return call("transpose", part, perm=tuple(int(p) for p in np.argsort(perm)))


def take(n: Node, d: Node) -> Given:
    x, i = n.args
    return [build.make("put", zeros(x), i, d, loc=n.loc, axis=n.attrs["axis"], mode="add"), None]


def put(n: Node, d: Node) -> Given:
    """Elements that were set do not depend on what was there before."""
    x, i, v = n.args
    axis = n.attrs["axis"]
    read = build.make("take", d, i, loc=n.loc, axis=axis)
    match n.attrs["mode"]:
        case "set":
            # Of several values for one place the last one stays: each is credited only if it is the one that stayed.
            rest = build.make("put", d, i, constant(0, d), loc=n.loc, axis=axis, mode="set")
            number = build.reshape(iota_like(i), i.type.shape)
            slots = build.broadcast_to(build.const(-1, "int64"), (x.type.shape[axis],))
            last = build.make("take", build.make("put", slots, i, number, loc=n.loc, axis=0, mode="set"), i, axis=0)
            stayed = call("equal", last, number)
            stayed = build.reshape(stayed, (*stayed.type.shape, *(1,) * (read.type.ndim - axis - i.type.ndim)))
            return [rest, None, where(stayed, read, constant(0, d))]
        case "add":
            return [d, None, read]
        case mode:
            raise NotImplementedError(f"the derivative of an update by {mode}")


def iota_like(i: Node) -> Node:
    if i.type.ndim == 0:
        return build.integer(0)
    count = build.dim_of(i, 0)
    for axis in range(1, i.type.ndim):
        count = build.make("multiply", count, build.dim_of(i, axis))
    if i.type.size is not None:
        count = build.integer(i.type.size)
    return iota(count)


def _kept(n: Node) -> tuple:
    """The shape of a reduction with axes of length 1 for those that are gone."""
    axes = n.attrs.get("axes", (n.attrs.get("axis"),))
    return tuple(1 if a in axes else d for a, d in enumerate(n.args[0].type.shape))


def reduce_sum(n: Node, d: Node) -> Given:
    (x,) = n.args
    return [broadcast(build.reshape(d, _kept(n), n.loc), x.type.shape)]


def _weights(n: Node) -> Node:
    """The share of each element in a sum of exponentials: all of it where the element is infinite."""
    (x,) = n.args
    total = build.reshape(n, _kept(n))
    finite = call("isfinite", total)
    infinite = build.cast(call("equal", x, constant(np.inf, x)), x.type.dtype)
    return where(finite, call("exp", call("subtract", x, where(finite, total, constant(0, n)))), infinite)


def reduce_logsumexp(n: Node, d: Node, flow: Flow) -> Given:
    return [product(build.reshape(d, _kept(n)), _weights(n), flow)]


def reduce_logsumexp_tangent(n: Node, t: Given, flow: Flow) -> Node | None:
    assert t[0] is not None
    return call("reduce_sum", product(t[0], _weights(n), flow), axes=n.attrs["axes"])


def _share(n: Node) -> Node:
    """1 where an extreme is found, divided among equal ones."""
    (x,) = n.args
    found = call("equal", x, build.reshape(n, _kept(n)))
    share = build.cast(found, x.type.dtype)
    count = build.reshape(call("reduce_sum", share, axes=n.attrs["axes"]), _kept(n))
    return where(found, div(constant(1, x), count), constant(0, x))


def reduce_extreme(n: Node, d: Node, flow: Flow) -> Given:
    return [product(build.reshape(d, _kept(n)), _share(n), flow, choosing=True)]


def reduce_extreme_tangent(n: Node, t: Given, flow: Flow) -> Node | None:
    (x,) = t
    assert x is not None
    return call("reduce_sum", product(x, _share(n), flow, choosing=True), axes=n.attrs["axes"])


def _others(n: Node) -> Node:
    """For every element the product of all others that are reduced with it; exact where some are zero."""
    (x,) = n.args
    axes = n.attrs["axes"]
    perm = (*axes, *(a for a in range(x.type.ndim) if a not in axes))
    front = call("transpose", x, perm=perm)
    rest = front.type.shape[len(axes) :]
    count = build.dim_of(front, 0)
    for a in range(1, len(axes)):
        size = build.dim_of(front, a)
        both = count.op == size.op == "const"
        count = (build.integer(int(count.attrs["value"]) * int(size.attrs["value"])) if both
                 else build.make("multiply", count, size))  # fmt: skip
    line = build.reshape(front, (build.dim_from(count, fresh("reduced")), *rest))

    def before(v: Node) -> Node:
        running = call("cumprod", v, axis=0)
        starts = (None,) * v.type.ndim
        less = integer_sub(build.dim_of(v, 0), 1)
        short = build.make("slice", running, type=v.type.with_shape((build.dim_from(less, fresh("short")), *rest)),
                           starts=starts, stops=(-1, *starts[1:]), steps=starts)
        first = build.broadcast_to(constant(1, v), (1, *rest))
        return fitted(build.concatenate((first, short), 0, None, fresh("before")), v.type)

    after = call("flip", before(call("flip", line, axes=(0,))), axes=(0,))
    others = build.reshape(mul(before(line), after), front.type.shape)
    return call("transpose", others, perm=tuple(int(p) for p in np.argsort(perm)))


def reduce_prod(n: Node, d: Node, flow: Flow) -> Given:
    return [product(build.reshape(d, _kept(n)), _others(n), flow)]


def reduce_prod_tangent(n: Node, t: Given, flow: Flow) -> Node | None:
    (x,) = t
    assert x is not None
    return call("reduce_sum", product(x, _others(n), flow), axes=n.attrs["axes"])


def cumsum(n: Node, d: Node) -> Given:
    axis = n.attrs["axis"]
    back = call("cumsum", call("flip", d, axes=(axis,)), axis=axis)
    return [call("flip", back, axes=(axis,))]


def cumprod(n: Node, d: Node, flow: Flow) -> Given:
    """With p the products: x'_t = p_(t-1) r_t where r_t = d_t + x_(t+1) r_(t+1), which needs no division."""
    (x,), axis = n.args, n.attrs["axis"]
    first = (axis, *(a for a in range(x.type.ndim) if a != axis))
    back = tuple(int(p) for p in np.argsort(first))
    xs, ps, ds = (call("transpose", v, perm=first) for v in (x, n, d))
    row = xs.type.with_shape(xs.type.shape[1:])
    ones = build.broadcast_to(constant(1, x), (1, *row.shape))
    none = build.broadcast_to(constant(0, x), (1, *row.shape))
    count = build.dim_of(xs, 0)

    def shifted(edge: Node, v: Node, start: int) -> Node:
        joined = build.concatenate((edge, v) if start == 0 else (v, edge), 0, None, fresh("joined"))
        return build.rows(joined, build.integer(start), v.type.shape[0])

    following = call("flip", shifted(none, xs, 1), axes=(0,))
    r = linear_recurrence(following, call("flip", ds, axes=(0,)), count, flow)
    result = product(call("flip", r, axes=(0,)), shifted(ones, ps, 0), flow)
    return [call("transpose", result, perm=back)]


def cumprod_tangent(n: Node, t: Given, flow: Flow) -> Node | None:
    """p'_t = x_t p'_(t-1) + p_(t-1) x'_t."""
    (x,), (dx,), axis = n.args, t, n.attrs["axis"]
    assert dx is not None
    first = (axis, *(a for a in range(x.type.ndim) if a != axis))
    xs, ps, dxs = (call("transpose", v, perm=first) for v in (x, n, dx))
    ones = build.broadcast_to(constant(1, x), (1, *xs.type.shape[1:]))
    before = build.rows(build.concatenate((ones, ps), 0, None, fresh("joined")), build.integer(0), xs.type.shape[0])
    r = linear_recurrence(xs, product(dxs, before, flow), build.dim_of(xs, 0), flow)
    return call("transpose", r, perm=tuple(int(p) for p in np.argsort(first)))


def linear_recurrence(a: Node, b: Node, steps: Node, flow: Flow) -> Node:
    """y_t = a_t y_(t-1) + b_t from y_(-1) = 0, as a scan."""
    from scancc.ir.graph import Carry, Graph, ScanSpec, Sequence

    row = a.type.with_shape(a.type.shape[1:])
    leaf = [build.make("tap", type=row, name=name, offset=k) for name, k in (("a", 0), ("y", -1), ("b", 0))]
    body = Graph((), {"y": add(product(leaf[1], leaf[0], flow), leaf[2])})
    spec = ScanSpec(fresh("products"), (Sequence("a", (0,)), Sequence("b", (0,))), (Carry("y", (-1,)),), (), (), body)
    node = build.scan(spec, (steps, a, b, build.zeros(row)))
    return fitted(build.trace(node, "y"), a.type)
