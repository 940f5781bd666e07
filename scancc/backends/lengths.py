"""Lengths of buffers as Python expressions of what the host knows of a call: see `host.py`.

A kernel computes some of them again, and reads and writes as many rows. So they are the same numbers to the last bit:
integers of the dtype that the program has, which wrap where they leave it. Lengths that are made of sums or products of
floats are not among them: a kernel allocates such arrays itself (`exact` in `ir/lengths.py`).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from scancc.backends.llvm.ranges import LONGEST, Ranges
from scancc.ir.loop import BOOL, INT64, Const, Expr, Op, Var
from scancc.passes.lower import Lowered

INFIX = {
    "add": "+", "subtract": "-", "multiply": "*",
    "less": "<", "less_equal": "<=", "greater": ">", "greater_equal": ">=", "equal": "==", "not_equal": "!=",
}  # fmt: skip


def floor_divide(a: int, b: int) -> int:
    """By zero it is 0, as in NumPy."""
    return a // b if b else 0


def remainder(a: int, b: int) -> int:
    return a % b if b else 0


def as_int64(x: float) -> int:
    """What is no integer of 64 bits becomes the least, as processors do it."""
    return int(x) if -(2.0**63) <= x < 2.0**63 else -(2**63)


def _of_floats(function: np.ufunc) -> Callable[[float], float]:
    def call(x: float) -> float:
        with np.errstate(all="ignore"):
            return float(function(x))

    return call


FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "floor_divide_": floor_divide, "remainder_": remainder, "as_int64_": as_int64,
    **{f"{f.__name__}_": _of_floats(f) for f in (np.sqrt, np.ceil, np.floor, np.cbrt)},
}  # fmt: skip


class Lengths:
    """Writes lengths; those that have a name are written to `lines` where they are first used."""

    def __init__(self, lowered: Lowered, inputs: Iterable[str], lines: list[str]) -> None:
        self.definitions = lowered.definitions
        self.of_arrays = {v for v, _, _ in lowered.lengths}
        self.inputs = frozenset(inputs)
        self.known = {v.name for v in self.of_arrays}
        self.lines = lines
        self.numbers = itertools.count()
        self.ranges = Ranges()
        self.ranges.known |= dict.fromkeys(self.known, (0, LONGEST))

    def text(self, e: Expr) -> str:
        match e:
            case Const(value, _):
                return str(int(value))
            case Var(name, _) if name in self.inputs:
                return f"int({name})"
            case Var(name, _):
                if name not in self.known:
                    self.known.add(name)
                    text = self.text(self.definitions[name])
                    self.ranges.learn(e, self.definitions[name])
                    self.lines.append(f"{name} = {text}")
                return name
            case Op(("minimum" | "maximum") as name, (a, b), _):
                return self._extreme("<" if name == "minimum" else ">", self.text(a), self.text(b))
            case Op("where", (condition, a, b), _):
                return f"({self.text(a)} if {self.text(condition)} else {self.text(b)})"
            case Op("cast", (x,), dtype) if dtype.kind == "f":
                return f"float({self.text(x)})"
            case Op("cast", (x,), _) if x.dtype.kind == "f":
                return f"as_int64_({self.text(x)})"
            case Op(("sqrt" | "ceil" | "floor" | "cbrt") as name, (x,), _):
                return f"{name}_({self.text(x)})"
            case Op("cast", (x,), _):
                return self._wrapped(e, self.text(x))
            case Op(("floor_divide" | "remainder") as name, (a, b), _):
                return self._wrapped(e, f"{name}_({self.text(a)}, {self.text(b)})")
            case Op(name, (a, b), _) if name in INFIX:
                return self._wrapped(e, f"({self.text(a)} {INFIX[name]} {self.text(b)})")
            case _:
                raise AssertionError(f"not a length: {e}")

    def _wrapped(self, e: Op, text: str) -> str:
        """The integer that the dtype has for it."""
        if e.dtype == BOOL:
            return text if e.name != "cast" else f"({text} != 0)"
        if e.dtype == INT64 and self._fits(e):
            return text
        bits, half = 8 * e.dtype.itemsize, 1 << 8 * e.dtype.itemsize - 1
        if e.dtype.kind == "u":
            return f"({text} & {(1 << bits) - 1})"
        return f"(({text} + {half} & {(1 << bits) - 1}) - {half})"

    def _fits(self, e: Op) -> bool:
        if e.name == "cast":
            return e.args[0].dtype.kind in "ib" or e.args[0].dtype.itemsize < 8
        return self.ranges.fits(e.name, *e.args)

    def rows(self, d: Expr) -> str:
        """A length of a buffer; counts that are computed may be negative."""
        if isinstance(d, Const) or (isinstance(d, Var) and d in self.of_arrays):
            return self.text(d)
        return self._extreme(">", self.text(d), "0")

    def _extreme(self, sign: str, *operands: str) -> str:
        """The smaller or larger of two, without a call. What is not a name or a number is computed once."""
        names, firsts = [], []
        for text in operands:
            atom = text.isidentifier() or text.isdecimal()
            names.append(text if atom else f"operand_{next(self.numbers)}_")
            firsts.append(text if atom else f"({names[-1]} := {text})")
        return f"({names[0]} if {firsts[0]} {sign} {firsts[1]} else {names[1]})"
