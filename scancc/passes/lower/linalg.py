"""Small dense linear algebra: straight-line elimination in registers up to 4x4, run-time calls on memory beyond."""

from __future__ import annotations

import numpy as np

from scancc.ir.graph import Node
from scancc.ir.loop import BOOL, Call, Const, Expr, Load, Op, Place, const_int
from scancc.passes.lower.context import Lowering, Target
from scancc.passes.lower.elimination import lower_by_loops
from scancc.passes.lower.values import Registers, registers
from scancc.passes.sizes import REGISTER_ELEMENTS, in_registers

UNROLLED = 4


def lower_linalg(low: Lowering, node: Node) -> None:
    n = int(node.args[0].type.shape[0])  # type: ignore[arg-type]
    if not n:
        low.env[node] = _of_nothing(node)
        return
    # Whatever else the program has: calls of the run-time library cost more than such a matrix.
    small = n <= UNROLLED and all((x.type.size or 0) <= REGISTER_ELEMENTS for x in (*node.args, node))
    (_unrolled if small else _call if low.library else lower_by_loops)(low, node, n)


def _of_nothing(node: Node) -> Registers:
    """Of a matrix without elements: a product of no factors is 1, and everything but determinants has no elements."""
    if node.type.shape:
        return Registers(np.empty(node.type.shape, dtype=object))  # type: ignore[arg-type]
    return registers([Const(node.type.dtype.type(node.op != "slogdet_logabs"), node.type.dtype)], ())


class Scalars:
    """Arithmetic on scalar expressions, one `let` each."""

    def __init__(self, low: Lowering, node: Node) -> None:
        self.low, self.node = low, node
        self.dtype = node.args[0].type.dtype
        self.real = np.empty(0, self.dtype).real.dtype

    def op(self, name: str, *args: Expr, dtype: np.dtype | None = None) -> Expr:
        return self.low.let(Op(name, args, dtype or self.dtype), "v", self.node.loc)

    def const(self, value: float) -> Const:
        return Const(self.dtype.type(value), self.dtype)

    def magnitude(self, x: Expr) -> Expr:
        return self.op("absolute", x, dtype=self.real)


def eliminate(s: Scalars, a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray, list[Expr]]:
    """Gaussian elimination with partial pivoting, rows exchanged by selection; also the sign of each exchange.

    Pivoting as in LAPACK's getrf: the largest magnitude of the column (Golub and Van Loan, Matrix Computations, 3.4).
    """
    n = a.shape[0]
    a, b = a.copy(), b.copy()
    signs: list[Expr] = []
    for k in range(n):
        best, sign = s.magnitude(a[k, k]), None
        for r in range(k + 1, n):
            size = s.magnitude(a[r, k])
            swap = s.op("greater", size, best, dtype=BOOL)
            best = s.op("where", swap, size, best, dtype=size.dtype)
            for m in (a, b):
                for c in range(k if m is a else 0, m.shape[1]):
                    top, low = m[k, c], m[r, c]
                    m[k, c] = s.op("where", swap, low, top)
                    m[r, c] = s.op("where", swap, top, low)
            sign = s.op("where", swap, s.const(-1), s.const(1))
            signs.append(sign)
        for r in range(k + 1, n):
            factor = s.op("divide", a[r, k], a[k, k])
            for c in range(k + 1, n):
                a[r, c] = s.op("subtract", a[r, c], Op("multiply", (factor, a[k, c]), s.dtype))
            for c in range(b.shape[1]):
                b[r, c] = s.op("subtract", b[r, c], Op("multiply", (factor, b[k, c]), s.dtype))
    return a, b, signs


def substitute(s: Scalars, u: np.ndarray, b: np.ndarray) -> np.ndarray:
    x = b.copy()
    for c in range(b.shape[1]):
        for r in reversed(range(u.shape[0])):
            for k in range(r + 1, u.shape[0]):
                x[r, c] = s.op("subtract", x[r, c], Op("multiply", (u[r, k], x[k, c]), s.dtype))
            x[r, c] = s.op("divide", x[r, c], u[r, r])
    return x


def _unrolled(low: Lowering, node: Node, n: int) -> None:
    s = Scalars(low, node)
    a = low.registers_of(node.args[0])
    # Singular matrices: NaN in every element, as the interpreter defines it. One poisoned pivot reaches them all.
    match node.op:
        case "solve" | "inv" if n == 2 and low.waited_for and low.library and s.dtype.kind == "f":
            inverse = _inverse(s, a)
            if node.op == "solve":
                b = low.registers_of(node.args[1]).reshape(n, -1)
                inverse = np.array([[_dot(s, row, column) for column in b.T] for row in inverse], dtype=object)
            low.env[node] = Registers(inverse.reshape(node.type.shape))  # type: ignore[arg-type]
        case "solve" | "inv":
            if node.op == "inv":
                b = np.empty((n, n), dtype=object)
                for i in np.ndindex(n, n):
                    b[i] = s.const(float(i[0] == i[1]))
            else:
                b = low.registers_of(node.args[1]).reshape(n, -1)
            u, y, _ = eliminate(s, a, b)
            u[-1, -1] = s.op("where", _singular(s, u), s.const(np.nan), u[-1, -1])
            low.env[node] = Registers(substitute(s, u, y).reshape(node.type.shape))  # type: ignore[arg-type]
        case "cholesky":
            low.env[node] = Registers(_cholesky(s, a))
        case _:
            u, _, signs = eliminate(s, a, np.empty((n, 0), dtype=object))
            value = _determinant(s, node.op, [u[i, i] for i in range(n)], signs)
            nothing = Const(value.dtype.type(-np.inf if node.op == "slogdet_logabs" else 0), value.dtype)
            low.env[node] = registers([s.op("where", _singular(s, u), nothing, value, dtype=value.dtype)], ())


def _inverse(s: Scalars, a: np.ndarray) -> np.ndarray:
    """Of two rows and columns, by the shortest chain; a branch in it would keep lanes from being vectorised."""
    found = np.empty((2, 2), dtype=object)
    for i in np.ndindex(2, 2):
        found[i] = s.op(f"inverse_{i[0]}{i[1]}", *a.flat)
    return found


def _dot(s: Scalars, row: np.ndarray, column: np.ndarray) -> Expr:
    return s.op("add", Op("multiply", (row[0], column[0]), s.dtype), Op("multiply", (row[1], column[1]), s.dtype))


def _singular(s: Scalars, u: np.ndarray) -> Expr:
    flag: Expr | None = None
    for i in range(u.shape[0]):
        zero = s.op("equal", u[i, i], s.const(0), dtype=BOOL)
        flag = zero if flag is None else s.op("logical_or", flag, zero, dtype=BOOL)
    assert flag is not None
    return flag


def _determinant(s: Scalars, op: str, diagonal: list[Expr], signs: list[Expr]) -> Expr:
    if op == "slogdet_logabs":
        total: Expr = Const(s.real.type(0), s.real)
        for d in diagonal:
            total = s.op("add", total, s.op("log", s.magnitude(d), dtype=s.real), dtype=s.real)
        return total
    total = s.const(1)
    for d in (*signs, *diagonal):
        total = s.op("multiply", total, s.op("sign", d) if op == "slogdet_sign" else d)
    return total


def _cholesky(s: Scalars, a: np.ndarray) -> np.ndarray:
    """Golub and Van Loan, Matrix Computations, 4.2; NaN everywhere unless every pivot is positive."""
    n, is_complex = a.shape[0], s.dtype.kind == "c"
    out = np.empty((n, n), dtype=object)
    out[...] = s.const(0)
    right: Expr | None = None
    for j in range(n):
        for i in range(j, n):
            total = a[i, j]
            for k in range(j):
                other = s.op("conjugate", out[j, k]) if is_complex else out[j, k]
                total = s.op("subtract", total, Op("multiply", (out[i, k], other), s.dtype))
            if i == j:
                pivot = s.op("real", total, dtype=s.real) if is_complex else total
                positive = s.op("greater", pivot, Const(s.real.type(0), s.real), dtype=BOOL)
                right = positive if right is None else s.op("logical_and", right, positive, dtype=BOOL)
                root = s.op("sqrt", pivot, dtype=s.real)
                out[i, j] = s.op("cast", root) if is_complex else root
            else:
                out[i, j] = s.op("divide", total, out[j, j])
    assert right is not None
    for at in np.ndindex(n, n):
        element: Expr = out[at]  # type: ignore[assignment]
        out[at] = s.op("where", right, element, s.const(np.nan))
    return out


def _call(low: Lowering, node: Node, n: int) -> None:
    places = [low.materialise(x, "matrix").place for x in node.args]
    assert all(places)
    size = const_int(n)
    columns = node.type.shape[1] if node.op == "solve" and node.type.ndim == 2 else 1
    scratch = low.scratch("work", node.args[0].type.dtype, (2 * n * n + n * int(columns) + 4 * n,))  # type: ignore[arg-type]
    work = Place(scratch, (const_int(0),))
    if node.type.ndim == 0:
        cell = Target(low.scratch("value", node.type.dtype, (1,)), ())
        out = Place(cell.buffer, (const_int(0),))
        low.emit(Call(f"linear_algebra.{node.op}", (out, places[0], size, work), loc=node.loc))  # type: ignore[arg-type]
        low.env[node] = registers([low.let(Load(cell.buffer, (const_int(0),)), "v", node.loc)], ())
        return
    target = low.output_target(node, node.op)
    out = Place(target.buffer, target.prefix + (const_int(0),) * node.type.ndim)
    sizes = (size, const_int(int(columns))) if node.op == "solve" else (size,)  # type: ignore[arg-type]
    low.emit(Call(f"linear_algebra.{node.op}", (out, *places, *sizes, work), loc=node.loc))  # type: ignore[arg-type]
    low.stored(node, target)
    if in_registers(node.type):
        low.registers_of(node)


