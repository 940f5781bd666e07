"""What the first call of one program costs, measured in a process of its own that has compiled something else before.

CPU seconds are those of all threads of the process, of which waiting for others on a busy machine is no part.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from time import perf_counter, process_time
from typing import Any

import numpy as np
from compile_programs import LIBRARIES, Library
from peak_memory import reset_high_water_mark, status

from scancc.measure import parts_of

PARTS = ("trace", "passes", "ir", "llvm", "rest")  # of scancc; `rest` has what the others have not, and the run
JAX_PARTS = {"jaxpr_trace_duration": "trace", "jaxpr_to_mlir_module_duration": "ir", "backend_compile_duration": "llvm"}

INTERPRETER = "interpreter"  # of scancc: the oracle where there is no result of JAX
Row = Callable[[str], Callable[[], Any]]  # of a library's name: a call that compiles when it is first made


def warm_up(library: Library) -> None:
    """Compile and run a small program, so that what a process does once is done: modules, thread pools, LLVM."""

    def small(x: Any) -> Any:
        return library.np.exp(library.lax.scan(lambda h, x: (0.5 * h + x, h), 0.0, x)[1]).sum()

    np.asarray(library.jit(library.grad(small))(library.np.ones(3)))


def clock(name: str, row: Row) -> tuple[dict[str, Any], list[np.ndarray]]:
    """The figures of a row in a library, and its results."""
    warm_up(LIBRARIES[name]())
    call = row(name)
    resettable = reset_high_water_mark()
    before = status("VmRSS") if resettable else 0
    with watched(name) as seen:
        wall, start = perf_counter(), process_time()
        made = call()
        end, wall = process_time(), perf_counter() - wall
    figures: dict[str, Any] = {"cpu_s": end - start, "wall_s": wall, "parts": seen.split(start, end)}
    if resettable:
        figures["peak_mb"] = max(0, status("VmHWM") - before) / 1e6
    if seen.slowest:
        figures["slowest"] = dict(seen.slowest.most_common(5))
    again = process_time()
    call()
    figures["call_s"] = process_time() - again
    return figures, [np.array(part) for part in parts_of(made)]


# -- where the time goes -----------------------------------------------------------------------------------------------


@dataclass
class Watch:
    """What was seen of a compilation: moments when the passes began and ended, seconds of each pass, the programs."""

    began: list[float] = field(default_factory=list)
    ended: list[float] = field(default_factory=list)
    slowest: Counter[str] = field(default_factory=Counter)
    programs: list[Any] = field(default_factory=list)
    events: Counter[str] = field(default_factory=Counter)  # of JAX, which tells itself

    def split(self, start: float, end: float) -> dict[str, float]:
        """Seconds by part; a part that cannot be told is left out."""
        if self.events:
            return {part: self.events[part] for part in JAX_PARTS.values()}
        if not self.began:
            return {}
        passes = sum(self.ended) - sum(self.began)
        found = {"trace": self.began[0] - start, "passes": passes}
        for program in self.programs:
            for part, seconds in getattr(program.code, "seconds", {}).items():
                found[part] = found.get(part, 0.0) + seconds
        return found | {"rest": end - start - sum(found.values())}


@contextmanager
def watched(name: str) -> Iterator[Watch]:
    """Sees what a library compiles in the block."""
    seen = Watch()
    if name == "jax":
        from jax import monitoring

        def listen(event: str, seconds: float, **more: Any) -> None:
            seen.events[JAX_PARTS.get(event.rpartition("/")[2], "")] += seconds

        monitoring.register_event_duration_secs_listener(listen)
        yield seen
        return
    from scancc import driver
    from scancc.passes import pipeline

    analyse, program_of, lists = driver.analyse, driver.program_of, (pipeline.PIPELINE, pipeline.LOOP_PIPELINE)

    def timed_analyse(*arguments: Any, **named: Any) -> Any:
        seen.began.append(process_time())
        made = analyse(*arguments, **named)
        seen.ended.append(process_time())
        return made

    def noted_program(compilation: Any) -> Any:
        seen.programs.append(program_of(compilation))
        return seen.programs[-1]

    def timed_pass(step: Any, *arguments: Any) -> Any:
        start = process_time()
        made = step.run(*arguments)
        seen.slowest[step.name] += process_time() - start
        return made

    driver.analyse, driver.program_of = timed_analyse, noted_program
    pipeline.PIPELINE, pipeline.LOOP_PIPELINE = (
        tuple(replace(p, run=partial(timed_pass, p)) for p in passes) for passes in lists
    )
    try:
        yield seen
    finally:
        driver.analyse, driver.program_of = analyse, program_of
        pipeline.PIPELINE, pipeline.LOOP_PIPELINE = lists


# -- a process ---------------------------------------------------------------------------------------------------------


def serve(pipe: Any, row: Row, libraries: list[str]) -> None:
    """Measure these libraries and send (library, figures, results) of each, or its error as a text.

    "interpreter" is one of them, whose results are all that is wanted.
    """
    os.environ["SCANCC_CACHE_DIR"] = ""
    for name in libraries:
        try:
            if name == INTERPRETER:
                pipe.send((name, {}, [np.array(part) for part in parts_of(row(name)())]))
            else:
                pipe.send((name, *clock(name, row)))
        except Exception as error:  # one broken program must not take the others' figures with it
            pipe.send((name, f"{type(error).__name__}: {str(error).partition(chr(10))[0][:200]}", None))
