"""What is small and what is wide: the sizes at which passes, storage and lowering choose another form."""

from __future__ import annotations

from scancc.ir.types import Type

REGISTER_ELEMENTS = 16  # arrays up to this size are unrolled into scalars
LANES = 256  # of a tile: their states stay in the first-level cache, with eight steps of inputs that have lanes first
FEW_LANES = 2 * LANES  # that are not worth tiles


def in_registers(type_: Type) -> bool:
    """Whether an array is held as scalars, one for each element."""
    size = type_.size
    return size is not None and size <= REGISTER_ELEMENTS
