"""How a device runs a program: which threads there are, what each of them owns, and where its memory lies.

    lane      a thread for each of many independent lanes, its state in registers
    block     a block of threads for each lane, or for the whole program: rows over threads, small state in its memory
    grid      all blocks together, which wait for one another between steps: rows wider than a block
    prefix    many runs of one loop's steps at once, put together by their effect on the state; of each lane, if few
    product   a matrix product in tiles, a block for each
    thread    one thread: programs without lanes and without wide rows

Lanes that a condition ends leave their loop by themselves, each at its own step.
"""

from __future__ import annotations

from dataclasses import replace

from scancc.batching.lanes import Lanes, lanes_of
from scancc.errors import ScanValueError, UnsupportedError
from scancc.ir.graph import PREFIX, Graph, spec_of, topological
from scancc.ir.loop import Buffer, const_int
from scancc.ir.walk import shared_buffers
from scancc.passes.devices.device import SHARED, Device
from scancc.passes.devices.hold_arrays import hold_arrays
from scancc.passes.devices.hold_weights import hold_weights
from scancc.passes.devices.load_ahead import load_ahead
from scancc.passes.devices.products import lone_product
from scancc.passes.devices.share_loops import share_loops, shared_width, shares, time_loops
from scancc.passes.devices.spread_lanes import spread_lanes
from scancc.passes.graph.cse import cse
from scancc.passes.graph.dce import dce
from scancc.passes.graph.mark_prefixes import prefix_of
from scancc.passes.graph.simplify import simplify
from scancc.passes.loops.dead_stores import drop_dead_stores
from scancc.passes.lower import Lowered, lower
from scancc.passes.storage.plan_taps import Plan, plan_taps

LANES_FIRST = ("block", "prefix")  # strategies by which a kernel's own arrays have the lanes first
STRATEGIES = ("lane", "block", "grid", "prefix", "thread")
WIDE = 32  # iterations that are worth a block
WIDEST = 8192  # iterations of a loop that one block should run by itself
MANY = 16  # elements of a lane that are worth a pass over all lanes
GRID_THREADS = 256  # of a block where other blocks have the rest: each thread has twice as many registers
NEAR = 8192  # bytes of a ring that a block keeps in its own memory beside a trace
LANE_BYTES = 128  # of rings that a thread keeps in its block's memory: with more of them fewer threads fit beside it
ASIDE = 4096  # bytes of a block's memory that sums over its threads may need besides


def place(
    graph: Graph, name: str, strategy: str, gather: bool, device: Device, lie: frozenset[str] = frozenset()
) -> tuple[str, Plan, Lowered, Lanes | None, str]:
    """Strategy, storage plan, kernel and lanes of a program for a device, and the reason for the strategy.

    `gather`: sums may be added up in another order; `lie`: inputs whose lanes come first in memory.

    Raises ScanValueError for a strategy that the program does not allow.
    """
    product = lone_product(graph) if gather and strategy == "auto" else None
    if product is not None:
        plan = plan_taps(graph)
        why = f"{product.terms} terms a sum, {product.columns} columns"
        return "product", plan, lower(graph, plan, name, library=False), None, why
    marked = next((n for n in graph.nodes() if n.op == "scan" and spec_of(n).strategy == PREFIX), None)
    lanes = lanes_of(graph)
    if lanes is not None and lanes.apart:  # what held ended lanes back is not needed in one of them
        lanes = replace(lanes, graph=dce(cse(simplify(lanes.graph))))
    if lanes is not None and marked is not None and strategy in ("auto", "prefix"):
        found = _prefix_of_lanes(_with_lanes(lanes, lie, first=True), name)
        if found is not None:
            return found
    if lanes is not None and strategy in ("auto", "lane", "block"):
        plan = plan_taps(lanes.graph)
        try:
            own = drop_dead_stores(lower(lanes.graph, plan, name, library=False))
            wide, _ = shares(own.kernel)
            if strategy == "block" or strategy == "auto" and wide >= WIDE:
                plan, own = _in_block(lanes.graph, name, gather, device)
                own = spread_lanes(own, lanes, first=True)
                return "block", plan, _ahead(own), lanes, (
                    f"the rows of a lane have up to {wide} elements" if wide > 1 else "asked for")  # fmt: skip
            lanes = _with_lanes(lanes, lie, first=False)
            own = spread_lanes(_near(own, device), lanes)
            return "lane", plan, _ahead(own), lanes, "lanes do not depend on one another"
        except UnsupportedError:
            pass
    if strategy == "lane":
        raise ScanValueError("strategy is 'lane', but no axis of all results was found whose elements are independent",
                             fix="leave the strategy out")  # fmt: skip
    plan = plan_taps(graph)
    monoid = None if marked is None else prefix_of(marked)
    if monoid is not None and strategy in ("auto", "prefix"):
        return "prefix", plan, _prefix(graph, plan, name), None, f"its steps are {monoid.form}"
    if strategy == "prefix":
        raise ScanValueError("strategy is 'prefix', but the program is not one loop whose steps can be put together",
                             fix="leave the strategy out")  # fmt: skip
    lowered = drop_dead_stores(lower(graph, plan, name, library=False))
    wide, more = shares(lowered.kernel)
    if strategy == "auto":
        strategy = "grid" if wide > WIDEST else "block" if more or wide >= WIDE else "thread"
    why = (f"loops have up to {wide} independent iterations" if wide >= WIDE else
           "loops have independent iterations, whose number is known at run time" if more else
           "no rows are wide enough for more")  # fmt: skip
    if strategy == "block":
        plan, lowered = _in_block(graph, name, gather, device)
    elif strategy == "grid":
        lowered = _team(lowered, strategy, gather, device)
    return strategy, plan, _ahead(lowered), None, why


def _ahead(lowered: Lowered) -> Lowered:
    return replace(lowered, kernel=load_ahead(lowered.kernel))


def _prefix(graph: Graph, plan: Plan, name: str) -> Lowered:
    lowered = lower(graph, plan, name, library=False, prefix=True)
    return replace(lowered, kernel=replace(lowered.kernel, team="prefix"))


def _prefix_of_lanes(lanes: Lanes, name: str) -> tuple[str, Plan, Lowered, Lanes, str] | None:
    """A prefix for each of a few lanes."""
    (scan,) = (n for n in lanes.graph.nodes() if n.op == "scan")
    monoid = prefix_of(scan)
    if monoid is None:
        return None
    plan = plan_taps(lanes.graph)
    try:
        lowered = spread_lanes(_prefix(lanes.graph, plan, name), lanes, first=True)
    except UnsupportedError:
        return None
    return "prefix", plan, lowered, lanes, f"the steps of each are {monoid.form}"


def _with_lanes(lanes: Lanes, lie: frozenset[str], first: bool) -> Lanes:
    """Inputs that loops read many elements of get the lanes where neighbouring threads read neighbours: last for
    threads that have a lane each, first for those that share one out. Others are read as they lie."""
    moved, axes = {}, dict(lanes.inputs)
    loops = [n for n in lanes.graph.nodes() if n.op == "scan"]
    read = set(topological(loops))
    for node in lanes.graph.inputs:
        name, size = node.attrs["name"], node.type.size
        axis, wanted = axes[name], 0 if first or node not in read else node.type.ndim
        many = (size is None or size >= MANY) if node in read else name in lie
        if axis is not None and axis != wanted and many:
            moved[name], axes[name] = axis, wanted
    return replace(lanes, inputs=axes, moved=moved)


def _team(lowered: Lowered, team: str, gather: bool, device: Device) -> Lowered:
    kernel = share_loops(lowered.kernel, team, gather)
    # What runs often decides.
    width = max((shared_width(s.body) for s in time_loops(kernel.body)), default=kernel.width)
    if team == "grid":
        width = min(width, GRID_THREADS)
    return replace(lowered, kernel=replace(kernel, threads=device.threads(width)))


def _in_block(graph: Graph, name: str, gather: bool, device: Device) -> tuple[Plan, Lowered]:
    """The program of a block, which keeps what steps read again and again: rings, and weights as far as they fit."""
    plan = plan_taps(graph, NEAR)
    lowered = _team(drop_dead_stores(lower(graph, plan, name, library=False)), "block", gather, device)
    lowered, room = _in_shared_memory(lowered)
    kernel = hold_weights(lowered.kernel, device, device.shared - SHARED - ASIDE, gather)
    return plan, replace(lowered, kernel=hold_arrays(kernel, room))


def _near(lowered: Lowered, device: Device) -> Lowered:
    """The program of a lane, whose small rings are in its block's memory: a column for each thread."""
    lowered, _ = _in_shared_memory(lowered, LANE_BYTES)
    threads = device.lane_threads
    for b in shared_buffers(lowered.kernel):
        b.shape = (*b.shape, const_int(threads))
    return replace(lowered, kernel=replace(lowered.kernel, threads=threads))


def _in_shared_memory(lowered: Lowered, room: int = SHARED) -> tuple[Lowered, int]:
    """Small buffers that nobody outside of the kernel sees become the block's own; and the bytes that are left."""
    seen = lowered.seen()
    kept: list[Buffer] = []
    for b in lowered.allocated:
        size = b.nbytes
        if b in seen or size is None or size > room:
            kept.append(b)
            continue
        room -= size
        b.role = "shared"
    params = [p for p in lowered.kernel.params if not (isinstance(p, Buffer) and p.role == "shared")]
    return replace(lowered, kernel=replace(lowered.kernel, params=params), allocated=kept), room
