"""RULES: what reverse mode and forward mode make of every op. Scans and conditionals have transformations of their own.

    vjp(node, d, flow)          the derivative d with respect to the result -> those with respect to the operands
    jvp(node, tangents, flow)   tangents of the operands (None: zero) -> the tangent of the result

Rules build nodes on the operands of `node` and on `node` itself. A derivative has the dtype and shape of its value;
None stands for zero everywhere. `flow` is what `zeros.py` wants to know of what comes in.
Ops that are in neither table have integers or truth values as results.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from scancc.autodiff import algebra, shapes
from scancc.autodiff.arithmetic import (
    broadcast,
    call,
    constant,
    div,
    fitted,
    mul,
    reduce_to,
    total,
    where,
)
from scancc.autodiff.elementwise import CHOOSING, PARTIALS, SATURATING, conjugated, unbounded
from scancc.autodiff.zeros import Flow, product
from scancc.ir import build
from scancc.ir.graph import Node
from scancc.ir.types import is_half, widened

Given = list[Node | None]


@dataclass(frozen=True, slots=True)
class Rule:
    vjp: Callable[[Node, Node, Flow], Given]
    jvp: Callable[[Node, Given, Flow], Node | None]


def _elementwise(op: str) -> Rule:
    partials = PARTIALS[op]

    def vjp(n: Node, d: Node, flow: Flow) -> Given:
        return [
            None if p is None else reduce_to(fitted(factor(n, d, p(n), flow), n.type), x.type)
            for p, x in zip(partials, n.args, strict=True)
        ]

    def factor(n: Node, d: Node, partial: Node, flow: Flow) -> Node:
        return product(d, partial, flow, unbounded(n), op in CHOOSING)

    def jvp(n: Node, tangents: Given, flow: Flow) -> Node | None:
        given = zip(partials, tangents, strict=True)
        # A tangent may be infinite by overflow, as that of exp(1000) is.
        choosing = op in CHOOSING or op in SATURATING or unbounded(n)
        found = total([product(t, p(n), flow, unbounded(n), choosing) for p, t in given if p is not None and t])
        return None if found is None else fitted(found, n.type)

    return Rule(vjp, jvp)


def _linear(vjp: Callable[[Node, Node], Given]) -> Rule:
    """An op of one operand that is linear in it: its tangent is the op itself."""
    return Rule(_plain(vjp), _on_tangent)


def _plain(vjp: Callable[[Node, Node], Given]) -> Callable[[Node, Node, Flow], Given]:
    """A rule without products: zeros stay what they are."""
    return lambda n, d, flow: vjp(n, d)


def _on_tangent(n: Node, t: Given, flow: Flow) -> Node:
    (x,) = t[:1]
    assert x is not None
    if "shape" in n.attrs or n.op == "slice":
        return build.make(n.op, x, *n.args[1:], loc=n.loc, type=n.type.with_dtype(x.type.dtype), **n.attrs)
    return build.make(n.op, x, *n.args[1:], loc=n.loc, **n.attrs)


def _where_vjp(n: Node, d: Node) -> Given:
    c, a, b = n.args
    zero = constant(0, d)
    return [None, reduce_to(fitted(where(c, d, zero), n.type), a.type),
            reduce_to(fitted(where(c, zero, d), n.type), b.type)]  # fmt: skip


def _where_jvp(n: Node, t: Given, flow: Flow) -> Node | None:
    _, a, b = t
    zero = constant(0, n)
    return fitted(where(n.args[0], a or zero, b or zero), n.type)


def _cast_vjp(n: Node, d: Node) -> Given:
    (x,) = n.args
    if not differentiable(x.type.dtype):
        return [None]
    d = call("real", d) if d.type.dtype.kind == "c" and x.type.dtype.kind == "f" else d
    return [build.cast(d, widened(x.type.dtype))]


def _cast_jvp(n: Node, t: Given, flow: Flow) -> Node | None:
    (x,) = t
    assert x is not None
    return build.cast(x, widened(n.type.dtype)) if differentiable(n.type.dtype) else None


def _absolute() -> Rule:
    real = _elementwise("absolute")

    def direction(n: Node) -> Node:
        """The conjugate of z / |z|; 0 at 0."""
        (z,) = n.args
        at_zero = call("equal", n, constant(0, n))
        size = build.cast(where(at_zero, constant(1, n), n), z.type.dtype)
        return where(at_zero, constant(0, z), div(conjugated(z), size))

    def vjp(n: Node, d: Node, flow: Flow) -> Given:
        (z,) = n.args
        if z.type.dtype.kind != "c":
            return real.vjp(n, d, flow)
        return [product(build.cast(d, z.type.dtype), direction(n), flow, choosing=True)]

    def jvp(n: Node, t: Given, flow: Flow) -> Node | None:
        (dz,) = t
        assert dz is not None
        if dz.type.dtype.kind != "c":
            return real.jvp(n, t, flow)
        return call("real", product(dz, direction(n), flow, choosing=True))

    return Rule(vjp, jvp)


def _part(op: str) -> Rule:
    """Real and imaginary part, as linear maps over the reals."""

    def vjp(n: Node, d: Node) -> Given:
        (z,) = n.args
        if z.type.dtype.kind != "c":
            return [d if op == "real" else None]
        return [mul(build.cast(d, z.type.dtype), build.const(1 if op == "real" else -1j, z.type.dtype))]

    return Rule(_plain(vjp), lambda n, t, flow: call(op, t[0]) if t[0] is not None else None)


def _put_jvp(n: Node, t: Given, flow: Flow) -> Node | None:
    a, _, v = t
    x, i, values = n.args
    mode = n.attrs["mode"]
    if mode not in ("set", "add"):
        raise NotImplementedError(f"the derivative of an update by {mode}")
    return build.make("put", a or build.zeros(x.type), i, v or build.zeros(values.type), loc=n.loc, **n.attrs)


def _take_jvp(n: Node, t: Given, flow: Flow) -> Node | None:
    assert t[0] is not None
    return build.make("take", t[0], n.args[1], loc=n.loc, **n.attrs)


def _concatenate_jvp(n: Node, t: Given, flow: Flow) -> Node | None:
    parts = [build.zeros(x.type) if d is None else d for d, x in zip(t, n.args, strict=True)]
    return build.make("concatenate", *parts, loc=n.loc, type=n.type, axis=n.attrs["axis"])


def _conjugate_vjp(n: Node, d: Node) -> Given:
    return [conjugated(d)]


RULES: dict[str, Rule] = {
    **{op: _elementwise(op) for op in PARTIALS},
    "absolute": _absolute(),
    "conjugate": _linear(_conjugate_vjp),
    "real": _part("real"),
    "imag": _part("imag"),
    "where": Rule(_plain(_where_vjp), _where_jvp),
    "cast": Rule(_plain(_cast_vjp), _cast_jvp),
    "broadcast_to": Rule(
        lambda n, d, flow: [reduce_to(d, n.args[0].type)],
        lambda n, t, flow: None if t[0] is None else broadcast(t[0], n.type.shape),
    ),
    "reshape": _linear(shapes.reshape),
    "expect": _linear(shapes.same),
    "alias": _linear(shapes.same),
    "stop_gradient": Rule(lambda n, d, flow: [None], lambda n, t, flow: None),
    "transpose": _linear(shapes.transpose),
    "flip": _linear(shapes.flip),
    "rows": _linear(shapes.rows),
    "index": _linear(shapes.index),
    "slice": _linear(shapes.slice_),
    "concatenate": Rule(_plain(shapes.concatenate), _concatenate_jvp),
    "take": Rule(_plain(shapes.take), _take_jvp),
    "put": Rule(_plain(shapes.put), _put_jvp),
    "reduce_sum": _linear(shapes.reduce_sum),
    "reduce_prod": Rule(shapes.reduce_prod, shapes.reduce_prod_tangent),
    "reduce_min": Rule(shapes.reduce_extreme, shapes.reduce_extreme_tangent),
    "reduce_max": Rule(shapes.reduce_extreme, shapes.reduce_extreme_tangent),
    "reduce_logsumexp": Rule(shapes.reduce_logsumexp, shapes.reduce_logsumexp_tangent),
    "cumsum": _linear(shapes.cumsum),
    "cumprod": Rule(shapes.cumprod, shapes.cumprod_tangent),
    "matmul": Rule(algebra.matmul, algebra.matmul_tangent),
    "einsum": Rule(algebra.einsum, algebra.einsum_tangent),
    "solve": Rule(algebra.solve, algebra.solve_tangent),
    "inv": Rule(algebra.inv, algebra.inv_tangent),
    "cholesky": Rule(algebra.cholesky, algebra.cholesky_tangent),
    "det": Rule(algebra.det, algebra.det_tangent),
    "slogdet_logabs": Rule(algebra.logdet, algebra.logdet_tangent),
    "slogdet_sign": Rule(lambda n, d, flow: [None], lambda n, t, flow: None),
}


def differentiable(dtype: np.dtype) -> bool:
    """Derivatives of values of 16 bits are float32: they are added up."""
    return dtype.kind in "fc" or is_half(dtype)


