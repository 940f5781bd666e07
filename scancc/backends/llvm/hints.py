"""What LLVM is told of loops, and for which of them it is kept from work that buys nothing.

    a row       a loop of a known number of elements: LLVM would unroll it before it looks for vectors, make scalars of
                what should be vectors, and thousands of instructions of a short loop. It is left whole until it is a
                loop over vectors, which may be unrolled; loops around rows are left whole for good.
    own         a loop each of whose iterations touches its own elements of every array that the loop stores to: none
                has to be compared with another when it runs.
    wide        a loop of many operations, which fill the processor as they are: LLVM would take several iterations at
                once, where it makes vectors, for that many times the code.
    long        a loop whose body is long straight code: LLVM would compare every access to memory with every other, to
                find out whether it can be vectorised (it cannot: steps wait for one another) and whether values stay in
                registers from one iteration to the next (the storage plan has done that). A second way out of the loop,
                behind a flag that nobody sets, keeps it from both. A hundred operations do not feel it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from llvmlite import ir
from scancc_runtime.code import linked_loops, loop_metadata

from scancc.ir.loop import Assign, Buffer, Const, Declare, Expr, For, Let, Load, Note, Stmt, Store
from scancc.ir.walk import accesses, expressions, operations, statements, subexpressions

MANY = 48  # accesses of an iteration; the analyses compare pairs, 1,000 of which take some milliseconds
ENOUGH = 64  # operations of an iteration
GROUP = re.compile(r'^!(\d+) = !\{ !"scancc.group", i64 \d+ \}', re.M)


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


def is_wide(s: For) -> bool:
    return not any(isinstance(i, For) for i in s.body) and operations(s.body) > ENOUGH


def is_own(s: For) -> bool:
    """Whether some axis of each array that is stored to has the loop's counter for a subscript, at every access."""
    if any(not isinstance(i, (Let, Assign, Declare, Store, Note)) for i in s.body):
        return False
    touched: dict[Buffer, list[tuple[Expr, ...]]] = {}
    stored: set[Buffer] = set()
    for i in s.body:
        for buffer, index, stores in accesses(i):
            touched.setdefault(buffer, []).append(index)
            if stores:
                stored.add(buffer)
    return bool(stored) and all(
        any(all(index[axis] == s.var for index in touched[b]) for axis in range(len(b.shape))) for b in stored
    )


def _is_unrolled(s: For) -> bool:
    return is_row(s) and s.stop.value - s.start.value <= 2  # type: ignore[union-attr]


def _accesses(s: Stmt) -> int:
    loads = sum(isinstance(x, Load) for e in expressions(s) for x in subexpressions(e))
    return loads + isinstance(s, Store)


class Hints:
    """Metadata of the loops of a module."""

    def __init__(self, module: ir.Module) -> None:
        self.module, self.count = module, 0

    def of(self, s: For, blocks: Sequence[ir.Block]) -> Any:
        """The metadata of a loop whose body is these blocks; None where there is nothing to say."""
        hints = []
        if is_known(s):
            hints.append(self._node("llvm.loop.unroll.disable"))
            if is_row(s):
                vectorised = self._node("llvm.loop.isvectorized", ir.IntType(32)(1))
                hints.append(self._node("llvm.loop.vectorize.followup_vectorized", vectorised))
        if is_wide(s):
            hints.append(self._node("llvm.loop.interleave.count", ir.IntType(32)(1)))
        if is_own(s):
            self.count += 1
            group = self._node("scancc.group", ir.IntType(64)(self.count))
            for i in (i for b in blocks for i in b.instructions if i.opname in ("load", "store")):
                i.set_metadata("llvm.access.group", group)
            hints.append(self._node("llvm.loop.parallel_accesses", group))
        return loop_metadata(self.module, *hints) if hints else None

    def _node(self, *operands: Any) -> Any:
        return self.module.add_metadata(list(operands))

    def written(self, text: str) -> str:
        """The text of the module, with what llvmlite cannot say of metadata."""
        return str(linked_loops(GROUP.sub(r"!\1 = distinct !{}", text)))
