"""Loads and stores of stack slots in a loop: values that did not fit into registers."""

from __future__ import annotations

from scancc.static.assembly import Memory
from scancc.static.effects import effects_of
from scancc.static.loops import Loop


def stack_accesses(loop: Loop) -> int:
    """How many there are in an iteration; arrays on the stack, which are read by a subscript, are no slots."""
    bases = ("rsp", "rbp") if loop.function.frame_pointer else ("rsp",)

    def slot(place: Memory | None) -> bool:
        return place is not None and place.base in bases and place.index is None

    found = 0
    for i in loop.instructions():
        effects = effects_of(i)
        found += slot(effects.load) + slot(effects.store)
    return found
