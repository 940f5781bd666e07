"""Dense linear algebra as loops, for targets that have no run-time library on memory: what `linear_algebra` does there.

Elimination with partial pivoting and Cholesky factorisation as in Golub and Van Loan, Matrix Computations, 3.4 and 4.2.
A singular matrix gives NaN everywhere (its determinant is 0), and so does one that is not positive definite.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from scancc.ir.graph import Node
from scancc.ir.loop import BOOL, INT64, Assign, Const, Declare, Expr, For, If, Load, Op, Store, Var, add, const_int, sub
from scancc.passes.lower.context import Lowering, Target
from scancc.passes.lower.values import registers
from scancc.passes.sizes import in_registers

SCALE = 2.0**300  # determinants are scaled by it on the way: only the result may overflow
ZERO, ONE = const_int(0), const_int(1)


def lower_by_loops(low: Lowering, node: Node, n: int) -> None:
    work = _Loops(low, node, n)
    if node.type.ndim == 0:
        low.env[node] = registers([work.determinant()], ())
        return
    target = low.output_target(node, node.op)
    if node.op == "cholesky":
        work.cholesky(target)
    else:
        work.solve(target)
    low.stored(node, target)
    if in_registers(node.type):
        low.registers_of(node)


class _Loops:
    def __init__(self, low: Lowering, node: Node, n: int) -> None:
        self.low, self.node, self.n = low, node, const_int(n)
        self.dtype = node.args[0].type.dtype
        self.real = np.empty(0, self.dtype).real.dtype

    # -- statements --------------------------------------------------------------------------------------------
    @contextmanager
    def loop(self, start: Expr, stop: Expr, independent: bool = False) -> Iterator[Var]:
        var = self.low.var("r", INT64)
        statement = For(var, start, stop, independent=independent)
        self.low.emit(statement)
        with self.low.block(statement.body, inside_nest=True):
            yield var

    @contextmanager
    def branch(self, condition: Expr) -> Iterator[None]:
        statement = If(condition)
        self.low.emit(statement)
        with self.low.block(statement.then, inside_nest=True):
            yield

    def variable(self, base: str, start: Expr) -> Var:
        var = self.low.var(base, start.dtype)
        self.low.mutable.add(var.name)
        self.low.emit(Declare(var, start))
        return var

    def assign(self, var: Var, e: Expr) -> None:
        self.low.emit(Assign(var, e, self.node.loc))

    def let(self, name: str, *args: Expr, dtype: np.dtype | None = None) -> Expr:
        return self.low.let(Op(name, args, dtype or self.dtype), "v", self.node.loc)

    def store(self, target: Target, index: tuple[Expr, ...], e: Expr) -> None:
        self.low.emit(Store(target.buffer, target.prefix + index, e, self.node.loc))

    def load(self, target: Target, *index: Expr) -> Expr:
        return self.low.let(Load(target.buffer, target.prefix + index), "v", self.node.loc)

    def magnitude(self, e: Expr) -> Expr:
        return self.let("absolute", e, dtype=self.real)

    def number(self, value: float, dtype: np.dtype | None = None) -> Const:
        dtype = dtype or self.dtype
        return Const(dtype.type(value), dtype)

    # -- algorithms --------------------------------------------------------------------------------------------
    def copied(self) -> Target:
        matrix = Target(self.low.scratch("work", self.dtype, self.node.args[0].type.shape), ())
        with self.low.element_loops((self.n, self.n)) as index:
            self.store(matrix, index, self.low.element(self.node.args[0], index))
        return matrix

    def eliminate(self, a: Target, b: Target | None, columns: tuple[Expr, ...]) -> Var:
        """Make `a` upper triangular and do the same to `b`; the sign of the row exchanges, 0 for a singular matrix."""
        n, low = self.n, self.low
        sign = self.variable("sign", ONE)
        with self.loop(ZERO, n) as k:
            best = self.variable("best", self.magnitude(self.load(a, k, k)))
            pivot = self.variable("pivot", k)
            with self.loop(add(k, 1), n) as r:
                size = self.magnitude(self.load(a, r, k))
                with self.branch(Op("greater", (size, best), BOOL)):
                    self.assign(best, size)
                    self.assign(pivot, r)
            with self.branch(Op("equal", (best, self.number(0, self.real)), BOOL)):
                self.assign(sign, ZERO)
            with self.branch(Op("not_equal", (pivot, k), BOOL)):
                self.assign(sign, Op("negative", (sign,), INT64))
                for m, first, shape in ((a, k, (n,)), (b, ZERO, columns)):
                    if m is not None:
                        self.exchange(m, k, pivot, first, shape)
            inverse = self.let("divide", self.number(1), self.load(a, k, k))
            with self.loop(add(k, 1), n, independent=True) as r:
                factor = self.let("multiply", self.load(a, r, k), inverse)
                with self.loop(add(k, 1), n) as c:
                    self.subtract(a, (r, c), factor, (k, c))
                if b is not None:
                    with low.element_loops(columns) as index:
                        self.subtract(b, (r, *index), factor, (k, *index))
        return sign

    def exchange(self, m: Target, k: Expr, r: Expr, first: Expr, shape: tuple[Expr, ...]) -> None:
        def swap(*index: Expr) -> None:
            x, y = self.load(m, k, *index), self.load(m, r, *index)
            self.store(m, (k, *index), y)
            self.store(m, (r, *index), x)

        if not shape:
            swap()
            return
        with self.loop(first, shape[0]) as c:
            swap(c)

    def subtract(self, m: Target, at: tuple[Expr, ...], factor: Expr, row: tuple[Expr, ...]) -> None:
        product = Op("multiply", (factor, Load(m.buffer, m.prefix + row)), self.dtype)
        self.store(m, at, Op("subtract", (Load(m.buffer, m.prefix + at), product), self.dtype))

    def solve(self, target: Target) -> None:
        a, n, low = self.copied(), self.n, self.low
        shape = low.lengths(self.node.type)
        with low.element_loops(shape) as index:
            if self.node.op == "solve":
                self.store(target, index, low.element(self.node.args[1], index))
            else:
                diagonal = Op("equal", (index[0], index[1]), BOOL)
                self.store(target, index, Op("where", (diagonal, self.number(1), self.number(0)), self.dtype))
        sign = self.eliminate(a, target, shape[1:])
        with self.loop(ZERO, n) as back:
            r = low.let(sub(add(n, -1), back), "row")
            with low.element_loops(shape[1:]) as index:
                total = self.variable("acc", self.load(target, r, *index))
                with self.loop(add(r, 1), n) as k:
                    term = Op("multiply", (self.load(a, r, k), self.load(target, k, *index)), self.dtype)
                    self.assign(total, Op("subtract", (total, term), self.dtype))
                self.store(target, (r, *index), Op("divide", (total, self.load(a, r, r)), self.dtype))
        self.poison(Op("equal", (sign, ZERO), BOOL), target)

    def poison(self, condition: Expr, target: Target) -> None:
        with self.branch(condition), self.low.element_loops(self.low.lengths(self.node.type)) as index:
            self.store(target, index, self.number(np.nan))

    def cholesky(self, target: Target) -> None:
        a, n = self.copied(), self.n
        right = self.variable("right", Const(True, BOOL))
        with self.loop(ZERO, n) as j:
            pivot = self.remainder(a, target, j, j)
            diagonal = self.let("real", pivot, dtype=self.real) if self.dtype.kind == "c" else pivot
            positive = self.let("greater", diagonal, self.number(0, self.real), dtype=BOOL)
            self.assign(right, Op("logical_and", (right, positive), BOOL))
            root: Expr = Op("sqrt", (diagonal,), self.real)
            root = self.low.let(root if self.real == self.dtype else Op("cast", (root,), self.dtype))
            self.store(target, (j, j), root)
            with self.loop(ZERO, j) as i:
                self.store(target, (i, j), self.number(0))
            with self.loop(add(j, 1), n, independent=True) as i:
                total = self.remainder(a, target, i, j)
                self.store(target, (i, j), Op("divide", (total, root), self.dtype))
        self.poison(Op("logical_not", (right,), BOOL), target)

    def remainder(self, a: Target, factor: Target, i: Expr, j: Expr) -> Expr:
        """a[i, j] less what the columns of the factor that are known make of it."""
        total = self.variable("acc", self.load(a, i, j))
        with self.loop(ZERO, j) as k:
            other = self.load(factor, j, k)
            if self.dtype.kind == "c":
                other = self.let("conjugate", other)
            term = Op("multiply", (self.load(factor, i, k), other), self.dtype)
            self.assign(total, Op("subtract", (total, term), self.dtype))
        return self.low.let(total)

    def determinant(self) -> Expr:
        a = self.copied()
        sign = self.eliminate(a, None, ())
        singular = Op("equal", (sign, ZERO), BOOL)
        if self.node.op == "slogdet_logabs":
            total = self.variable("acc", self.number(0, self.real))
            with self.loop(ZERO, self.n) as i:
                size = Op("log", (self.magnitude(self.load(a, i, i)),), self.real)
                self.assign(total, Op("add", (total, size), self.real))
            return self.let("where", singular, self.number(-np.inf, self.real), total, dtype=self.real)
        total = self.variable("acc", Op("cast", (sign,), self.dtype))
        if self.node.op == "slogdet_sign":
            with self.loop(ZERO, self.n) as i:
                x = self.load(a, i, i)
                self.assign(total, Op("multiply", (total, Op("sign", (x,), self.dtype)), self.dtype))
        else:
            self.product(a, total)
        return self.let("where", singular, self.number(0), total)

    def product(self, a: Target, total: Var) -> None:
        """The pivots' product in `total`, scaled on the way where it gets too large or too small."""
        if self.real != np.float64:
            with self.loop(ZERO, self.n) as i:
                self.assign(total, Op("multiply", (total, self.load(a, i, i)), self.dtype))
            return
        scale = self.variable("scale", ZERO)
        with self.loop(ZERO, self.n) as i:
            self.assign(total, Op("multiply", (total, self.load(a, i, i)), self.dtype))
            size = self.magnitude(total)
            for beyond, limit, factor, change in (("greater", SCALE, 1 / SCALE, 1), ("less", 1 / SCALE, SCALE, -1)):
                with self.branch(Op(beyond, (size, self.number(limit, self.real)), BOOL)):
                    self.assign(total, Op("multiply", (total, self.number(factor)), self.dtype))
                    self.assign(scale, add(scale, change))
        for count, factor in ((scale, SCALE), (Op("negative", (scale,), INT64), 1 / SCALE)):
            with self.loop(ZERO, count):
                self.assign(total, Op("multiply", (total, self.number(factor)), self.dtype))
