"""Functions of ours as methods of a class: one for each object, which closes over the object.

    class Model:
        @sc.jit
        def step(self, x): return x * self.rate        Model().step(x)  reads self.rate as any other captured value
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from types import MethodType
from typing import Any


class Methods:
    """What was made for the objects that were used last."""

    KEPT = 64

    def __init__(self, fn: Callable) -> None:
        self._fn = fn
        self._lock = threading.Lock()
        self._made: OrderedDict[int, tuple[Any, Any]] = OrderedDict()

    def of(self, instance: Any, make: Callable[[Callable], Any]) -> Any:
        """`make` of the bound method, kept for the next time."""
        with self._lock:
            found = self._made.get(id(instance))
            if found is None:
                # The object is kept alive together with what was made for it, so its id stays its own.
                found = self._made[id(instance)] = instance, make(MethodType(self._fn, instance))
                if len(self._made) > self.KEPT:
                    self._made.popitem(last=False)
            self._made.move_to_end(id(instance))
        return found[1]
