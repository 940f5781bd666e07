"""How a value of the scan IR exists while it is lowered: in registers, or as a function of its indices."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from scancc.ir.loop import Expr, Place

Index = tuple[Expr, ...]


@dataclass(eq=False, slots=True)
class Registers:
    """An unrolled array: one scalar expression an element (an object array of the value's shape)."""

    elements: Any


@dataclass(eq=False, slots=True)
class Lazy:
    """An array given by its elements: `at(index)` is the expression of one. Nothing is stored by itself.

    `place` is set when the elements lie in memory in row-major order from there on, with `row_stride` elements
    from row to row (None: densely). `transposed` says that this holds for the transpose instead (rank 2).
    """

    at: Callable[[Index], Expr]
    place: Place | None = None
    row_stride: Expr | None = None
    transposed: bool = False
    flipped: Place | None = None  # where the rows lie, last row first


Value = Registers | Lazy


def registers(elements: object, shape: tuple[int, ...]) -> Registers:
    """Registers from a nested list or a flat list of expressions."""
    array = np.empty(shape, dtype=object)
    flat = array.reshape(-1)
    for i, e in enumerate(elements):  # type: ignore[arg-type, var-annotated]
        flat[i] = e
    return Registers(array)
