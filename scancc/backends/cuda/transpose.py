"""Moves the axis of lanes to the end of an array on a device, or its front, where threads read neighbours.

Tiles go through a block's own memory: rows of a tile are read and written as they lie (Ruetsch and Micikevicius,
"Optimizing Matrix Transpose in CUDA", 2009). A tile's rows are one element longer than they need be, so that a column
lies in as many banks as it has elements.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numba
import numpy as np

from scancc.backends.cuda import offline
from scancc.backends.cuda.arrays import DeviceArray, empty
from scancc.backends.cuda.toolkit import TRAFFIC, cuda, simulated, stream

TILE, ROWS = 32, 8  # elements of a tile's side; rows of threads
WORDS = {1: "uint8", 2: "uint16", 4: "uint32", 8: "uint64", 16: "complex128"}  # elements are only moved

SOURCE = """
def transpose(source, target, lanes, inner):  # source[outer, lanes, inner] to target[outer, inner, lanes]
    tile = cuda.shared.array(({tile}, {tile} + 1), np.{word})
    x, y = cuda.threadIdx.x % {tile}, cuda.threadIdx.x // {tile}
    wide, high = (inner + {tile} - 1) // {tile}, (lanes + {tile} - 1) // {tile}
    block = cuda.blockIdx.x
    part, block = block // (wide * high), block % (wide * high)
    lane, at = (block // wide) * {tile}, (block % wide) * {tile}
    for r in range(y, {tile}, {rows}):
        if lane + r < lanes and at + x < inner:
            tile[r, x] = source[(part * lanes + lane + r) * inner + at + x]
    cuda.syncthreads()
    for r in range(y, {tile}, {rows}):
        if at + r < inner and lane + x < lanes:
            target[(part * inner + at + r) * lanes + lane + x] = tile[x, r]
"""


def moved(a: DeviceArray, axis: int, first: bool = False) -> DeviceArray:
    """The array with `axis` moved to the end, or to the front. Raises DeviceError where there is no room for it."""
    there = DeviceArray(a.memory, lambda m: np.moveaxis(a.view_of(m), axis, 0 if first else -1), a.kind)
    if there.is_contiguous or not a.size:
        return there  # it lies in memory like that already
    memory = a.contiguous()
    before, after = (int(np.prod(n, dtype=np.int64)) for n in (a.shape[:axis], a.shape[axis + 1 :]))
    lanes, inner = (before, a.shape[axis]) if first else (a.shape[axis], after)  # the two axes that change places
    outer = a.size // (lanes * inner)
    if first and after > 1:
        return moved(moved(a, axis), a.ndim - 1, first)
    target = empty(there.shape, memory.dtype)
    side, rows = (4, 2) if simulated() else (TILE, ROWS)
    blocks = outer * -(-lanes // side) * -(-inner // side)
    word = WORDS[memory.dtype.itemsize]
    flat = [m.reshape(a.size).view(np.dtype(word)) for m in (memory, target)]
    TRAFFIC["launch"] += 1
    _kernel(word, side, rows)[blocks, side * rows, stream()](*flat, lanes, inner)
    dtype = a.dtype
    return DeviceArray(target, None if dtype == memory.dtype else lambda m: m.view(dtype), a.kind)


@cache
def _kernel(word: str, side: int, rows: int) -> Any:
    return cuda().jit(function(word, side, rows, cuda()))


def ptx(word: str, cc: tuple[int, int]) -> str:
    """The kernel compiled without a device."""
    flat = numba.types.Array(numba.from_dtype(np.dtype(word)), 1, "C")
    signature = (flat, flat, numba.types.int64, numba.types.int64)
    return offline.ptx_of(lambda module: function(word, TILE, ROWS, module), signature, False, cc)


def source(word: str, side: int, rows: int) -> str:
    return SOURCE.format(tile=side, rows=rows, word=word)


def function(word: str, side: int, rows: int, module: Any) -> Any:
    """The kernel in Python, for elements of the dtype `word`."""
    scope: dict[str, Any] = {"cuda": module, "np": np}
    exec(source(word, side, rows), scope)
    return scope["transpose"]
