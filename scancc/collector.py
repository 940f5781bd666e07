"""Python's cyclic collector, which rests while programs are traced and compiled.

Tracing and compiling make many objects and leave few circles of them. The collector counts objects that are made; at
certain counts it looks at all that the process has, which takes longer than compiling a small program.
"""

from __future__ import annotations

import gc
import os
import threading
from typing import Any

from scancc import locks


class _Paused:
    """`with PAUSED:` the collector rests, in all threads. When the last block ends it works again, if it did before."""

    def __init__(self) -> None:
        self._lock = locks.lock()
        self._blocks: dict[int, int] = {}  # by thread
        self._worked = False

    def __enter__(self) -> None:
        me = threading.get_ident()
        with self._lock:
            if not self._blocks:
                self._worked = gc.isenabled()
                gc.disable()
            self._blocks[me] = self._blocks.get(me, 0) + 1

    def __exit__(self, *error: Any) -> None:
        me = threading.get_ident()
        with self._lock:
            self._blocks[me] -= 1
            if not self._blocks[me]:
                del self._blocks[me]
            self._resume()

    def _resume(self) -> None:
        if not self._blocks and self._worked:
            gc.enable()

    def in_child(self) -> None:
        """Of a fork: the blocks of other threads never end."""
        if self._blocks:
            me = threading.get_ident()
            self._blocks = {me: self._blocks[me]} if me in self._blocks else {}
            self._resume()


PAUSED = _Paused()
os.register_at_fork(after_in_child=PAUSED.in_child)
