"""Rows after the end of lanes that left their loop early: zeros, or the last row again, as a batch has them.

A kernel's lanes know nothing of one another, so what their traces hold after their ends is written by a launch of its
own, up to the end of the longest lane: neighbouring threads write neighbouring elements.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numba
import numpy as np

from scancc.backends.cuda import offline
from scancc.backends.cuda.toolkit import TRAFFIC, cuda, simulated, stream
from scancc.backends.cuda.transpose import WORDS

THREADS = 256

SOURCE = """
def fill(target, counts, lead, start, stop, inner, lanes, rows, repeats, zero):  # rows from lead + start to lead + stop
    p = cuda.grid(1)
    if p < (stop - start) * inner * lanes:
        lane, row, element = {place}
        end = lead + counts[lane]
        row += lead + start
        if row >= end:
            target[{here}] = target[{last}] if repeats and end > 0 else zero
"""
# Where an element is: with the lanes last in memory, and with the lanes first.
LAST = {
    "place": "p % lanes, p // (lanes * inner), p // lanes % inner",
    "here": "(row * inner + element) * lanes + lane",
    "last": "((end - 1) * inner + element) * lanes + lane",
}
FIRST = {
    "place": "p // (inner * (stop - start)), p // inner % (stop - start), p % inner",
    "here": "(lane * rows + row) * inner + element",
    "last": "(lane * rows + end - 1) * inner + element",
}


def fill(memory: Any, counts: Any, numbers: np.ndarray, lead: int, first: bool, repeats: bool) -> None:
    """Writes rows of `memory`, numba's array [rows, ..., lanes], or [lanes, rows, ...] where the lanes come `first`.

    `counts`: numba's array of how many rows of each lane are there, after `lead` rows in front; `numbers`: the same on
    the host. `repeats`: whether the last row stays; otherwise there are zeros.
    """
    start, stop = int(numbers.min()), int(numbers.max())
    if start == stop or not memory.size:
        return
    shape = tuple(memory.shape)
    lanes, rows = (shape[0], shape[1]) if first else (shape[-1], shape[0])
    inner = memory.size // (lanes * rows)
    word = WORDS[memory.dtype.itemsize]
    threads = 4 if simulated() else THREADS
    blocks = -(-(stop - start) * inner * lanes // threads)
    flat = memory.reshape(memory.size).view(np.dtype(word))
    TRAFFIC["launch"] += 1
    _kernel(word, first)[blocks, threads, stream()](
        flat, counts.reshape(counts.size), lead, start, stop, inner, lanes, rows, repeats, np.dtype(word).type(0)
    )


@cache
def _kernel(word: str, first: bool) -> Any:
    return cuda().jit(function(first, cuda()))


def function(first: bool, module: Any) -> Any:
    """The kernel in Python."""
    scope: dict[str, Any] = {"cuda": module}
    exec(SOURCE.format(**(FIRST if first else LAST)), scope)
    return scope["fill"]


def ptx(word: str, first: bool, cc: tuple[int, int]) -> str:
    """The kernel compiled without a device."""
    number = numba.from_dtype(np.dtype(word))
    arrays = numba.types.Array(number, 1, "C"), numba.types.Array(numba.types.int64, 1, "C")
    signature = (*arrays, *(numba.types.int64,) * 6, numba.types.boolean, number)
    return offline.ptx_of(lambda module: function(first, module), signature, False, cc)
