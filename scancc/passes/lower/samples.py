"""States that a scan keeps every so many steps, for a way back that computes the steps in between again."""

from __future__ import annotations

import numpy as np

from scancc.ir.graph import STRIDE, Node, operands, spec_of
from scancc.ir.loop import (
    BOOL,
    INT64,
    Alloc,
    Assign,
    Buffer,
    Declare,
    Expr,
    Grow,
    If,
    Op,
    Store,
    add,
    const_int,
    sub,
)
from scancc.passes.lower.context import Lowering, Target, in_memory
from scancc.passes.lower.values import Lazy, Registers

FEW = 64  # rows of samples to begin with, where a condition ends the loop


class Samples:
    """The samples of one scan: before its loop, in it, and for its readers."""

    def __init__(self, low: Lowering, node: Node, steps: Expr) -> None:
        spec = spec_of(node)
        self.low = low
        self.names = [c.name for c in spec.carries if low.plan[node, c.name].every]
        if not self.names:
            return
        self.gaps = operands(node)[STRIDE]
        if self.gaps.type.ndim:
            (self.rows,) = low.lengths(self.gaps.type)
        else:
            self.stride = low.let(low.element(self.gaps, ()), "stride")
            ahead = low.let(sub(add(steps, self.stride), 1), "ahead")
            self.rows = low.let(Op("floor_divide", (ahead, self.stride), INT64), "samples")
        self.due, self.slot = low.var("due", INT64), low.var("sample", INT64)
        low.mutable |= {self.due.name, self.slot.name}
        low.emit(Declare(self.due, const_int(0)))
        low.emit(Declare(self.slot, const_int(0)))
        self.buffers = {n: self._buffer(node, n) for n in self.names}

    def _buffer(self, node: Node, name: str) -> Buffer:
        low, row = self.low, spec_of(node).body.results[name].type
        inner = (const_int(low.plan[node, name].depth), *low.lengths(row))
        if not spec_of(node).has_until or not low.library:
            return low.scratch(f"{name}_samples", row.dtype, (self.rows, *inner))
        few = Op("minimum", (self.rows, const_int(FEW)), INT64)
        buffer = Buffer(low.name(f"{name}_samples"), row.dtype, (few, *inner), "local")
        low.emit(Alloc(buffer))
        low.growing.add(buffer)
        return buffer

    def keep(self, taps: dict[str, list[Node]]) -> None:
        """In the loop, before the step is made: `taps` are the past values of each carry, oldest first."""
        if not self.names:
            return
        low = self.low
        test = If(Op("equal", (self.due, const_int(0)), BOOL))
        with low.block(test.then):
            for name in self.names:
                buffer = self.buffers[name]
                if buffer in low.growing:
                    low.emit(Grow(buffer, self.slot))
                for j, tap in enumerate(taps[name]):
                    if isinstance(low.env[tap], Registers):
                        for i in np.ndindex(*map(int, tap.type.shape)):  # type: ignore[arg-type]
                            at = tuple(map(const_int, i))
                            low.emit(Store(buffer, (self.slot, const_int(j), *at), low.element(tap, at)))
                        continue
                    with low.element_loops(low.lengths(tap.type)) as index:
                        low.emit(Store(buffer, (self.slot, const_int(j), *index), low.element(tap, index)))
            low.emit(Assign(self.due, low.element(self.gaps, (self.slot,)) if self.gaps.type.ndim else self.stride))
            low.emit(Assign(self.slot, add(self.slot, 1)))
        low.emit(test)
        low.emit(Assign(self.due, sub(self.due, 1)))

    def view(self, name: str, rank: int) -> Lazy:
        return in_memory(Target(self.buffers[name], ()), rank)
