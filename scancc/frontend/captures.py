"""What a function reads of the world around it: recorded when it is traced, compared at each call.

    rate = 0.5
    def step(x, h): return x + rate * h         Read("item", step.__globals__, "rate", 0.5)

`reachable.py` finds what can be read; here is what is done with it. A read holds where a value was found and the value.
The same object is the same value. So is an equal number or text of the same type; anything else is another value, and
the function is traced anew. Arrays are inputs of the program, so what is in them may change; where Python itself may
have looked at their elements while the function was traced, those of small ones are compared, too, and where NumPy has
computed something then, those of all: such a call reads them, and what they were, once more.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

MISSING = object()  # where there was nothing
_PLAIN = (int, bool, str, bytes, type(None), range, slice, np.dtype)


def same(a: Any, b: Any) -> bool:
    """Whether a value is what it was: the same object, or an equal immutable one of the same type."""
    if a is b:
        return True
    kind = type(a)
    if kind is not type(b):
        return False
    if kind is float:
        return bool(a == b) and math.copysign(1, a) == math.copysign(1, b)
    if kind is complex:
        return same(a.real, b.real) and same(a.imag, b.imag)
    if kind is tuple:
        return len(a) == len(b) and all(map(same, a, b))
    if kind is frozenset:
        return bool(a == b) and {type(x) for x in a} == {type(x) for x in b}
    if issubclass(kind, np.generic) and a.dtype.kind in "biufc":
        return bool(a.dtype == b.dtype) and a.tobytes() == b.tobytes()
    return kind in _PLAIN and bool(a == b)


@dataclass(frozen=True, eq=False, slots=True)
class Read:
    """A place and what was found there. `kind` says how it is read; see `now`."""

    kind: str
    holder: Any
    key: Any
    value: Any

    def now(self) -> Any:
        """What is there by now."""
        try:
            match self.kind:
                case "item":  # of a dict: globals, the attributes of an object or module, a user's own
                    return self.holder[self.key] if self.key in self.holder else MISSING
                case "cell":
                    return self.holder.cell_contents
                case "attribute":
                    return getattr(self.holder, self.key, MISSING)
                case "class":  # an attribute of a class itself
                    return vars(self.holder).get(self.key, MISSING)
                case "context":
                    return self.holder.get(MISSING)
                case "members":
                    return frozenset(self.holder)
                case _:  # "elements": of a list, or the keys of a dict
                    return tuple(self.holder)
        except Exception:  # whatever a user's object does: it is not what it was
            return MISSING

    def unchanged(self) -> bool:
        return same(self.now(), self.value)

    def source(self, bind: Callable[[Any], str], miss: str) -> list[str]:
        """Lines that return `miss` where there is another value; they may raise, which means the same."""
        holder, value = bind(self.holder), bind(self.value)
        match self.kind:
            case "item" if self.value is not MISSING and type(self.holder) is dict:
                now = f"{holder}[{bind(self.key)}]"
            case "item" if type(self.holder) is dict:
                return [f"if {bind(self.key)} in {holder}: {miss}"]
            case "class":
                now = f"{bind(vars(self.holder))}[{bind(self.key)}]"
            case "cell":
                now = f"{holder}.cell_contents"
            case "attribute" if self.value is not MISSING:
                now = f"{holder}.{self.key}"
            case _:
                return [f"if not {bind(self.unchanged)}(): {miss}"]
        return [f"now_ = {now}", f"if now_ is not {value} and not {bind(same)}(now_, {value}): {miss}"]


def kind_of(array: np.ndarray) -> tuple:
    return array.shape, array.dtype


class Captures:
    """All that a trace may have read: `reads`, and the `arrays` among their values.

    `looks` says that Python may have looked at elements. `settle` is called when the trace is over.
    """

    def __init__(self, reads: list[Read], arrays: list[np.ndarray], looks: bool) -> None:
        self.reads = reads
        self._looks = looks
        self._taken: list[tuple[np.ndarray, tuple]] = []  # arrays that the program takes, with shapes and dtypes
        self._other: list[tuple[np.ndarray, tuple]] = []
        self._elements: list[tuple[np.ndarray, bytes]] = []
        self._arrays = [(a, kind_of(a), a.tobytes() if a.nbytes <= SMALL else None) for a in arrays]

    def settle(self, bound: Mapping[str, Any], numbers: Iterable[Any]) -> None:
        """Decide what is to be compared of arrays, now that the trace has shown what the program takes.

        A captured array that shares no memory with one that was read has been computed by NumPy while the function was
        traced, perhaps from those; so has a number of NumPy's that nobody holds.
        """
        taken = [b for b in bound.values() if isinstance(b, np.ndarray)]
        held = {id(r.value) for r in self.reads}
        made = any(not any(np.may_share_memory(t, a) for a, *_ in self._arrays) for t in taken)
        computed = made or any(isinstance(n, np.generic) and id(n) not in held for n in numbers)
        self._taken = [(t, kind_of(t)) for t in taken]
        direct = {id(t) for t in taken}
        self._other = [(a, kind) for a, kind, _ in self._arrays if id(a) not in direct]
        if computed or self._looks:
            self._elements = [(a, a.tobytes() if text is None else text) for a, _, text in self._arrays
                              if computed or text is not None or id(a) not in direct]  # fmt: skip

    def unchanged(self) -> bool:
        """Whether another trace would read the same."""
        kinds = all(kind_of(a) == kind for a, kind in (*self._taken, *self._other))
        return kinds and all(r.unchanged() for r in self.reads) and self._same_elements()

    def tests(self, bind: Callable[[Any], str], miss: str) -> list[str]:
        """The same as lines of code, which do `miss` or raise where something has changed.

        Shapes and dtypes of arrays that the program takes are left out: those are tested with its inputs.
        """
        lines = [line for r in self.reads for line in r.source(bind, miss)]
        lines += [f"if {bind(kind_of)}({bind(a)}) != {bind(kind)}: {miss}" for a, kind in self._other]
        if self._elements:
            lines.append(f"if not {bind(self._same_elements)}(): {miss}")
        return lines

    def _same_elements(self) -> bool:
        return all(a.tobytes() == text if a.nbytes <= 512 else _equal(a, text) for a, text in self._elements)


SMALL = 1 << 16  # bytes of an array that is compared wherever Python may have looked at it


def _equal(array: np.ndarray, text: bytes) -> bool:
    if not array.flags.c_contiguous:
        return array.tobytes() == text
    word = np.uint64 if array.nbytes % 8 == 0 else np.uint8
    return bool(np.array_equal(array.reshape(-1).view(word), np.frombuffer(text, word)))
