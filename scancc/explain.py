"""The report of a compilation: what each loop does, what was taken out of it, and where its results are stored."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePath
from typing import Any

import numpy as np

from scancc.ir.graph import Graph, Node, body_graphs, operands, spec_of
from scancc.ir.loop import Barrier, Buffer, Const, Expr, For, Op, Var, show_expr
from scancc.ir.printer import show_type
from scancc.ir.types import Dim, Type
from scancc.ir.walk import shared_buffers, statements
from scancc.passes.fuse import JOINED
from scancc.passes.hoist import PREFIX
from scancc.passes.pipeline import Compilation
from scancc.passes.plan_taps import Storage


def explain(made: Compilation) -> str:
    if made.stages:
        parts = [f"stage {i + 1} of {len(made.stages)}\n{explain(stage)}" for i, stage in enumerate(made.stages)]
        return "\n\n".join([f"strategy: {len(parts)} launches, values stay on the device between them", *parts])
    lines: list[str] = [*_strategy(made)]
    for node in _scans(made.stored):
        lines += [*_scan(made, node), ""]
    kept = {part for n in _scans(made.stored) for part in spec_of(n).name.split(JOINED)}
    for name in (spec_of(n).name for n in _scans(made.traced)):
        if name not in kept:
            lines += [f"scan {name}: no loop is left, all of its steps are computed at once", ""]
    lines += _memory(made)
    total = sum(p.seconds for p in made.passes)
    did = ", ".join(f"{p.name} {1e3 * p.seconds:.1f}" for p in made.passes if p.changed) or "none changed anything"
    lines.append(f"passes (ms, {1e3 * total:.1f} in all): {did}")
    return "\n".join(lines)


def _strategy(made: Compilation) -> Iterator[str]:
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
    else:
        together = {
            "thread": "one thread runs all steps",
            "block": "one block of threads runs all steps together",
            "prefix": "many runs of steps at once, which are put together by their effect on the state",
            "grid": "all blocks run all steps together, and wait for one another where they must",
        }
        yield f"strategy: {made.strategy}; {together[made.strategy]}: {made.why}"
    if made.lowered.kernel.team:
        yield from _team(made)
    yield ""


def _team(made: Compilation) -> Iterator[str]:
    """Memory of a block's own, and the barriers of a kernel."""
    kernel = made.lowered.kernel
    own = shared_buffers(kernel)
    if own:
        size = sum(_estimate(b, {}) or 0 for b in own)
        yield f"  shared memory  {_bytes(size)}: {', '.join(b.name for b in own)}"
    loops = [s for s in statements(kernel.body) if isinstance(s, For) and s.note.startswith("steps of")]
    for s in loops:
        count = sum(isinstance(i, Barrier) for i in statements(s.body))
        yield f"  barriers       {count} in the loop over {s.note}"


def _scans(graph: Graph) -> Iterator[Node]:
    pending = [graph]
    while pending:
        g = pending.pop()
        for node in g.nodes():
            pending += body_graphs(node)
            if node.op == "scan":
                yield node


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
    return f"{show_type(t)}, {_bytes(_row_bytes(t.with_shape(t.shape[1:])))} a row"


def _row_bytes(t: Type) -> int:
    return int(np.prod([d if isinstance(d, int) else d.hint or 1 for d in t.shape], dtype=np.int64)) * t.dtype.itemsize


def _storage(storage: Storage, row: Type) -> str:
    size = _row_bytes(row)
    text = [f"{show_type(row)}: {storage}"]
    if storage.trace:
        text.append(f"{_bytes(size)} a step")
    if storage.ring:
        text.append(f"ring of {storage.ring} rows, {_bytes(storage.ring * size)}")
    return "; ".join(text)


def _memory(made: Compilation) -> Iterator[str]:
    """Buffers that a call allocates; lengths known at run time are those of the call that was traced."""
    hints = {d.name: d.hint for g in (made.traced, made.graph) for n in g.nodes() for d in n.type.shape
             if isinstance(d, Dim)}
    buffers = made.lowered.allocated
    whole = _histories(made.traced)
    if whole is not None:
        stored = sum(_estimate(b, hints) or 0 for b in buffers)
        yield f"memory: {_bytes(whole)} with every state and output kept, as written; {_bytes(stored)} as compiled"
    if not buffers:
        return
    yield "memory of a call"
    for b in buffers:
        shape = ", ".join(show_expr(s) for s in b.shape)
        known = _estimate(b, hints)
        yield f"  {b.name:<14} {b.dtype}[{shape}]" + ("" if known is None else f"  {_bytes(known)}")
    yield ""


def _histories(traced: Graph) -> int | None:
    """Bytes of all rows of all results of the scans of a program as written; None where a length is not known."""
    total = 0
    for node in traced.nodes():
        if node.op != "scan":
            continue
        steps = node.args[0]
        rows: Any = None
        if steps.op == "const":
            rows = int(steps.attrs["value"])
        elif steps.op == "dim":
            d = steps.args[0].type.shape[steps.attrs["axis"]]
            rows = d.hint if isinstance(d, Dim) else d
        if rows is None:
            return None
        spec = spec_of(node)
        names = (*(c.name for c in spec.carries), *spec.outputs)
        total += sum(rows * _row_bytes(spec.body.results[n].type) for n in names)
    return total


def _estimate(b: Buffer, hints: dict[str, int | None]) -> int | None:
    def value(e: Expr) -> int | None:
        match e:
            case Const(v, _):
                return int(v)
            case Var(name, _):
                return hints.get(name)
            case Op(name, args, _):
                parts = [value(a) for a in args]
                if any(p is None for p in parts) or name == "cast":
                    return parts[0] if name == "cast" else None
                return int(getattr(np, name)(*parts))
            case _:
                return None

    total = b.dtype.itemsize
    for s in b.shape:
        n = value(s)
        if n is None:
            return None
        total *= n
    return total


def _bytes(n: int) -> str:
    size = float(n)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    raise AssertionError
