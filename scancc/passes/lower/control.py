"""Scans: the loops of a program, with every result stored as `plan_taps` decided."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from scancc.ir.graph import PREFIX, UNTIL, Graph, Node, ScanSpec, operands, spec_of
from scancc.ir.lengths import never_negative, steps_fit
from scancc.ir.loop import (
    BOOL,
    INT64,
    Alloc,
    Assign,
    Break,
    Buffer,
    Const,
    Declare,
    Expr,
    Grow,
    If,
    Op,
    Store,
    Var,
    add,
    const_int,
    sub,
)
from scancc.ir.types import Dim, Type
from scancc.passes.graph.block_recurrences import BLOCKS
from scancc.passes.lower.blocks import solve_in_blocks
from scancc.passes.lower.context import Lowering, Target, in_memory
from scancc.passes.lower.prefix import lower_prefix
from scancc.passes.lower.samples import Samples
from scancc.passes.lower.values import Index, Lazy, Registers, registers
from scancc.passes.lower.views import row_place
from scancc.passes.sizes import in_registers
from scancc.passes.storage.in_place import update_in_place
from scancc.passes.storage.plan_taps import Storage

CHEAP = frozenset({"add", "subtract", "multiply", "negative", "absolute", "cast"})  # as loading a number
FIRST_BYTES = 1 << 16  # of a trace that grows
ENDLESS = 1 << 48  # steps of which nobody keeps a trace


@dataclass(eq=False)
class Slots:
    """A result's storage as the loop sees it."""

    storage: Storage
    row: Type
    taps: dict[int, Any]  # registers: variables of each tap, by offset
    ring: Buffer | None = None
    slot: Var | None = None  # ring row that is written next
    trace: Target | None = None  # from the initial rows in front on, if there are any
    next: Any = None  # registers of the row just computed
    steps: Any = None


def lower_scan(low: Lowering, node: Node) -> None:
    spec = spec_of(node)
    low_steps = low.element(node.args[0], ())
    steps = low.let(low_steps, low_name(spec.name, "steps"))
    value = operands(node)
    if low.depth > 0 or not steps_fit(node) or not never_negative(node.args[0]):
        _check_steps(low, node, steps)
    low.emit_note(f"scan {spec.name}")
    slots = {name: _allocate(low, node, name, steps) for name in (*(c.name for c in spec.carries), *spec.outputs)}
    for c in spec.carries:
        _store_initial(low, slots[c.name], value[c.name], c.rows)
    executed: Expr = steps
    if spec.has_until:
        count = low.var(low_name(spec.name, "executed"), INT64)
        low.mutable.add(count.name)
        low.ranges[count.name] = (const_int(0), steps)
        low.emit(Declare(count, const_int(0)))
        executed = count
    # Sequences and non-sequences that are computed by elements are stored before the loop, not once a step.
    for x in (*(value[s.name] for s in spec.sequences), *(value[n] for n in spec.nonseqs)):
        known = low.env[x]
        if isinstance(known, Lazy) and known.place is None and not (_is_view(x) or _is_cheap(low, spec, x, value)):
            low.materialise(x, "rows")
        elif isinstance(known, Registers) and x.type.ndim and any(x is value[s.name] for s in spec.sequences):
            low.spill(x)
    samples = Samples(low, node, steps)
    s = slots[spec.carries[0].name] if spec.strategy == BLOCKS and not samples.names else None
    if s is not None and s.storage.taps == "registers" and not s.ring:
        solve_in_blocks(low, node, s, steps, lambda t: _bind_leaves(low, node, slots, value, t), s.trace)
        low.scans[node] = (slots, executed, samples)
        return
    if spec.strategy == PREFIX and low.prefix:

        def step(t: Expr) -> None:
            low.graph(spec.body)
            _finish_step(low, spec.body, slots, t)

        lower_prefix(low, node, slots, steps, lambda t: _bind_leaves(low, node, slots, value, t), step)
        low.scans[node] = (slots, executed, samples)
        return
    with low.loop("t", steps, f"steps of {spec.name}") as t:
        low.depth += 1
        low.step.append(t)
        outer, low.waited_for = low.waited_for, bool(spec.carries)
        _bind_leaves(low, node, slots, value, t)
        samples.keep({n: _past_rows(low, slots[n], n, t) for n in samples.names})
        low.targets |= _row_targets(slots, spec.body, t)
        _updates_in_place(low, spec, slots)
        for s in slots.values():
            if s.trace is not None and s.trace.buffer in low.growing:
                low.emit(Grow(s.trace.buffer, add(t, s.storage.lead)))
        low.graph(spec.body)
        # Taps advance at the end of the step: the condition gets its value before they do.
        stop = low.let(low.element(spec.body.results[UNTIL], ()), "stop") if spec.has_until else None
        _finish_step(low, spec.body, slots, t)
        if stop is not None:
            low.emit(Assign(count, add(t, 1)))
            low.emit(If(stop, [Break()]))
        low.step.pop()
        low.depth -= 1
        low.waited_for = outer
    if spec.has_until:
        executed = low.let(count, low_name(spec.name, "length"))
    low.scans[node] = (slots, executed, samples)


def _past_rows(low: Lowering, slots: Slots, name: str, t: Expr) -> list[Node]:
    """All past values of a carry that the step may read, oldest first."""
    found = []
    for k in range(slots.storage.depth, 0, -1):
        tap = Node("tap", (), slots.row, {"name": name, "offset": -k})
        _bind_tap(low, tap, slots, -k, t)
        found.append(tap)
    return found


def low_name(scan: str, what: str) -> str:
    return f"{scan}_{what}" if scan.isidentifier() else what


def _is_view(x: Node) -> bool:
    """Whether an element costs no more than reading it; one number for all of them is read from where it is."""
    if x.op in ("broadcast_to", "reshape", "flip", "rows") and _one_number(x):
        return True
    return x.op in ("input", "read", "tap", "flip", "slice", "transpose", "index", "reshape", "expect", "get", "rows",
                    "alias", "stop_gradient")


def _is_cheap(low: Lowering, spec: ScanSpec, x: Node, value: dict[str, Node]) -> bool:
    """Whether an operation on what is in memory may be done by the only step that reads it: one pass over it less."""
    readers = [s for s in spec.sequences if value[s.name] is x]
    if len(readers) != 1 or len(readers[0].taps) != 1 or low.uses[x] != 1:
        return False
    given = [(a, low.env[a]) for a in x.args]
    return x.op in CHEAP and all(isinstance(v, Registers) or v.place is not None or _is_view(a) for a, v in given)


def _one_number(x: Node) -> bool:
    while x.op in ("broadcast_to", "reshape", "flip", "rows"):
        x = x.args[0]
    return x.type.shape == ()


def _check_steps(low: Lowering, node: Node, steps: Expr) -> None:
    """An inner scan may get its step count from the outer step: it is checked before any row is read."""
    spec = spec_of(node)
    negative = Op("less", (steps, const_int(0)), BOOL)
    if not isinstance(steps, Const):
        low.fail_if(negative, "steps", f"scan '{spec.name}': the number of steps is negative", node.loc)
    for s in spec.sequences:
        rows = low.length(operands(node)[s.name].type.shape[0])
        have = sub(rows, s.reach)
        if have == steps:
            continue
        low.fail_if(
            Op("logical_and", (Op("greater", (steps, have), BOOL), Op("greater", (steps, const_int(0)), BOOL)), BOOL),
            "steps", f"scan '{spec.name}': more steps than sequence '{s.name}' has rows", node.loc,
        )  # fmt: skip


def _allocate(low: Lowering, node: Node, name: str, steps: Expr) -> Slots:
    spec = spec_of(node)
    storage = low.plan[node, name]
    row = spec.body.results[name].type
    slots = Slots(storage, row, {}, steps=steps)
    if storage.short:
        shape = tuple(int(d) for d in row.shape)  # type: ignore[arg-type]
        for k in range(1, storage.short + 1):
            slots.taps[-k] = np.empty(shape, dtype=object)
            for i in np.ndindex(shape):
                tail = "_" + "_".join(map(str, i)) if i else ""
                var = low.var(f"{name}_{k}{tail}", row.dtype)
                low.mutable.add(var.name)
                slots.taps[-k][i] = var
    if storage.trace:
        slots.trace = Target(_trace_buffer(low, node, name, steps), ())
    if storage.ring:
        kind = "table" if storage.taps == "table" else "ring"
        slots.ring = low.scratch(f"{name}_{kind}", row.dtype, (storage.ring, *row.shape))
        if storage.ring > 1:
            slots.slot = low.var(f"{name}_slot", INT64)
            low.mutable.add(slots.slot.name)
            low.emit(Declare(slots.slot, const_int(storage.depth % storage.ring)))
    return slots


def _trace_buffer(low: Lowering, node: Node, name: str, steps: Expr) -> Buffer:
    """Memory for all rows; where a condition ends the loop, for a first part of them, which grows on demand."""
    row, lead = spec_of(node).body.results[name].type, low.plan[node, name].lead
    inner = low.lengths(row)
    first = max(16, FIRST_BYTES // max(1, (row.size or 64) * row.dtype.itemsize))
    few = isinstance(steps, Const) and steps.value <= first
    once = low.depth and isinstance(steps, Const) and steps.value < ENDLESS  # before the kernel, not in every step
    if not spec_of(node).has_until or once or few or not low.library:
        return low.scratch(f"{name}_rows", row.dtype, (add(steps, lead), *inner))
    rows = add(Op("minimum", (steps, const_int(first)), INT64), lead)
    buffer = Buffer(low.name(f"{name}_rows"), row.dtype, (rows, *inner), "local")
    low.emit(Alloc(buffer))
    low.growing.add(buffer)
    return buffer


def _store_initial(low: Lowering, slots: Slots, initial: Node, has_rows: bool) -> None:
    depth = slots.storage.depth
    if isinstance(low.env[initial], Registers) and slots.storage.taps != "registers" and initial.type.ndim:
        low.spill(initial)

    def element(j: int, index: Index) -> Expr:
        return low.element(initial, (const_int(j), *index) if has_rows else index)

    if slots.taps:
        for k, variables in slots.taps.items():
            for i in np.ndindex(variables.shape):
                low.emit(Declare(variables[i], element(depth + k, tuple(map(const_int, i))), initial.loc))
    if slots.storage.taps == "registers" and not slots.storage.lead:
        return
    targets = [slots.trace] if slots.storage.lead else []
    if slots.ring is not None:
        targets.append(Target(slots.ring, ()))
    shape = low.lengths(slots.row)
    rows = (const_int(depth), *shape) if has_rows else shape
    for target in targets:
        assert target is not None
        with low.element_loops(rows) as index:
            row, *at = index if has_rows else (const_int(0), *index)
            if target is slots.trace:
                row = _trace_row(slots, sub(row, depth))
            low.emit(Store(target.buffer, (*target.prefix, row, *at), low.element(initial, index), initial.loc))


def _bind_leaves(low: Lowering, node: Node, slots: dict[str, Slots], value: dict[str, Node], t: Expr | None) -> None:
    """Leaves of the body at step t; without one only what is the same at every step."""
    spec = spec_of(node)
    for leaf in spec.body.nodes():
        if leaf.op not in ("tap", "read"):
            continue
        name = leaf.attrs["name"]
        if leaf.op == "read":
            outer = value[name]
            low.env[leaf] = low.env[outer]
            bind_dims(low, leaf, outer.type.shape)
            continue
        if t is None:
            continue
        offset = leaf.attrs["offset"]
        sequence = spec.sequence(name)
        if sequence is not None:
            outer = value[name]
            row = add(t, offset + sequence.lead)
            bind_dims(low, leaf, outer.type.shape[1:])
            _bind_row(low, leaf, outer, row)
        else:
            bind_dims(low, leaf, slots[name].row.shape)
            _bind_tap(low, leaf, slots[name], offset, t)


def bind_dims(low: Lowering, leaf: Node, shape: tuple) -> None:
    for inner, outer in zip(leaf.type.shape, shape, strict=True):
        if isinstance(inner, Dim):
            low.dims.setdefault(inner.name, low.length(outer))


def _bind_row(low: Lowering, leaf: Node, outer: Node, row: Expr) -> None:
    value = low.env[outer]
    place = None
    if isinstance(value, Lazy) and value.place is not None and value.row_stride is None and not value.transposed:
        place = row_place(low, outer, value.place, row)
    lazy = Lazy(lambda index: low.element(outer, (row, *index)), place)
    low.env[leaf] = lazy
    if in_registers(leaf.type):
        _load_registers(low, leaf, lazy)


def _load_registers(low: Lowering, leaf: Node, lazy: Lazy) -> None:
    shape = tuple(int(d) for d in leaf.type.shape)  # type: ignore[arg-type]
    name = leaf.attrs["name"]
    exprs = []
    for i in np.ndindex(shape):
        base = "_".join([name, "t", *map(str, i)])
        exprs.append(low.let(lazy.at(tuple(map(const_int, i))), base, leaf.loc))
    low.env[leaf] = registers(exprs, shape)


def _bind_tap(low: Lowering, leaf: Node, slots: Slots, offset: int, t: Expr) -> None:
    storage = slots.storage
    if offset in slots.taps:
        low.env[leaf] = Registers(slots.taps[offset])
        return
    if storage.taps == "trace":
        assert slots.trace is not None
        target = Target(slots.trace.buffer, (*slots.trace.prefix, _trace_row(slots, t, offset)))
    else:
        assert slots.ring is not None
        target = Target(slots.ring, (ring_slot(low, slots, offset),))
    lazy = in_memory(target, leaf.type.ndim)
    low.env[leaf] = lazy
    if in_registers(leaf.type):
        _load_registers(low, leaf, lazy)


def ring_slot(low: Lowering, slots: Slots, offset: int) -> Expr:
    """Ring row of the value `-offset` steps before the one written next; no division, the offset is below the size."""
    rows = slots.storage.ring
    if slots.slot is None:
        return const_int(0)
    if -offset == rows:
        return low.let(slots.slot, "row")
    back = low.let(add(slots.slot, offset), "back")
    return low.let(Op("where", (Op("less", (back, const_int(0)), BOOL), add(back, rows), back), INT64), "row")


def _row_targets(slots: dict[str, Slots], body: Graph, t: Expr) -> dict[Node, Target]:
    """Where the body's results want to be stored, so that ops which write memory write it there directly."""
    targets: dict[Node, Target] = {}
    for name, s in slots.items():
        result = body.results[name]
        if in_registers(s.row) or result.op in ("tap", "read"):
            continue
        target = _row_target(s, t)
        if target is not None:
            targets.setdefault(result, target)
    return targets


def _updates_in_place(low: Lowering, spec: ScanSpec, slots: dict[str, Slots]) -> None:
    """Every put of a table writes where the one before has written."""
    for c in spec.carries:
        s = slots[c.name]
        update = update_in_place(spec, c) if s.storage.taps == "table" else None
        if update is not None:
            assert s.ring is not None
            low.targets |= dict.fromkeys(update.puts, Target(s.ring, (const_int(0),)))
            low.read_before |= update.before


def _row_target(s: Slots, t: Expr) -> Target | None:
    """Where a step makes its row: in the ring, if there is one; a trace beside it has a copy."""
    if s.ring is not None:
        return Target(s.ring, (s.slot if s.slot is not None else const_int(0),))
    return _trace_target(s, t)


def _trace_target(s: Slots, t: Expr) -> Target | None:
    if s.trace is None:
        return None
    return Target(s.trace.buffer, (*s.trace.prefix, _trace_row(s, t)))


def _trace_row(s: Slots, t: Expr, offset: int = 0) -> Expr:
    """The row of a trace that step t + offset makes, or, before the first, that holds an initial value."""
    if s.storage.backwards:
        return add(sub(add(s.steps, -1), t), -offset)
    return add(t, s.storage.lead + offset)


def _finish_step(low: Lowering, body: Graph, slots: dict[str, Slots], t: Expr) -> None:
    """Store the new rows, then let every carry advance by one step."""
    for name, s in slots.items():
        result = body.results[name]
        if in_registers(s.row):
            elements: Any = low.registers_of(result)
            s.next = np.empty(elements.shape, dtype=object)
            for i in np.ndindex(elements.shape):
                # A name of its own: taps are about to change, and a result may be another carry's tap.
                s.next[i] = low.let(elements[i], f"{name}_new", result.loc)
    for name, s in slots.items():
        result = body.results[name]
        target = _row_target(s, t)
        if target is None:
            continue
        if s.next is not None:
            for i in np.ndindex(s.next.shape):
                low.emit(Store(target.buffer, target.prefix + tuple(map(const_int, i)), s.next[i], result.loc))
        else:
            _store_row(low, result, target)
        copy = _trace_target(s, t) if s.ring is not None else None
        if copy is not None:
            low.fill(result, copy)
    for s in slots.values():
        for k in range(s.storage.short, 0, -1):
            source = s.taps[-k + 1] if k > 1 else s.next
            assert source is not None
            for i in np.ndindex(source.shape):
                low.emit(Assign(s.taps[-k][i], source[i]))
        if s.slot is not None:
            following = low.let(add(s.slot, 1), "following")
            wrapped = Op("where", (Op("equal", (following, const_int(s.storage.ring)), BOOL), const_int(0), following),
                         INT64)
            low.emit(Assign(s.slot, wrapped))


def _store_row(low: Lowering, result: Node, target: Target) -> None:
    value = low.env[result]
    there = in_memory(target, result.type.ndim).place
    if isinstance(value, Lazy) and value.place == there:
        return  # written in place already
    low.targets.pop(result, None)
    low.fill(result, target)
    if result.op not in ("tap", "read"):
        low.stored(result, target)
