"""The report of a compilation: what each loop does, what was taken out of it, and where its results are stored."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePath

from scancc.ir.graph import Node, operands, spec_of
from scancc.ir.loop import Barrier, For, show_expr
from scancc.ir.printer import show_type
from scancc.ir.types import Type
from scancc.ir.walk import shared_buffers, statements
from scancc.passes.graph.fuse import JOINED
from scancc.passes.graph.hoist import PREFIX
from scancc.passes.pipeline import Compilation
from scancc.passes.storage.plan_taps import Storage
from scancc.report.changes import loop_changes
from scancc.report.storage import estimate, hints_of, histories, row_bytes, scans, show_bytes


def explain(made: Compilation) -> str:
    if made.stages:
        parts = [f"stage {i + 1} of {len(made.stages)}\n{explain(stage)}" for i, stage in enumerate(made.stages)]
        return "\n\n".join([f"strategy: {len(parts)} launches, values stay on the device between them", *parts])
    lines: list[str] = [*strategy_lines(made)]
    for node in scans(made.stored):
        lines += [*_scan(made, node), ""]
    kept = {part for n in scans(made.stored) for part in spec_of(n).name.split(JOINED)}
    for name in (spec_of(n).name for n in scans(made.traced)):
        if name not in kept:
            lines += [f"scan {name}: no loop is left, all of its steps are computed at once", ""]
    lines += _memory(made)
    total = sum(p.seconds for p in made.passes)
    did = ", ".join(f"{p.name} {1e3 * p.seconds:.1f}" for p in made.passes if p.changed) or "none changed anything"
    lines.append(f"passes (ms, {1e3 * total:.1f} in all): {did}")
    of_loops = ", ".join(f"{c.name} ({'; '.join(c.did)})" for c in loop_changes(made)[0])
    if of_loops:
        lines.append(f"passes over the loops: {of_loops}")
    return "\n".join(lines)


def strategy_lines(made: Compilation) -> Iterator[str]:
    """How a device runs the program, and why."""
    if made.options.target != "cuda":
        return
    who = {
        "lane": "a thread each, with its state in registers where it is small",
        "block": "a block of threads each, which shares out the elements of a row",
        "prefix": "many runs of steps of each at once, which are put together by their effect on the state",
    }
    if made.lanes is not None:
        count = made.lanes.count
        many = f"{count}" if isinstance(count, int) else f"{count.hint or count.name}"
        yield f"strategy: {made.strategy}; {many} independent lanes, {who[made.strategy]}: {made.why}"
        where = "first" if made.strategy == "prefix" else "last"
        for name in made.lanes.moved:
            yield f"  {name} is transposed first, by a launch of its own, if its lanes do not come {where} in memory"
        if made.lanes.apart:
            rest = "; rows after the ends of those that are shorter are filled in by a launch of its own"
            yield f"  lanes leave the loop each at its own step{rest if made.lanes.ragged else ''}"
    else:
        together = {
            "thread": "one thread runs all steps",
            "block": "one block of threads runs all steps together",
            "prefix": "many runs of steps at once, which are put together by their effect on the state",
            "product": "a block for each tile of the result, whose rows and columns it reads once",
            "grid": "all blocks run all steps together, and wait for one another where they must",
        }
        yield f"strategy: {made.strategy}; {together[made.strategy]}: {made.why}"
    yield from _of_blocks(made)
    yield ""


def _of_blocks(made: Compilation) -> Iterator[str]:
    """Memory of a block's own, and the barriers of a kernel whose threads wait for one another."""
    kernel = made.lowered.kernel
    own = shared_buffers(kernel)
    if own:
        size = sum(estimate(b, {}) or 0 for b in own)
        yield f"  shared memory  {show_bytes(size)}: {', '.join(b.name for b in own)}"
    loops = [s for s in statements(kernel.body) if isinstance(s, For) and s.note.startswith("steps of")]
    for s in loops if kernel.team else ():
        count = sum(isinstance(i, Barrier) for i in statements(s.body))
        yield f"  barriers       {count} in the loop over {s.note}"


def _scan(made: Compilation, node: Node) -> Iterator[str]:
    spec = spec_of(node)
    place = f" ({PurePath(node.loc.file).name}:{node.loc.line})" if node.loc else ""
    yield f"scan {spec.name}{place}: {len(spec.body.nodes())} ops a step"
    parts = spec.name.split(JOINED)
    if len(parts) > 1:
        yield f"  fused     {', '.join(parts)} run as one loop"
    value = operands(node)
    for s in spec.sequences:
        if s.name.startswith(PREFIX):
            yield f"  hoisted   {_origin(value[s.name])}: all rows before the loop, {_row_text(value[s.name].type)}"
    for n in spec.nonseqs:
        if n.startswith(PREFIX):
            yield f"  hoisted   {_origin(value[n])}: once before the loop, {show_type(value[n].type)}"
    for name in (*(c.name for c in spec.carries), *spec.outputs):
        yield f"  {name:<9} {_storage(made.plan[node, name], spec.body.results[name].type)}"
    if spec.has_until:
        yield "  until     the loop may end early; outputs are cut to the executed steps"


def _origin(node: Node) -> str:
    while node.op in ("flip", "reshape", "transpose") and node.args:
        node = node.args[0]
    return node.op + (f" ({PurePath(node.loc.file).name}:{node.loc.line})" if node.loc else "")


def _row_text(t: Type) -> str:
    return f"{show_type(t)}, {show_bytes(row_bytes(t.with_shape(t.shape[1:])))} a row"


def _storage(storage: Storage, row: Type) -> str:
    size = row_bytes(row)
    text = [f"{show_type(row)}: {storage}"]
    if storage.trace:
        text.append(f"{show_bytes(size)} a step")
    if storage.ring:
        text.append(f"ring of {storage.ring} rows, {show_bytes(storage.ring * size)}")
    return "; ".join(text)


def _memory(made: Compilation) -> Iterator[str]:
    """Buffers that a call allocates; lengths known at run time are those of the call that was traced."""
    hints = hints_of(made)
    buffers = made.lowered.allocated
    whole = histories(made.traced)
    if whole is not None:
        stored = sum(estimate(b, hints) or 0 for b in buffers)
        grown = " and rows that the loop adds" if made.lowered.kernel.returned else ""
        yield (f"memory: {show_bytes(whole)} with every state and output kept, as written; "
               f"{show_bytes(stored)}{grown} as compiled")
    if not buffers:
        return
    yield "memory of a call"
    for b in buffers:
        shape = ", ".join(show_expr(s) for s in b.shape)
        known = estimate(b, hints)
        yield f"  {b.name:<14} {b.dtype}[{shape}]" + ("" if known is None else f"  {show_bytes(known)}")
    yield ""
