"""Times of functions and of the calibration kernels, taken by turns in this process.

    round   one placement of the arguments, and a few blocks
    block   every kernel and every function once, each block from another one on, so that no one always follows another

A round keeps the shortest time of each: what interrupts a process makes samples longer, never shorter, and samples of
half a millisecond are short enough that some are left alone on a machine that is busy with something else.
"""

from __future__ import annotations

import contextlib
import gc
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from time import perf_counter

import numpy as np

from scancc.calibration import KERNELS, Closure

Calls = Mapping[str, Closure]  # by the name of the subject
Seconds = dict[str, np.ndarray]  # float64[rounds] by name

SAMPLE_S = 4e-4  # shortest sample: a hundred times what reading the clock takes, a tenth of a time slice
COLD_S = 1e-2  # calls from this length on bring their data into the caches themselves, and are not run untimed before
FEWEST_ROUNDS, FEWEST_BLOCKS = 2, 3


@dataclass(frozen=True, slots=True)
class Plan:
    """How much one process measures.

    rounds, blocks  blocks are of each round
    seconds         after which nothing more is begun, but for the fewest rounds and blocks
    stressed        rounds more with each kind of load on another core, for recordings
    """

    rounds: int = 12
    blocks: int = 10
    seconds: float = 20.0
    stressed: int = 0


@dataclass(frozen=True, slots=True)
class Times:
    """Shortest seconds of one call in every round; `stressed` are the rounds while another core was loaded."""

    kernels: Seconds
    subjects: Seconds
    stressed: Times | None = None


@dataclass(slots=True)
class _Timed:
    call: Closure
    loops: int = 1
    warm: bool = False  # whether to run it untimed before
    best: float = float("inf")

    def clock(self) -> None:
        if self.warm:
            self.call()
        start = perf_counter()
        for _ in range(self.loops):
            self.call()
        self.best = min(self.best, (perf_counter() - start) / self.loops)


def sample(calls: Callable[[], Calls], plan: Plan) -> Times:
    """Measure what `calls` makes anew for every round, with newly placed arguments."""
    kernels = {name: make() for name, make in KERNELS.items()}
    deadline = perf_counter() + plan.seconds
    with _without_collections():
        quiet = _rounds(calls, kernels, plan.rounds, plan.blocks, deadline)
        if not plan.stressed:
            return quiet
        parts = []
        for load in ("throughput", "bandwidth"):
            with _loaded(load):
                parts.append(_rounds(calls, kernels, plan.stressed, plan.blocks, deadline))
    stressed = Times(_joined([p.kernels for p in parts]), _joined([p.subjects for p in parts]))
    return Times(quiet.kernels, quiet.subjects, stressed)


def _joined(parts: list[Seconds]) -> Seconds:
    return {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}


def _rounds(calls: Callable[[], Calls], kernels: Calls, rounds: int, blocks: int, deadline: float) -> Times:
    found: tuple[dict[str, list[float]], dict[str, list[float]]] = ({}, {})
    sizes: dict[str, tuple[int, bool]] = {}
    for number in range(rounds):
        if number >= FEWEST_ROUNDS and perf_counter() > deadline:
            break
        made = calls()
        sizes = sizes or {name: _size(call) for name, call in made.items()}
        groups = (
            {name: _Timed(call) for name, call in kernels.items()},
            {name: _Timed(call, *sizes[name]) for name, call in made.items()},
        )
        everything = [t for group in groups for t in group.values()]
        for block in range(blocks):
            if block >= FEWEST_BLOCKS and perf_counter() > deadline:
                break
            first = (number + block) % len(everything)
            for timed in everything[first:] + everything[:first]:
                timed.clock()
        for kept, group in zip(found, groups, strict=True):
            for name, timed in group.items():
                kept.setdefault(name, []).append(timed.best)
    of_kernels, of_subjects = ({name: np.array(s) for name, s in kept.items()} for kept in found)
    return Times(of_kernels, of_subjects)


def _size(call: Closure) -> tuple[int, bool]:
    """Calls in a sample of SAMPLE_S, and whether one comes before it; the first call may compile and does not count."""
    call()
    timed = _Timed(call)
    for _ in range(3):
        timed.clock()
    return max(1, round(SAMPLE_S / timed.best)), timed.best < COLD_S


@contextlib.contextmanager
def _without_collections() -> Iterator[None]:
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


@contextlib.contextmanager
def _loaded(kernel: str) -> Iterator[None]:
    """A thread runs a calibration kernel all the time; kernels run without the interpreter's lock."""
    call = KERNELS[kernel]()
    over = threading.Event()

    def run() -> None:
        while not over.is_set():
            call()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
