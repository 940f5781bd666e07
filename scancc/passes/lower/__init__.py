"""Lowering: the scan IR and its storage plan become a kernel of the loop IR."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace

import numpy as np

from scancc.errors import UnsupportedError
from scancc.ir.graph import EFFECT, Graph, Node, spec_of
from scancc.ir.loop import INT64, Buffer, Expr, Kernel, Var, add
from scancc.ir.types import Dim
from scancc.passes.lower.context import Lowering, Target, in_memory
from scancc.passes.lower.values import registers
from scancc.passes.sizes import in_registers
from scancc.passes.storage.plan_taps import Plan

WHOLE = ("trace", "history")  # views of all rows


@dataclass(slots=True)
class Lowered:
    """A kernel and what a caller needs to run it: lengths to pass, buffers to allocate, results to return."""

    kernel: Kernel
    lengths: list[tuple[Var, str, int]]  # variable, input, axis
    definitions: dict[str, Expr]  # lengths computed from those, by variable
    allocated: list[Buffer]
    results: dict[str, tuple[Buffer, int]]  # buffer and rows in front, or, less than 0, behind
    executed: dict[str, Buffer]  # of scans that may stop early: results cut to the executed number of steps
    constants: dict[Buffer, np.ndarray]  # buffers with their contents
    cut: dict[str, int] = field(default_factory=dict)  # the axis that `executed` cuts, where it is not the first

    def seen(self) -> set[Buffer]:
        """Buffers whose contents somebody looks at after the kernel."""
        found = {b for b, _ in self.results.values()} | {*self.executed.values(), *self.kernel.returned}
        for failure in self.kernel.failures:
            found |= set() if failure.seen is None else set(failure.seen.values)
            found |= set() if failure.steps is None else {failure.steps}
        return found

    def own_scratch(self) -> set[Buffer]:
        """Scratch memory whose contents nobody looks at outside of the kernel."""
        return {b for b in self.allocated if b.role == "scratch"} - self.seen() - self.constants.keys()

    def without(self, gone: Collection[Buffer]) -> Lowered:
        """The same program without memory that its statements do not name any more."""
        kernel = replace(self.kernel, params=[p for p in self.kernel.params if p not in gone])
        return replace(self, kernel=kernel, allocated=[b for b in self.allocated if b not in gone])


def lower(graph: Graph, plan: Plan, name: str, library: bool = True, prefix: bool = False) -> Lowered:
    """`library`: whether the kernel may call what computes on memory, and enlarge traces that a condition ends;
    `prefix`: whether loops that are marked so are run in runs of steps at once."""
    low = Lowering(name, plan, library, prefix)
    lengths: list[tuple[Var, str, int]] = []
    for node in graph.inputs:
        label = low.name(node.attrs["name"])
        if node.type.ndim == 0:
            var = Var(label, node.type.dtype)
            low.kernel.params.append(var)
            low.host_dims.add(label)
            low.env[node] = registers([var], ())
            continue
        shape = []
        for axis, d in enumerate(node.type.shape):
            if isinstance(d, Dim) and d.name not in low.dims:
                var = Var(low.name(d.name), INT64)
                low.dims[d.name] = var
                low.host_dims.add(var.name)
                lengths.append((var, node.attrs["name"], axis))
            shape.append(low.length(d))
        buffer = Buffer(label, node.type.dtype, tuple(shape), "input")
        low.kernel.params.append(buffer)
        low.env[node] = in_memory(Target(buffer, ()), node.type.ndim)
        if in_registers(node.type):
            low.registers_of(node)
    low.kernel.params += [v for v, _, _ in lengths]
    low.graph(graph)
    results: dict[str, tuple[Buffer, int]] = {}
    executed: dict[str, Buffer] = {}
    cut: dict[str, int] = {}
    for label, node in graph.results.items():
        if label.startswith(EFFECT):
            continue
        results[label] = _result(low, label, node)
        if node.op == "get" and node.attrs["view"] in WHOLE and spec_of(node.args[0]).has_until:
            count = low.scans[node.args[0]][1]
            if node.attrs["view"] == "history":
                count = add(count, low.plan[node.args[0], node.attrs["name"]].lead)
            executed[label] = _count(low, label, count)
        elif not library:
            _cut(low, label, node, executed, cut)
    low.kernel.params += [*low.constants, *low.buffers]
    return Lowered(low.kernel, lengths, low.definitions, low.buffers, results, executed, low.constants, cut)


def _cut(low: Lowering, label: str, node: Node, executed: dict[str, Buffer], cut: dict[str, int]) -> None:
    """On devices memory has room by a bound: what a loop decides the length of is cut to it when it is there."""
    open_axes = [a for a, d in enumerate(node.type.shape) if not low.known_before(low.length(d))]
    if len(open_axes) > 1:
        what = f"result {label!r} has {len(open_axes)} lengths that loops decide, on a device"
        raise UnsupportedError(what, node.loc, fix="return results with one of them, or use target='cpu'")
    for axis in open_axes:
        executed[label], cut[label] = _count(low, label, low.length(node.type.shape[axis])), axis


def _count(low: Lowering, label: str, count: Expr) -> Buffer:
    """A cell that tells the caller how much of a result is there."""
    cell = low.scratch(f"{label}_count", INT64, (1,))
    low.fill_scalar(cell, count)
    return cell


def _result(low: Lowering, label: str, node: Node) -> tuple[Buffer, int]:
    """The buffer of a result: a scan's trace as it stands, anything else copied."""
    trace = node.args[0] if node.op == "flip" else node
    stored = trace.op == "get" and trace.attrs["view"] in WHOLE
    if stored and (trace is node or low.plan[trace.args[0], trace.attrs["name"]].backwards):
        node = trace
        slots = low.scans[node.args[0]][0][node.attrs["name"]]
        assert slots.trace is not None
        if slots.trace.buffer.role == "local" and slots.trace.buffer not in low.kernel.returned:
            low.kernel.returned.append(slots.trace.buffer)
        lead = slots.storage.lead if node.attrs["view"] != "history" else 0
        return slots.trace.buffer, -lead if slots.storage.backwards else lead
    shape = node.type.shape or (1,)
    out = low.scratch(f"{label}_out", node.type.dtype, shape)
    if out.role == "local":
        low.kernel.returned.append(out)
    if node.type.ndim == 0:
        low.fill_scalar(out, low.element(node, ()))
    else:
        low.fill(node, Target(out, ()))
    return out, 0


__all__ = ["Lowered", "lower"]
