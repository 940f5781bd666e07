"""What is small and what is wide: the sizes at which passes, storage and lowering choose another form."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from scancc.ir.types import Type

REGISTER_ELEMENTS = 16  # arrays up to this size are unrolled into scalars, in a program that is not large
LANES = 256  # of a tile: their states stay in the first-level cache, with eight steps of inputs that have lanes first
FEW_LANES = 2 * LANES  # that are not worth tiles

_elements = ContextVar("elements", default=REGISTER_ELEMENTS)


def in_registers(type_: Type) -> bool:
    """Whether an array is held as scalars, one for each element."""
    size = type_.size
    return size is not None and size <= _elements.get()


def register_elements() -> int:
    """The size up to which arrays are unrolled, in the program that is being lowered."""
    return _elements.get()


@contextmanager
def unrolled_up_to(elements: int) -> Iterator[None]:
    before = _elements.set(elements)
    try:
        yield
    finally:
        _elements.reset(before)
