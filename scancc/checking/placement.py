"""Fresh places in memory for the arguments of a call, and for what the call allocates.

Where an array lies decides up to a fifth of the time of a kernel: rows that straddle cache lines, tables that meet in
the same set of a cache. A process that allocates once measures one such accident, again and again. Copies that start
on a cache line, at a random line of a page, measure all of them (Curtsinger and Berger 2013, "Stabilizer"). Results and
scratch buffers are allocated by the call; `shaken` has them lie elsewhere, too.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

LINE = 64  # bytes of a cache line, and of the widest vector
PAGE = 4096
BLOCKS, SMALL, LARGE = 400, 2048, 1 << 16  # blocks that are held, bytes: many small ones, a few large ones


def shaken(rng: np.random.Generator) -> list[np.ndarray]:
    """Blocks of memory of random sizes. While they are held, new arrays lie where they did not before.

    NumPy hands the block that was freed last out again, and so does the allocator below it: without this an array of
    a few rows has the same address in every call of a process.
    """
    sizes = [*rng.integers(16, SMALL, BLOCKS), *rng.integers(SMALL, LARGE, BLOCKS // 10)]
    held = [np.empty(int(size), np.uint8) for size in sizes]
    rng.shuffle(held)  # type: ignore[arg-type]  # a list, in place
    return held[: BLOCKS // 2]  # the others leave gaps


def placed(value: Any, rng: np.random.Generator, copies: dict[int, np.ndarray] | None = None) -> Any:
    """`value` with every NumPy array in its lists, tuples and dicts copied to a random cache line of a page.

    An array that occurs twice stays one array. Memory order is kept; views that are contiguous in neither order, arrays
    of objects and arrays of other libraries stay what they are.
    """
    copies = {} if copies is None else copies
    if type(value) is dict:
        return {k: placed(v, rng, copies) for k, v in value.items()}
    if type(value) in (list, tuple):
        return type(value)(placed(v, rng, copies) for v in value)
    if type(value) is not np.ndarray or value.dtype.hasobject:
        return value
    if id(value) not in copies:
        copies[id(value)] = _copy(value, rng)
    return copies[id(value)]


def _copy(array: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    if not (array.flags.c_contiguous or array.flags.f_contiguous):
        return array
    order: Literal["C", "F"] = "C" if array.flags.c_contiguous else "F"
    memory = np.empty(array.nbytes + PAGE + LINE, np.uint8)
    start = -memory.ctypes.data % LINE + LINE * int(rng.integers(PAGE // LINE))
    made: np.ndarray = np.ndarray(array.shape, array.dtype, memory, start, order=order)
    made[...] = array
    return made
