"""From a traced graph to a program that runs: the pipeline, and the programs compiled so far."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

from scancc.backends.cpu import CpuProgram
from scancc.ir.graph import Graph
from scancc.ir.printer import show
from scancc.passes.lower import lower
from scancc.passes.narrow_views import narrow_views
from scancc.passes.order_sums import order_sums
from scancc.passes.plan_taps import plan_taps


@dataclass(frozen=True, slots=True)
class Options:
    """Options of a compilation. `strict_fp`: no FMA contraction."""

    strict_fp: bool = False


# Passes over the scan IR in order; each with the options under which it runs.
PIPELINE: tuple[tuple[Callable[[Graph], Graph], Callable[[Options], bool]], ...] = (
    (narrow_views, lambda options: True),
    (order_sums, lambda options: not options.strict_fp),
)


def compile_graph(graph: Graph, name: str, options: Options) -> CpuProgram:
    """The program of `graph`; equal graphs share one, so that a step function defined anew compiles only once."""
    program: CpuProgram = COMPILED.get((show(graph, name), options), lambda: _compile(graph, name, options))
    return program


def _compile(graph: Graph, name: str, options: Options) -> CpuProgram:
    """Passes, storage plan, loops, kernel."""
    for transform, wanted in PIPELINE:
        if wanted(options):
            graph = transform(graph)
    return CpuProgram(graph, lower(graph, plan_taps(graph), name), options.strict_fp)


class Programs:
    """Compiled programs of one function by call signature; each is compiled once, also under many threads."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._by_key: dict[Hashable, Any] = {}

    def get(self, key: Hashable, make: Callable[[], Any]) -> Any:
        found = self._by_key.get(key)
        if found is None:
            with self._lock:
                found = self._by_key.get(key)
                if found is None:
                    found = self._by_key[key] = make()
        return found

    def __len__(self) -> int:
        return len(self._by_key)


COMPILED = Programs()
