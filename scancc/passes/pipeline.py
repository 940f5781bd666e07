"""The pipeline: from a traced graph to loops, one visible list of passes, each verified and timed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from scancc.batching.lanes import Lanes
from scancc.ir.graph import Graph, Node
from scancc.ir.loop import Kernel
from scancc.ir.verify import verify
from scancc.ir.verify_loop import verify_kernel
from scancc.passes.devices.device import ANY, Device
from scancc.passes.devices.products import is_wide
from scancc.passes.devices.stages import stages_of
from scancc.passes.devices.strategies import LANES_FIRST, place
from scancc.passes.graph.absorb import absorb
from scancc.passes.graph.accumulate import accumulate
from scancc.passes.graph.block_recurrences import block_recurrences
from scancc.passes.graph.cse import cse
from scancc.passes.graph.dce import dce
from scancc.passes.graph.defer_products import defer_products
from scancc.passes.graph.defer_sums import defer_sums
from scancc.passes.graph.forward_outputs import forward_outputs
from scancc.passes.graph.fuse import fuse
from scancc.passes.graph.hoist import hoist, is_worth
from scancc.passes.graph.mark_prefixes import keep_prefixes, mark_prefixes
from scancc.passes.graph.merge_duplicates import merge_duplicates
from scancc.passes.graph.narrow_storage import narrow_storage
from scancc.passes.graph.narrow_views import narrow_views
from scancc.passes.graph.order_sums import order_sums
from scancc.passes.graph.same_rows import same_rows
from scancc.passes.graph.shorten import shorten
from scancc.passes.graph.simplify import simplify
from scancc.passes.loops.dead_stores import drop_dead_stores
from scancc.passes.loops.flatten_rows import flatten_rows
from scancc.passes.loops.forward_copies import forward_copies
from scancc.passes.loops.geometric_loops import geometric_loops
from scancc.passes.loops.pack_weights import pack_weights
from scancc.passes.loops.partial_sums import partial_sums
from scancc.passes.loops.reuse_memory import reuse_memory
from scancc.passes.loops.ring_runs import ring_runs
from scancc.passes.loops.shorten_chains import shorten_chains
from scancc.passes.loops.shrink_scratch import shrink_scratch
from scancc.passes.loops.skew_rows import skew_rows
from scancc.passes.loops.skip_zeros import skip_zeros
from scancc.passes.loops.split_loops import split_loops
from scancc.passes.loops.tile_lanes import tile_lanes
from scancc.passes.lower import Lowered, lower
from scancc.passes.sizes import REGISTER_ELEMENTS, unrolled_up_to
from scancc.passes.storage.plan_taps import Plan
from scancc.passes.unroll import SIZES, unroll


@dataclass(frozen=True, slots=True)
class Options:
    """Options of a compilation.

    `strict_fp`: no FMA contraction and no reordering, so that + - * / and sqrt are bit-equal to the interpreter.
    `fastmath`: identities that hold for real numbers but not for every float, and reassociation of sums.
    `optimize`: False leaves out every pass that storage and lowering do not need.
    `target`: cpu or cuda, the back end.
    `parallel`: whether a device runs the steps of one loop in runs at once: "auto" where that loses no accuracy,
    "prefix" wherever it is possible, "never".
    `strategy`: how a device runs it, see `strategies.py`; "auto" chooses by shape.
    """

    strict_fp: bool = False
    fastmath: bool = False
    optimize: bool = True
    target: str = "cpu"
    strategy: str = "auto"
    parallel: str = "auto"


@dataclass(frozen=True, slots=True)
class Pass:
    """One step of the pipeline. `wanted` tells under which options it runs."""

    name: str
    run: Callable[[Graph, Options], Graph]
    wanted: Callable[[Options], bool] = lambda options: options.optimize


def _plain(transform: Callable[[Graph], Graph]) -> Callable[[Graph, Options], Graph]:
    return lambda graph, options: transform(graph)


def _worth_hoisting(options: Options) -> Callable[[Node], bool]:
    """Threads of a device do what a step needs in the loop, without the memory; but for products that tiles are for."""
    if options.target == "cpu":
        return is_worth
    return is_wide if options.strategy == "auto" and not options.strict_fp else lambda node: False


PIPELINE: tuple[Pass, ...] = (
    Pass("simplify", lambda graph, options: simplify(graph, options.fastmath)),
    Pass("cse", _plain(cse)),
    Pass("mark_prefixes", lambda graph, options: mark_prefixes(graph, "prefix" in (options.parallel, options.strategy)),
         lambda options: options.target == "cuda" and options.parallel != "never" and not options.strict_fp
         and options.strategy in ("auto", "prefix")),
    Pass("narrow_views", _plain(narrow_views)),
    Pass("shorten", _plain(shorten)),
    Pass("absorb", _plain(absorb)),
    Pass("accumulate", _plain(accumulate)),
    Pass("defer_products", _plain(defer_products), lambda options: not options.strict_fp),
    Pass("fuse", _plain(fuse)),
    Pass("merge_duplicates", _plain(merge_duplicates)),
    Pass("same_rows", _plain(same_rows), lambda options: options.optimize and options.target == "cpu"),
    Pass("hoist", lambda graph, options: hoist(graph, _worth_hoisting(options))),
    Pass("forward_outputs", _plain(forward_outputs)),
    Pass("simplify_again", lambda graph, options: simplify(graph, options.fastmath)),
    Pass("cse_again", _plain(cse)),
    Pass("narrow_storage", _plain(narrow_storage)),
    Pass("dce", _plain(dce)),
    Pass("defer_sums", lambda graph, options: defer_sums(graph, apart=options.target == "cpu"),
         lambda options: not options.strict_fp and (options.optimize or options.target == "cuda")),
    Pass("order_sums", _plain(order_sums), lambda options: options.optimize and not options.strict_fp),
    Pass("block_recurrences", _plain(block_recurrences),
         lambda options: options.optimize and not options.strict_fp and options.target == "cpu"),
)


@dataclass(frozen=True, slots=True)
class LoopPass:
    """One pass over the loops, after lowering. `wanted` tells under which options it runs.

    `does` says what became of the loops where it changed them, for `scancc explain`.
    """

    name: str
    run: Callable[[Lowered, Options], Lowered]
    does: str
    wanted: Callable[[Options], bool] = lambda options: True


def _kernel(transform: Callable[[Kernel], Kernel]) -> Callable[[Lowered, Options], Lowered]:
    return lambda lowered, options: replace(lowered, kernel=transform(lowered.kernel))


def _reorders(options: Options) -> bool:
    return not options.strict_fp


LOOP_PIPELINE: tuple[LoopPass, ...] = (
    LoopPass("forward_copies", lambda lowered, options: forward_copies(lowered),
             "arrays are made where they would be copied to"),
    LoopPass("tile_lanes", _kernel(tile_lanes), "loops over lanes run in tiles that the cache holds"),
    LoopPass("shrink_scratch", lambda lowered, options: shrink_scratch(lowered),
             "scratch memory has room for the lanes of one tile"),
    LoopPass("reuse_memory", lambda lowered, options: reuse_memory(lowered),
             "what is made element by element is put where an operand was"),
    LoopPass("ring_runs", _kernel(ring_runs), "steps between the ends of a ring buffer run together"),
    LoopPass("pack_weights", lambda lowered, options: pack_weights(lowered),
             "matrices that every step multiplies with are packed before the first step"),
    LoopPass("split_loops", lambda lowered, options: split_loops(lowered, reorder=not options.strict_fp),
             "work that no later step waits for is done beside the recurrence, some hundred steps at a time"),
    LoopPass("geometric_loops", _kernel(geometric_loops),
             "a loop that only multiplies by the same number is a power of it", _reorders),
    LoopPass("shorten_chains", _kernel(shorten_chains),
             "states wait for fewer operations of the step before", _reorders),
    LoopPass("skew_rows", lambda lowered, options: skew_rows(lowered),
             "several rows of the inner recurrence run together, each behind the row above"),
    LoopPass("skip_zeros", lambda lowered, options: skip_zeros(lowered),
             "the way back through a row begins and ends where its derivatives are not zero", _reorders),
    LoopPass("flatten_rows", _kernel(flatten_rows), "work on the elements of short rows is one loop over all of them"),
    LoopPass("partial_sums", _kernel(partial_sums),
             "sums over the elements of a row are added up by several partial sums", _reorders),
)


@dataclass(frozen=True, slots=True)
class Applied:
    """What one pass made, and how long it took."""

    name: str
    seconds: float
    graph: Graph
    changed: bool


@dataclass(frozen=True, slots=True)
class Compilation:
    """Everything between a traced graph and its kernel, for the back end and for whoever wants to look."""

    name: str
    options: Options
    traced: Graph
    passes: tuple[Applied, ...]
    graph: Graph
    plan: Plan
    lowered: Lowered
    lanes: Lanes | None = None  # on a device: the program that every thread, or block, runs
    strategy: str = ""
    why: str = ""
    elements: int = REGISTER_ELEMENTS  # arrays up to this size are scalars
    stages: tuple[Compilation, ...] = ()  # on a device, where there are several launches

    @property
    def stored(self) -> Graph:
        """The graph whose results `plan` has the storage of."""
        return self.graph if self.lanes is None else self.lanes.graph


def optimise(graph: Graph, options: Options) -> tuple[Applied, ...]:
    """Verify a graph and run the pipeline; the IR is verified again after every pass that changed it."""
    known: set[Node] = set()
    verify(graph, "trace", known)
    applied: list[Applied] = []
    for step in PIPELINE:
        if not step.wanted(options):
            continue
        start = time.perf_counter()
        new = step.run(graph, options)
        if new is not graph:
            verify(new, step.name, known)
        applied.append(Applied(step.name, time.perf_counter() - start, new, new is not graph))
        graph = new
    return tuple(applied)


def analyse(graph: Graph, name: str, options: Options, device: Device = ANY) -> Compilation:
    """Passes, storage plan and loops: everything but the machine code. `device`: the one that it will run on."""
    applied = optimise(graph, options)
    final = applied[-1].graph if applied else graph
    if options.target == "cuda":
        return _for_device(Compilation(name, options, graph, applied, final, {}, NOTHING), device)
    made = unroll(final, name, SIZES if options.optimize else SIZES[:1])
    *_, (_, lowered) = _loop_passes(made.lowered, options)
    verify_kernel(lowered.kernel)
    return Compilation(name, options, graph, applied, final, made.plan, lowered, elements=made.elements)


def loops_of(
    graph: Graph, plan: Plan, name: str, options: Options, elements: int
) -> Iterator[tuple[str, Lowered]]:  # fmt: skip
    """The loops of a graph for the CPU: as lowered, then after each pass by name.

    Passes change statements in place: what was yielded before is only good until the next is asked for.
    """
    with unrolled_up_to(elements):
        lowered = lower(graph, plan, name)
    yield from _loop_passes(lowered, options)


def _loop_passes(lowered: Lowered, options: Options) -> Iterator[tuple[str, Lowered]]:
    lowered = drop_dead_stores(lowered)
    yield "lower", lowered
    for step in LOOP_PIPELINE if options.optimize else ():
        if step.wanted(options):
            lowered = step.run(lowered, options)
            yield step.name, lowered


NOTHING = Lowered(Kernel("", [], [], []), [], {}, [], {}, {}, {})


def _for_device(made: Compilation, device: Device, lie: frozenset[str] = frozenset()) -> Compilation:
    """The kernel, or those of several stages. `lie`: inputs that have the lanes first, from the stages before."""
    made = replace(made, graph=keep_prefixes(made.graph))
    gather = made.options.optimize and not made.options.strict_fp
    parts = stages_of(made.graph, tiles=gather) if made.options.strategy == "auto" else [made.graph]
    if len(parts) > 1:
        stages: list[Compilation] = []
        for i, part in enumerate(parts):
            stages.append(_for_device(replace(made, name=f"{made.name}_{i}", graph=part), device, lie))
            if stages[-1].lanes is not None and stages[-1].strategy in LANES_FIRST:
                lie |= stages[-1].graph.results.keys()
        first = stages[0]
        return replace(made, plan=first.plan, lowered=first.lowered, stages=tuple(stages), strategy="stages")
    strategy, plan, lowered, lanes, why = place(made.graph, made.name, made.options.strategy, gather, device, lie)
    verify_kernel(lowered.kernel)
    return replace(made, plan=plan, lowered=lowered, lanes=lanes, strategy=strategy, why=why)
