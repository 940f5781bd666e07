"""Matrix products in tiles: a block reads its rows and columns into its own memory and uses them for a whole tile.

Each thread makes a few rows of a few columns in registers, so that what it reads from the block's memory is used
several times, too (Volkov and Demmel, "Benchmarking GPUs to tune dense linear algebra", 2008). Sums are added up in
order.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from scancc.backends.cuda.arrays import DeviceArray
from scancc.backends.cuda.memory import flat
from scancc.backends.cuda.program import CudaProgram
from scancc.backends.cuda.toolkit import simulated
from scancc.ir.loop import INT64, Buffer, Kernel, Var
from scancc.passes.devices.products import Product, lone_product
from scancc.passes.pipeline import Compilation


@dataclass(frozen=True)
class Tile:
    """Rows, columns and terms of a block's tile, and the rows and columns of a thread."""

    rows: int
    columns: int
    terms: int
    own_rows: int
    own_columns: int

    @property
    def threads(self) -> int:
        return (self.rows // self.own_rows) * (self.columns // self.own_columns)


TILE = Tile(128, 64, 16, 8, 4)
SIMULATED = Tile(16, 16, 7, 8, 8)
PAD = 4  # elements between rows of a tile, so that threads which write a column do not meet in one bank


class ProductProgram(CudaProgram):
    """A stage that is one product. Thread-safe."""

    def __init__(self, compilation: Compilation) -> None:
        super().__init__(compilation)
        found = lone_product(self.graph)
        assert found is not None
        self.product = found
        self.tile = SIMULATED if simulated() else TILE
        self.threads = self.tile.threads
        self.kernel, self.source = kernel_of(found), source(found, self.tile)

    def run(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        there = self.sent(inputs)
        left, right = (there[x.attrs["name"]] for x in (self.product.left, self.product.right))
        columns = self.product.columns
        result = self._empty((*left.shape[:-1], columns), self.product.node.type.dtype)
        rows = result.size // columns
        blocks = -(-rows // self.tile.rows) * -(-columns // self.tile.columns)
        if blocks:
            args = (flat(left.contiguous()), flat(right.contiguous()), flat(result), rows)
            self._started(self._kernel, blocks, self.threads, (*args, self._no_status))
        return {label: DeviceArray(result) for label in self.graph.results}


def kernel_of(p: Product) -> Kernel:
    """What the product is called with; its statements are not loops of the IR."""
    flat_arrays: list[Buffer | Var] = [Buffer(n, p.node.type.dtype, (Var(f"n_{n}", INT64),), "input") for n in "abc"]
    return Kernel("product", [*flat_arrays, Var("rows", INT64)], [], [])


def source(p: Product, tile: Tile) -> str:
    """c[rows, columns] = a[rows, terms] @ b[terms, columns], all of them one row after the other."""
    return "\n".join(_lines(p, tile)) + "\n"


def _lines(p: Product, tile: Tile) -> Iterator[str]:
    dtype, terms, columns, threads = f"np.{p.node.type.dtype}", p.terms, p.columns, tile.threads
    own = [(i, j) for i in range(tile.own_rows) for j in range(tile.own_columns)]
    wide, aligned = -(-columns // tile.columns), "" if simulated() else ", alignment=16"
    yield "def product(a, b, c, rows, status):"
    yield f"    left = cuda.shared.array(({tile.terms}, {tile.rows + PAD}), {dtype}{aligned})"
    yield f"    right = cuda.shared.array(({tile.terms}, {tile.columns + PAD}), {dtype}{aligned})"
    yield "    thread = cuda.threadIdx.x"
    yield f"    row, column = cuda.blockIdx.x // {wide} * {tile.rows}, cuda.blockIdx.x % {wide} * {tile.columns}"
    yield f"    x = thread % {tile.columns // tile.own_columns} * {tile.own_columns}"
    yield f"    y = thread // {tile.columns // tile.own_columns} * {tile.own_rows}"
    yield from (f"    sum{i}_{j} = {dtype}(0)" for i, j in own)
    yield f"    for first in range(0, {terms}, {tile.terms}):"
    moved = {"a": tile.rows * tile.terms, "b": tile.terms * tile.columns}
    for name, size in moved.items():
        for k in range(-(-size // threads)):  # all reads are under way before one is waited for
            yield f"        place = thread + {k * threads}"
            yield f"        {name}{k} = {dtype}(0)"
            if name == "a":
                yield f"        i, k = row + place // {tile.terms}, first + place % {tile.terms}"
                yield f"        if place < {size} and i < rows and k < {terms}:"
                yield f"            a{k} = a[at(i * {terms} + k)]"
            else:
                k_of, j_of = (f"place % {tile.terms}", f"place // {tile.terms}") if p.flipped else (
                    f"place // {tile.columns}", f"place % {tile.columns}")  # fmt: skip
                yield f"        k, j = first + {k_of}, column + {j_of}"
                yield f"        if place < {size} and k < {terms} and j < {columns}:"
                yield f"            b{k} = b[at({f'j * {terms} + k' if p.flipped else f'k * {columns} + j'})]"
    yield "        cuda.syncthreads()  # nobody needs the tile before any more"
    for name, size in moved.items():
        for k in range(-(-size // threads)):
            yield f"        place = thread + {k * threads}"
            yield f"        if place < {size}:"
            if name == "a":
                yield f"            left[at(place % {tile.terms}), at(place // {tile.terms})] = a{k}"
            elif p.flipped:
                yield f"            right[at(place % {tile.terms}), at(place // {tile.terms})] = b{k}"
            else:
                yield f"            right[at(place // {tile.columns}), at(place % {tile.columns})] = b{k}"
    yield "        cuda.syncthreads()"
    yield f"        for k in range({tile.terms}):"
    yield from (f"            p{i} = left[at(k), at(y + {i})]" for i in range(tile.own_rows))
    yield from (f"            q{j} = right[at(k), at(x + {j})]" for j in range(tile.own_columns))
    yield from (f"            sum{i}_{j} += p{i} * q{j}" for i, j in own)
    for i in range(tile.own_rows):
        yield f"    if row + y + {i} < rows:"
        for j in range(tile.own_columns):
            yield f"        if column + x + {j} < {columns}:"
            yield f"            c[at((row + y + {i}) * {columns} + column + x + {j})] = sum{i}_{j}"
    yield "    return"
