"""Sums whose rounding is left open: by partial sums side by side, as NumPy adds, so that loops over them are turned
into vectors; and of products, in one instruction where the processor has it."""

from __future__ import annotations

from typing import Any

import numba
from numba import types

from scancc_runtime.flat import load, pointer
from scancc_runtime.scalar import ScalarEmitter, scalar_function


@scalar_function(types.Float)
def partial(e: ScalarEmitter, total: Any, x: Any) -> Any:
    """total + x, an addition that may be done in any order with others of its kind."""
    return e.b.fadd(total, x, flags=("reassoc",))


@scalar_function(types.Float)
def multiply_add(e: ScalarEmitter, x: Any, y: Any, z: Any) -> Any:
    """x * y + z. Two instructions that may become one are no longer that where the product has another reader."""
    return e.llvm("fmuladd", x, y, z)


@numba.njit(nogil=True, error_model="numpy", fastmath={"reassoc"})
def total(x, x0, n):  # type: ignore[no-untyped-def]
    """The sum of x[x0 : x0 + n] in the dtype of x; LLVM keeps several partial sums in vectors."""
    data = pointer(x, x0)
    found = x.dtype.type(0)
    for i in range(n):
        found += load(data, i)
    return found
