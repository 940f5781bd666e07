"""Row vector times matrix as explicit vector code: the hot loop of recurrent networks.

Columns are taken in blocks of vectors whose accumulators stay in registers over the whole sum, so each step reads the
matrix once and writes the result once (the register blocking of Goto and van de Geijn, "Anatomy of high-performance
matrix multiplication", 2008). A loop that LLVM vectorises by itself stores the accumulators after every row. Where
there are few columns, each accumulator is several partial sums over the rows, so that up to eight multiply-adds are
under way: a core begins two in a cycle, and each takes four.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir

from scancc_runtime.code import Array, Code, Int, Numbers, Variable, broadcast, fma_of, memory_type
from scancc_runtime.processor import vector_bytes

BLOCKS = ((8, 1), (4, 2), (2, 4), (1, 4))  # accumulators a block, and partial sums of each


def vecmat(code: Code, out: Array, x: Array, w: Array, k: Int, n: Int, stride: Int) -> None:
    """out[j] = sum_i x[i] * w[i * stride + j], j < n, i < k. All are of one dtype; the stride counts elements.

    Vector code is written for float32 and float64, plain loops for the other dtypes.
    """
    if out.dtype.kind != "f":
        _plain(code, out, x, w, k, n, stride)
        return
    blocks = _Blocks(code, out, x, w, k, n, stride)
    width = vector_bytes() // out.dtype.itemsize
    for accumulators, parts in BLOCKS:
        blocks.columns(accumulators, parts, width)
    blocks.columns(1, 4, 1)


def _plain(code: Code, out: Array, x: Array, w: Array, k: Int, n: Int, stride: Int) -> None:
    numbers = Numbers(code.b, out.dtype)
    for j in code.loop(0, n):
        out.at(j).store(numbers.constant(0))
    for i in code.loop(0, k):
        factor, row = x.at(i).load(), w.at(i * stride)
        for j in code.loop(0, n):
            product = numbers.multiply(factor, row.at(j).load())
            out.at(j).store(numbers.add(out.at(j).load(), product))


class _Blocks:
    def __init__(self, code: Code, out: Array, x: Array, w: Array, k: Int, n: Int, stride: Int) -> None:
        self.code, self.out, self.x, self.w, self.k, self.n, self.stride = code, out, x, w, k, n, stride
        self.column = code.int(0)  # the first that is not done

    def columns(self, accumulators: int, parts: int, lanes: int) -> None:
        """Columns in steps of accumulators * lanes, as long as that many are left."""
        code, b, element = self.code, self.code.b, memory_type(self.out.dtype)
        kind = ir.VectorType(element, lanes) if lanes > 1 else element
        span = accumulators * lanes
        last = self.n - (self.n - self.column) % span
        for j in code.loop(self.column, last, span, whole=True):
            nothing = ir.Constant(kind, None if lanes > 1 else 0.0)
            sums = [[code.variable(nothing) for _ in range(parts)] for _ in range(accumulators)]
            together = self.k - self.k % parts
            for i in code.loop(0, together, parts):
                for part in range(parts):
                    self._row(i + part, j, sums, part, kind)
            for i in code.loop(together, self.k):
                self._row(i, j, sums, 0, kind)
            for a, some in enumerate(sums):
                place = self._place(self.out.at(j + a * lanes), lanes)
                b.store(self._total([s.get() for s in some]), place, align=self.out.dtype.itemsize)
        self.column = last

    def _row(self, i: Int, j: Int, sums: list[list[Variable]], part: int, kind: ir.Type) -> None:
        b = self.code.b
        lanes = kind.count if isinstance(kind, ir.VectorType) else 1
        xi = self.x.at(i).load()
        if lanes > 1:
            xi = broadcast(b, xi, kind)
        start = self.w.at(i * self.stride + j)
        fma = fma_of(b.module, kind)
        for a, some in enumerate(sums):
            value = b.load(self._place(start.at(a * lanes), lanes), align=self.out.dtype.itemsize)
            some[part].set(b.call(fma, [xi, value, some[part].get()]))

    def _place(self, array: Array, lanes: int) -> Any:
        return array.vector(lanes) if lanes > 1 else array.pointer

    def _total(self, terms: list[Any]) -> Any:
        while len(terms) > 1:
            terms = [self.code.b.fadd(x, y) for x, y in zip(terms[::2], terms[1::2], strict=True)]
        return terms[0]
