"""Programs compiled so far: one for each graph and options, made once, also under many threads."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Mapping
from contextvars import ContextVar
from typing import Any

import numpy as np

from scancc import interpreter, nan_finder
from scancc.arrays import as_kernel_array
from scancc.backends.cpu import CpuProgram
from scancc.backends.program import Program
from scancc.errors import ScanValueError
from scancc.frontend.shared import Shared, held, values_of
from scancc.ir.graph import Graph
from scancc.ir.printer import show
from scancc.passes.pipeline import Compilation, Options, analyse

TARGETS = ("cpu", "cuda")


def known_target(target: str) -> str:
    if target not in TARGETS:
        raise ScanValueError(f"target is {target!r}", fix=f"pass one of {', '.join(map(repr, TARGETS))}")
    return target


def program_of(compilation: Compilation) -> Program:
    if compilation.options.target == "cuda":
        from scancc.backends.cuda.program import CudaProgram

        return CudaProgram(compilation)
    return CpuProgram(compilation)


def compile_graph(graph: Graph, name: str, options: Options) -> Program:
    """The program of `graph`; equal graphs share one, so that a step function defined anew compiles only once."""
    key = (show(graph, name), options)
    program: Program = COMPILED.get(key, lambda: program_of(analyse(graph, name, options)))
    return program


def execute(
    program: Callable[[], Program],
    graph: Graph,
    given: Mapping[str, Any],
    updates: Mapping[str, Shared],
    mode: str = "compiled",
) -> dict[str, np.ndarray]:
    """Results for arrays by input name: of the program, or in mode "interpret" of the interpreter on the traced graph.

    `program` is called only where it is run, so that interpreting compiles nothing.

    Shared variables among the inputs are read now, and those of `updates` are written back, by the labels of their new
    values; nobody else has them meanwhile.
    """
    if mode not in ("compiled", "interpret"):
        raise ScanValueError(f"mode is {mode!r}", fix="use 'compiled' or 'interpret'")
    with held(updates.values()):
        arrays = values_of(given)
        if mode == "interpret":
            results = interpreter.run(graph, arrays)
        else:
            results = program().run({name: as_kernel_array(a) for name, a in arrays.items()})
        if NANS.get():
            nan_finder.examine(graph, arrays, results)
        for label, shared in updates.items():
            shared.set_value(results[label], borrow=True)
    return results


NANS: ContextVar[bool] = ContextVar("debug_nans", default=False)  # set by `sc.debug_nans`


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
