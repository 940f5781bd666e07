"""Functions that mean something else as they stand, though they ask for no traced value.

One that assigns to elements would change arrays while it is traced; one that looks for a value in a set would look for
the object that stands for it; one that draws from a generator of NumPy or Python would draw once. Functions that it
calls by their names are looked into as well.
"""

from __future__ import annotations

import dis
import functools
import types
from collections.abc import Iterator
from typing import Any

from scancc.frontend.control_flow.functions import GENERATORS, draws

OPERATIONS = ("STORE_SUBSCR", "STORE_SLICE", "CONTAINS_OP")
_other: dict[types.CodeType, bool] = {}


def asks_for_nothing(code: types.CodeType) -> bool:
    """Whether code, or that of functions in it, does with traced values what fails to ask for them."""
    if code not in _other:
        _other[code] = any(i.opname in OPERATIONS for i in dis.get_instructions(code)) or any(
            asks_for_nothing(c) for c in code.co_consts if isinstance(c, types.CodeType)
        )
    return _other[code]


def needs_rewriting(fn: types.FunctionType, of: Any, foreign: tuple[str, ...]) -> bool:
    """Whether that is so of a function, or one that it refers to; `of` is the object that it is bound to."""
    seen: set[types.CodeType] = set()
    pending = [fn]
    attributes = vars(of) if hasattr(of, "__dict__") and not isinstance(of, types.ModuleType) else {}
    if any(isinstance(v, GENERATORS) for v in attributes.values()):
        return True
    while pending:
        function = pending.pop()
        code = function.__code__
        if code in seen or code.co_filename.startswith(foreign):
            continue
        seen.add(code)
        if asks_for_nothing(code):
            return True
        for value in _referred(function):
            if draws(value) or isinstance(value, GENERATORS) or _is_random_module(value):
                return True
            if isinstance(value, functools.partial):
                value = value.func
            if isinstance(value, types.MethodType):
                value = value.__func__
            if isinstance(value, types.FunctionType):
                pending.append(value)
    return False


def _is_random_module(value: Any) -> bool:
    return isinstance(value, types.ModuleType) and value.__name__ in ("numpy.random", "random")


def _referred(fn: types.FunctionType) -> Iterator[Any]:
    """The values of names that a function refers to: globals, variables of functions around it, `np.random`."""
    for code in _codes(fn.__code__):
        for name in code.co_names:
            if name in fn.__globals__:
                value = fn.__globals__[name]
                yield value
                if isinstance(value, types.ModuleType) and "random" in code.co_names and value.__name__ == "numpy":
                    yield value.random
    for cell in fn.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:  # empty
            continue


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for c in code.co_consts:
        if isinstance(c, types.CodeType):
            yield from _codes(c)
