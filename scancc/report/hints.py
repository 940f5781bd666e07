"""What a user could do to make a program faster or smaller: a table of rules over what is known of a compilation.

A rule looks at the evidence and says what it sees, or None where it sees nothing; the table has the advice to follow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from scancc.ir.graph import UNTIL, Graph, Node, ScanSpec, dependencies, operands, spec_of, with_attrs
from scancc.passes.graph.block_recurrences import block_recurrences
from scancc.passes.graph.order_sums import order_sums
from scancc.passes.pipeline import Compilation
from scancc.report.limits import Limit, Measured
from scancc.report.storage import kept, row_bytes, scans, show_bytes

if TYPE_CHECKING:
    from scancc.static.figures import Figures, LoopFigures

LARGE_BYTES = 1 << 20  # a history that is worth a thought
PAGE_BYTES = 1 << 12  # rows further apart than this are slow to read
WIDE = 32  # elements of a row from which on vectors and batches pay
IDLE = 2.0  # times that a chain takes longer than the work on it
SHORT_CALL_S = 20e-6  # the Python around a call takes a good part of it
LIBM = frozenset(
    f"{name}{suffix}" for suffix in ("", "f") for name in
    "acos acosh asin asinh atan atan2 atanh cbrt cos cosh erf erfc exp exp2 expm1 fmod hypot lgamma log log10 log1p "
    "log2 pow remainder sin sinh sincos tan tanh tgamma".split()
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that is known of a program.

    `given` has the arrays of the example call by name; `jitted` says whether the reads of a scan's results are part
    of the program.
    """

    made: Compilation
    figures: Figures | None = None
    limits: tuple[Limit, ...] = ()
    measured: Measured | None = None
    given: Mapping[str, Any] = field(default_factory=dict)
    jitted: bool = True

    @property
    def hot(self) -> LoopFigures | None:
        return self.figures.hot if self.figures is not None else None


@dataclass(frozen=True, slots=True)
class Hint:
    """`title` names the matter, `sees` says what it is here, `advice` what to do."""

    name: str
    title: str
    sees: Callable[[Evidence], str | None]
    advice: str


def hints_for(evidence: Evidence) -> list[tuple[Hint, str]]:
    """The hints that apply, each with what it sees."""
    return [(hint, seen) for hint in HINTS if (seen := hint.sees(evidence)) is not None]


# -- storage -----------------------------------------------------------------------------------------------------
def _whole_history(e: Evidence) -> str | None:
    """A scan on its own returns all rows: what is read of them is not visible."""
    large = [k for k in kept(e.made) if k.storage.trace and k.storage.taps and (k.total or 0) >= LARGE_BYTES]
    if e.jitted or not large:
        return None
    most = max(large, key=lambda k: k.total or 0)
    return f"All rows of {most.name} are kept, {show_bytes(most.total or 0)}."


def _last_of_history(e: Evidence) -> str | None:
    """Within a program: a history that is stored whole although only constant rows of it are read."""
    nodes = e.made.graph.nodes()
    results = set(e.made.graph.results.values())
    for node in nodes:
        if node.op == "get" and node.attrs["view"] == "trace" and node not in results:
            readers = [n for n in nodes if node in n.args]
            if readers and all(n.op == "index" and n.attrs["axis"] == 0 for n in readers):
                return f"Only single rows of {node.attrs['name']} are read, but all of them are kept."
    return None


# -- arithmetic --------------------------------------------------------------------------------------------------
def _libm(e: Evidence) -> str | None:
    calls = [c for c in e.hot.calls if c in LIBM] if e.hot else []
    return f"The hot loop calls {', '.join(calls)} of the C library, element by element." if calls else None


def _wide_floats(e: Evidence) -> str | None:
    """float32 data that a step widens to float64."""
    for scan in scans(e.made.traced):
        for node in spec_of(scan).body.nodes():
            if node.op == "cast" and node.type.dtype == "float64" and node.args[0].type.dtype == "float32":
                return f"{_line(node)} converts float32 to float64, of which a vector holds half as many elements."
    return None


def _matvec(e: Evidence) -> str | None:
    for scan in scans(e.made.graph):
        state = _of_state(spec_of(scan))
        for node in spec_of(scan).body.nodes():
            if node.op == "matmul" and node in state and node.type.ndim == 1 and (node.type.size or 0) >= WIDE:
                return f"The product of {_line(node)} waits for the state, and reads a whole matrix for one vector."
    return None


def _left_in_loop(e: Evidence) -> str | None:
    """A product of a sequence's row that hoisting left in the loop."""
    for scan in scans(e.made.graph):
        spec = spec_of(scan)
        state = _of_state(spec)
        for node in spec.body.nodes():
            rows = any(n.op == "tap" for n in _behind(node))
            if node.op == "matmul" and node not in state and rows and (node.type.size or 0) >= WIDE:
                why = ("the loop may stop early" if spec.has_until else
                       "it may fail, or its rows would be far larger than those it is computed of")  # fmt: skip
                return f"The product of {_line(node)} depends on a sequence alone, but stays in the loop: {why}."
    return None


def _batch_latency(e: Evidence) -> str | None:
    """A chain of operations that leaves the ports idle."""
    by_name = {limit.name: limit for limit in e.limits}
    latency, throughput = by_name.get("latency"), by_name.get("throughput")
    if latency is None or throughput is None or e.limits[0] is not latency or throughput.ns <= 0:
        return None
    room = latency.ns / throughput.ns
    if room < IDLE:
        return None
    return (f"A step waits {latency.cycles:.3g} cycles for the one before, and is "
            f"{throughput.cycles:.3g} cycles of work.")  # fmt: skip


# -- control -----------------------------------------------------------------------------------------------------
def _until(e: Evidence) -> str | None:
    """A stopping condition that alone keeps a loop from running in vectors."""
    for scan in scans(e.made.graph):
        spec = spec_of(scan)
        if not spec.has_until:
            continue
        results = {k: v for k, v in spec.body.results.items() if k != UNTIL}
        free = with_attrs(scan, spec=replace(spec, body=replace(spec.body, results=results)))
        alone = Graph(e.made.graph.inputs, {"steps": free})
        if not spec.carries or (not e.made.options.strict_fp and block_recurrences(alone) is not alone):
            return f"Scan {spec.name} runs step by step because of its stopping condition."
    return None


def _strict(e: Evidence) -> str | None:
    graph = e.made.graph
    if not e.made.options.strict_fp:
        return None
    lost = [text for changed, text in (
        (order_sums(graph) is not graph, "sums in the order that waits least"),
        (block_recurrences(graph) is not graph, "a linear recurrence in blocks of a vector"),
    ) if changed]  # fmt: skip
    return f"strict_fp=True forbids {' and '.join(lost)}." if lost else None


def _unoptimised(e: Evidence) -> str | None:
    return None if e.made.options.optimize else "optimize=False leaves out every pass."


# -- memory ------------------------------------------------------------------------------------------------------
def _not_contiguous(e: Evidence) -> str | None:
    bad = {name: a.nbytes for name, a in e.given.items()
           if isinstance(a, np.ndarray) and a.size >= WIDE and not a.flags.c_contiguous}  # fmt: skip
    if not bad:
        return None
    return f"{', '.join(bad)} is not contiguous in memory; a call copies {show_bytes(sum(bad.values()))} first."


def _batch_first(e: Evidence) -> str | None:
    """A sequence whose steps are not its first axis in memory."""
    for scan in scans(e.made.traced):
        named = operands(scan)
        for s in spec_of(scan).sequences:
            source = named[s.name]
            if source.op == "transpose" and source.attrs["perm"][0] != 0 and row_bytes(source.type) >= PAGE_BYTES:
                return f"The steps of sequence {s.name} are not the first axis of its array: a row lies in many pieces."
    return None


def _spills(e: Evidence) -> str | None:
    if e.hot is None or e.hot.spills <= e.hot.instructions // 10:
        return None
    return f"{e.hot.spills} of {e.hot.instructions} instructions of the hot loop move values to the stack and back."


def _not_vectorised(e: Evidence) -> str | None:
    if e.hot is None or e.hot.vector_bits != 64 or e.hot.calls:
        return None
    # Rows that a loop in the step makes are left out: their elements may wait for one another.
    alone = [s for s in scans(e.made.graph) if not any(True for _ in scans(spec_of(s).body))]
    results = [n for s in alone for n in spec_of(s).body.results.values()]
    wide = any((n.type.size or 0) >= WIDE for n in results)
    return "The hot loop computes one element at a time although rows are wide." if wide else None


def _allocates(e: Evidence) -> str | None:
    count = e.figures.allocations if e.figures is not None else 0
    return f"The kernel allocates memory while it runs ({count} places)." if count else None


def _short_call(e: Evidence) -> str | None:
    if e.measured is None or e.measured.call_s > SHORT_CALL_S:
        return None
    return f"A call takes {1e6 * e.measured.call_s:.1f} µs, of which a good part is Python's side of it."


HINTS: tuple[Hint, ...] = (
    Hint("whole_history", "The whole history is kept", _whole_history,
         "If only its last rows, or sums of it, are read: put the scan and that under one @sc.jit."),
    Hint("last_of_history", "More rows are kept than are read", _last_of_history,
         "Leave out optimize=False: reads such as ys[-1] then keep those rows alone."),
    Hint("libm", "A library function is called in the loop", _libm,
         "exp, expm1, log, log1p, sin, cos, tanh, erf and expit are inlined; others are best computed before."),
    Hint("wide_floats", "float64 where the data is float32", _wide_floats,
         "Give weights, initial values and NumPy constants as float32; Python's numbers do not widen."),
    Hint("matvec", "A matrix is read for one vector", _matvec,
         "Run several sequences at once, by one more axis of the state or sc.vmap: the matrix is read once for all."),
    Hint("left_in_loop", "A product of a sequence stays in the loop", _left_in_loop,
         "Compute it for all rows before the scan if there is room for them."),
    Hint("batch_latency", "The core waits", _batch_latency,
         "Several sequences at once cost little more than one: add an axis to the state, or use sc.vmap."),
    Hint("until", "A stopping condition keeps the loop from vectors", _until,
         "If most steps are made anyway, run all of them and cut the result after the scan."),
    Hint("strict", "strict_fp costs speed here", _strict, "Leave it out where the last bit does not matter."),
    Hint("unoptimised", "Nothing is optimised", _unoptimised, "It is there for comparison only."),
    Hint("not_contiguous", "An argument is copied at every call", _not_contiguous,
         "Pass np.ascontiguousarray(...) of it, made once."),
    Hint("batch_first", "Time is not the first axis", _batch_first, "Keep the data with time as its first axis."),
    Hint("spills", "There are not enough registers", _spills,
         "Rows of up to 16 elements are held in registers. Fewer or smaller states may run faster, and so may larger "
         "rows, which are loops over memory."),
    Hint("not_vectorised", "The loop is not vectorised", _not_vectorised,
         "Computed subscripts and calls keep it from that; np.where of whole rows does not."),
    Hint("allocates", "The kernel allocates", _allocates,
         "A number of steps that is known before the loop, or ys[-1] instead of ys, needs no memory that grows."),
    Hint("short_call", "The call is short", _short_call,
         "Put more work into one call: longer sequences, several at once, or what is around the scan under @sc.jit."),
)  # fmt: skip


def _of_state(spec: ScanSpec) -> set[Node]:
    """Nodes of a body that depend on a carry."""
    carries = {c.name for c in spec.carries}
    found: set[Node] = set()
    for n in spec.body.nodes():
        if (n.op == "tap" and n.attrs["name"] in carries) or any(d in found for d in dependencies(n)):
            found.add(n)
    return found


def _behind(node: Node) -> Iterator[Node]:
    """A node and all that it is computed of."""
    seen: set[Node] = set()
    stack = [node]
    while stack:
        n = stack.pop()
        if n not in seen:
            seen.add(n)
            yield n
            stack += n.args


def _line(node: Node) -> str:
    return f"line {node.loc.line}" if node.loc else f"a step ({node.op})"
