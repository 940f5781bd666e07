"""Arguments of NumPy's functions on traced values: bound by NumPy's own signatures, in one place.

Each parameter of a function is honoured (the implementation takes one of that name), has no effect on values that are
never changed in place (NO_EFFECT), or is refused at the user's line when anything but its default is given. Nothing is
dropped in silence: `kinds_of` says which of the three a parameter is.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from scancc.errors import ScanTypeError, UnsupportedError
from scancc.frontend.location import here

HONOURED, NO_EFFECT_KIND, REFUSED = "honoured", "no effect", "refused"
# Whether memory is shared or overwritten, of which class a result is, in which order products are taken.
NO_EFFECT = frozenset({"copy", "subok", "overwrite_input", "optimize"})
LAYOUT = frozenset({"zeros_like", "ones_like", "empty_like", "full_like", "copy"})  # their `order` is one of memory
NEUTRAL = {"keepdims": False, "where": True, "out": None, "dtype": None}  # what says what NumPy does anyway
# What NumPy takes by **kwargs.
EXTRA = {"pad": ("constant_values", "end_values", "stat_length", "reflect_type"),
         "einsum": ("dtype", "order", "casting")}  # fmt: skip
POSITIONS = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


@functools.cache
def signature_of(function: Callable) -> inspect.Signature | None:
    """NumPy's signature; None where it tells none, as for some functions written in C."""
    try:
        return inspect.signature(function)
    except (TypeError, ValueError):
        return None


@functools.cache
def _taken(implementation: Callable) -> frozenset[str]:
    return frozenset(inspect.signature(implementation).parameters)


@functools.cache
def kinds_of(function: Callable, implementation: Callable) -> dict[str, str]:
    """Each parameter of NumPy's signature as honoured, of no effect, or refused."""
    signature = signature_of(function) or inspect.signature(implementation)
    kinds: dict[str, str] = {}
    for name, parameter in signature.parameters.items():
        if parameter.kind is parameter.VAR_KEYWORD:
            kinds |= {extra: _kind(function, implementation, extra) for extra in EXTRA.get(function.__name__, ())}
        elif parameter.kind is parameter.VAR_POSITIONAL or parameter.default is parameter.empty:
            kinds[name] = HONOURED
        else:
            kinds[name] = _kind(function, implementation, name)
    return kinds


def _kind(function: Callable, implementation: Callable, name: str) -> str:
    if name in _taken(implementation):
        return HONOURED
    layout = name == "order" and function.__name__ in LAYOUT
    return NO_EFFECT_KIND if name in NO_EFFECT or layout else REFUSED


def bound_call(spelling: str, function: Callable, implementation: Callable, args: tuple, kwargs: dict[str, Any]) -> Any:
    """`implementation` with arguments that NumPy's `function` would take.

    Required ones go by position, the others by name. Raises TypeError for arguments that NumPy does not take, and
    UnsupportedError for those that are not supported.
    """
    signature = signature_of(function)
    if signature is None:
        signature = inspect.signature(implementation)
    try:
        bound = signature.bind(*args, **kwargs)
    except TypeError as e:
        raise ScanTypeError(f"{spelling}: {e}", here(), "arguments are those of NumPy") from None
    kinds = kinds_of(function, implementation)
    positional: list[Any] = []
    named: dict[str, Any] = {}
    for name, value in bound.arguments.items():
        parameter = signature.parameters[name]
        if parameter.kind is parameter.VAR_POSITIONAL:
            positional += value
        elif parameter.kind is parameter.VAR_KEYWORD:
            for extra, given in value.items():
                _take(spelling, extra, given, kinds.get(extra, REFUSED), named)
        elif parameter.default is parameter.empty and parameter.kind in POSITIONS:
            positional.append(value)
        elif not _says_nothing(value, parameter.default):
            _take(spelling, name, value, kinds[name], named)
    return implementation(*positional, **named)


def _take(spelling: str, name: str, value: Any, kind: str, named: dict[str, Any]) -> None:
    if kind == HONOURED:
        named[name] = value
    elif kind == REFUSED and not _is_neutral(name, value):
        raise UnsupportedError(f"{spelling} with {name!r} is not supported in a step", here(),
                               fix="leave the argument out")  # fmt: skip


def _says_nothing(value: Any, default: Any) -> bool:
    return value is default or value is np._NoValue or _same(value, default)  # type: ignore[attr-defined]


def _is_neutral(name: str, value: Any) -> bool:
    return name in NEUTRAL and _same(value, NEUTRAL[name])


def _same(value: Any, other: Any) -> bool:
    return type(value) is type(other) and isinstance(value, (bool, int, float, str, type(None))) and value == other
