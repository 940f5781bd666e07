"""The operations that derivatives are built of: nodes of the IR, without those that multiply by 1 or add nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import Any

import numpy as np

from scancc.ir import build
from scancc.ir.graph import Node
from scancc.ir.types import Dim, Shape, Type


def constant(value: Any, like: Node) -> Node:
    """A number in the dtype of `like`; it broadcasts."""
    return build.const(value, like.type.dtype)


def number_of(x: Node) -> Node | None:
    """The constant that is all elements of an array."""
    while x.op in ("broadcast_to", "reshape", "flip", "expect", "transpose"):
        x = x.args[0]
    return x if x.op == "const" and x.type.shape == () else None


def is_number(x: Node, value: float) -> bool:
    number = number_of(x)
    return number is not None and bool(number.attrs["value"] == value)


def add(a: Node, b: Node) -> Node:
    if is_number(a, 0) and b.type.ndim >= a.type.ndim:
        return b
    return a if is_number(b, 0) and a.type.ndim >= b.type.ndim else build.make("add", a, b, loc=a.loc)


def sub(a: Node, b: Node) -> Node:
    return build.make("subtract", a, b, loc=a.loc)


def mul(a: Node, b: Node) -> Node:
    for x, y in ((a, b), (b, a)):
        if is_number(x, 1) and y.type.ndim >= x.type.ndim:
            return y
        if is_number(x, -1) and y.type.ndim >= x.type.ndim:
            return neg(y)
    return build.make("multiply", a, b, loc=b.loc or a.loc)


def div(a: Node, b: Node) -> Node:
    return build.make("divide", a, b, loc=b.loc)


def neg(a: Node) -> Node:
    return a.args[0] if a.op == "negative" else build.make("negative", a, loc=a.loc)


def call(op: str, *args: Node, **attrs: Any) -> Node:
    return build.make(op, *args, loc=args[0].loc, **attrs)


def square(a: Node) -> Node:
    return mul(a, a)


def where(condition: Node, a: Node, b: Node) -> Node:
    return build.make("where", condition, a, b, loc=a.loc)


def total(terms: Sequence[Node | None]) -> Node | None:
    """The sum of what is there."""
    found: Node | None = None
    for t in terms:
        if t is not None:
            found = t if found is None else add(found, t)
    return found


def zeros(like: Node) -> Node:
    return build.zeros(like.type)


def outer(a: Node, b: Node) -> Node:
    """The products of all elements of two vectors."""
    (n,), (m,) = a.type.shape, b.type.shape
    return mul(build.reshape(a, (n, 1)), build.reshape(b, (1, m)))


def transposed(a: Node) -> Node:
    return build.make("transpose", a, loc=a.loc, perm=(1, 0))


def broadcast(x: Node, shape: Shape) -> Node:
    return build.broadcast_to(x, shape, x.loc)


def reduce_to(x: Node, type_: Type) -> Node:
    """The sum over the axes along which a value of `type_` was broadcast to the shape of `x`."""
    extra = x.type.ndim - type_.ndim
    if extra:
        x = call("reduce_sum", x, axes=tuple(range(extra)))
    ones = tuple(a for a, (have, want) in enumerate(zip(x.type.shape, type_.shape, strict=True))
                 if want == 1 and have != 1)
    if ones:
        x = call("reduce_sum", x, axes=ones)
        x = build.reshape(x, type_.shape, x.loc)
    return _named(x, type_.shape)


def _named(x: Node, shape: Shape) -> Node:
    """The same lengths, known or not known before the program runs as those of `shape` are; names do not matter."""
    pairs = zip(x.type.shape, shape, strict=True)
    wanted = tuple(b if isinstance(a, int) or isinstance(b, int) else a for a, b in pairs)
    return x if wanted == x.type.shape else build.make("expect", x, loc=x.loc, shape=wanted)


def named_as(x: Node, type_: Type) -> Node:
    """A derivative that leaves a body: lengths go by the names that the value has there, not by those of the body."""
    return x if x.type.shape == type_.shape else build.make("expect", x, loc=x.loc, shape=type_.shape)


def fitted(x: Node, type_: Type) -> Node:
    """A derivative with the shape of the value it belongs to: broadcast where it is smaller.

    Lengths known at run time only may go by other names than the value's: that they are equal was checked for that.
    """
    if x.type.shape == type_.shape:
        return x
    if x.type.ndim == type_.ndim and all(
        a == b or isinstance(a, Dim) or isinstance(b, Dim) for a, b in zip(x.type.shape, type_.shape, strict=True)
    ) and 1 not in x.type.shape:
        return _named(x, type_.shape)
    return broadcast(x, type_.shape)


def pad(x: Node, axis: int, before: Node, after: Node) -> Node:
    """`x` between rows of zeros along an axis; the numbers of rows may be known at run time only."""
    parts = [_rows_of_zeros(x, axis, before, "before"), x, _rows_of_zeros(x, axis, after, "after")]
    found = [p for p in parts if p is not None]
    return found[0] if len(found) == 1 else build.concatenate(found, axis, x.loc, fresh("padded"))


def _rows_of_zeros(x: Node, axis: int, count: Node, name: str) -> Node | None:
    length = build.dim_from(count, fresh(name))
    if length == 0:
        return None
    shape = (*x.type.shape[:axis], length, *x.type.shape[axis + 1 :])
    return build.zeros(x.type.with_shape(shape), x.loc)


def integer_add(a: Node, b: Node | int) -> Node:
    """a + b of lengths, folded where both are known."""
    if isinstance(b, int):
        b = build.integer(b)
    for x, y in ((a, b), (b, a)):
        if x.op == "const" and int(x.attrs["value"]) == 0:
            return y
    if a.op == b.op == "const":
        return build.integer(int(a.attrs["value"]) + int(b.attrs["value"]))
    return build.make("add", a, b)


def integer_sub(a: Node, b: Node | int) -> Node:
    if isinstance(b, int):
        b = build.integer(b)
    if b.op == "const" and int(b.attrs["value"]) == 0:
        return a
    if a is b or _same_length(a, b):
        return build.integer(0)
    if a.op == b.op == "const":
        return build.integer(int(a.attrs["value"]) - int(b.attrs["value"]))
    return build.make("subtract", a, b)


def rows_there(x: Node, steps: Node, more: int) -> Node:
    """`steps + more` rows of a sequence, of which a scan of that many steps reads all; those that are there, where a
    scan makes no step because its sequence is shorter than its taps reach."""
    return integer_minimum(build.dim_of(x, 0), integer_add(steps, more)) if more else steps


def integer_minimum(a: Node, b: Node) -> Node:
    if a is b or _same_length(a, b):
        return a
    if a.op == b.op == "const":
        return build.integer(min(int(a.attrs["value"]), int(b.attrs["value"])))
    return build.make("minimum", a, b)


def _same_length(a: Node, b: Node) -> bool:
    if a.op == b.op == "dim":
        return bool(a.args[0].type.shape[a.attrs["axis"]] == b.args[0].type.shape[b.attrs["axis"]])
    return False


# Gives names that no other dimension or scan of the program has; whoever differentiates sets it.
NAMES: ContextVar[Callable[[str], str]] = ContextVar("names")


def fresh(name: str) -> str:
    return NAMES.get()(name)


def eye(n: int, dtype: np.dtype) -> Node:
    return build.const(np.eye(n), dtype)
