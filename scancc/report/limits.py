"""What the time of a step cannot fall below on this machine, and which of the limits is the one that holds.

    latency      the longest chain of dependent operations from step to step, by the machine code of the hot loop
    throughput   what the ports of a core need for the instructions of a step
    arithmetic   the multiply-adds of the matrix products of a step, at the rate of the throughput kernel
    bandwidth    the rows that a step reads and writes, where they outgrow the caches, at the bandwidth kernel's rate

Cycles become nanoseconds by the calibration kernels, which run in the same process.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from scancc.ir.graph import Graph, Node, body_graphs, operands, spec_of
from scancc.ir.types import Dim, Type
from scancc.passes.pipeline import Compilation
from scancc.report.storage import inner_steps, row_bytes, show_bytes, steps_of

if TYPE_CHECKING:
    from scancc.static.figures import Figures

FEW = 64  # multiply-adds of products in a step that no library is called for
FAR = 2.0  # times the limit from which on something else must hold the loop up


@dataclass(frozen=True, slots=True)
class Machine:
    """What this machine does: nanoseconds of a cycle, bytes and float64 multiply-adds in a second, last-level cache."""

    cycle_ns: float
    bytes_per_s: float
    multiply_adds_per_s: float
    cache_bytes: int


@dataclass(frozen=True, slots=True)
class Limit:
    """`ns` and `cycles` of one step, of nested scans one of the innermost."""

    name: str
    ns: float
    cycles: float
    why: str


@dataclass(frozen=True, slots=True)
class Measured:
    """A call with the example inputs. `ns` and `cycles` of one of the `steps`; None where their number is not known."""

    call_s: float
    steps: int | None
    ns: float | None
    cycles: float | None


def limits_of(made: Compilation, figures: Figures, machine: Machine) -> list[Limit]:
    """The limits that can be told, the one that holds first."""
    found = [*_by_machine_code(figures, machine), *_by_products(made, machine), *_by_memory(made, machine)]
    return sorted(found, key=lambda limit: -limit.ns)


def _by_machine_code(figures: Figures, machine: Machine) -> list[Limit]:
    hot, steps = figures.hot, figures.steps_per_iteration
    if hot is None or not steps:
        return []
    an = "an iteration of the hot loop" + (f" ({steps} steps)" if steps > 1 else "")
    found = []
    for name, cycles, what in (
        ("latency", hot.critical_path_cycles, f"the chain of dependent operations through {an}"),
        ("throughput", hot.throughput_cycles, f"the ports' work on {an}, of {hot.instructions} instructions,"),
    ):
        if cycles > 0:
            why = f"{what} takes {cycles:g} cycles"
            found.append(Limit(name, cycles / steps * machine.cycle_ns, cycles / steps, why))
    return found


def _by_products(made: Compilation, machine: Machine) -> list[Limit]:
    inner = {n: steps for n in _outer(made) if (steps := inner_steps(n)) is not None}
    work = max((_products(spec_of(n).body) / steps for n, steps in inner.items()), default=0.0)
    if work < FEW:
        return []
    ns = work / machine.multiply_adds_per_s * 1e9
    why = f"{work:,.0f} multiply-adds of float64 in matrix products of a step; of float32 two count as one"
    return [Limit("arithmetic", ns, ns / machine.cycle_ns, why)]


def _by_memory(made: Compilation, machine: Machine) -> list[Limit]:
    """Rows go through the caches where they all fit there."""
    found = []
    for node in _outer(made):
        steps, inner = steps_of(node), inner_steps(node)
        a_step = traffic(made, node)
        if steps is not None and inner is not None and a_step and steps * a_step > machine.cache_bytes:
            ns = a_step / inner / machine.bytes_per_s * 1e9
            each = "a step" if inner == 1 else f"in {inner} steps"
            why = f"{show_bytes(a_step)} of rows {each}, {show_bytes(steps * a_step)} in all: more than any cache holds"
            found.append(Limit("bandwidth", ns, ns / machine.cycle_ns, why))
    return sorted(found, key=lambda limit: -limit.ns)[:1]


def traffic(made: Compilation, scan: Node) -> int:
    """Bytes of the rows that a step of a scan reads of its sequences and writes to its traces."""
    spec, value = spec_of(scan), operands(scan)
    read = {value[s.name]: row_bytes(value[s.name].type.with_shape(value[s.name].type.shape[1:]))
            for s in spec.sequences}  # fmt: skip
    written = sum(row_bytes(spec.body.results[name].type) for name in (*(c.name for c in spec.carries), *spec.outputs)
                  if made.plan[scan, name].trace)  # fmt: skip
    return sum(read.values()) + written


def _outer(made: Compilation) -> list[Node]:
    return [n for n in made.stored.nodes() if n.op == "scan"]


def _products(body: Graph) -> float:
    """Multiply-adds of the matrix products of one step, in float64; inner loops make theirs at every step."""
    total = 0.0
    for node in body.nodes():
        if node.op == "matmul":
            left, _ = node.args
            total += _size(node.type) * _length(left.type.shape[-1]) * node.type.dtype.itemsize / 8
        times = (steps_of(node) or 1) if node.op == "scan" else 1
        total += times * sum(_products(g) for g in body_graphs(node))
    return total


def _size(t: Type) -> int:
    total = 1
    for d in t.shape:
        total *= _length(d)
    return total


def _length(d: int | Dim) -> int:
    return d if isinstance(d, int) else d.hint or 1


def verdict(limits: list[Limit], measured: Measured | None) -> str:
    """One sentence: what holds the loop up."""
    if not limits:
        return "No limit can be told: no loop of the machine code makes a known number of steps at a time."
    first = limits[0]
    text = f"The limit is {first.name}, {first.ns:.3g} ns a step ({first.cycles:.3g} cycles): {first.why}."
    if measured is None or measured.ns is None:
        return text
    ratio = measured.ns / first.ns
    text += f" Measured: {measured.ns:.3g} ns a step, {ratio:.2f} times the limit."
    if ratio > FAR:
        text += " Something else takes the rest: calls, caches, branches, or work outside of the hot loop."
    return text
