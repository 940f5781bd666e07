"""Values of two branches as one, and the values of variables that a region of a function changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np

from scancc.errors import ScanTypeError, UnsupportedError
from scancc.frontend.control_flow.jumps import RETURNED
from scancc.frontend.control_flow.source import RAISE
from scancc.frontend.location import here
from scancc.frontend.made_arrays import MadeArray, Region, entangle
from scancc.frontend.operators import ArrayOperators
from scancc.frontend.pytrees import describe, flatten, unflatten
from scancc.frontend.returns import Until
from scancc.frontend.tracer import Tracer, unwrap, wrap
from scancc.ir import build
from scancc.ir.graph import Node

Pairs = dict[str, tuple[Node, Node]]


class Undefined:
    """A variable without a value, or with one in some branches only."""

    def __init__(self, name: str, why: str = "has no value yet") -> None:
        self.name, self.why = name, why

    def __repr__(self) -> str:
        return f"<variable {self.name}, which {self.why}>"

    def _used(self, *_: Any, **__: Any) -> NoReturn:
        raise UnboundLocalError(f"variable '{self.name}' {self.why}")

    __array__ = __bool__ = __call__ = __iter__ = __len__ = __getitem__ = _used
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = __neg__ = _used
    __lt__ = __le__ = __gt__ = __ge__ = __pow__ = __rpow__ = __matmul__ = __rmatmul__ = __abs__ = _used
    __array_ufunc__ = __array_function__ = _used


class Join:
    """One conditional: pairs of the values that its branches give, and what is made of the values chosen."""

    def __init__(self) -> None:
        self.pairs: Pairs = {}
        self._arrays: dict[tuple[int, int], list[tuple[Any, Any, MadeArray]]] = {}
        self._kept: list[Any] = []  # whose ids are keys

    def add(self, name: str, x: Any, y: Any, what: str) -> Callable[[dict[str, Tracer]], Any]:
        """Leaves of both sides as pairs; the function makes the whole again of the values chosen."""
        if name.startswith(RETURNED):  # of no meaning where the loop did not return
            x, y = (_zeros(b) if isinstance(a, Undefined) else a for a, b in ((x, y), (y, x)))
        (left, tree), (right, other) = flatten(x), flatten(y)
        if tree != other or not all(map(is_array, (*left, *right))):
            a, b = (describe(t) if all(map(is_array, leaves)) else repr(v)
                    for t, leaves, v in ((tree, left, x), (other, right, y)))  # fmt: skip
            raise ScanTypeError(
                f"{what} {a} in one branch of an `if` on traced values, and {b} in the other",
                here(),
                "both branches give a variable values of the same kind",
            )
        makers = [self._leaf(name + (f"_{i}" if len(left) > 1 else ""), a, b)
                  for i, (a, b) in enumerate(zip(left, right, strict=True))]  # fmt: skip
        return lambda values: unflatten(tree, [make(values) for make in makers])

    def _leaf(self, key: str, a: Any, b: Any) -> Callable[[dict[str, Tracer]], Any]:
        if a is b and isinstance(a, MadeArray):
            return lambda values: a
        self.pairs[key] = paired(a, b)
        if not isinstance(a, MadeArray) and not isinstance(b, MadeArray):
            return lambda values: values[key]
        same = self._arrays.setdefault((id(a), id(b)), [])
        self._kept += [a, b]

        def make(values: dict[str, Tracer]) -> MadeArray:
            if not same:
                made = MadeArray(values[key])
                others = [entry for entries in self._arrays.values() for entry in entries]
                entangle([made, *(x for x in (a, b) if isinstance(x, MadeArray)),
                          *(m for x, y, m in others if x is a or y is b)])  # fmt: skip
                same.append((a, b, made))
            return same[0][2]

        return make

    def add_changed(self, then: Region, orelse: Region, values: list[dict[MadeArray, Any]]) -> dict[MadeArray, str]:
        """Pairs of arrays that a branch assigned to, by the names of their values."""
        found: dict[MadeArray, str] = {}
        for array in {**then.before, **orelse.before}:
            key = found[array] = f"elements_{len(found)}"
            self.pairs[key] = paired(*(_as_array(v.get(array, array.value)) for v in values))
        return found


def changed(region: Region) -> dict[MadeArray, Any]:
    """The arrays from outside that a region has assigned to, and their values by now."""
    return {array: array.value for array in region.before}


def _as_array(value: Any) -> Any:
    return MadeArray(value) if isinstance(value, np.ndarray) else value


def paired(a: Any, b: Any) -> tuple[Node, Node]:
    """The nodes of two values of which one is chosen; Python's numbers take the dtype of the other (NEP 50)."""
    for x, y, turned in ((a, b, False), (b, a, True)):
        if type(x) in (int, float, complex) and isinstance(y, (ArrayOperators, np.ndarray, np.generic)):
            dtype = np.result_type(y.dtype, x)
            pair = build.const(x, dtype, here()), build.cast(unwrap(y), dtype, here())
            return (pair[1], pair[0]) if turned else pair
    return unwrap(a), unwrap(b)


def is_array(value: Any) -> bool:
    return isinstance(value, (ArrayOperators, np.ndarray, np.generic, bool, int, float, complex))


def _zeros(value: Any) -> Any:
    leaves, tree = flatten(value)
    if not all(map(is_array, leaves)):
        return value
    return unflatten(tree, [wrap(build.zeros(unwrap(v).type)) for v in leaves])


def opened(value: Any) -> Any:
    """A step's return with its stopping condition as a leaf."""
    if isinstance(value, Until):
        return {"until": value.condition}
    if isinstance(value, tuple) and value and isinstance(value[-1], Until):
        return (*value[:-1], {"until": value[-1].condition})
    return value


def closed(value: Any) -> Any:
    if isinstance(value, dict) and set(value) == {"until"}:
        return Until(value["until"])
    if isinstance(value, tuple) and value and isinstance(value[-1], dict) and set(value[-1]) == {"until"}:
        return (*value[:-1], Until(value[-1]["until"]))
    return value


def refuse_stores(stores: tuple[str, ...]) -> None:
    """What a branch or loop on traced values would do to objects, which cannot be taken back."""
    if RAISE in stores:
        raise UnsupportedError("raise under control flow on traced values", here(),
                               "both branches are traced, and a compiled step raises no errors of its own",
                               'demand it of every step: sc.check(condition, "message {}", value)')
    if stores:
        raise UnsupportedError(
            f"assigning to {', '.join(stores)} under control flow on traced values",
            here(),
            "both branches are traced, so what is stored in objects cannot be taken back",
            "use elements of arrays that the function makes, and plain variables",
        )
