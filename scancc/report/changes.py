"""What each pass did, told from the graphs, or the loops, before and after it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePath

from scancc.ir.graph import Graph, Node, body_graphs, operands, spec_of
from scancc.ir.loop import show_kernel
from scancc.ir.ops import OPS
from scancc.ir.printer import show_type
from scancc.passes.graph.fuse import JOINED
from scancc.passes.graph.hoist import PREFIX
from scancc.passes.pipeline import LOOP_PIPELINE, Compilation, loops_of
from scancc.report.storage import scans


@dataclass(frozen=True, slots=True)
class Change:
    """One pass that changed something.

    `before` and `after` count the ops of the graph, those of bodies included; a pass over the loops has none.
    """

    name: str
    before: int | None
    after: int | None
    seconds: float
    did: tuple[str, ...]

    @property
    def ops(self) -> str:
        if self.after is None:
            return ""
        return str(self.after) if self.before == self.after else f"{self.before} to {self.after}"


def changes(made: Compilation) -> list[Change]:
    found = []
    graph = made.traced
    for step in made.passes:
        if step.changed:
            before, after = _ops(graph), _ops(step.graph)
            did = tuple(_did(graph, step.graph, before, after))
            found.append(Change(step.name, before.total(), after.total(), step.seconds, did))
        graph = step.graph
    return found


def loop_changes(made: Compilation) -> tuple[list[Change], tuple[str, ...]]:
    """The passes over the loops that changed something, and the names of those that did not.

    Loops are changed in place, so the graph is lowered once more, and looked at after each pass.
    """
    if made.options.target != "cpu":
        return [], ()
    does = {step.name: step.does for step in LOOP_PIPELINE}
    found: list[Change] = []
    unchanged: list[str] = []
    before, start = "", time.perf_counter()
    for name, lowered in loops_of(made.graph, made.plan, made.name, made.options, made.elements):
        seconds, text = time.perf_counter() - start, show_kernel(lowered.kernel)
        if name in does and text != before:
            found.append(Change(name, None, None, seconds, (does[name],)))
        elif name in does:
            unchanged.append(name)
        before, start = text, time.perf_counter()
    return found, tuple(unchanged)


def _ops(graph: Graph) -> Counter[str]:
    """Ops by name; constants, inputs and taps compute nothing."""
    count: Counter[str] = Counter()
    pending = [graph]
    while pending:
        for node in pending.pop().nodes():
            pending += body_graphs(node)
            if OPS[node.op].kind != "leaf":
                count[node.op] += 1
    return count


def _did(old: Graph, new: Graph, before: Counter[str], after: Counter[str]) -> Iterator[str]:
    gone, come = before - after, after - before
    told = [*_scans(old, new), *_views(old, new)]
    if gone:
        told.append(f"fewer: {_counts(gone)}")
    if come:
        told.append(f"more: {_counts(come)}")
    yield from told or ["the same ops, in another order"]


def _counts(ops: Counter[str]) -> str:
    return ", ".join(f"{n} {op}" for op, n in sorted(ops.items(), key=lambda item: (-item[1], item[0])))


def _scans(old: Graph, new: Graph) -> Iterator[str]:
    """Scans that came, went or were joined, and what became of their operands and results."""
    was = {spec_of(n).name: n for n in scans(old)}
    now = {spec_of(n).name: n for n in scans(new)}
    for name, node in now.items():
        parts = name.split(JOINED)
        if name not in was and len(parts) > 1:
            yield f"scans {', '.join(parts)} run as one loop"
        before = was.get(name)
        yield from _operands(before, node, name)
        if before is not None:
            yield from _parts(before, node, name)
    joined = {part for name in now for part in name.split(JOINED)}
    for name in sorted(was.keys() - joined):
        yield f"scan {name} is gone: all of its steps are computed at once, or nobody reads it"
    for name in sorted(now.keys() - was.keys()):
        if JOINED not in name:
            yield f"a new loop, scan {name}"


def _operands(before: Node | None, node: Node, scan: str) -> Iterator[str]:
    known = set() if before is None else set(spec_of(before).operand_names())
    sequences = {s.name for s in spec_of(node).sequences}
    for name, value in operands(node).items():
        if name.startswith(PREFIX) and name not in known:
            rows = "for all rows at once" if name in sequences else "once"
            yield f"{_origin(value)} moved out of {scan}, computed {rows} before the loop ({show_type(value.type)})"


def _origin(node: Node) -> str:
    while node.op in ("flip", "reshape", "transpose") and node.args:
        node = node.args[0]
    return node.op + (f" of {PurePath(node.loc.file).name}:{node.loc.line}" if node.loc else "")


def _parts(before: Node, node: Node, scan: str) -> Iterator[str]:
    a, b = spec_of(before), spec_of(node)
    if a.strategy != b.strategy:
        yield f"{scan} runs in {b.strategy} instead of {a.strategy}"
    roles = (("sequence", {s.name for s in a.sequences}, {s.name for s in b.sequences}),
             ("carry", {c.name for c in a.carries}, {c.name for c in b.carries}),
             ("output", set(a.outputs), set(b.outputs)), ("non-sequence", set(a.nonseqs), set(b.nonseqs)))  # fmt: skip
    for role, old, new in roles:
        for name in sorted(old - new):
            yield f"{scan} has no {role} {name} any more"
        for name in sorted(n for n in new - old if not n.startswith(PREFIX)):
            yield f"{scan} has a new {role} {name}"


def _views(old: Graph, new: Graph) -> Iterator[str]:
    """How results of scans are read: a narrower view needs less storage."""
    was, now = _read(old), _read(new)
    for (scan, name), views in now.items():
        before = was.get((scan, name), views)
        if before != views:
            yield f"{name} of {scan}: read as {', '.join(sorted(views))} instead of {', '.join(sorted(before))}"


def _read(graph: Graph) -> dict[tuple[str, str], set[str]]:
    found: dict[tuple[str, str], set[str]] = {}
    pending = [graph]
    while pending:
        for node in pending.pop().nodes():
            pending += body_graphs(node)
            if node.op == "get" and node.args[0].op == "scan" and node.attrs["name"]:
                key = spec_of(node.args[0]).name, node.attrs["name"]
                found.setdefault(key, set()).add(node.attrs["view"])
    return found
