"""Results of measurements as tables on the terminal."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from scancc.measure import Result, Timing
from scancc.summary import means, speed_ups


def show(result: Result) -> None:
    """A table of one result, the fastest implementation first; columns that no row fills are left out."""
    columns: dict[str, Callable[[Timing], str | None]] = {
        "implementation": lambda t: t.implementation,
        "ns/step": lambda t: f"{t.per_step_ns:,.4g}" if t.per_step_ns is not None else None,
        "median": lambda t: seconds(t.median_s),
        "min": lambda t: seconds(t.min_s),
        f"ratio to {result.reference} (95 %)": lambda t: ratio(t, result.reference),
        "first call": lambda t: seconds(t.first_call_s) if t.first_call_s is not None else None,
        "rel. diff.": lambda t: f"{t.relative:.1e}" if t.relative is not None else None,
    }
    for key in dict.fromkeys(key for t in result.timings for key in t.extra):
        columns[key] = lambda t, key=key: f"{t.extra[key]:,.1f}" if key in t.extra else None
    title = f"{result.workload}, {result.steps:,} steps" if result.steps else result.workload
    table = Table(title=title, title_justify="left")
    cells: list[list[str]] = []
    for header, cell in columns.items():
        column = [cell(t) for t in sorted(result.timings, key=lambda t: t.median_s)]
        if any(column):
            table.add_column(header, justify="right" if cells else "left")
            cells.append([text or "-" for text in column])
    for row in zip(*cells, strict=True):
        table.add_row(*row)
    console = wide_console()
    console.print(table)
    for note in result.notes:
        console.print(f"note: {note}", markup=False, highlight=False)


def show_environment(record: Mapping[str, Any]) -> None:
    """What the figures hold for, in one line."""
    load = "" if record["load_average"] is None else f", load {record['load_average'][0]:.2g} before"
    text = f"{record['processor']}, {record['cores']} cores{load}; {threads_of(record)}"
    wide_console().print(text, markup=False, highlight=False)


def threads_of(record: Mapping[str, Any]) -> str:
    count = record["threads_limit"]
    return "one thread each" if count == 1 else f"up to {count} threads each"


def show_means(results: Sequence[Result]) -> None:
    """How many times as fast as each peer scancc is, over all results."""
    table = Table(title="scancc against each peer's fastest variant", title_justify="left")
    for header in ("peer", "", "workloads", "scancc ahead in", "geometric mean of the speed-ups"):
        table.add_column(header, justify="left" if header in ("peer", "") else "right")
    for m in means(speed_ups(results)):
        kind = "gradients" if m.gradient else "forward"
        table.add_row(m.peer, kind, str(m.workloads), str(m.ahead), f"{m.ratio:.3g}")
    if table.row_count:
        wide_console().print(table)


def ratio(timing: Timing, reference: str) -> str:
    if timing.implementation == reference:
        return "1"
    return f"{timing.ratio:.3g} ({timing.ratio_low:.3g} to {timing.ratio_high:.3g})"


def seconds(value: float) -> str:
    """A time with a unit and three digits: 1.23 ms."""
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if value >= scale:
            return f"{value / scale:.3g} {unit}"
    return f"{value / 1e-9:.3g} ns"


def wide_console() -> Console:
    """The terminal; 160 columns where the output is a file or a pipe, so that no cell wraps."""
    console = Console()
    return console if console.is_terminal else Console(width=160)
