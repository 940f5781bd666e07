"""Numbers that change from trace to trace: where two programs differ in constants only, these become inputs.

    rate = 0.1: y = x * 0.1        rate = 0.2: y = x * number, number = 0.2        rate = 0.3: the same program, 0.3

The first value is a constant of its program, which is the fastest. With the second the function is traced once more,
with those constants as inputs, and all further ones run that program: each costs a trace, and nothing is compiled.
"""

from __future__ import annotations

import hashlib
import re
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import numpy as np

from scancc.ir.graph import Graph
from scancc.ir.printer import show

REMEMBERED = 1024  # forms of programs, the latest used ones
LARGEST = 64  # elements of a constant that may become an input
_CONSTANT = re.compile(r"(= const )[^\n]*")


class Trace(Protocol):
    """A finished trace: its graph, and the constants in it in the order in which they were met."""

    graph: Graph
    constants: list[np.ndarray]


T = TypeVar("T", bound=Trace)


class _Histories:
    """What the constants were when a program of a form was first traced, and which have been seen to differ."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: OrderedDict[Any, tuple[list[bytes], frozenset[int]]] = OrderedDict()

    def differing(self, trace: Trace) -> frozenset[int]:
        """Constants that are others than those of the first program of this form; empty for that program itself."""
        values = [c.tobytes() for c in trace.constants]
        key = _form(trace)
        with self._lock:
            first, seen = self._known.setdefault(key, (values, frozenset()))
            self._known.move_to_end(key)
            if len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
            found = frozenset(i for i, (a, b) in enumerate(zip(first, values, strict=True)) if a != b)
            if not found:
                return found
            self._known[key] = first, seen | found
        return frozenset(i for i in seen | found if _can_vary(trace.constants[i]))


def _form(trace: Trace) -> bytes:
    """A program but for the values of its constants."""
    text = _CONSTANT.sub(r"\1", show(trace.graph)) + "".join(f"{c.dtype}{c.shape};" for c in trace.constants)
    return hashlib.sha256(text.encode()).digest()


def _can_vary(constant: np.ndarray) -> bool:
    return constant.size <= LARGEST and constant.dtype.kind in "iufc" and constant.dtype.itemsize > 2


_HISTORIES = _Histories()


def traced(trace: Callable[[frozenset[int]], T]) -> T:
    """`trace(varying)`, which makes inputs of some constants, for those that have been seen to vary."""
    plain = trace(frozenset())
    varying = _HISTORIES.differing(plain) if plain.constants else frozenset[int]()
    if not varying:
        return plain
    try:
        return trace(varying)
    except Exception:  # a place where only a constant will do, such as a number of axes
        return plain
