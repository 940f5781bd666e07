"""What is read of a scan: of its trace, its ring, or the registers of its taps."""

from __future__ import annotations

from typing import Any

import numpy as np

from scancc.ir.graph import Node
from scancc.ir.loop import BOOL, INT64, Const, Expr, Load, Op, Place, Store, add, const_int, sub
from scancc.ir.types import Type
from scancc.passes.lower.context import Lowering, Target, in_memory
from scancc.passes.lower.control import Slots, ring_slot
from scancc.passes.lower.values import Index, Lazy, Registers, registers
from scancc.passes.sizes import in_registers


def lower_get(low: Lowering, node: Node) -> None:
    source, name, view = node.args[0], node.attrs["name"], node.attrs["view"]
    if view == "effects":
        low.env[node] = registers([const_int(0)], ())
        return
    if view == "branch":
        low.env[node] = low.branches[source][name]
        return
    slots, executed, samples = low.scans[source]
    if view == "length":
        low.env[node] = registers([executed], ())
        return
    if view == "every":
        low.env[node] = samples.view(name, node.type.ndim)
        return
    s = slots[name]
    if view == "final":
        low.env[node] = _past(low, s, 1, executed)
        return
    if view == "state":
        low.env[node] = _state(low, s, executed)
        return
    if view in ("trace", "history"):
        assert s.trace is not None
        prefix, lead = s.trace.prefix, 0 if view == "history" or s.storage.backwards else s.storage.lead
        buffer = s.trace.buffer
        rank = len(s.row.shape)
        place = Place(buffer, (*prefix, const_int(lead), *[const_int(0)] * rank))
        if s.storage.backwards:
            last = add(low.length(node.type.shape[0]), -1)
            low.env[node] = Lazy(lambda index: Load(buffer, (*prefix, sub(last, index[0]), *index[1:])), flipped=place)
            return
        low.env[node] = Lazy(lambda index: Load(buffer, (*prefix, add(index[0], lead), *index[1:])), place)
        return
    rows = int(view.split()[1])
    count: Expr = const_int(rows)
    if view.startswith("last"):
        few = Op("less", (executed, count), BOOL)
        low.fail_if(few, "index", f"row {-rows} of '{name}' is read, but the scan made fewer steps", node.loc)
    else:
        count = low.length(node.type.shape[0])
    low.env[node] = _last_rows(low, s, count, executed)
    if in_registers(node.type):
        low.registers_of(node)


def _past(low: Lowering, s: Slots, back: int, executed: Expr) -> Lazy | Registers:
    """The row made `back` steps before the end; initial rows count."""
    if -back in s.taps:
        return Registers(s.taps[-back])
    if s.storage.taps == "trace":
        assert s.trace is not None
        row = add(executed, s.storage.lead - back)
        return in_memory(Target(s.trace.buffer, (*s.trace.prefix, row)), len(s.row.shape))
    assert s.ring is not None
    return in_memory(Target(s.ring, (ring_slot(low, s, -back),)), len(s.row.shape))


def _state(low: Lowering, s: Slots, executed: Expr) -> Lazy | Registers:
    """The rows that the next step would read, oldest first."""
    depth = s.storage.depth
    if s.storage.short == depth:
        rows = [s.taps[-k] for k in range(depth, 0, -1)]
        stacked: Any = np.stack(rows)
        if in_registers(Type(s.row.dtype, stacked.shape)):
            return Registers(stacked)
        target = Target(low.scratch("state", s.row.dtype, stacked.shape), ())
        for i in np.ndindex(stacked.shape):
            low.emit(Store(target.buffer, tuple(map(const_int, i)), stacked[i]))
        return in_memory(target, stacked.ndim)
    if s.storage.taps == "trace":
        assert s.trace is not None
        buffer, prefix = s.trace.buffer, s.trace.prefix
        first = add(executed, s.storage.lead - depth)
        place = Place(buffer, (*prefix, first, *[const_int(0)] * len(s.row.shape)))
        return Lazy(lambda index: Load(buffer, (*prefix, add(first, index[0]), *index[1:])), place)
    return _last_rows(low, s, const_int(depth), executed)


def _from_memory(low: Lowering, s: Slots, count: Expr) -> Lazy:
    """Rows in registers that are too many to be read by name, or of which the first are left out at run time."""
    kept = s.storage.last
    shape = tuple(int(d) for d in s.row.shape)  # type: ignore[arg-type]
    buffer = low.scratch("tail", s.row.dtype, (kept, *shape))
    for k in range(1, kept + 1):
        for i in np.ndindex(shape):
            low.emit(Store(buffer, (const_int(kept - k), *map(const_int, i)), s.taps[-k][i]))
    first = low.let(sub(const_int(kept), count), "first")
    return Lazy(lambda index: Load(buffer, (add(first, index[0]), *index[1:])))


def _last_rows(low: Lowering, s: Slots, count: Expr, executed: Expr) -> Lazy:
    """The last `count` rows, oldest first."""
    if s.trace is not None:
        first = add(sub(executed, count), s.storage.lead)
        prefix, buffer = s.trace.prefix, s.trace.buffer
        return Lazy(lambda index: Load(buffer, (*prefix, add(first, index[0]), *index[1:])))
    if s.ring is None:
        by_name = isinstance(count, Const) and in_registers(Type(s.row.dtype, (int(count.value), *s.row.shape)))
        if s.row.shape and not by_name:
            return _from_memory(low, s, count)
        # All rows that are read are held in the registers of the taps, youngest at -1.

        def pick(index: Index) -> Expr:
            back = sub(count, index[0])
            if isinstance(back, Const):
                return s.taps[-back.value][tuple(i.value for i in index[1:])]  # type: ignore[union-attr, no-any-return]
            chosen: Expr = s.taps[-1][tuple(i.value for i in index[1:])]  # type: ignore[union-attr, no-any-return]
            for k in range(2, s.storage.last + 1):
                older = s.taps[-k][tuple(i.value for i in index[1:])]  # type: ignore[union-attr, no-any-return]
                chosen = Op("where", (Op("equal", (back, const_int(k)), BOOL), older, chosen), chosen.dtype)
            return chosen

        return Lazy(pick)
    ring, rows = s.ring, s.storage.ring
    if s.slot is None:
        return Lazy(lambda index: Load(ring, (const_int(0), *index[1:])))
    start = low.let(sub(s.slot, count), "start")

    def at(index: Index) -> Expr:
        i = add(start, index[0])
        slot = Op("where", (Op("less", (i, const_int(0)), BOOL), add(i, rows), i), INT64)
        return Load(ring, (low.let(slot, "row"), *index[1:]))

    return Lazy(at)
