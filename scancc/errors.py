"""Errors that a user sees: what is wrong, where, which rule it breaks, and one fix.

Every class also derives from the builtin that the situation calls for (ValueError, TypeError...), so callers can
catch either. `explain` renders the parts; texts are pinned by tests.
"""

from __future__ import annotations

import linecache

from scancc.ir.graph import Loc


def quote(loc: Loc | None, context: str = "") -> str:
    """The user's source line with a caret under the expression, or '' when there is no source."""
    if loc is None:
        return ""
    where = f"  {loc.file}:{loc.line}, in {context or repr(loc.function)}"
    line = linecache.getline(loc.file, loc.line).rstrip("\n")
    if not line.strip():
        return where
    number = f"{loc.line:>6} | "
    indent = len(line) - len(line.lstrip())
    start = max(loc.column, indent)
    end = loc.end_column if loc.end_column > start else len(line)
    text = f"{where}\n{number}{line[indent:]}"
    return f"{text}\n{' ' * (len(number) - 2)}| {' ' * (start - indent)}{'^' * max(1, min(end, len(line)) - start)}"


def explain(what: str, loc: Loc | None = None, rule: str = "", fix: str = "", context: str = "") -> str:
    parts = [what, quote(loc, context), f"  {rule}" if rule else "", f"  help: {fix}" if fix else ""]
    return "\n".join(p for p in parts if p)


class ScanError(Exception):
    """Base of all errors raised by scancc on purpose."""

    def __init__(self, what: str, loc: Loc | None = None, rule: str = "", fix: str = "", context: str = "") -> None:
        super().__init__(explain(what, loc, rule, fix, context))
        self.loc = loc

    def __reduce__(self) -> tuple:
        # The message is already rendered: unpickling must not render it again.
        return (_rebuild, (type(self), str(self)))


def _rebuild(cls: type[ScanError], message: str) -> ScanError:
    error = cls.__new__(cls)
    Exception.__init__(error, message)
    error.loc = None
    return error


class ScanValueError(ScanError, ValueError):
    """An argument has a value that a scan cannot take."""


class ScanTypeError(ScanError, TypeError):
    """An argument or a step result has a type that a scan cannot take."""


class ScanIndexError(ScanError, IndexError):
    """An index lies outside its axis."""


class ScanOverflowError(ScanError, OverflowError):
    """A number is too large for the dtype that it is to have."""


class StepsError(ScanValueError):
    """The number of steps is unknown, negative, or larger than a sequence allows."""


class CarryTypeError(ScanTypeError):
    """A carry changes its dtype from step to step."""


class CarryShapeError(ScanValueError):
    """A carry changes its shape from step to step."""


class ShapeError(ScanValueError):
    """Shapes that do not fit an operation."""


class LengthError(ShapeError):
    """Lengths of a call that do not fit, found by a program that was compiled for any length."""


class TracedValueError(ScanTypeError):
    """Python asked for the value of something that is only known when the compiled loop runs."""


class UnsupportedError(ScanError, NotImplementedError):
    """A function or spelling that scancc does not support."""


class UnsupportedAttributeError(UnsupportedError, AttributeError):
    """An attribute of arrays that traced values do not have."""


class CheckError(ScanError, AssertionError):
    """A condition that a step demands by `sc.check` does not hold."""


class NanError(ScanError, FloatingPointError):
    """A run under `sc.debug_nans` made a NaN."""


class VerificationError(ScanError, AssertionError):
    """The IR breaks one of its own rules: a bug in scancc, shown with the IR annotated at the fault."""


class CompileError(ScanError, RuntimeError):
    """A kernel could not be compiled or loaded."""


class DeviceError(ScanError, RuntimeError):
    """There is no device, or it refused: a launch, or memory."""


class CacheWarning(UserWarning):
    """A cached kernel could not be read or written; compilation went on without it."""
