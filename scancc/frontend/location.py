"""Finds the user's expression that is being traced: file, line and columns for carets and generated comments."""

from __future__ import annotations

import functools
import os
import sys
from functools import lru_cache
from importlib.util import find_spec
from itertools import islice
from types import CodeType, FrameType

import scancc
from scancc.ir.graph import Loc

# Frames of these packages are machinery, not the user's code. Some are not imported for it.
_MACHINERY = (
    os.path.dirname(scancc.__file__ or "") + os.sep,
    *(os.path.dirname(spec.origin or "") + os.sep for spec in map(find_spec, ("numpy", "scipy", "numba")) if spec),
    functools.__file__,
)


def here() -> Loc | None:
    """Location of the innermost frame outside scancc, NumPy, SciPy and numba."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and _is_machinery(frame.f_code.co_filename):
        frame = frame.f_back
    return None if frame is None else of_frame(frame)


@lru_cache(maxsize=1024)
def _is_machinery(file: str) -> bool:
    return file.startswith(_MACHINERY)


def library_function() -> str:
    """The name of the function of these packages that the user's code called."""
    frame, name = sys._getframe(1), ""
    while frame is not None and _is_machinery(frame.f_code.co_filename):
        frame, name = frame.f_back, frame.f_code.co_name  # type: ignore[assignment]
    return name


def of_frame(frame: FrameType) -> Loc:
    return _location(frame.f_code, frame.f_lasti, frame.f_lineno)


@lru_cache(maxsize=4096)
def _location(code: CodeType, at: int, current: int) -> Loc:
    """A Python loop makes many operations at one place, and to find it is to go through the code up to there."""
    position = next(islice(code.co_positions(), at // 2, None), (None,) * 4)
    line, end_line, column, end_column = position
    if line is None or end_line != line:
        # An expression over several lines: point at its first line only.
        line, column, end_column = line or current, column or 0, -1
    return Loc(code.co_filename, line, column or 0, -1 if end_column is None else end_column, code.co_name)


def of_function(fn: object) -> Loc | None:
    """Location of a function's definition, for errors that concern the function as a whole."""
    code = getattr(fn, "__code__", None)
    if code is None:
        return None
    return Loc(code.co_filename, code.co_firstlineno, 0, -1, code.co_name)


def name_of(fn: object, otherwise: str) -> str:
    """A function's name; lambdas have none."""
    return str(getattr(fn, "__name__", otherwise)).replace("<lambda>", otherwise)
