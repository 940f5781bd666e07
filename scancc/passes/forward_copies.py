"""What is only made to be copied is made where the copy would be.

    before   for t in 0..n: store rows[t] = f(t)
             for c in 0..m: store joined[c] = 0
             for c in 0..n: store joined[m + c] = rows[c]
    after    for t in 0..n: store joined[m + t] = f(t)
             for c in 0..m: store joined[c] = 0

Lowering gives every value that needs memory some of its own: rows of a loop that are joined with others, as the
derivatives with respect to the rows of a sequence are with zeros for rows that no step reads, and what becomes a
result. A copy may go if it is of everything and the last use of its source, and if its target is used meanwhile for
other rows only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

from scancc.ir.loop import (
    Assign,
    Buffer,
    Call,
    Declare,
    Expr,
    For,
    Let,
    Load,
    Op,
    Place,
    Stmt,
    Store,
    Var,
    add,
    const_int,
)
from scancc.ir.rewrite import Rewriter
from scancc.ir.walk import accesses, blocks, statements, subexpressions, touched, variables
from scancc.passes.lower import Lowered

ZERO = const_int(0)


@dataclass(frozen=True, slots=True)
class Fill:
    """A nest of loops that only stores: axis a of `target` from starts[a] on, as many elements as counts[a]."""

    target: Buffer
    starts: tuple[Expr, ...]
    counts: tuple[Expr, ...]
    value: Expr
    loops: tuple[Var, ...]

    @property
    def source(self) -> Buffer | None:
        """What it is a copy of, from the first element to the last; None if it is of anything else."""
        value = self.value
        if not isinstance(value, Load) or value.index != self.loops or value.buffer.shape != self.counts:
            return None
        same = value.buffer is not self.target and value.buffer.dtype == self.target.dtype
        return value.buffer if same else None


def forward_copies(lowered: Lowered) -> Lowered:
    """The same program with less memory and fewer loops."""
    kernel, removed = lowered.kernel, set[Buffer]()
    while True:
        free = {b for b in lowered.allocated if b.role == "scratch"} - lowered.seen() - lowered.constants.keys()
        found = {c.source: c for c in _copies(kernel.body, _Uses(kernel.body), free - removed)}
        # One after the other where one's target is another's source: last first.
        now = {b: c for b, c in found.items() if b is not None and c.target not in found}
        if not now:
            break
        kernel = replace(kernel, body=_Forwarded(now).block(kernel.body))
        removed |= now.keys()
    if not removed:
        return lowered
    kernel = replace(kernel, params=[p for p in kernel.params if p not in removed])
    return replace(lowered, kernel=kernel, allocated=[b for b in lowered.allocated if b not in removed])


class _Uses:
    """How often the statements of a block name each buffer, and which are used by other things than elements."""

    def __init__(self, block: list[Stmt]) -> None:
        self.count = Counter(b for s in statements(block) for b in touched(s))
        self.elements = Counter(b for s in statements(block) for b, _, _ in accesses(s))
        self.called = Counter(a.buffer for s in statements(block) if isinstance(s, Call)
                              for a in s.args if isinstance(a, Place))  # fmt: skip


def _copies(block: list[Stmt], uses: _Uses, free: set[Buffer]) -> Iterator[Fill]:
    """The copies that may go, of this block and of those in it."""
    fills = [_filled(s) for s in block]
    wanted = [i for i, f in enumerate(fills) if f is not None and f.source in free]
    used = [_Uses([s]).count for s in block] if wanted else []
    for i in wanted:
        if _may_go(block, fills, used, i, uses):
            yield fills[i]  # type: ignore[misc]
    for s in block:
        for inner in blocks(s):
            yield from _copies(inner, uses, free)


def _may_go(block: list[Stmt], fills: list[Fill | None], used: list[Counter[Buffer]], end: int, uses: _Uses) -> bool:
    copy = fills[end]
    assert copy is not None and copy.source is not None
    source, target = copy.source, copy.target
    first = next(i for i, u in enumerate(used) if u[source])
    if used[end][source] != 1 or sum(u[source] for u in used[: end + 1]) != uses.count[source]:
        return False  # somebody reads it later, or around this block
    if uses.elements[source] + uses.called[source] != uses.count[source]:
        return False
    if uses.called[source] and (target.shape[1:] != source.shape[1:] or any(s != ZERO for s in copy.starts[1:])):
        return False  # what is called knows the length of a row
    defined = {s.var for s in block[first:end] if isinstance(s, (Let, Declare, Assign))}
    if any(v in defined for start in copy.starts for v in variables(start)):
        return False
    return all(not used[i][target] or _is_beside(fills[i], copy) for i in range(first, end))


def _is_beside(other: Fill | None, copy: Fill) -> bool:
    """Whether a loop fills other elements of what is copied to, for all that lowering knows: one region ends where the
    other starts."""
    if other is None or other.target is not copy.target or any(b is copy.target for b in _loaded(other.value)):
        return False
    axes = zip(other.starts, other.counts, copy.starts, copy.counts, strict=True)
    return any(add(s, n) == t or add(t, m) == s for s, n, t, m in axes)


def _loaded(e: Expr) -> Iterator[Buffer]:
    return (x.buffer for x in subexpressions(e) if isinstance(x, Load))


def _filled(s: Stmt) -> Fill | None:
    loops: list[Var] = []
    counts: list[Expr] = []
    block = [s]
    while len(block) == 1 and isinstance(block[0], For) and block[0].start == ZERO:
        loops.append(block[0].var)
        counts.append(block[0].stop)
        block = block[0].body
    match block:
        case [Store(target, index, value)]:
            pass
        case [Let(var, value), Store(target, index, Var() as stored)] if stored == var:
            pass
        case _:
            return None
    if len(loops) != len(index):
        return None
    starts = [_start(i, var) for i, var in zip(index, loops, strict=True)]
    if None in starts or any(v in loops for e in (*starts, *counts) if e is not None for v in variables(e)):
        return None
    return Fill(target, tuple(starts), tuple(counts), value, tuple(loops))  # type: ignore[arg-type]


def _start(index: Expr, var: Var) -> Expr | None:
    """What the subscript adds to the loop's variable."""
    match index:
        case Var() if index == var:
            return ZERO
        case Op("add", (a, b), _) if var in (a, b) and a != b:
            return b if a == var else a
        case _:
            return None


class _Forwarded(Rewriter):
    def __init__(self, copies: dict[Buffer, Fill]) -> None:
        self.copies = copies

    def access(self, buffer: Buffer, index: tuple[Expr, ...]) -> tuple[Buffer, tuple[Expr, ...]]:
        copy = self.copies.get(buffer)
        if copy is None:
            return buffer, index
        return copy.target, tuple(add(s, i) for s, i in zip(copy.starts, index, strict=True))

    def block(self, block: list[Stmt]) -> list[Stmt]:
        return super().block([s for s in block if not self._is_copy(s)])

    def _is_copy(self, s: Stmt) -> bool:
        filled = _filled(s)
        source = None if filled is None else filled.source
        return source is not None and self.copies.get(source) == filled  # it may have been copied before as well
