"""Lengths of buffers as Python expressions of what the host knows of a call: see `host.py`."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import numpy as np

from scancc.ir.loop import Const, Expr, Op, Var
from scancc.passes.lower import Lowered

INFIX = {
    "add": "+", "subtract": "-", "multiply": "*", "floor_divide": "//", "remainder": "%",
    "less": "<", "less_equal": "<=", "greater": ">", "greater_equal": ">=", "equal": "==", "not_equal": "!=",
}  # fmt: skip
DIVISIONS = frozenset({"floor_divide", "remainder"})  # by zero Python raises and NumPy does not


class Lengths:
    """Writes lengths; those that have a name are written to `lines` where they are first used."""

    def __init__(self, lowered: Lowered, inputs: Iterable[str], lines: list[str]) -> None:
        self.definitions = lowered.definitions
        self.of_arrays = {v for v, _, _ in lowered.lengths}
        self.known = {*inputs, *(v.name for v in self.of_arrays)}
        self.lines = lines
        self.numbers = itertools.count()
        self.divide = False  # whether any of them divides

    def text(self, e: Expr) -> str:
        match e:
            case Const(value, _):
                return str(int(value))
            case Var(name, _):
                if name not in self.known:
                    self.known.add(name)
                    text = self.text(self.definitions[name])
                    self.lines.append(f"{name} = {text}")
                return name
            case Op("cast", (x,), _):
                return f"int({self.text(x)})"
            case Op(("minimum" | "maximum") as name, (a, b), _):
                return self._extreme("<" if name == "minimum" else ">", self.text(a), self.text(b))
            case Op("where", (condition, a, b), _):
                return f"({self.text(a)} if {self.text(condition)} else {self.text(b)})"
            case Op(name, (a, b), _) if name in INFIX:
                self.divide |= name in DIVISIONS
                return f"({self.text(a)} {INFIX[name]} {self.text(b)})"
            case Op(name, args, _) if hasattr(np, name):
                return f"np_.{name}({', '.join(map(self.text, args))}).item()"
            case _:
                raise AssertionError(f"not a length: {e}")

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
