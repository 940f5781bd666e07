"""Regions: the branches and loops on traced values that are being traced, and the functions that scancc calls.

What a branch or loop assigns to arrays from outside is noted in its region, so that a branch can be taken back before
the other one is traced, and a loop knows what it carries. A function that scancc calls (a step, the function given to
`grad`) is a region of another kind: it assigns to its own arrays only.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any


@dataclass(eq=False)
class Region:
    """A part of a trace; `before` has the values that arrays from outside had when it began to assign to them."""

    own_arrays_only: bool = False
    before: dict[Any, Any] = field(default_factory=dict)
    found: dict[Any, str] = field(default_factory=dict)  # since where values of arrays were unknown, if at all
    containers: dict[int, tuple[Any, int]] = field(default_factory=dict)  # made in it, by id, and in how many regions


class _Regions(threading.local):
    def __init__(self) -> None:
        self.stack: list[Region] = []


_regions = _Regions()


@contextmanager
def region(own_arrays_only: bool = False) -> Iterator[Region]:
    """A region; what it did to arrays from outside is taken back at its end."""
    made = Region(own_arrays_only)
    _regions.stack.append(made)
    try:
        yield made
    finally:
        _regions.stack.pop()
        for array, value in made.before.items():
            array.hold(value)
        for array, lost in made.found.items():
            array.lost = lost


def function_body() -> Any:
    """The region of a function that scancc calls."""
    return region(own_arrays_only=True)


def in_branch_or_loop() -> bool:
    """Whether a branch or loop on traced values is being traced, within the function that scancc called last."""
    return bool(_regions.stack) and not _regions.stack[-1].own_arrays_only


def home_of_arrays() -> Region | None:
    """The innermost function that scancc called."""
    return next((r for r in reversed(_regions.stack) if r.own_arrays_only), None)


def innermost() -> Region | None:
    return _regions.stack[-1] if _regions.stack else None


def note_container(value: Any) -> Any:
    """A list, dict or set that is made here: what is done to it in the same region needs not be taken back."""
    home = home_of_arrays()
    if home is not None:
        home.containers[id(value)] = value, array_depth()
    return value


def is_from_outside(container: Any) -> bool:
    """Whether a branch or loop on traced values is being traced, and a list, dict or set was made before it."""
    home = home_of_arrays()
    if home is None or not in_branch_or_loop():
        return False
    found = home.containers.get(id(container))
    return found is None or found[1] < array_depth()


def array_depth() -> int:
    """How many regions an array that is made now is in."""
    return len(_regions.stack)
