"""Values of two branches as one, and the values of variables that a region of a function changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np

from scancc.errors import ScanTypeError, UnsupportedError
from scancc.frontend.control_flow.jumps import RETURNED
from scancc.frontend.control_flow.source import RAISE
from scancc.frontend.location import here
from scancc.frontend.made_arrays import MadeArray, entangle
from scancc.frontend.operators import ArrayOperators
from scancc.frontend.pytrees import describe, flatten, unflatten
from scancc.frontend.regions import region
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
        self._branches: list[dict[MadeArray, Any]] = []
        self._lost: dict[MadeArray, str] = {}  # in one of them
        self._ends: list[dict[int, Any]] = []  # what arrays of its results were at the end of each branch
        self._changed: list[tuple[MadeArray, Callable[[dict[str, Tracer]], Tracer]]] = []

    def add(self, name: str, x: Any, y: Any, what: str) -> Callable[[dict[str, Tracer]], Any]:
        """Leaves of both sides as pairs; the function makes the whole again of the values chosen."""
        x, y = (_zeros(b) if _never_returned(a) else a for a, b in ((x, y), (y, x)))
        if _never_returned(x):
            return lambda values: x
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
        for end, v in zip(self._ends, (a, b), strict=True):
            if isinstance(v, MadeArray) and id(v) not in end:  # whoever reads it is told that it is lost
                return lambda values, v=v: v
        self.pairs[key] = paired(*(_as_array(end.get(id(v), v)) for end, v in zip(self._ends, (a, b), strict=True)))
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

    def branch(self, run: Callable[[], Any]) -> Callable[[], Any]:
        """`run` as a branch: what it assigns to arrays from outside is noted, and taken back."""

        def call() -> Any:
            with region() as r:
                value = run()
                self._branches.append({array: array.value for array in r.before})
                made = [v for v in flatten(value)[0] if isinstance(v, MadeArray) and not v.origin.lost]
                self._lost |= {array: array.lost for array in r.found}
                self._ends.append({id(v): v.now() for v in made})
            return value

        return call

    def add_changed(self) -> None:
        """Pairs of the values that arrays have which a branch assigned to."""
        then, orelse = self._branches
        for i, array in enumerate({**then, **orelse}):
            old, x, y = (unwrap(_as_array(v)) for v in
                         (array.value, then.get(array, array.value), orelse.get(array, array.value)))  # fmt: skip
            if x is y:
                continue
            first, second = _one_put(x, old), _one_put(y, old)
            key = f"elements_{i}"
            if first is None or second is None or not isinstance(array.value, Tracer):
                self.pairs[key] = (x, y)
                self._changed.append((array, lambda values, key=key: values[key]))
                continue
            self.pairs |= {f"{key}_{n}": pair for n, pair in zip("iv", zip(first, second, strict=True), strict=True)}
            self._changed.append((array, lambda values, key=key, before=array.value: _put(
                before, values[f"{key}_i"], values[f"{key}_v"])))  # fmt: skip

    def write_changed(self, values: dict[str, Tracer]) -> None:
        for array, make in self._changed:
            if not array.lost and array not in self._lost:
                array.write(make(values))
        for array, where in self._lost.items():
            array.lose(where)


def _one_put(x: Node, old: Node) -> tuple[Node, Node] | None:
    """The flat position and the value with which one element of `old` was replaced; of `old` itself, its first element.

    So a conditional chooses an element, not an array, which would be copied.
    """
    size = old.type.size
    if not size:
        return None
    if x is old:
        return build.integer(0), build.make("index", build.reshape(old, (size,)), axis=0, position=0, loc=here())
    if x.op == "reshape":
        (x,) = x.args
    if x.op != "put" or x.attrs["mode"] != "set" or x.type.ndim != 1 or x.args[1].type.shape:
        return None
    target = x.args[0].args[0] if x.args[0].op == "reshape" else x.args[0]
    return (x.args[1], x.args[2]) if target is old else None


def _put(before: Tracer, position: Tracer, value: Tracer) -> Tracer:
    node = unwrap(before)
    flat = build.reshape(node, (before.size,))
    put = build.make("put", flat, position.node, value.node, axis=0, mode="set", loc=here())
    return wrap(build.reshape(put, node.type.shape))


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


def _never_returned(value: Any) -> bool:
    """Whether this is what a loop would return, of no meaning where it did not."""
    return isinstance(value, Undefined) and value.name.startswith(RETURNED)


def _zeros(value: Any) -> Any:
    """Anything like `value`, which may itself be of no meaning."""
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
