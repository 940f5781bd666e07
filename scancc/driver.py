"""Programs compiled so far: one for each graph and options, made once, also under many threads."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import Any

from scancc.backends.cpu import CpuProgram
from scancc.ir.graph import Graph
from scancc.ir.printer import show
from scancc.passes.pipeline import Options, analyse


def compile_graph(graph: Graph, name: str, options: Options) -> CpuProgram:
    """The program of `graph`; equal graphs share one, so that a step function defined anew compiles only once."""
    key = (show(graph, name), options)
    program: CpuProgram = COMPILED.get(key, lambda: CpuProgram(analyse(graph, name, options)))
    return program


class Programs:
    """Compiled programs by key; each is compiled once, also under many threads."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._by_key: dict[Hashable, Any] = {}

    def get(self, key: Hashable, make: Callable[[], Any], fits: Callable[[Any], bool] = lambda program: True) -> Any:
        """The program of `key`, made if there is none yet, or if the one there is does not fit any more."""
        found = self._by_key.get(key)
        if found is None or not fits(found):
            with self._lock:
                found = self._by_key.get(key)
                if found is None or not fits(found):
                    found = self._by_key[key] = make()
        return found

    def __len__(self) -> int:
        return len(self._by_key)


COMPILED = Programs()
