"""Locks, and what a fork does with them.

A child of a fork has the memory of its parent and only the thread that forked: a lock that another thread held would
be held for ever. So a fork waits until nobody compiles, whose work would be half done in the child, and other locks
are free there, unless the thread that forked holds them.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from typing import Any, Generic, TypeVar

T = TypeVar("T")

# Held by whoever makes a program or its machine code: LLVM is one for the process, and so are the tables of programs.
COMPILING = threading.RLock()
_made: weakref.WeakSet[Any] = weakref.WeakSet()


def lock() -> Any:
    """A lock that its thread may take again, for what is short or may be lost: see above."""
    made = threading.RLock()
    _made.add(made)
    return made


def _in_child() -> None:
    COMPILING.release()
    for made in _made:
        if not made._is_owned():
            made._at_fork_reinit()  # as the locks of the standard library do


os.register_at_fork(before=COMPILING.acquire, after_in_parent=COMPILING.release, after_in_child=_in_child)


class made_once(Generic[T]):  # noqa: N801 - a decorator
    """`functools.cached_property` under the lock of who compiles: that of Python 3.11 has a lock of its own."""

    def __init__(self, make: Callable[[Any], T]) -> None:
        self._make, self._name, self.__doc__ = make, make.__name__, make.__doc__

    def __get__(self, owner: Any, kind: Any = None) -> T:
        if owner is None:
            return self  # type: ignore[return-value]
        with COMPILING:
            if self._name not in owner.__dict__:
                owner.__dict__[self._name] = self._make(owner)
        made: T = owner.__dict__[self._name]
        return made
