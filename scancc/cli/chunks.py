"""A long scan in pieces, for the progress bar: each piece starts from the last values of the one before.

The pieces give what one call gives: taps reach back into the outputs so far, sequences overlap by the reach of their
taps. A scan that may stop early runs in one piece.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from scancc.api import ScanFunction
from scancc.frontend.scan_arguments import ScanArguments, normalise
from scancc.ir.graph import Sequence


def run_in_chunks(
    scan: ScanFunction, sequences: list, outputs: list, non_sequences: list, n_steps: int | None, chunk: int
) -> list[np.ndarray]:
    """The outputs of the scan, at most `chunk` steps a call."""
    args = normalise(scan.fn, sequences, outputs, non_sequences, n_steps)
    total = _steps(args)
    if total <= chunk or _may_stop(scan, sequences, outputs, non_sequences, n_steps):
        return list(scan(sequences, outputs or None, non_sequences, n_steps, return_list=True))
    parts: list[list[np.ndarray]] = []
    current = list(outputs)
    columns = (TextColumn(scan.name), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not Console(stderr=True).is_terminal) as bar:
        task = bar.add_task(scan.name, total=total)
        for start, steps in _pieces(total, chunk):
            piece = [
                {"input": np.asarray(s.value)[start : start + steps + _reach(s)], "taps": list(s.taps)}
                for s in args.sequences
            ]
            made = scan(piece, current or None, non_sequences, steps, return_list=True)
            current = [_next(o, rows) for o, rows in zip(current, made, strict=True)] if current else current
            parts.append(list(made))
            bar.advance(task, steps)
    return [np.concatenate(rows) for rows in zip(*parts, strict=True)]


def _pieces(total: int, chunk: int) -> Iterator[tuple[int, int]]:
    for start in range(0, total, chunk):
        yield start, min(chunk, total - start)


def _reach(s: Any) -> int:
    return Sequence(s.name, tuple(sorted(s.taps))).reach


def _steps(args: ScanArguments) -> int:
    if args.n_steps is not None:
        return int(args.n_steps)
    return max(0, min(len(np.asarray(s.value)) - _reach(s) for s in args.sequences))


def _may_stop(scan: ScanFunction, sequences: list, outputs: list, non_sequences: list, n_steps: int | None) -> bool:
    program = scan.lower(sequences, outputs or None, non_sequences, n_steps)
    return any(n.op == "scan" and n.attrs["spec"].has_until for n in program.graph.nodes())


def _next(info: dict[str, Any] | None, rows: np.ndarray) -> dict[str, Any] | None:
    """The initial value of the piece that follows."""
    if info is None:
        return None
    taps = info.get("taps", [-1])
    if list(taps) == [-1]:
        return {"initial": rows[-1]}
    depth = -min(taps)
    history = np.concatenate([np.asarray(info["initial"])[:depth], rows])
    return {"initial": history[-depth:], "taps": taps}
