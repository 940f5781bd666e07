"""Work on the elements of short rows, one after the other in memory, is one loop over all of them.

    before   for i in 0..n: for j in 0..8: store y[i, j] = exp(x[i, j])
    after    for k in 0..8 n: let i = k >> 3; let j = k & 7; store y[i, j] = exp(x[i, j])

LLVM unrolls a short loop before it looks for vectors, and then takes one element each of several rows, by gathers and
scatters: three times as long. Of shifts and masks it makes the address k again. For lengths that are powers of two.
"""

from __future__ import annotations

from scancc.ir.loop import INT64, Const, Expr, For, Kernel, Let, Op, Stmt, Store, Var, const_int, mul
from scancc.ir.walk import accesses, blocks, variables
from scancc.passes.loops.fresh import Fresh

LONGEST = 32  # elements of a row that LLVM unrolls


def flatten_rows(kernel: Kernel) -> Kernel:
    """The same kernel; results are equal bit for bit. Statements are changed in place."""
    _block(kernel.body, Fresh(kernel))
    return kernel


def _block(block: list[Stmt], fresh: Fresh) -> None:
    for place, s in enumerate(block):
        if isinstance(s, For) and _is_flat(s):
            (row,) = s.body
            assert isinstance(row, For) and isinstance(row.stop, Const)
            k, width = fresh.var("k"), int(row.stop.value)
            i = Op("right_shift", (k, const_int(width.bit_length() - 1)), INT64)
            j = Op("bitwise_and", (k, const_int(width - 1)), INT64)
            body = [Let(s.var, i), Let(row.var, j), *row.body]
            block[place] = For(k, const_int(0), mul(s.stop, width), body, s.note)
        else:
            for inner in blocks(s):
                _block(inner, fresh)


def _is_flat(rows: For) -> bool:
    match rows.body:
        case [For(_, Const(0), Const(width), [*body]) as row] if rows.start == const_int(0):
            short = 1 < width <= LONGEST and width & (width - 1) == 0
            plain = bool(body) and all(isinstance(s, (Let, Store)) for s in body)
            touched = [a for s in body for a in accesses(s)]
            return bool(short and plain) and all(
                _is_next(index, b.shape[-1] == row.stop, rows.var, row.var) for b, index, _ in touched
            )
    return False


def _is_next(index: tuple[Expr, ...], whole: bool, i: Var, j: Var) -> bool:
    """Whether the next element is the next one in memory, or always the same. `whole`: rows have no other elements."""
    if not any(variables(e) & {i, j} for e in index):
        return True
    if len(index) < 2 or index[-1] != j or any(variables(e) & {i, j} for e in index[:-2]):
        return False
    match index[-2]:
        case Op("add", (a, e), _) if a == i:
            return whole and not variables(e) & {i, j}
        case e:
            return whole and e == i
