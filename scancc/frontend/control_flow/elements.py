"""Subscripts: elements of arrays and lists by traced positions, and assignments to elements."""

from __future__ import annotations

import collections
import operator
from typing import Any, NoReturn

import numpy as np

from scancc.errors import UnsupportedError
from scancc.frontend.location import here
from scancc.frontend.made_arrays import MadeArray, index_parts, refuse_assignment
from scancc.frontend.operators import ArrayOperators
from scancc.frontend.regions import is_from_outside
from scancc.frontend.tracer import as_stored, is_traced, unwrap, wrap

CONTAINERS = (list, dict, set, bytearray, collections.deque)
OPERATOR = {"Add": "add", "Sub": "sub", "Mult": "mul", "Div": "truediv", "FloorDiv": "floordiv", "Mod": "mod",
            "Pow": "pow", "MatMult": "matmul", "BitAnd": "and_", "BitOr": "or_", "BitXor": "xor",
            "LShift": "lshift", "RShift": "rshift"}  # fmt: skip


def item(of: Any, key: Any) -> Any:
    """`of[key]`."""
    if isinstance(of, ArrayOperators) or not is_traced(*index_parts(key)):
        return of[key]
    if isinstance(of, np.ndarray):
        return wrap(unwrap(of))[key]
    if isinstance(of, (list, tuple)) and not isinstance(key, (tuple, slice)):
        return _of_list(of, key)
    raise UnsupportedError(f"a {type(of).__name__} at a traced position", here(),
                           "positions that are known when the loop runs are those of arrays, or of lists of arrays",
                           "choose by sc.lax.switch or sc.cond, or make it an array")  # fmt: skip


def _of_list(of: Any, key: Any) -> Any:
    """An element of a list: its elements are rows of one array."""
    try:
        rows = [as_stored(v) for v in of]
    except TypeError:
        rows = []
    if not rows or len({r.type.shape for r in rows}) > 1:
        raise UnsupportedError(f"a {type(of).__name__} of unequal elements at a traced position", here(),
                               "the elements of a list that is indexed by a traced value are arrays of one shape",
                               "choose by `if`, sc.cond or sc.lax.switch")  # fmt: skip
    return wrap(unwrap(np.stack([wrap(r) for r in rows])))[key]


def store(value: Any, of: Any, key: Any) -> None:
    """`of[key] = value`."""
    if isinstance(of, MadeArray):
        of[key] = value
    elif isinstance(of, ArrayOperators):
        refuse_assignment("a traced array")
    elif isinstance(of, np.ndarray):
        refuse_assignment("an array that the function did not make")
    elif is_traced(*index_parts(key)) or is_from_outside(of):
        raise UnsupportedError(
            f"assigning to elements of a {type(of).__name__} {_where(key)}", here(),
            "both branches are traced, so what is stored in objects cannot be taken back",
            "use an array that the function makes, as np.zeros(n), and plain variables",
        )  # fmt: skip
    else:
        of[key] = value


def _where(key: Any) -> str:
    return "at a traced position" if is_traced(*index_parts(key)) else "under control flow on traced values"


def in_place(name: str, of: Any, value: Any) -> Any:
    """What `of += value` makes the variable `of`, and the other operators."""
    if isinstance(of, CONTAINERS) and is_from_outside(of):
        refuse_change(of, "by an operator in place")
    return getattr(operator, f"i{OPERATOR[name].strip('_')}")(of, value)


def refuse_change(of: Any, how: str) -> NoReturn:
    raise UnsupportedError(
        f"a {type(of).__name__} is changed {how} under control flow on traced values", here(),
        "both branches are traced, and a loop is traced once, so what happens to objects cannot be taken back",
        "use an array that the function makes, as np.zeros(n), and plain variables",
    )  # fmt: skip


def augment(name: str, of: Any, key: Any, value: Any) -> None:
    """`of[key] += value`, and the other operators."""
    found = item(of, key)
    if isinstance(of, MadeArray):  # the old elements stay what they are until they are replaced
        old = found.now() if isinstance(found, MadeArray) else found
        store(getattr(operator, OPERATOR[name])(old, value), of, key)
    else:
        store(getattr(operator, f"i{OPERATOR[name].strip('_')}")(found, value), of, key)
