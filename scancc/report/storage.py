"""Bytes: of rows, of buffers, of whole histories; lengths known at run time are those of the call that was traced."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from scancc.ir.graph import Graph, Node, body_graphs, spec_of
from scancc.ir.loop import Buffer, Const, Expr, Op, Var
from scancc.ir.types import Dim, Type
from scancc.passes.pipeline import Compilation
from scancc.passes.storage.plan_taps import Storage

Lengths = dict[str, int | None]


def hints_of(made: Compilation) -> Lengths:
    """Lengths by name, as they were in the call that was traced; those that are computed of them included."""
    known: Lengths = {d.name: d.hint for g in (made.traced, made.graph) for n in g.nodes() for d in n.type.shape
                      if isinstance(d, Dim)}  # fmt: skip
    for name, length in made.lowered.definitions.items():
        known[name] = _value(length, known)
    return known


def row_bytes(t: Type) -> int:
    return int(np.prod([d if isinstance(d, int) else d.hint or 1 for d in t.shape], dtype=np.int64)) * t.dtype.itemsize


def steps_of(scan: Node) -> int | None:
    """Steps that a scan made in the call that was traced, if they can be told; one that may stop early made fewer."""
    return _hint(scan.args[0])


def inner_steps(scan: Node) -> int | None:
    """Steps of the innermost loops that one step of a scan makes, 1 where there is no scan in it.

    None where that differs from step to step: by an inner loop that may stop early or is in a branch, or by its length.
    """
    most = 1
    for n in (n for g in body_graphs(scan) for n in g.nodes()):
        if n.op == "scan":
            steps, within = steps_of(n), inner_steps(n)
            if steps is None or within is None or spec_of(n).has_until:
                return None
            most = max(most, steps * within)
        elif any(True for g in body_graphs(n) for _ in scans(g)):
            return None
    return most


def _hint(x: Node) -> int | None:
    match x.op:
        case "const":
            return int(x.attrs["value"])
        case "dim":
            d = x.args[0].type.shape[x.attrs["axis"]]
            return (d.hint if d.define is None else _hint(d.define)) if isinstance(d, Dim) else d
        case "add" | "subtract" | "multiply" | "floor_divide" | "minimum" | "maximum" | "cast":
            parts = [_hint(a) for a in x.args]
            if any(p is None for p in parts):
                return None
            return parts[0] if x.op == "cast" else int(getattr(np, x.op)(*parts))
        case _:
            return None


def histories(traced: Graph) -> int | None:
    """Bytes of all rows of all results of the scans of a program as written; None where a length is not known."""
    total = 0
    for node in traced.nodes():
        if node.op != "scan":
            continue
        rows = steps_of(node)
        if rows is None:
            return None
        spec = spec_of(node)
        names = (*(c.name for c in spec.carries), *spec.outputs)
        total += sum(rows * row_bytes(spec.body.results[n].type) for n in names)
    return total


@dataclass(frozen=True, slots=True)
class Kept:
    """Where a result of a scan is kept. `a_step` and `total` are bytes of memory; None where a length is not known."""

    scan: str
    name: str
    row: Type
    storage: Storage
    a_step: int
    total: int | None


def kept(made: Compilation) -> list[Kept]:
    """Every result of every scan that is left, those of inner scans after those of the scan around them."""
    found = [k for stage in made.stages for k in kept(stage)]
    for node in scans(made.stored) if not made.stages else ():
        spec, steps = spec_of(node), steps_of(node)
        for name in (*(c.name for c in spec.carries), *spec.outputs):
            row, storage = spec.body.results[name].type, made.plan[node, name]
            size = row_bytes(row)
            total: int | None = storage.ring * size
            if storage.trace:
                total = None if steps is None else (steps + storage.lead) * size
            elif storage.last and not storage.ring and storage.taps != "registers":
                total = storage.last * size
            found.append(Kept(spec.name, name, row, storage, size if storage.trace else 0, total))
    return found


def scans(graph: Graph) -> Iterator[Node]:
    """The scans of a graph, each before those in its body."""
    pending = [graph]
    while pending:
        g = pending.pop()
        for node in g.nodes():
            pending += body_graphs(node)
            if node.op == "scan":
                yield node


def estimate(b: Buffer, hints: Mapping[str, int | None]) -> int | None:
    """Bytes of a buffer, or None where a length is not known."""
    total = b.dtype.itemsize
    for s in b.shape:
        n = _value(s, hints)
        if n is None:
            return None
        total *= n
    return total


def _value(e: Expr, known: Mapping[str, int | None]) -> int | None:
    match e:
        case Const(v, _):
            return int(v)
        case Var(name, _):
            return known.get(name)
        case Op(name, args, _):
            parts = [_value(a, known) for a in args]
            if any(p is None for p in parts) or name == "cast":
                return parts[0] if name == "cast" else None
            return int(getattr(np, name)(*parts))
        case _:
            return None


def show_bytes(n: int) -> str:
    size = float(n)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    raise AssertionError
