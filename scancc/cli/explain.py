"""`scancc explain`: what a program was compiled to and why, on the terminal or as a page."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console

from scancc.api import EagerProgram, ScanFunction
from scancc.arrays import on_host
from scancc.cli.loading import Target, check_place, load
from scancc.cli.tables import wide_console
from scancc.errors import DeviceError
from scancc.frontend.scan_arguments import normalise
from scancc.inspection import Inspection
from scancc.ir.graph import Node, spec_of
from scancc.report.explanation import Example, explained
from scancc.report.page import page
from scancc.report.storage import inner_steps, steps_of
from scancc.report.terminal import show

ROLES = ("sequences", "outputs_info", "non_sequences", "n_steps")  # of the arguments of a scan, in their order


def explain(
    subject: Annotated[str, typer.Argument(metavar="FILE:NAME", help="a compiled function with example inputs")],
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="write a page that holds all it needs")] = None,
    measure: Annotated[bool, typer.Option(help="run the example inputs, and compare with the limits")] = True,
    arg: Annotated[
        list[str] | None, typer.Option("--arg", metavar="TYPE", help="types instead of example inputs; nothing is run")
    ] = None,
) -> None:
    """Show what became of a step: its IR beside its source, what each pass did, what is stored, what limits it.

    Example inputs are those that the file declares: a dict SCANCC_EXAMPLE_INPUTS, or a function scancc_example_inputs
    that returns one, with the arguments of each function by its name.
    """
    check_place("--html", html)
    target = load(subject)
    status = Console(stderr=True)
    with status.status(f"{target.label}: compiling"):
        program = target.program(arg)
        example = example_of(target, program) if measure and not arg else None
    with status.status(f"{target.label}: measuring" if example else f"{target.label}: looking at it"):
        found = explained(program, target.label, example, jitted=not isinstance(target.function, ScanFunction))
    if html is None:
        show(found, wide_console())
    else:
        html.write_text(page(found), encoding="utf-8")
        typer.echo(f"{html}: {html.stat().st_size / 1e3:.0f} kB")


def example_of(target: Target, program: Inspection) -> Example | None:
    """The declared call, and how many steps it makes; None for a device that is not there."""
    given, function = target.examples(), target.function
    args, kwargs = ((), given) if isinstance(given, dict) else (given, {})

    def call() -> Any:
        return function(*args, **kwargs)

    try:
        result = call()
    except DeviceError as e:
        typer.echo(f"not measured: {str(e).splitlines()[0]}", err=True)
        return None
    steps = _steps(program, result, isinstance(function, ScanFunction), _numbers(program, args, kwargs))
    return Example(call, _arrays(target, args, kwargs), steps)


def _arrays(target: Target, args: tuple, kwargs: dict[str, Any]) -> dict[str, Any]:
    """The arrays of the call by the names that its author knows."""
    fn = target.function.fn
    if not isinstance(target.function, ScanFunction):
        found = inspect.signature(fn).bind(*args, **kwargs).arguments
    else:
        call = dict(zip(ROLES, args, strict=False)) | kwargs
        parts = normalise(fn, *(call.get(r) for r in ROLES))
        found = {s.name: s.value for s in parts.sequences}
        found |= {f"the initial value of {o.name}": o.initial for o in parts.outputs or ()}
        found |= dict(parts.non_sequences)
    return {name: value for name, value in found.items() if isinstance(value, np.ndarray)}


def _count(scan: Node, numbers: Mapping[str, int]) -> int | None:
    """Steps that a scan made, which an argument of the call may have told."""
    count = scan.args[0]
    while count.op == "cast":
        count = count.args[0]
    return numbers.get(count.attrs["name"]) if count.op == "input" else steps_of(scan)


def _numbers(program: Inspection, args: tuple, kwargs: dict[str, Any]) -> dict[str, int]:
    """The integers of a call by the names of the program's inputs."""
    if isinstance(program, EagerProgram):
        call = dict(zip(ROLES, args, strict=False)) | kwargs
        given = {name: call["n_steps"] for label, name in program.inputs.items() if label == "steps:n_steps"}
    else:
        given = dict(zip(program.traced.inputs, args, strict=False))
    return {name: int(v) for name, v in given.items() if np.ndim(v) == 0 and np.asarray(v).dtype.kind in "iu"}


def _steps(program: Inspection, result: Any, alone: bool, numbers: Mapping[str, int]) -> int | None:
    """Steps of the longest loop, of nested ones those of the innermost.

    A loop that may stop early tells by its result, if that is its own. `numbers` are integers of the call by name.
    """
    scans = [n for n in program.compilation.traced.nodes() if n.op == "scan"]
    counts = [_count(n, numbers) for n in scans]
    if any(spec_of(n).has_until for n in scans):
        first = result[0] if isinstance(result, tuple) else result
        counts = [len(on_host(first)) if alone and len(scans) == 1 and not isinstance(result, dict) else None]
    known = [c * inner for c, n in zip(counts, scans, strict=False) if c is not None and (inner := inner_steps(n))]
    return max(known) if len(known) == len(scans) and known else None
