"""Sums whose rounding is left open: by partial sums side by side, as NumPy adds, so that loops over them are turned
into vectors; and of products, in one instruction where the processor has it."""

from __future__ import annotations

from typing import Any

from scancc_runtime.code import Array, Code, Int, Numbers
from scancc_runtime.scalar import ScalarEmitter, scalar_function


@scalar_function("f")
def partial(e: ScalarEmitter, total: Any, x: Any) -> Any:
    """total + x, an addition that may be done in any order with others of its kind."""
    return e.b.fadd(total, x, flags=("reassoc",))


@scalar_function("f")
def multiply_add(e: ScalarEmitter, x: Any, y: Any, z: Any) -> Any:
    """x * y + z. Two instructions that may become one are no longer that where the product has another reader."""
    return e.llvm("fmuladd", x, y, z)


def total(code: Code, x: Array, n: Int) -> Any:
    """The sum of n elements in the dtype of x; LLVM keeps several partial sums in vectors."""
    numbers = Numbers(code.b, x.dtype, ("reassoc",))
    found = code.variable(numbers.constant(0))
    for i in code.loop(0, n):
        found.set(numbers.add(found.get(), x.at(i).load()))
    return found.get()
