"""What LLVM is told of loops, and for which of them it is kept from work that buys nothing.

    a row       a loop of a known number of elements: LLVM would unroll it before it looks for vectors, make scalars of
                what should be vectors, and thousands of instructions of a short loop. It is left whole until it is a loop
                over vectors, which may be unrolled; loops around rows are left whole for good.
    long        a loop whose body is long straight code: LLVM would compare every access to memory with every other, to
                find out whether it can be vectorised (it cannot: steps wait for one another) and whether values stay in
                registers from one iteration to the next (the storage plan has done that). A second way out of the loop,
                a flag, keeps it from both. An iteration of a hundred operations does not feel it.
"""

from __future__ import annotations

import re
from typing import Any

from llvmlite import ir

from scancc.ir.loop import Const, For, Load, Stmt, Store
from scancc.ir.walk import expressions, statements, subexpressions

MANY = 48  # accesses of an iteration; the analyses compare pairs, 1,000 of which take some milliseconds
LOOP = re.compile(r'^!(\d+) = !\{ !"scancc.loop", i64 \d+(, )?', re.M)


def is_known(s: For) -> bool:
    """Whether the number of iterations is known."""
    return isinstance(s.start, Const) and isinstance(s.stop, Const)


def is_row(s: For) -> bool:
    return is_known(s) and not any(isinstance(i, For) for i in s.body)


def is_long(s: For) -> bool:
    """Whether its own body, outside of loops in it, has many accesses to memory."""
    if any(isinstance(i, For) and not _is_unrolled(i) for i in statements(s.body)):
        return False  # only innermost loops are looked at
    return sum(_accesses(i) for i in statements(s.body)) > MANY


def _is_unrolled(s: For) -> bool:
    return is_row(s) and s.stop.value - s.start.value <= 2  # type: ignore[union-attr]


def _accesses(s: Stmt) -> int:
    loads = sum(isinstance(x, Load) for e in expressions(s) for x in subexpressions(e))
    return loads + isinstance(s, Store)


class Hints:
    """Metadata of the loops of a module."""

    def __init__(self, module: ir.Module) -> None:
        self.module, self.count = module, 0

    def whole(self, s: For) -> Any:
        """For a loop of a known number of iterations, which LLVM would unroll with all loops in it."""
        hints = [self._node("llvm.loop.unroll.disable")]
        if is_row(s):
            vectorised = self._node("llvm.loop.isvectorized", ir.IntType(32)(1))
            hints.append(self._node("llvm.loop.vectorize.followup_vectorized", vectorised))
        return self._loop(*hints)

    def _node(self, *operands: Any) -> Any:
        return self.module.add_metadata(list(operands))

    def _loop(self, *hints: Any) -> Any:
        self.count += 1
        return self._node("scancc.loop", ir.IntType(64)(self.count), *hints)

    def written(self, text: str) -> str:
        """The text of the module, where the metadata of a loop begins with itself: llvmlite cannot say that."""
        return LOOP.sub(lambda m: f"!{m.group(1)} = distinct !{{ !{m.group(1)}{m.group(2) or ''}", text)
