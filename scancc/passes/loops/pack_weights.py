"""Matrices that every step of a loop multiplies with are packed once, before the first step.

    before   for t in 0..n: call products.gemm(&a, 384, &h[t], 128, &W, 384, 32, 384, 128, 0, 0)
    after    let many: bool = less_equal(8, n)
             if many: call panels.pack(&W_panels, &W, 384, 128, 384, 0)
             for t in 0..n
               if many: call panels.multiply(&a, 384, &h[t], 128, &W_panels, 32, 384, 128)
               else: call products.gemm(...)

A transformation of the loop IR, after lowering. BLAS packs its operands at every call, which takes about as long as it
then multiplies, for a batch of the size that recurrent networks have (RNN kernels that keep packed weights: Diamos et
al., "Persistent RNNs", 2016). The matrix is one of which nothing changes in the loop. What a few steps would not pay
for, and small matrices, which stay in the first-level cache however they lie, are left alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from scancc.ir.loop import (
    BOOL,
    Alloc,
    Assign,
    Buffer,
    Call,
    Const,
    Declare,
    Expr,
    For,
    Grow,
    If,
    Let,
    Op,
    Place,
    Stmt,
    Store,
    Var,
    const_int,
    sub,
)
from scancc.ir.walk import blocks, statements, variables
from scancc.passes.loops.fresh import Fresh
from scancc.passes.lower import Lowered

LEAST_STEPS = 8
LEAST_BYTES, MOST_BYTES = 1 << 14, 1 << 24
LEAST_OF_A_ROW = 48 << 10  # for a single row: what fits into the first-level cache is read as fast as it lies
MOST_ROWS = 512  # of the other operand, up to which BLAS packs more than it multiplies
COLUMNS = 32  # of the widest panels that a processor has: what is packed takes whole ones at most


def pack_weights(lowered: Lowered) -> Lowered:
    """The same program; statements are changed in place."""
    fresh = Fresh(lowered.kernel)
    body: list[Stmt] = []
    made: list[Buffer] = []
    for s in lowered.kernel.body:
        if isinstance(s, For) and s.note:
            packing = _Packing(s, fresh)
            packing.block(s.body)
            body += packing.before()
            made += packing.panels.values()
        body.append(s)
    if not made:
        return lowered
    kernel = replace(lowered.kernel, body=body, params=[*lowered.kernel.params, *made])
    return replace(lowered, kernel=kernel, allocated=[*lowered.allocated, *made])


@dataclass(frozen=True)
class _Product:
    """out[m, n] = a[m, k] @ op(W), op the transpose where flagged. Strides are those between rows."""

    out: Place
    out_stride: Expr
    a: Place
    a_stride: Expr
    matrix: Place
    stride: Expr
    m: Expr
    n: Const
    k: Const
    transposed: Expr

    @property
    def weights(self) -> tuple[Buffer, tuple[Expr, ...], Expr, Const, Const, Expr]:
        return self.matrix.buffer, self.matrix.index, self.stride, self.k, self.n, self.transposed


def _product_of(s: Call) -> _Product | None:
    one, no, yes = const_int(1), const_int(0), const_int(1)
    match s.function, s.args:
        case "products.gemm", (Place() as out, n_out, Place() as a, a_stride, Place() as w, stride, m,
                               Const() as n, Const() as k, Const(0), flag):  # fmt: skip
            return _Product(out, n_out, a, a_stride, w, stride, m, n, k, flag)  # type: ignore[arg-type]
        case "products.vecmat", (Place() as out, Place() as x, Place() as w, Const() as k, Const() as n, stride):
            return _Product(out, n, x, k, w, stride, one, n, k, no)  # type: ignore[arg-type]
        case "products.matvec", (Place() as out, Place() as w, Place() as x, Const() as n, Const() as k, stride):
            return _Product(out, n, x, k, w, stride, one, n, k, yes)  # type: ignore[arg-type]
    return None


class _Packing:
    """The products of a loop, and the panels of their matrices."""

    def __init__(self, loop: For, fresh: Fresh) -> None:
        self.fresh = fresh
        self.panels: dict[tuple[Buffer, tuple[Expr, ...], Expr, Const, Const, Expr], Buffer] = {}
        self.written: set[Buffer] = set()
        self.changing: set[Var] = {loop.var}
        for s in statements(loop.body):
            match s:
                case Store(b) | Alloc(b) | Grow(b, _):
                    self.written.add(b)
                case Call(_, args, results):
                    self.written |= {a.buffer for a in args[:1] if isinstance(a, Place)}
                    self.changing |= set(results)
                case Let(var) | Declare(var) | Assign(var) | For(var):
                    self.changing.add(var)
        steps = sub(loop.stop, loop.start)
        self.steps = steps
        self.few = isinstance(steps, Const) and steps.value < LEAST_STEPS
        self.many = None if isinstance(steps, Const) else fresh.var("many", Const(True, BOOL))

    def before(self) -> list[Stmt]:
        """What packs the matrices, ahead of the loop."""
        packs: list[Stmt] = []
        for (buffer, index, stride, k, n, transposed), panels in self.panels.items():
            given = (Place(panels, (const_int(0),)), Place(buffer, index), stride, k, n, transposed)
            packs.append(Call("panels.pack", given))
        if self.many is None or not packs:
            return packs
        return [Let(self.many, Op("less_equal", (const_int(LEAST_STEPS), self.steps), BOOL)),
                If(self.many, packs, [])]  # fmt: skip

    def block(self, block: list[Stmt]) -> None:
        for i, s in enumerate(block):
            for inner in blocks(s):
                self.block(inner)
            if not isinstance(s, Call) or self.few:
                continue
            p = _product_of(s)
            if p is not None and self._worth(p):
                panels = self._panels(p)
                given = (p.out, p.out_stride, p.a, p.a_stride, Place(panels, (const_int(0),)), p.m, p.n, p.k)
                new = Call("panels.multiply", given, loc=s.loc)
                block[i] = new if self.many is None else If(self.many, [new], [s])

    def _worth(self, p: _Product) -> bool:
        b = p.matrix.buffer
        if b in self.written or {b.dtype, p.a.buffer.dtype, p.out.buffer.dtype} != {b.dtype}:
            return False
        if b.dtype.name not in ("float32", "float64") or isinstance(p.m, Const) and p.m.value > MOST_ROWS:
            return False
        if any(variables(e) & self.changing for e in (*p.matrix.index, p.stride)):
            return False
        least = LEAST_OF_A_ROW if isinstance(p.m, Const) and p.m.value == 1 else LEAST_BYTES
        return least <= int(p.k.value) * int(p.n.value) * b.dtype.itemsize <= MOST_BYTES

    def _panels(self, p: _Product) -> Buffer:
        if p.weights not in self.panels:
            columns = -(-int(p.n.value) // COLUMNS) * COLUMNS
            b, size = p.matrix.buffer, const_int(int(p.k.value) * columns)
            self.panels[p.weights] = Buffer(self.fresh.name(f"{b.name}_panels"), b.dtype, (size,), "scratch")
        return self.panels[p.weights]
