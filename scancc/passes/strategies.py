"""How a device runs a program: which threads there are, what each of them owns, and where its memory lies.

    lane      a thread for each of many independent lanes, its state in registers
    block     a block of threads for each lane, or for the whole program: rows over threads, small state in its memory
    grid      all blocks together, which wait for one another between steps: rows wider than a block
    prefix    many runs of one loop's steps at once, put together by their effect on the state
    thread    one thread: programs without lanes and without wide rows
"""

from __future__ import annotations

from dataclasses import replace

from scancc.batching.lanes import Lanes, lanes_of
from scancc.errors import ScanValueError, UnsupportedError
from scancc.ir.graph import PREFIX, Graph, spec_of
from scancc.ir.loop import Buffer, Kernel
from scancc.passes.dead_stores import drop_dead_stores
from scancc.passes.hold_weights import hold_weights, size_in_bytes
from scancc.passes.lower import Lowered, lower
from scancc.passes.mark_prefixes import prefix_of
from scancc.passes.plan_taps import Plan, plan_taps
from scancc.passes.share_loops import share_loops, shares
from scancc.passes.spread_lanes import spread_lanes

STRATEGIES = ("lane", "block", "grid", "prefix", "thread")
WIDE = 32  # iterations that are worth a block
WIDEST = 8192  # iterations of a loop that one block should run by itself
SHARED_BYTES = 40_000  # of a block's own memory, of the 48 kB that every device has


def place(graph: Graph, name: str, strategy: str, gather: bool) -> tuple[str, Plan, Lowered, Lanes | None, str]:
    """Strategy, storage plan, kernel and lanes of a program for a device, and the reason for the strategy.

    Raises ScanValueError for a strategy that the program does not allow.
    """
    lanes = lanes_of(graph)
    if lanes is not None and strategy in ("auto", "lane", "block"):
        plan = plan_taps(lanes.graph)
        try:
            own = drop_dead_stores(lower(lanes.graph, plan, name, library=False))
            wide, _ = shares(own.kernel)
            if strategy == "block" or strategy == "auto" and wide >= WIDE:
                return "block", plan, spread_lanes(_team(own, "block", gather), lanes, first=True), lanes, (
                    f"the rows of a lane have up to {wide} elements" if wide > 1 else "asked for")  # fmt: skip
            return "lane", plan, spread_lanes(own, lanes), lanes, "lanes do not depend on one another"
        except UnsupportedError:
            pass
    if strategy == "lane":
        raise ScanValueError("strategy is 'lane', but no axis of all results was found whose elements are independent",
                             fix="leave the strategy out")  # fmt: skip
    marked = next((n for n in graph.nodes() if n.op == "scan" and spec_of(n).strategy == PREFIX), None)
    plan = plan_taps(graph)
    if marked is not None and strategy in ("auto", "prefix"):
        monoid = prefix_of(marked)
        assert monoid is not None
        lowered = lower(graph, plan, name, library=False, prefix=True)
        lowered = replace(lowered, kernel=replace(lowered.kernel, team="prefix"))
        return "prefix", plan, lowered, None, f"its steps are {monoid.form}"
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
    if strategy != "thread":
        lowered = _team(lowered, strategy, gather)
    return strategy, plan, lowered, None, why


def _team(lowered: Lowered, team: str, gather: bool) -> Lowered:
    kernel = share_loops(lowered.kernel, team, gather)
    lowered = replace(lowered, kernel=kernel)
    return _in_shared_memory(lowered) if team == "block" else lowered


def _in_shared_memory(lowered: Lowered) -> Lowered:
    """Small buffers that nobody outside of the kernel sees become the block's own, and weights that fit beside them."""
    seen = {b for b, _ in lowered.results.values()} | set(lowered.executed.values())
    for f in lowered.kernel.failures:
        seen |= set(f.seen.values if f.seen else ()) | ({f.steps} if f.steps else set())
    room = SHARED_BYTES
    kept: list[Buffer] = []
    for b in lowered.allocated:
        size = size_in_bytes(b)
        if b in seen or size is None or size > room:
            kept.append(b)
            continue
        room -= size
        b.role = "shared"
    params = [p for p in lowered.kernel.params if not (isinstance(p, Buffer) and p.role == "shared")]
    kernel: Kernel = replace(lowered.kernel, params=params)
    return replace(lowered, kernel=hold_weights(kernel, room), allocated=kept)

