"""Keys, and the words that generators make of them."""

from __future__ import annotations

import functools
import inspect
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from scancc.arrays import shown
from scancc.calls import compiled_call
from scancc.errors import ScanTypeError, ScanValueError, ShapeError
from scancc.frontend.location import here
from scancc.frontend.scope import current
from scancc.frontend.tracer import Tracer, emit, is_traced, length_of, unwrap, wrap
from scancc.ir import build
from scancc.ir.graph import Node
from scancc.ir.ops import GENERATORS, ShapeMismatch, broadcast
from scancc.ir.types import Shape, Type

DEFAULT = "philox4x32"
# Streams of words under one key: draws use the first, keys made from a key have others.
DRAWS, FOLDS, SPLITS = 0, 2**64 - 1, 2**64 - 2
U64 = np.dtype(np.uint64)


def key(seed: int) -> np.uint64:
    """The key of a seed, an integer from 0 to 2**64 - 1. Keys are uint64 scalars, and steps carry them like others.

    Raises TypeError for what is no integer, ValueError for one out of range: two seeds never share a key.
    """
    try:
        number = operator.index(seed)
    except TypeError:
        raise ScanTypeError(f"a seed is an integer, not {seed!r}", here()) from None
    if not 0 <= number < 2**64:
        raise ScanValueError(f"the seed is {shown(number)}", here(), "seeds are integers from 0 to 2**64 - 1",
                             "use sc.random.fold_in to make a key from several numbers")
    return np.uint64(number)


def draw(
    *arrays: str, numbers_fixed: bool = False, check: Callable[[dict[str, Any]], None] | None = None
) -> Callable[[Callable], Callable]:
    """Decorator of draws: parameters named in `arrays` may be arrays or traced, the others are fixed when it compiles.

    Outside of any trace a draw is compiled and returns NumPy's arrays. Parameters left at their defaults are then fixed
    too, and with `numbers_fixed` Python's numbers, which say how many things there are. `check` sees the arguments as
    they were given.
    """

    def decorate(fn: Callable) -> Callable:
        signature = inspect.signature(fn)

        def is_fixed(name: str, value: Any) -> bool:
            python = isinstance(value, (int, float))
            return value is None or python and (numbers_fixed or value == signature.parameters[name].default)

        @functools.wraps(fn)
        def call(*args: Any, **kwargs: Any) -> Any:
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            given = bound.arguments
            if "generator" in given and given["generator"] not in GENERATORS:
                raise ScanValueError(f"there is no generator {given['generator']!r}", here(),
                                     fix=f"use one of {', '.join(GENERATORS)}")
            checked_key(given["key"])
            if check is not None:
                check(given)
            traced = {n: given.pop(n) for n in ("key", *arrays) if not is_fixed(n, given[n])}
            shape = given.get("shape")
            if "shape" in given and shape is not None:
                shape = tuple(shape) if isinstance(shape, (tuple, list)) else (shape,)
                given["shape"] = shape = tuple(n if is_traced(n) else _length(n) for n in shape)
                if current() is None and is_traced(*shape):
                    return fn(**given, **traced)  # a graph that is being built outside of any trace
            if current() is None and not is_traced(*traced.values()):
                fixed = tuple((n, np.dtype(v).str if n == "dtype" else v) for n, v in given.items())

                def run(values: dict[str, Any]) -> Any:
                    return fn(**values, **given)

                return compiled_call(run, fn.__name__, (fn, fixed), traced)
            return fn(**traced, **given)

        return call

    return decorate


def checked_key(value: Any) -> None:
    """TypeError where a value is no key."""
    dtype = getattr(value, "dtype", None)
    if dtype != U64 or np.ndim(value) != 0:
        what = f"{dtype} of {np.ndim(value)} axes" if dtype is not None else repr(value)
        raise ScanTypeError(f"a random key is a uint64 scalar, not {what}", here(),
                            fix="make keys with sc.random.key(seed), sc.random.split or sc.random.fold_in")


def _length(n: Any) -> int:
    try:
        length = operator.index(n)
    except TypeError:
        raise ScanTypeError(f"a shape is made of integers, not {n!r}", here()) from None
    if length < 0:
        raise ShapeError(f"a shape has the length {length}", here())
    return length


def shape_of(shape: tuple | None, *parameters: Any) -> Shape:
    """The shape of a draw: as given, or that of its parameters."""
    if shape is None:
        try:
            return broadcast(*(unwrap(p).type.shape for p in parameters))
        except ShapeMismatch as e:
            raise ShapeError(str(e), here()) from None
    return tuple(map(length_of, shape))


def counter(shape: Shape) -> Tracer:
    """0, 1, 2... in uint64, in the order of the elements of an array."""
    loc = here()
    if all(isinstance(d, int) for d in shape):
        size = int(np.prod(shape, dtype=np.int64))  # type: ignore[arg-type]
        if not shape:
            return wrap(build.const(0, U64, loc))
        kind = Type(U64, (size,))
        iota = build.make("iota", type=kind, shape=(size,), loc=loc)
        return wrap(build.reshape(iota, shape, loc))
    total: Tracer | None = None
    stride = build.integer(1)
    for axis in reversed(range(len(shape))):
        d = shape[axis]
        along = build.make("iota", type=build.integer(0).type.with_shape((d,)), shape=(d,), loc=loc)
        along = build.reshape(along, (d, *[1] * (len(shape) - 1 - axis)), loc)
        part = wrap(along) * wrap(stride)
        total = part if total is None else total + part
        length = build.integer(d) if isinstance(d, int) else _length_node(d, along)
        stride = build.make("multiply", stride, length, loc=loc)
    assert total is not None
    return total.astype(U64)


def _length_node(d: Any, along: Node) -> Node:
    return d.define if d.define is not None else build.make("dim", along, axis=0)


def word(key: Any, index: Any, generator: str, stream: int = DRAWS) -> Tracer:
    """Words by number, uint64."""
    nodes = [build.cast(unwrap(v), U64, here()) for v in (key, index)]
    nodes.append(build.const(stream, U64, here()))
    return wrap(emit(generator, *nodes))


@draw("data")
def fold_in(key: Any, data: Any, *, generator: str = DEFAULT) -> Any:
    """A new key from a key and an integer, such as the number of a step; an array of integers makes as many keys."""
    node = unwrap(data)
    if node.type.dtype.kind not in "iub":
        raise ScanTypeError(f"fold_in takes integers, not {node.type.dtype}", here())
    return word(key, build_tracer(node), generator, FOLDS)


def build_tracer(node: Node) -> Tracer:
    """Integers as the uint64 with the same bits."""
    return wrap(build.cast(build.cast(node, "int64", here()) if node.type.dtype.kind != "u" else node, U64, here()))


@draw()
def split(key: Any, shape: Any = 2, *, generator: str = DEFAULT) -> Any:
    """New keys, as many as `shape` says: an array to unpack, index, or scan over."""
    return word(key, counter(shape_of(shape)), generator, SPLITS)
