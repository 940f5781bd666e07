"""FILE:NAME: a compiled function of a Python file, and the example inputs that the file declares for it."""

from __future__ import annotations

import difflib
import hashlib
import importlib.util
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from scancc.api import ScanFunction
from scancc.cli.chunks import run_in_chunks
from scancc.inspection import Inspection
from scancc.ir.types import DTYPES
from scancc.jit import JitFunction

TYPE = re.compile(r"\s*(\w+)\s*(?:\[([\w\s,]*)\])?\s*")
RUN_TIME_LENGTH = 16  # stands for a length that has a name


_loaded: set[str] = set()  # names of modules that are files of commands


class UsageError(Exception):
    """The command is wrong, not the work: exit status 2."""


def check_place(option: str, file: Path | None) -> None:
    """Raises UsageError for a file that has no folder to be written to: before work whose results would be lost."""
    if file is not None and not file.parent.is_dir():
        raise UsageError(f"{option} {file}: there is no folder {file.parent}")
    if file is not None and file.is_dir():
        raise UsageError(f"{option} {file}: this is a folder")


@dataclass(frozen=True)
class Target:
    """A function of a file. `key` is what it is called where its file's name does not say enough."""

    file: Path
    name: str
    function: ScanFunction | JitFunction
    module: ModuleType
    key: str = ""

    @property
    def label(self) -> str:
        return self.key or f"{self.file.name}:{self.name}"

    def examples(self) -> dict[str, Any] | tuple:
        """The arguments of the call that the file declares for this function."""
        declared = getattr(self.module, "SCANCC_EXAMPLE_INPUTS", None)
        if declared is None and hasattr(self.module, "scancc_example_inputs"):
            declared = self.module.scancc_example_inputs()
        if not isinstance(declared, dict) or self.name not in declared:
            scan = isinstance(self.function, ScanFunction)
            by_types = "" if scan else "give each one with --arg, for example --arg 'f64[n]', or "
            shape = "dict(sequences=...)" if scan else "(x, ...)"
            raise UsageError(
                f"{self.label}: the types of the arguments are not known\n"
                f"  help: {by_types}declare example inputs in the file:\n"
                f"  SCANCC_EXAMPLE_INPUTS = {{'{self.name}': {shape}}}"
            )
        found: dict[str, Any] | tuple = declared[self.name]
        return found

    def program(self, types: list[str] | None) -> Inspection:
        """The compiled program for arguments of these types, or for the declared examples."""
        if types:
            values = [value_of_type(t) for t in types]
            if isinstance(self.function, ScanFunction):
                raise UsageError(
                    f"{self.label}: --arg is for functions under @jit; a scan's arguments have roles\n"
                    "  help: declare SCANCC_EXAMPLE_INPUTS in the file"
                )
            return self.function.lower(*values)
        given = self.examples()
        if isinstance(given, dict):
            return self.function.lower(**given)
        return self.function.lower(*given)

    def run(self, sequences: list, outputs: list, non_sequences: list, n_steps: int | None, chunk: int) -> list[Any]:
        """Results on these arguments, as a list."""
        if isinstance(self.function, JitFunction):
            result = self.function(*sequences, *(o["initial"] for o in outputs if o), *non_sequences)
            return list(result) if isinstance(result, tuple) else [result]
        return run_in_chunks(self.function, sequences, outputs, non_sequences, n_steps, chunk)


def value_of_type(text: str) -> np.ndarray:
    """Ones of a type written as in the IR: f64[] or f64, i32[3], f32[n, 128] with n known at run time."""
    match = TYPE.fullmatch(text)
    if match is None or match.group(1) not in DTYPES:
        raise UsageError(f"--arg {text}: write a type such as f64[n, 3]; dtypes are {', '.join(DTYPES)}")
    dims = [d.strip() for d in (match.group(2) or "").split(",") if d.strip()]
    return np.ones([int(d) if d.isdigit() else RUN_TIME_LENGTH for d in dims], DTYPES[match.group(1)])


def load(subject: str) -> Target:
    """Import the file of FILE:NAME. Without NAME the file must have one compiled function."""
    path, _, name = subject.rpartition(":")
    if not path:
        path, name = name, ""
    file = Path(path)
    if not file.is_file():
        raise UsageError(f"there is no file {path}")
    module = module_of(file)
    found = {k: v for k, v in vars(module).items() if isinstance(v, (ScanFunction, JitFunction))}
    if not name and len(found) == 1:
        name = next(iter(found))
    if name in found:
        return Target(file, name, found[name], module)
    known = ", ".join(found) or "none"
    if name and hasattr(module, name):
        raise UsageError(f"{name} of {file.name} is not decorated with @scan_compile or @jit (those are: {known})")
    near = difflib.get_close_matches(name, found, 1)
    hint = f"; did you mean {near[0]}?" if near else ""
    what = f"{file.name} has no function {name!r}" if name else f"name one function of {file.name}"
    raise UsageError(f"{what} (compiled functions: {known}){hint}")


def module_of(file: Path) -> ModuleType:
    """Import a file; its folder is on the path from then on.

    A file called like another module, such as random.py, has a name of its own, and what imports that module still
    finds it.
    """
    known = _has_another(file)
    name = f"_{file.stem}_{hashlib.sha256(str(file.resolve()).encode()).hexdigest()[:8]}" if known else file.stem
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise UsageError(f"{file} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    # It may import its neighbours. Where it would be found in place of another module, they come last.
    sys.path.insert(len(sys.path) if known and file.stem not in _loaded else 0, str(file.parent.resolve()))
    _loaded.add(name)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _has_another(file: Path) -> bool:
    """Whether the name of a file already means another module; one that is installed need not be imported for that."""
    try:
        spec = importlib.util.find_spec(file.stem)
    except (ImportError, ValueError):  # a dot in its name, or a module that was made by hand
        return True
    return spec is not None and (spec.origin is None or Path(spec.origin).resolve() != file.resolve())
