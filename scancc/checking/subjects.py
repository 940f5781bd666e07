"""The subjects of a check: compiled functions of users' files that have example inputs."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from scancc.api import EagerProgram, ScanFunction
from scancc.cli.loading import Target, UsageError, load, module_of
from scancc.inspection import Inspection
from scancc.jit import JitFunction, JitProgram

DECLARATIONS = ("SCANCC_EXAMPLE_INPUTS", "scancc_example_inputs")


def targets_of(arguments: Iterable[str], base: Path) -> list[Target]:
    """The functions of FILE:NAME, of FILE (all that have example inputs) or of a folder (those of its .py files).

    Their keys are FILE:NAME with the file as seen from the folder `base`, the same on every machine. Files of a folder
    that declare no example inputs are not imported. Raises UsageError for what is not there.
    """
    found: dict[tuple[Path, str], Target] = {}
    for argument in arguments:
        path = Path(argument)
        if path.is_dir():
            targets = [t for file in sorted(path.glob("*.py")) if _declares(file) for t in _of_file(file)]
        elif path.is_file():
            targets = _of_file(path)
        else:
            targets = [load(argument)]
            targets[0].examples()  # which raises UsageError where there are none
        if not targets:
            raise UsageError(
                f"{argument} has no compiled function with example inputs\n"
                "  help: declare SCANCC_EXAMPLE_INPUTS = {'name': dict(sequences=...)} in the file"
            )
        found |= {(t.file.resolve(), t.name): t for t in targets}
    return [replace(t, key=_key(t, base)) for t in found.values()]


def _declares(file: Path) -> bool:
    text = file.read_text(encoding="utf-8")
    return any(f"\n{word}" in text or f"\ndef {word}" in text for word in DECLARATIONS)


def _of_file(file: Path) -> list[Target]:
    module = module_of(file)
    declared = getattr(module, DECLARATIONS[0], None)
    if declared is None:
        declared = module.scancc_example_inputs() if hasattr(module, DECLARATIONS[1]) else {}
    functions = {k: v for k, v in vars(module).items() if isinstance(v, (ScanFunction, JitFunction))}
    return [Target(file, name, functions[name], module) for name in functions if name in declared]


def _key(target: Target, base: Path) -> str:
    return f"{Path(os.path.relpath(target.file.resolve(), base.resolve())).as_posix()}:{target.name}"


def arguments_of(target: Target, program: Inspection) -> dict[str, Any]:
    """The example inputs by the names that they have in the program, as far as lengths may depend on them."""
    given = target.examples()
    if isinstance(program, JitProgram) and isinstance(given, tuple):
        return dict(zip(program.traced.inputs, map(np.asarray, given), strict=True))
    if not isinstance(program, EagerProgram) or not isinstance(given, dict):
        return {}
    named = [name for label, name in program.inputs.items() if label.startswith("sequence:")]
    sequences = given.get("sequences")
    if sequences is None:
        sequences = []
    elif not isinstance(sequences, (list, tuple)):
        sequences = [sequences]
    arrays = [np.asarray(s["input"] if isinstance(s, dict) else s) for s in sequences]
    found: dict[str, Any] = dict(zip(named, arrays, strict=True)) if len(named) == len(arrays) else {}
    steps = program.inputs.get("steps:n_steps")
    return found | ({steps: np.asarray(given["n_steps"])} if steps is not None else {})
