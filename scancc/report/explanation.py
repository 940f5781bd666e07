"""All that is told of a program, gathered once; the terminal and the page only print it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from scancc.inspection import Inspection
from scancc.passes.pipeline import Compilation
from scancc.report.beside import Passage, beside
from scancc.report.changes import Change, changes, loop_changes
from scancc.report.hints import Evidence, Hint, hints_for
from scancc.report.limits import Limit, Machine, Measured, limits_of
from scancc.report.measured import machine, measure
from scancc.report.storage import Kept, estimate, hints_of, histories, kept, scans
from scancc.report.text import strategy_lines

if TYPE_CHECKING:
    from scancc.static.figures import Figures


@dataclass(frozen=True, slots=True)
class Example:
    """A call to measure. `call` runs the program, `given` are its arrays by name, `steps` how many steps it makes."""

    call: Callable[[], Any]
    given: Mapping[str, Any]
    steps: int | None


@dataclass(frozen=True, slots=True)
class Explanation:
    """`as_written` and `stored` are bytes; `figures` and `limits` need machine code, `measured` a run."""

    title: str
    place: str
    made: Compilation
    kernel: str
    strategy: tuple[str, ...]
    passages: list[Passage]
    changes: list[Change]
    loop_changes: list[Change]
    unchanged: tuple[str, ...]
    kept: list[Kept]
    as_written: int | None
    stored: int | None
    figures: Figures | None
    limits: list[Limit]
    measured: Measured | None
    machine: Machine | None
    hints: list[tuple[Hint, str]]

    @property
    def ops(self) -> tuple[int, int]:
        """Ops before the first pass that changed something and after the last; equal where none did."""
        first, last = (self.changes[0].before, self.changes[-1].after) if self.changes else (None, None)
        return (self._ops if first is None else first), (self._ops if last is None else last)

    @property
    def _ops(self) -> int:
        return sum(self.figures.ops.values()) if self.figures is not None else 0

    @property
    def times(self) -> float | None:
        """How many times the limit a step takes, as measured."""
        if self.measured is None or self.measured.ns is None or not self.limits:
            return None
        return self.measured.ns / self.limits[0].ns


def explained(program: Inspection, title: str, example: Example | None = None, code: bool = True,
              jitted: bool = True) -> Explanation:  # fmt: skip
    """`code`: whether the machine code is looked at, which may compile the kernel once more. `example` is run."""
    made = program.compilation
    figures = _figures(program) if code else None
    found = machine() if example is not None and made.options.target == "cpu" else None
    limits = limits_of(made, figures, found) if figures is not None and found is not None else []
    measured = measure(example.call, example.steps, found) if example is not None and found is not None else None
    of_loops, loops_unchanged = loop_changes(made)
    unchanged = (*(p.name for p in made.passes if not p.changed), *loops_unchanged)
    evidence = Evidence(made, figures, tuple(limits), measured, example.given if example else {}, jitted)
    return Explanation(
        title, _place(made), made, program.source(), _strategy(made), beside(made.graph), changes(made),
        of_loops, unchanged, kept(made), histories(made.traced), _stored(made), figures, limits, measured, found,
        hints_for(evidence),
    )  # fmt: skip


def _figures(program: Inspection) -> Figures:
    from scancc.static.figures import figures_of

    return figures_of(program)


def _strategy(made: Compilation) -> tuple[str, ...]:
    """How a device runs each of its launches; nothing for the CPU."""
    parts = [line for stage in made.stages or (made,) for line in strategy_lines(stage) if line]
    return (f"{len(made.stages)} launches", *parts) if made.stages else tuple(parts)


def _place(made: Compilation) -> str:
    loc = next((n.loc for n in scans(made.traced) if n.loc is not None), None)
    return f"{PurePath(loc.file).name}:{loc.line}" if loc else ""


def _stored(made: Compilation) -> int | None:
    """Bytes of what a call allocates before the kernel runs; None where a length is not known."""
    hints = hints_of(made)
    sizes = [estimate(b, hints) for b in made.lowered.allocated]
    if any(s is None for s in sizes) or made.lowered.kernel.returned:
        return None
    return sum(s or 0 for s in sizes)
