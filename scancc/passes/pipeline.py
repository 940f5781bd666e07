"""The pipeline: from a traced graph to loops, one visible list of passes, each verified and timed."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from scancc.batching.lanes import Lanes, lanes_of
from scancc.errors import UnsupportedError
from scancc.ir.graph import Graph
from scancc.ir.loop import Kernel
from scancc.ir.verify import verify
from scancc.ir.verify_loop import verify_kernel
from scancc.passes.absorb import absorb
from scancc.passes.accumulate import accumulate
from scancc.passes.block_recurrences import block_recurrences
from scancc.passes.cse import cse
from scancc.passes.dce import dce
from scancc.passes.defer_products import defer_products
from scancc.passes.forward_outputs import forward_outputs
from scancc.passes.fuse import fuse
from scancc.passes.hoist import hoist
from scancc.passes.lower import Lowered, lower
from scancc.passes.merge_duplicates import merge_duplicates
from scancc.passes.narrow_views import narrow_views
from scancc.passes.order_sums import order_sums
from scancc.passes.plan_taps import Plan, plan_taps
from scancc.passes.shorten import shorten
from scancc.passes.simplify import simplify
from scancc.passes.spread_lanes import spread_lanes
from scancc.passes.tile_lanes import tile_lanes


@dataclass(frozen=True, slots=True)
class Options:
    """Options of a compilation.

    `strict_fp`: no FMA contraction and no reordering, so that + - * / and sqrt are bit-equal to the interpreter.
    `fastmath`: identities that hold for real numbers but not for every float, and reassociation of sums.
    `optimize`: False leaves out every pass that storage and lowering do not need.
    `target`: cpu or cuda, the back end.
    """

    strict_fp: bool = False
    fastmath: bool = False
    optimize: bool = True
    target: str = "cpu"


@dataclass(frozen=True, slots=True)
class Pass:
    """One step of the pipeline. `wanted` tells under which options it runs."""

    name: str
    run: Callable[[Graph, Options], Graph]
    wanted: Callable[[Options], bool] = lambda options: options.optimize


def _plain(transform: Callable[[Graph], Graph]) -> Callable[[Graph, Options], Graph]:
    return lambda graph, options: transform(graph)


PIPELINE: tuple[Pass, ...] = (
    Pass("simplify", lambda graph, options: simplify(graph, options.fastmath)),
    Pass("cse", _plain(cse)),
    Pass("narrow_views", _plain(narrow_views)),
    Pass("shorten", _plain(shorten)),
    Pass("absorb", _plain(absorb)),
    Pass("accumulate", _plain(accumulate)),
    Pass("defer_products", _plain(defer_products)),
    Pass("fuse", _plain(fuse)),
    Pass("merge_duplicates", _plain(merge_duplicates)),
    Pass("hoist", lambda graph, options: hoist(graph, rows=options.target == "cpu")),
    Pass("forward_outputs", _plain(forward_outputs)),
    Pass("simplify_again", lambda graph, options: simplify(graph, options.fastmath)),
    Pass("cse_again", _plain(cse)),
    Pass("dce", _plain(dce)),
    Pass("order_sums", _plain(order_sums), lambda options: options.optimize and not options.strict_fp),
    Pass("block_recurrences", _plain(block_recurrences),
         lambda options: options.optimize and not options.strict_fp and options.target == "cpu"),
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
    lanes: Lanes | None = None  # on a device: the program that every thread runs

    @property
    def stored(self) -> Graph:
        """The graph whose results `plan` has the storage of."""
        return self.graph if self.lanes is None else self.lanes.graph


def optimise(graph: Graph, options: Options) -> tuple[Applied, ...]:
    """Run the pipeline; the IR is verified after every pass that changed it."""
    applied: list[Applied] = []
    for step in PIPELINE:
        if not step.wanted(options):
            continue
        start = time.perf_counter()
        new = step.run(graph, options)
        if new is not graph:
            verify(new, step.name)
        applied.append(Applied(step.name, time.perf_counter() - start, new, new is not graph))
        graph = new
    return tuple(applied)


def analyse(graph: Graph, name: str, options: Options) -> Compilation:
    """Passes, storage plan and loops: everything but the machine code."""
    verify(graph, "trace")
    applied = optimise(graph, options)
    final = applied[-1].graph if applied else graph
    if options.target == "cuda":
        return _for_threads(Compilation(name, options, graph, applied, final, {}, NOTHING))
    plan = plan_taps(final)
    lowered = lower(final, plan, name)
    if options.optimize:
        lowered = replace(lowered, kernel=tile_lanes(lowered.kernel))
    verify_kernel(lowered.kernel)
    return Compilation(name, options, graph, applied, final, plan, lowered)


NOTHING = Lowered(Kernel("", [], [], []), [], {}, [], {}, {}, {})


def _for_threads(made: Compilation) -> Compilation:
    """A lane a thread, where there are lanes that do not depend on one another; one thread for all otherwise."""
    lanes = lanes_of(made.graph)
    if lanes is not None:
        plan = plan_taps(lanes.graph)
        try:
            lowered = spread_lanes(lower(lanes.graph, plan, made.name, growing=False), lanes)
        except UnsupportedError:
            lanes = None
    if lanes is None:
        plan = plan_taps(made.graph)
        lowered = lower(made.graph, plan, made.name, growing=False)
    verify_kernel(lowered.kernel)
    return replace(made, plan=plan, lowered=lowered, lanes=lanes)
