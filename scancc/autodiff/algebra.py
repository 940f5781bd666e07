"""Derivatives of matrix products and of linear algebra.

Formulas: M. B. Giles, "Collected matrix derivative results for forward and reverse mode algorithmic differentiation"
(2008); Cholesky: I. Murray, "Differentiation of the Cholesky decomposition" (2016).
"""

from __future__ import annotations

import numpy as np

from scancc.autodiff.arithmetic import add, broadcast, call, constant, mul, neg, outer, total, transposed, where
from scancc.autodiff.zeros import Flow, met, product, unless_zero
from scancc.ir import build
from scancc.ir.graph import Graph, Node
from scancc.ir.types import INT

Given = list[Node | None]
FEW_PRODUCTS = 4  # rows of a matrix of which the cofactors are made without asking whether it is singular


def _mm(a: Node, b: Node) -> Node:
    return build.make("matmul", a, b, loc=b.loc or a.loc)


TERMS = {(2, 1): ("ij", "j", "i"), (1, 2): ("j", "jk", "k"), (2, 2): ("ij", "jk", "ik")}  # by the ranks of a and b


def matmul(n: Node, d: Node, flow: Flow) -> Given:
    a, b = n.args
    ranks = a.type.ndim, b.type.ndim
    if ranks == (1, 1):
        return [product(d, b, flow), product(d, a, flow)]
    of_a, of_b, out = TERMS[ranks]
    a, b = met(d, a, out, of_a, flow), met(d, b, out, of_b, flow)
    match ranks:
        case 2, 1:
            return [outer(d, b), _mm(d, a)]
        case 1, 2:
            return [_mm(b, d), outer(a, d)]
        case _:
            return [_mm(d, transposed(b)), _mm(transposed(a), d)]


def matmul_tangent(n: Node, t: Given, flow: Flow) -> Node | None:
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


def einsum(n: Node, d: Node, flow: Flow) -> Given:
    terms, out, operands = _terms(n)
    found: Given = []
    whole = not out and len(operands) > 1  # one number: it multiplies what the others make
    for k in range(len(n.args)):
        others = [(t, x) for j, (t, x) in enumerate(zip(terms, operands, strict=True)) if j != k]
        if not whole:
            others = [(t, met(d, x, out, t, flow)) for t, x in others]
        known = set(out).union(*(t for t, _ in others)) if others else set(out)
        kept = "".join(c for c in terms[k] if c in known)
        given = others if whole else [(out, d), *others]
        subscripts = ",".join(t for t, _ in given) + "->" + kept
        g = build.make("einsum", *(x for _, x in given), loc=n.loc, subscripts=subscripts)
        g = product(d, g, flow) if whole else g
        if kept != terms[k]:  # letters that only this operand has were summed
            shape = tuple(s if c in known else 1 for c, s in zip(terms[k], n.args[k].type.shape, strict=True))
            g = broadcast(build.reshape(g, shape), n.args[k].type.shape)
        found.append(g)
    return found


def einsum_tangent(n: Node, t: Given, flow: Flow) -> Node | None:
    parts = []
    for k, dx in enumerate(t):
        if dx is not None:
            args = [dx if j == k else x for j, x in enumerate(n.args)]
            parts.append(build.make("einsum", *args, loc=n.loc, subscripts=n.attrs["subscripts"]))
    return total(parts)


def solve(n: Node, d: Node, flow: Flow) -> Given:
    a, _ = n.args
    back = unless_zero(d, build.make("solve", transposed(a), d, loc=n.loc), flow)
    n = met(d, n, "ik"[: n.type.ndim], "ik"[: n.type.ndim], flow)
    product = outer(back, n) if n.type.ndim == 1 else _mm(back, transposed(n))
    return [neg(product), back]


def solve_tangent(n: Node, t: Given, flow: Flow) -> Node | None:
    (a, _), (da, db) = n.args, t
    right = total([db, None if da is None else neg(_mm(da, n))])
    assert right is not None
    return build.make("solve", a, right, loc=n.loc)


def inv(n: Node, d: Node, flow: Flow) -> Given:
    t = transposed(n)
    return [unless_zero(d, neg(_mm(_mm(t, d), t)), flow)]


def inv_tangent(n: Node, t: Given, flow: Flow) -> Node | None:
    assert t[0] is not None
    return neg(_mm(_mm(n, t[0]), n))


def _lower_half(x: Node) -> Node:
    """The lower triangle with half of the diagonal."""
    size = x.type.shape[0]
    assert isinstance(size, int)
    return mul(x, build.const(np.tril(np.ones((size, size))) - 0.5 * np.eye(size), x.type.dtype))


def _adjoint(x: Node) -> Node:
    return transposed(call("conjugate", x) if x.type.dtype.kind == "c" else x)


def _triangle(size: int, diagonal: float, below: float) -> np.ndarray:
    return np.tril(np.full((size, size), below), -1) + diagonal * np.eye(size)


def cholesky(n: Node, d: Node, flow: Flow) -> Given:
    """With respect to the lower triangle, which alone is read; of its diagonal the real part."""
    inverse = call("inv", n)
    middle = _lower_half(_mm(transposed(n), d))
    s = _mm(_mm(transposed(inverse), middle), call("conjugate", inverse) if n.type.dtype.kind == "c" else inverse)
    read = build.const(_triangle(_size(n), 0.5, 1.0), s.type.dtype)
    return [unless_zero(d, mul(read, add(s, _adjoint(s))), flow)]


def cholesky_tangent(n: Node, t: Given, flow: Flow) -> Node | None:
    assert t[0] is not None
    inverse = call("inv", n)
    lower = mul(t[0], build.const(_triangle(_size(n), 0.5, 1.0), t[0].type.dtype))
    whole = add(lower, _adjoint(lower))
    return _mm(n, _lower_half(_mm(_mm(inverse, whole), _adjoint(inverse))))


def _size(x: Node) -> int:
    size = x.type.shape[0]
    assert isinstance(size, int)
    return size


def cofactors(n: Node) -> Node:
    """The derivatives of a determinant: det A times the inverse of A, transposed, and where A is singular the
    cofactors by products of matrices alone (Faddeev and LeVerrier)."""
    (a,) = n.args
    regular = mul(n, transposed(call("inv", a)))
    size, singular = _size(a), call("equal", n, constant(0, n))
    if size <= FEW_PRODUCTS:
        return where(singular, _adjugate(a), regular)
    read = build.make("read", type=a.type, name="a")
    inner = build.make("read", type=a.type, name="regular")
    branches = {"then": Graph((), {"cofactors": _adjugate(read)}), "orelse": Graph((), {"cofactors": inner})}
    chosen = Node("cond", (singular, a, regular), INT, {"names": ("a", "regular"), **branches}, n.loc)
    return build.make("get", chosen, loc=n.loc, type=a.type, name="cofactors", view="branch")


def _adjugate(a: Node) -> Node:
    """Transposed. With M_1 = I: c_k = -tr(A M_k) / k, M_(k+1) = A M_k + c_k I, of which the last is the adjugate."""
    size = _size(a)
    unit = build.const(np.eye(size), a.type.dtype)
    m = unit
    for k in range(1, size):
        am = a if k == 1 else _mm(a, m)
        trace = call("reduce_sum", mul(am, unit), axes=(0, 1))
        m = add(am, mul(mul(constant(-1 / k, am), trace), unit))
    m = transposed(m)
    return m if size % 2 else neg(m)


def det(n: Node, d: Node, flow: Flow) -> Given:
    return [product(d, cofactors(n), flow)]


def det_tangent(n: Node, t: Given, flow: Flow) -> Node | None:
    assert t[0] is not None
    return call("reduce_sum", product(t[0], cofactors(n), flow), axes=(0, 1))


def logdet(n: Node, d: Node, flow: Flow) -> Given:
    return [product(d, transposed(call("inv", n.args[0])), flow, unbounded=True)]


def logdet_tangent(n: Node, t: Given, flow: Flow) -> Node | None:
    assert t[0] is not None
    return call("reduce_sum", product(t[0], transposed(call("inv", n.args[0])), flow, unbounded=True), axes=(0, 1))
