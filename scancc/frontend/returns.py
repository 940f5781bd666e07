"""What a step function returns: outputs, updates of shared variables, and a stopping condition.

    outputs  |  updates  |  (outputs, until)  |  (outputs, updates)  |  (outputs, updates, until)  |  (updates, until)

Outputs are one array, a tuple or list of arrays, or a dict with names as keys. Updates are a dict with shared variables
as keys, or a list of pairs (shared variable, new value).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from scancc.errors import ScanTypeError, ScanValueError
from scancc.frontend.location import of_function
from scancc.frontend.operators import ArrayOperators
from scancc.frontend.shared import Shared
from scancc.frontend.tracer import Tracer, is_traced


class Until:
    """A stopping condition returned by a step beside its outputs: see `sc.until`."""

    __slots__ = ("condition",)

    def __init__(self, condition: Any) -> None:
        self.condition = condition


@dataclass(frozen=True, slots=True)
class Returned:
    """What a step returned: its outputs, their names if it returned a dict, updates, and the stopping condition."""

    values: list[Any]
    keys: tuple[str, ...] | None
    single: bool
    until: Any
    updates: dict[Shared, Any] = field(default_factory=dict)


def parse_return(value: Any, fn: Callable) -> Returned:
    """The parts of what the step returned. Raises TypeError showing it where it is none of the documented forms."""
    whole, until, updates = value, None, None
    if isinstance(value, Until) or _is_updates(value):
        value = (value,)
    if isinstance(value, tuple):
        rest = list(value)
        if rest and isinstance(rest[-1], Until):
            until = rest.pop().condition
        if rest and (_is_updates(rest[-1]) or (len(rest) > 1 and isinstance(rest[-1], dict) and not rest[-1])):
            updates = rest.pop()
        if until is not None or updates is not None:
            if len(rest) > 1:
                raise ScanTypeError(
                    f"the step returned {_kinds(whole)}",
                    of_function(fn),
                    "outputs come first and together: (outputs, sc.until(condition)), (outputs, updates)",
                    "return ((a, b), sc.until(condition)) for several outputs",
                )
            value = rest[0] if rest else ()
    if isinstance(value, (tuple, list)) and any(isinstance(v, Until) for v in value):
        raise ScanTypeError(
            f"the step returned {_kinds(whole)}",
            of_function(fn),
            "a stopping condition comes last: (outputs, sc.until(condition))",
            "return ((a, b), sc.until(condition)) for several outputs",
        )
    keys = None
    single = not isinstance(value, (tuple, list, dict))
    if isinstance(value, dict):
        keys = tuple(value)
        values = list(value.values())
    else:
        values = [value] if single else list(value)
    for v in values:
        # Strings, None and objects have no place in an array; nested tuples would be ambiguous.
        if not isinstance(v, (ArrayOperators, np.ndarray, np.generic, int, float, complex)) and not (
            isinstance(v, list) and (is_traced(v) or np.asarray(v).dtype.kind in "biufc")
        ):
            raise ScanTypeError(
                f"the step returned {_kinds(whole)}",
                of_function(fn),
                "a step returns an array, a tuple, list or dict of arrays, or (outputs, sc.until(condition))",
                "return the new values" if v is None else "",
            )
    return Returned(values, keys, single, until, _pairs(updates, fn))


def _is_updates(value: Any) -> bool:
    if isinstance(value, dict):
        return bool(value) and all(isinstance(k, Shared) for k in value)
    return isinstance(value, (list, tuple)) and bool(value) and all(
        isinstance(p, tuple) and len(p) == 2 and isinstance(p[0], Shared) for p in value
    )


def _pairs(updates: Any, fn: Callable) -> dict[Shared, Any]:
    if not updates:
        return {}
    if isinstance(updates, dict):
        return updates
    found = dict(updates)
    if len(found) < len(updates):
        raise ScanValueError("the step updates a shared variable twice", of_function(fn),
                             "a variable has one new value a step")
    return found


def _kinds(value: Any) -> str:
    if isinstance(value, (tuple, list)):
        inner = ", ".join(_kinds(v) for v in value)
        return f"({inner})" if isinstance(value, tuple) else f"[{inner}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k!r}: {_kinds(v)}" for k, v in value.items()) + "}"
    if isinstance(value, Tracer):
        return f"array {value.node.type}"
    return "None" if value is None else f"{value!r} ({type(value).__name__})"
