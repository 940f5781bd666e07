"""Programs compiled so far: one for each graph and options, made once, also under many threads."""

from __future__ import annotations

import contextlib
import os
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from contextvars import ContextVar
from typing import Any, Protocol

from scancc import interpreter, nan_finder
from scancc.arrays import on_host
from scancc.backends.cpu import CpuProgram
from scancc.backends.program import Program
from scancc.collector import PAUSED
from scancc.errors import ScanValueError
from scancc.frontend.shared import Shared, held, values_of
from scancc.ir.graph import Graph
from scancc.ir.printer import show
from scancc.locks import COMPILING
from scancc.passes.devices.device import ANY, Device
from scancc.passes.devices.strategies import STRATEGIES
from scancc.passes.pipeline import Compilation, Options, analyse

TARGETS = ("cpu", "cuda")


def options_of(
    strict_fp: bool = False, fastmath: bool = False, optimize: bool = True, target: str | None = None,
    strategy: str = "auto", parallel: str = "auto",
) -> Options:  # fmt: skip
    """Options of a compilation. The target of functions that name none is that of SCANCC_TARGET, or "cpu"."""
    target = target or os.environ.get("SCANCC_TARGET") or "cpu"
    choices = (("target", target, TARGETS), ("strategy", strategy, ("auto", *STRATEGIES)),
               ("parallel", parallel, ("auto", "prefix", "never")))  # fmt: skip
    for what, given, known in choices:
        if given not in known:
            raise ScanValueError(f"{what} is {given!r}", fix=f"pass one of {', '.join(map(repr, known))}")
    return Options(strict_fp, fastmath, optimize, target, strategy, parallel)


def program_of(compilation: Compilation) -> Program:
    if compilation.options.target == "cuda":
        from scancc.backends.cuda.staged import device_program

        return device_program(compilation)
    return CpuProgram(compilation)


def compile_graph(graph: Graph, name: str, options: Options) -> Program:
    """The program of `graph`; equal graphs share one, so that a step function defined anew compiles only once."""
    key = (show(graph, name), options)
    program: Program = COMPILED.get(key, lambda: program_of(analyse(graph, name, options, _device(options))))
    return program


def _device(options: Options) -> Device:
    """What a program will run on, as far as passes want to know."""
    if options.target != "cuda":
        return ANY
    from scancc.backends.cuda.toolkit import limits

    return limits()


def execute(
    program: Callable[[], Program],
    graph: Graph,
    given: Mapping[str, Any],
    updates: Mapping[str, Shared],
    mode: str = "compiled",
    stream: Any = None,
) -> dict[str, Any]:
    """Results for arrays by input name: of the program, or in mode "interpret" of the interpreter on the traced graph.

    `program` is called only where it is run, so that interpreting compiles nothing. Results lie on a device where an
    argument did.

    Shared variables among the inputs are read now, and those of `updates` are written back, by the labels of their new
    values; nobody else has them meanwhile. A program for a device leaves them there.
    """
    if mode not in ("compiled", "interpret"):
        raise ScanValueError(f"mode is {mode!r}", fix="use 'compiled' or 'interpret'")
    with held(updates.values()):
        if mode == "interpret":
            arrays = {name: on_host(a) for name, a in values_of(given).items()}
            results: dict[str, Any] = interpreter.run(graph, arrays)
        else:
            made = program()
            for v in given.values():
                if isinstance(v, Shared) and made.keep is not None:
                    v.move(made.keep)
            arrays = made.taken(values_of(given))
            results = made.run_on(arrays, stream)
        if NANS.get():
            nan_finder.examine(graph, {k: on_host(a) for k, a in arrays.items()},
                               {k: on_host(a) for k, a in results.items()})  # fmt: skip
        for label, shared in updates.items():
            shared.set_value(results.pop(label), borrow=True)
    return results if mode == "interpret" else made.deliver(results, given)


NANS: ContextVar[bool] = ContextVar("debug_nans", default=False)  # set by `sc.debug_nans`


class Programs:
    """Compiled programs by key; each is compiled once, also under many threads.

    Several programs of one key differ in what the function captured, the latest first. Those that were not asked for
    longest are forgotten.
    """

    KEYS, OF_A_KEY = 512, 8

    def __init__(self) -> None:
        self._by_key: OrderedDict[Hashable, tuple[Any, ...]] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], Any], fits: Callable[[Any], bool] = lambda program: True) -> Any:
        """A program of `key` that fits, made if there is none."""
        found = self._fitting(key, fits)
        if found is None:
            with COMPILING:
                found = self._fitting(key, fits)
                if found is None:
                    with PAUSED:
                        found = make()
                    self._by_key[key] = (found, *self._by_key.get(key, ())[: self.OF_A_KEY - 1])
                    while len(self._by_key) > self.KEYS:
                        self._by_key.popitem(last=False)
        with contextlib.suppress(KeyError):  # another thread may have forgotten it just now
            self._by_key.move_to_end(key)
        return found

    def _fitting(self, key: Hashable, fits: Callable[[Any], bool]) -> Any:
        return next((p for p in self._by_key.get(key, ()) if fits(p)), None)

    def __len__(self) -> int:
        return len(self._by_key)


class Whole(Protocol):
    """What can be called as a whole: by `whole_call`, a function of the tuple of arguments, if there is one."""

    @property
    def whole_call(self) -> Callable[[tuple], Any] | None: ...


class RecentCalls:
    """Whole calls of a function that came again and again: they are tried before anything is looked up.

    Few are kept, the latest first, since each that does not take a call makes that call longer. One gets in when it
    was asked for often among a few that were not taken: making it takes as long as a thousand calls without it. Of a
    function that is called with many signatures in turn none does.
    """

    KEPT, WAITING, OFTEN = 4, 3, 16

    def __init__(self) -> None:
        self.calls: tuple[Callable[[tuple], Any], ...] = ()
        self._waiting: tuple[tuple[Whole, int], ...] = ()  # with how often each was asked for

    def note(self, asked: Whole) -> None:
        """A call that none of them took. Under many threads one of two notes may be lost, which costs time only."""
        others, times = [], 1
        for whole, n in self._waiting:
            if whole is asked:
                times += n
            else:
                others.append((whole, n))
        self._waiting = ((asked, times), *others[: self.WAITING - 1])
        if times < self.OFTEN:
            return
        call, calls = asked.whole_call, self.calls
        if call is not None and (not calls or calls[0] is not call):
            self.calls = (call, *[c for c in calls if c is not call][: self.KEPT - 1])


COMPILED = Programs()
