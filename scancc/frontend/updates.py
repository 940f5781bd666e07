"""Functional updates: `x.at[index].set(v)` and `sc.at_set(x, index, v)` give a new array, x stays what it was.

The convention is that of jax.numpy's `.at`, because a step has no memory to assign to: `x[i] = v` would have to change
a value that other steps, and the loop around them, still read. The index is anything that `x[index]` takes. With
repeated positions `set` keeps the last one, `add`, `multiply`, `minimum` and `maximum` take all of them in. An index
outside the array is an IndexError when the kernel runs (JAX drops such updates silently).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from scancc.errors import ScanTypeError, ScanValueError
from scancc.frontend.axes import array, merged, static_length
from scancc.frontend.indexing import expanded, flat_position, getitem, wrapped_index
from scancc.frontend.location import here
from scancc.frontend.numpy_shapes import broadcast_to
from scancc.frontend.operators import ArrayOperators
from scancc.frontend.scope import current
from scancc.frontend.tracer import Tracer, array_of, emit, is_traced, wrap
from scancc.ir import build

MODES = ("set", "add", "multiply", "minimum", "maximum")


class At:
    """`x.at`: indexing it chooses the positions."""

    __slots__ = ("x",)

    def __init__(self, x: Tracer) -> None:
        self.x = x

    def __getitem__(self, index: Any) -> Positions:
        return Positions(self.x, index)


class Positions:
    """`x.at[index]`, with one method for each way of combining old and new."""

    __slots__ = ("index", "x")

    def __init__(self, x: Tracer, index: Any) -> None:
        self.x, self.index = x, index

    def set(self, v: Any, **how: Any) -> Tracer:
        return self._update(v, "set", **how)

    def add(self, v: Any, **how: Any) -> Tracer:
        return self._update(v, "add", **how)

    def subtract(self, v: Any, **how: Any) -> Tracer:
        return self._update(np.negative(_as_array(v, self.x.dtype)), "add", **how)

    def multiply(self, v: Any, **how: Any) -> Tracer:
        return self._update(v, "multiply", **how)

    mul = multiply

    def divide(self, v: Any, **how: Any) -> Tracer:
        """By all values, where a position is repeated. Raises TypeError for integers."""
        if array(self.x).dtype.kind not in "fc":
            raise ScanTypeError(f"an array of {self.x.dtype} cannot take quotients", here(),
                                fix="convert it first, for example with .astype('float64')")  # fmt: skip
        return np.divide(self.x, self._factors(v, **how))  # type: ignore[return-value]

    def power(self, v: Any, **how: Any) -> Tracer:
        """To the product of all values, where a position is repeated."""
        return np.power(self.x, self._factors(v, **how))  # type: ignore[return-value]

    def min(self, v: Any, **how: Any) -> Tracer:
        return self._update(v, "minimum", **how)

    def max(self, v: Any, **how: Any) -> Tracer:
        return self._update(v, "maximum", **how)

    def apply(self, ufunc: Callable, **how: Any) -> Tracer:
        """With `ufunc` of the elements in their place."""
        return self._update(ufunc(self.get(**how)), "set", **how)

    def get(
        self, mode: Any = None, fill_value: Any = None, indices_are_sorted: bool = False, unique_indices: bool = False
    ) -> Tracer:
        x, key, _ = within(self.x, self.index, mode, fill_value)
        return x[key]

    def _update(
        self, v: Any, how: str, mode: Any = None, indices_are_sorted: bool = False, unique_indices: bool = False
    ) -> Tracer:
        """What is said of the indices are hints, and mean nothing here."""
        x, key, shape = within(self.x, self.index, mode, None)
        found = update(x, key, v, how)
        return found if shape is None else found[tuple(slice(n) for n in shape)]

    def _factors(self, v: Any, **how: Any) -> Tracer:
        """`v` at the positions, 1 everywhere else."""
        return Positions(np.ones_like(array(self.x)), self.index)._update(v, "multiply", **how)  # type: ignore[arg-type]


def _as_array(v: Any, dtype: np.dtype) -> Any:
    return array(_fitting(v, dtype))


def within(x: Any, index: Any, mode: Any, fill: Any) -> tuple[Any, Any, Any]:
    """An array and an index of it that is never outside, as `mode` wants it; the shape to cut the array to, if any.

    "clip" takes the nearest position. "drop" and "fill" add a row to each axis that integers index, which stands for
    all that is outside: it is cut off again, or read as `fill`. None and "promise_in_bounds" leave it to be an error.
    """
    if mode is None or mode == "promise_in_bounds":
        return x, index, None
    if mode not in ("clip", "drop", "fill"):
        raise ScanValueError(f"mode={mode!r} of an index is not known", here(),
                             fix='use "clip", "drop", "fill" or "promise_in_bounds"')  # fmt: skip
    x = array(x)
    shape = tuple(static_length(x, a, f"mode={mode!r}") for a in range(x.ndim))
    keys, axis = expanded(index, x.ndim), 0
    if fill is None:
        fill = np.nan if x.dtype.kind in "fc" else False if x.dtype.kind == "b" else (
            np.iinfo(x.dtype).max if x.dtype.kind == "u" else np.iinfo(x.dtype).min)  # fmt: skip
    for i, k in enumerate(keys):
        if k is None:
            continue
        if not isinstance(k, slice):
            n = shape[axis]
            place = array(k).astype(np.int64)
            place = np.where(place < 0, place + n, place)  # type: ignore[assignment]
            if mode == "clip":
                keys[i] = np.clip(place, 0, max(n - 1, 0))
            else:
                row = (*x.node.type.shape[:axis], 1, *x.node.type.shape[axis + 1 :])
                more = wrap(build.broadcast_to(array(_fitting(fill, x.dtype)).astype(x.dtype).node, row, here()))
                x = np.concatenate([x, more], axis=axis)  # type: ignore[assignment, list-item]
                keys[i] = np.where((place < 0) | (place >= n), n, place)
        axis += 1
    return x, tuple(keys), None if mode == "clip" else shape


def update(x: Any, index: Any, value: Any, mode: str) -> Tracer:
    target = array(x)
    v = array(_fitting(value, target.dtype))
    if isinstance(index, ArrayOperators) and index.dtype.kind == "b" or isinstance(index, np.ndarray) and (
        index.dtype.kind == "b" and index.shape == target.node.type.shape and v.ndim == 0
    ):
        return np.where(index, v.astype(target.dtype) if mode == "set" else COMBINE[mode](target, v), target)  # type: ignore[return-value]
    v = v.astype(target.dtype)
    if _is_scalar(index):
        at = wrapped_index(target.node, 0, np.asarray(index) if not isinstance(index, ArrayOperators) else index)
        row = broadcast_to(v, target.node.type.shape[1:])
        return wrap(emit("put", target.node, at, row.node, axis=0, mode=mode))
    shape = target.node.type.shape
    position = flat_position(target.node, index if isinstance(index, tuple) else (index,))
    if position is not None and v.ndim == 0:
        put = emit("put", np.ravel(target).node, position, v.node, axis=0, mode=mode)
        return wrap(build.reshape(put, shape, here()))
    # Which flat positions the index means is asked of the indexing itself.
    size = merged(target.node, range(len(shape)))
    iota = build.make("iota", type=build.integer(0).type.with_shape((size,)), shape=(size,), loc=here())
    positions = getitem(wrap(build.reshape(iota, shape, here())), index)
    values = broadcast_to(v, positions.node.type.shape)
    flat = emit("put", np.ravel(target).node, np.ravel(positions).node, np.ravel(values).node, axis=0, mode=mode)
    return wrap(build.reshape(flat, shape, here()))


def _fitting(value: Any, target: np.dtype) -> Any:
    """A value that an array of dtype `target` can hold; Python's numbers have no dtype of their own (NEP 50)."""
    weak = isinstance(value, (int, float, complex)) and not isinstance(value, np.generic)
    given = value if isinstance(value, ArrayOperators) else np.asarray(value)
    if not (weak and np.result_type(target, value) == target) and not np.can_cast(given.dtype, target, "same_kind"):
        raise ScanTypeError(f"an array of {target} cannot take values of {given.dtype}", here(),
                            fix=f'cast one of them, for example with .astype("{target}")')
    return array_of(value, target) if weak else value


def _is_scalar(index: Any) -> bool:
    return (isinstance(index, (int, np.integer)) and not isinstance(index, bool)) or (
        isinstance(index, ArrayOperators) and index.ndim == 0 and index.dtype.kind in "iu"
    )


COMBINE: dict[str, Callable] = {"add": np.add, "multiply": np.multiply, "minimum": np.minimum, "maximum": np.maximum}


SHORT = {"minimum": "min", "maximum": "max"}
DOES = {
    "set": "with `value` in place of `x[index]`, the last one where a position is repeated",
    "add": "with `value` added to `x[index]`, all of them where a position is repeated",
    "multiply": "with `x[index]` multiplied by `value`, by all of them where a position is repeated",
    "minimum": "with the smaller of `x[index]` and `value`, NaN where one of them is",
    "maximum": "with the larger of `x[index]` and `value`, NaN where one of them is",
}


def _function(mode: str) -> Callable:
    def at(x: Any, index: Any, value: Any) -> Any:
        if current() is not None or is_traced(x, value, *(index if isinstance(index, tuple) else [index])):
            return update(x, index, value, mode)
        result = np.array(x)
        value = _fitting(value, result.dtype)
        if mode == "set":
            result[index] = value
        else:
            COMBINE[mode].at(result, index, value)
        return result

    at.__name__ = at.__qualname__ = f"at_{mode}"
    at.__doc__ = (
        f"A copy of the array `x` {DOES[mode]}, as `x.at[index].{SHORT.get(mode, mode)}(value)`.\n\n"
        "    `index` is anything that `x[index]` takes, `value` broadcasts to the shape of that and is cast to the\n"
        "    dtype of `x`. Raises IndexError for an index outside of `x`, in a step when it runs, and TypeError for\n"
        "    values that the dtype cannot hold, such as floats in integers.\n"
    )
    return at


at_set, at_add, at_multiply, at_minimum, at_maximum = map(_function, MODES)
