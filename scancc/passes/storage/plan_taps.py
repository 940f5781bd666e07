"""Decides where every result of every scan is stored. Later passes make memory smaller, or put two things in one place.

    before   %2 = scan ar2 ... carry y taps -2 -1 ...; %3 = get %2 y trace; %4 = index %3 axis=0 position=-1
    after    (narrow_views made it `get %2 y last 1`)     y: taps in registers, keep the last 1 row

Taps are read from
    registers    rows of few elements and shallow taps: shifted from step to step, never in memory
    trace        the output array itself, when the whole history is wanted anyway (`lead` rows in front hold the
                 initial values, so that no read needs a branch)
    ring(n)      a ring buffer otherwise. n rows suffice for a depth of n only while every read of a step precedes
                 its write; rows that are loops over memory get one more, so that reads and the write never meet.
                 A block of threads on a device reads small rows from its own memory, so there a ring stands beside
                 the trace that is wanted anyway
    table        one row that steps change in place, where they change some elements and read the rest no more
Short taps beside long ones are in registers too: read back from a ring, the value of the step before would wait for
its store. A trace that is only read reversed is stored reversed, the initial values behind it. A result keeps its
`trace`, its last k rows (in a ring), or nothing, as its consumers ask.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from scancc.ir.graph import Graph, Node, body_graphs, spec_of, users
from scancc.ir.types import Type
from scancc.passes.sizes import in_registers
from scancc.passes.storage.in_place import update_in_place

REGISTER_TAP_ELEMENTS = 32  # elements of all taps of a carry together
REGISTER_DEPTH = 8


@dataclass(frozen=True, slots=True)
class Storage:
    """Storage of one result of a scan."""

    taps: str | None  # registers | trace | ring | table: of the deepest tap; None for an output without feedback
    depth: int
    short: int  # taps -1 ... -short are held in registers
    trace: bool  # the whole history is stored
    lead: int  # rows in front of the trace, or behind one that is stored backwards, that hold the initial values
    ring: int  # rows of the ring buffer; 0: none
    last: int  # rows that consumers read from the end when there is no trace
    every: bool = False  # states are kept every so many steps
    backwards: bool = False  # the trace is stored last row first, as all of its readers want it

    def __str__(self) -> str:
        parts = []
        if self.taps:
            parts.append(f"taps in {self.taps}" + (f"({self.ring})" if self.taps == "ring" else ""))
            if self.short and self.taps != "registers":
                parts.append(f"the last {self.short} in registers")
        if self.trace:
            where = "behind" if self.backwards else "in front"
            parts.append("trace" + (f" with {self.lead} rows {where}" if self.lead else "")
                         + (", last row first" if self.backwards else ""))
        if self.every:
            parts.append("a state every so many steps")
        if self.last and not self.trace:
            parts.append(f"last({self.last})")
        return ", ".join(parts) or "not stored"


Plan = dict[tuple[Node, str], Storage]


def plan_taps(graph: Graph, near: int = 0, behind: bool = False) -> Plan:
    """`near`: rings of up to so many bytes are nearer than a trace; `behind`: a trace may have rows behind it."""
    plan: Plan = {}
    views: dict[tuple[Node, str], set[str]] = {}
    flipped: set[tuple[Node, str]] = set()
    pending = [graph]
    while pending:
        g = pending.pop()
        flipped |= _only_flipped(g)
        for node in g.nodes():
            pending += body_graphs(node)
            if node.op == "get" and node.args[0].op == "scan":
                views.setdefault((node.args[0], node.attrs["name"]), set()).add(node.attrs["view"])
            if node.op == "scan":
                spec = spec_of(node)
                for name in (*(c.name for c in spec.carries), *spec.outputs):
                    views.setdefault((node, name), set())
    for (node, name), kinds in views.items():
        if name:
            storage = _storage(node, name, kinds, near)
            if (node, name) in flipped:
                storage = _backwards(storage, behind)
            plan[node, name] = replace(storage, every="every" in kinds)
    return plan


def _backwards(storage: Storage, behind: bool) -> Storage:
    """Initial values are behind the trace, or in a ring beside it."""
    if storage.taps == "trace" and not behind:
        storage = replace(storage, taps="ring", lead=0, ring=storage.depth + 1)
    return replace(storage, backwards=True)


def _only_flipped(graph: Graph) -> set[tuple[Node, str]]:
    """Results whose traces are read in reversed order only, as those of loops that go back are."""
    readers = users(graph)
    results = set(graph.results.values())
    found: set[tuple[Node, str]] = set()
    other: set[tuple[Node, str]] = set()
    for node in graph.nodes():
        if node.op != "get" or node.args[0].op != "scan" or not node.attrs["name"]:
            continue
        key = node.args[0], node.attrs["name"]
        spec = spec_of(node.args[0])
        flips = all(u.op == "flip" and u.attrs["axes"] == (0,) for u in readers.get(node, []))
        free = spec.strategy == "steps" and not spec.has_until and node.attrs["view"] == "trace"
        (found if flips and free and node not in results and readers.get(node) else other).add(key)
    return found - other


def _storage(node: Node, name: str, kinds: set[str], near: int) -> Storage:
    spec = spec_of(node)
    carry = spec.carry(name)
    row = spec.body.results[name].type
    whole = "history" in kinds  # initial rows and all
    trace = whole or "trace" in kinds
    last = max((int(k.split()[1]) for k in kinds if k.startswith(("last", "tail"))), default=0)
    last = 0 if trace else last
    if carry is None:
        return Storage(None, 0, 0, trace, 0, last, last)
    depth = carry.depth
    small = in_registers(row)
    if small and _held(depth, row):
        return Storage("registers", depth, depth, trace, depth if whole else 0, last if last > depth else 0, last)
    short = max((-k for k in carry.taps if small and _held(-k, row)), default=0)
    ring = depth + (not small)
    if trace and row.size is not None and ring * row.size * row.dtype.itemsize <= near:
        return Storage("ring", depth, short, True, depth if whole else 0, ring, 0)
    if trace:
        return Storage("trace", depth, short, True, depth, 0, 0)
    if not small and last <= 1 and update_in_place(spec, carry) is not None:
        return Storage("table", depth, short, False, 0, 1, last)
    return Storage("ring", depth, short, False, 0, max(ring, last), last)


def _held(depth: int, row: Type) -> bool:
    return depth <= REGISTER_DEPTH and depth * (row.size or 0) <= REGISTER_TAP_ELEMENTS
