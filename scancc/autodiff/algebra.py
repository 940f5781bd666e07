"""Derivatives of matrix products and of linear algebra.

Formulas: M. B. Giles, "Collected matrix derivative results for forward and reverse mode algorithmic differentiation"
(2008); Cholesky: I. Murray, "Differentiation of the Cholesky decomposition" (2016).
"""

from __future__ import annotations

import numpy as np

from scancc.autodiff.arithmetic import add, broadcast, call, constant, mul, neg, outer, total, transposed
from scancc.ir import build
from scancc.ir.graph import Node

Given = list[Node | None]


def _mm(a: Node, b: Node) -> Node:
    return build.make("matmul", a, b, loc=b.loc or a.loc)


def matmul(n: Node, d: Node) -> Given:
    a, b = n.args
    match a.type.ndim, b.type.ndim:
        case 1, 1:
            return [mul(d, b), mul(d, a)]
        case 2, 1:
            return [outer(d, b), _mm(d, a)]
        case 1, 2:
            return [_mm(b, d), outer(a, d)]
        case _:
            return [_mm(d, transposed(b)), _mm(transposed(a), d)]


def matmul_tangent(n: Node, t: Given) -> Node | None:
    (a, b), (da, db) = n.args, t
    return total([None if da is None else _mm(da, b), None if db is None else _mm(a, db)])


def _terms(n: Node) -> tuple[list[str], str, list[Node]]:
    """Subscripts without a letter twice in one term: a diagonal is a product with the unit matrix."""
    inputs, out = n.attrs["subscripts"].split("->")
    terms, operands = inputs.split(","), list(n.args)
    used = set(inputs) | set(out)
    for k in range(len(terms)):
        for position, letter in enumerate(terms[k]):
            if letter in terms[k][:position]:
                new = next(c for c in "abcdefghijklmnopqrstuvwxyz" if c not in used)
                used.add(new)
                size = operands[k].type.shape[position]
                assert isinstance(size, int), "a diagonal along a length that is known at run time only"
                terms[k] = terms[k][:position] + new + terms[k][position + 1 :]
                terms.append(letter + new)
                operands.append(build.const(np.eye(size), n.type.dtype))
    return terms, out, operands


def einsum(n: Node, d: Node) -> Given:
    terms, out, operands = _terms(n)
    found: Given = []
    for k in range(len(n.args)):
        others = [(t, x) for j, (t, x) in enumerate(zip(terms, operands, strict=True)) if j != k]
        known = set(out).union(*(t for t, _ in others)) if others else set(out)
        kept = "".join(c for c in terms[k] if c in known)
        subscripts = ",".join([out, *(t for t, _ in others)]) + "->" + kept
        g = build.make("einsum", d, *(x for _, x in others), loc=n.loc, subscripts=subscripts)
        if kept != terms[k]:  # letters that only this operand has were summed
            shape = tuple(s if c in known else 1 for c, s in zip(terms[k], n.args[k].type.shape, strict=True))
            g = broadcast(build.reshape(g, shape), n.args[k].type.shape)
        found.append(g)
    return found


def einsum_tangent(n: Node, t: Given) -> Node | None:
    parts = []
    for k, dx in enumerate(t):
        if dx is not None:
            args = [dx if j == k else x for j, x in enumerate(n.args)]
            parts.append(build.make("einsum", *args, loc=n.loc, subscripts=n.attrs["subscripts"]))
    return total(parts)


def solve(n: Node, d: Node) -> Given:
    a, _ = n.args
    back = build.make("solve", transposed(a), d, loc=n.loc)
    product = outer(back, n) if n.type.ndim == 1 else _mm(back, transposed(n))
    return [neg(product), back]


def solve_tangent(n: Node, t: Given) -> Node | None:
    (a, _), (da, db) = n.args, t
    right = total([db, None if da is None else neg(_mm(da, n))])
    assert right is not None
    return build.make("solve", a, right, loc=n.loc)


def inv(n: Node, d: Node) -> Given:
    t = transposed(n)
    return [neg(_mm(_mm(t, d), t))]


def inv_tangent(n: Node, t: Given) -> Node | None:
    assert t[0] is not None
    return neg(_mm(_mm(n, t[0]), n))


def _lower_half(x: Node) -> Node:
    """The lower triangle with half of the diagonal."""
    size = x.type.shape[0]
    assert isinstance(size, int)
    return mul(x, build.const(np.tril(np.ones((size, size))) - 0.5 * np.eye(size), x.type.dtype))


def cholesky(n: Node, d: Node) -> Given:
    inverse = call("inv", n)
    middle = _lower_half(_mm(transposed(n), d))
    s = _mm(_mm(transposed(inverse), middle), inverse)
    return [mul(constant(0.5, s), add(s, transposed(s)))]


def cholesky_tangent(n: Node, t: Given) -> Node | None:
    assert t[0] is not None
    inverse = call("inv", n)
    even = mul(constant(0.5, t[0]), add(t[0], transposed(t[0])))
    return _mm(n, _lower_half(_mm(_mm(inverse, even), transposed(inverse))))


def det(n: Node, d: Node) -> Given:
    return [mul(mul(d, n), transposed(call("inv", n.args[0])))]


def logdet(n: Node, d: Node) -> Given:
    return [mul(d, transposed(call("inv", n.args[0])))]


def det_tangent(n: Node, t: Given) -> Node | None:
    trace = logdet_tangent(n, t)
    assert trace is not None
    return mul(n, trace)


def logdet_tangent(n: Node, t: Given) -> Node | None:
    assert t[0] is not None
    return call("reduce_sum", mul(transposed(call("inv", n.args[0])), t[0]), axes=(0, 1))
