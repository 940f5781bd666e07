"""What every example shares: optional peers, agreements with them, and tables of both.

An `Agreement` holds one quantity as scancc and as a peer computed it. It is the unit of evidence of the
examples: `main()` prints one row for each and returns 1, its exit status, when one of them is out of
tolerance.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter
from types import ModuleType
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

DATA = Path(__file__).parent / "data"
Contenders = dict[str, Callable[[], Any]]


@dataclass(frozen=True, slots=True)
class Agreement:
    """One quantity twice, as arrays of one shape; `tolerance` is relative to the largest |theirs| or to 1."""

    quantity: str
    ours: Any
    peer: str
    theirs: Any
    tolerance: float = 1e-10

    @property
    def difference(self) -> float:
        """The largest absolute difference; infinite where shapes differ or a value is not finite."""
        ours, theirs = np.asarray(self.ours, float), np.asarray(self.theirs, float)
        if ours.shape != theirs.shape or not np.isfinite(ours).all():
            return float("inf")
        return float(np.abs(ours - theirs).max(initial=0.0))

    @property
    def holds(self) -> bool:
        return self.difference <= self.tolerance * max(1.0, float(np.abs(self.theirs).max(initial=0.0)))


def optional(module: str) -> ModuleType | None:
    """The module, or None where it is not installed."""
    try:
        return importlib.import_module(module)
    except ImportError:
        return None


def missing_peers(*modules: str) -> list[str]:
    """One line for each peer that is not installed."""
    return [f"{m} is not installed: it is left out (pip install {m})" for m in modules if not optional(m)]


def load_column(file: str, column: int) -> np.ndarray:
    """One float64 column of a data file, its header skipped."""
    return np.loadtxt(DATA / file, delimiter=",", skiprows=1, usecols=column)


def summary(value: Any) -> str:
    """A scalar in full, an array by its last value and its length."""
    array = np.asarray(value)
    if array.ndim == 0:
        return f"{array:.10g}"
    return f"... {array.flat[-1]:.8g}  ({' x '.join(map(str, array.shape))})"


def wide_console() -> Console:
    """The terminal; 140 columns where the output is a file or a pipe, so that no cell wraps."""
    console = Console()
    return console if console.is_terminal else Console(width=140)


def show(title: str, agreements: Sequence[Agreement], notes: Sequence[str] = ()) -> int:
    """Print the agreements as a table, the notes under it; returns how many agreements do not hold.

    Without any, as where no peer is installed, there is the title instead of an empty table.
    """
    table = Table(title=title, title_justify="left")
    for header in ("quantity", "scancc", "peer", "peer's answer", "max diff.", ""):
        table.add_column(header, justify="left" if header in ("quantity", "peer") else "right")
    for a in agreements:
        verdict = "[green]agrees[/]" if a.holds else "[red]differs[/]"
        table.add_row(a.quantity, summary(a.ours), a.peer, summary(a.theirs), f"{a.difference:.1e}", verdict)
    console = wide_console()
    console.print(table if agreements else f"[italic]{title}[/]")
    for note in notes:
        console.print(f"note: {note}", style="dim", markup=False)
    return sum(not a.holds for a in agreements)


def race(contenders: Contenders, repeats: int = 5, sample_s: float = 0.02) -> dict[str, float]:
    """Median seconds a call of each contender; they take turns, so that a slow moment hits all of them."""
    loops: dict[str, int] = {}
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for name, call in contenders.items():
        call()  # compiles
        start = perf_counter()
        call()
        loops[name] = max(1, int(sample_s / max(perf_counter() - start, 1e-9)))
    for _ in range(repeats):
        for name, call in contenders.items():
            start = perf_counter()
            for _ in range(loops[name]):
                call()
            times[name].append((perf_counter() - start) / loops[name])
    return {name: median(t) for name, t in times.items()}
