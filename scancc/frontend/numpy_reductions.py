"""NumPy's reductions of traced values: results have NumPy's dtypes, accumulators too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from scancc.errors import ScanTypeError, ScanValueError
from scancc.frontend.axes import array, axes_of, axis_of, floating, static_length
from scancc.frontend.location import here
from scancc.frontend.tracer import Tracer, array_of, emit, is_traced, wrap
from scancc.ir import build


def _kept(x: Tracer, axes: tuple[int, ...]) -> tuple:
    return tuple(1 if i in axes else d for i, d in enumerate(x.node.type.shape))


def _lowest(dtype: np.dtype) -> Any:
    return -np.inf if dtype.kind == "f" else False if dtype.kind == "b" else np.iinfo(dtype).min


def _highest(dtype: np.dtype) -> Any:
    return np.inf if dtype.kind == "f" else True if dtype.kind == "b" else np.iinfo(dtype).max


def _reduction(op: str, accumulate: Callable, combine: np.ufunc, neutral: Callable) -> Callable:
    has_identity = op not in ("reduce_min", "reduce_max")

    def reduce(
        a: Any, axis: Any = None, dtype: Any = None, keepdims: bool = False, initial: Any = None, where: Any = True
    ) -> Tracer:
        x = array(a)
        x = x.astype(dtype or accumulate(x.dtype))
        if where is not True:
            if not has_identity and initial is None:
                raise ScanValueError(f"{op.removeprefix('reduce_')} with where= needs initial=", here(),
                                     fix="pass initial=, the result where nothing is chosen")  # fmt: skip
            x = _chosen(x, where, np.asarray(neutral(x.dtype), x.dtype))
        axes = axes_of(axis, x.ndim)
        if not has_identity and initial is None and any(x.node.type.shape[i] == 0 for i in axes):
            raise ScanValueError("zero-size array to a minimum or maximum, which has no identity", here(),
                                 fix="pass initial=, the result for an empty array")  # fmt: skip
        if not has_identity and initial is not None:
            x = _never_empty(x, axes, initial)
        result = x
        if axes:
            node = emit(op, x.node, axes=axes)
            result = wrap(build.reshape(node, _kept(x, axes), here()) if keepdims else node)
        return result if initial is None else combine(result, _start(initial, x.dtype))

    return reduce


def _chosen(x: Tracer, where: Any, other: Any) -> Tracer:
    """`x` where a mask holds, which may make it larger; NumPy takes no numbers for a mask."""
    mask = array(where)
    if mask.dtype.kind != "b":
        raise ScanTypeError(f"where= is a mask, not an array of {mask.dtype}", here())
    return np.where(mask, x, other)  # type: ignore[return-value]


def _start(initial: Any, dtype: np.dtype) -> Any:
    return array(initial).astype(dtype) if is_traced(initial) else array_of(initial, dtype)


def _never_empty(x: Tracer, axes: tuple[int, ...], initial: Any) -> Tracer:
    """`x` with one more row along each axis that may have none: extremes of nothing are `initial`."""
    for axis in axes:
        length = x.node.type.shape[axis]
        if not isinstance(length, int) or length == 0:
            row = (*x.node.type.shape[:axis], 1, *x.node.type.shape[axis + 1 :])
            more = wrap(build.broadcast_to(array(_start(initial, x.dtype)).node, row, here()))
            x = np.concatenate([x, more], axis=axis)  # type: ignore[assignment, list-item]
    return x


def _summed(d: np.dtype) -> np.dtype:
    return np.sum(np.empty(0, d)).dtype


def _truth(d: np.dtype) -> np.dtype:
    return np.dtype(bool)


total = _reduction("reduce_sum", _summed, np.add, lambda d: 0)
product = _reduction("reduce_prod", _summed, np.multiply, lambda d: 1)
minimum = _reduction("reduce_min", lambda d: d, np.minimum, _highest)
maximum = _reduction("reduce_max", lambda d: d, np.maximum, _lowest)
some = _reduction("reduce_any", _truth, np.logical_or, lambda d: False)
every = _reduction("reduce_all", _truth, np.logical_and, lambda d: True)


def count(x: Tracer, axis: Any, keepdims: bool = False, where: Any = True) -> Tracer:
    """Number of elements along axes, which may be known at run time only, or of those where a mask holds."""
    if where is not True:
        ones = build.broadcast_to(build.integer(1), x.node.type.shape, here())
        return total(wrap(ones), axis, keepdims=keepdims, where=where)
    n = build.integer(1)
    for a in axes_of(axis, x.ndim):
        n = emit("multiply", n, build.dim_of(x.node, a))
    return wrap(n)


def mean(a: Any, axis: Any = None, dtype: Any = None, keepdims: bool = False, where: Any = True) -> Any:
    x = array(a)
    x = x.astype(dtype) if dtype is not None else floating(x)
    return total(x, axis, keepdims=keepdims, where=where) / count(x, axis, keepdims, where).astype(x.dtype)


def variance(
    a: Any, axis: Any = None, dtype: Any = None, ddof: float = 0, keepdims: bool = False, where: Any = True,
    mean: Any = None, correction: Any = None,
) -> Any:  # fmt: skip
    """`mean`, where it is given, is that of the elements, with the axes kept."""
    ddof = ddof if correction is None else correction
    x = array(a)
    x = x.astype(dtype) if dtype is not None else floating(x)
    d = x - (average_of(x, axis, keepdims=True, where=where) if mean is None else mean)
    squares = (d * np.conjugate(d)).real if x.dtype.kind == "c" else d * d
    n = np.maximum(count(x, axis, keepdims, where) - ddof, 0)
    return total(squares, axis, keepdims=keepdims, where=where) / n.astype(squares.dtype)


average_of = mean


def deviation(
    a: Any, axis: Any = None, dtype: Any = None, ddof: float = 0, keepdims: bool = False, where: Any = True,
    mean: Any = None, correction: Any = None,
) -> Any:  # fmt: skip
    return np.sqrt(variance(a, axis, dtype, ddof, keepdims, where, mean, correction))


def _position(op: str) -> Callable:
    def find(a: Any, axis: Any = None, keepdims: bool = False) -> Tracer:
        x = array(a)
        rank = x.ndim
        flat = np.ravel(x) if axis is None else x
        at = 0 if axis is None else axis_of(axis, rank)
        if flat.node.type.shape[at] == 0:
            raise ScanValueError(f"attempt to get {op} of an empty sequence", here())
        node = emit(op, flat.node, axis=at)
        if not keepdims:
            return wrap(node)
        return wrap(build.reshape(node, (1,) * rank if axis is None else _kept(x, (at,)), here()))

    return find


def _running(op: str) -> Callable:
    def accumulate(a: Any, axis: Any = None, dtype: Any = None) -> Tracer:
        x = array(a)
        x = x.astype(dtype or _summed(x.dtype))
        x = np.ravel(x) if axis is None or x.ndim == 0 else x
        return wrap(emit(op, x.node, axis=0 if axis is None else axis_of(axis, x.ndim)))

    return accumulate


argmin, argmax = _position("argmin"), _position("argmax")
cumsum, cumprod = _running("cumsum"), _running("cumprod")


def average(a: Any, axis: Any = None, weights: Any = None, returned: bool = False, keepdims: bool = False) -> Any:
    x = array(a)
    if weights is None:
        found = mean(x, axis, keepdims=keepdims)
        return (found, np.zeros_like(found) + count(x, axis)) if returned else found
    w = array(weights)
    if w.ndim < x.ndim:
        shape = [1] * x.ndim
        for at, length in zip(axes_of(axis, x.ndim), w.node.type.shape, strict=True):
            shape[at] = length  # type: ignore[call-overload]
        w = wrap(build.reshape(w.node, tuple(shape), here()))
    dtype = np.result_type(x.dtype, w.dtype, *["f8"] * (x.dtype.kind in "biu"))
    x, w = x.astype(dtype), w.astype(dtype)
    weight = total(np.broadcast_arrays(x, w)[1], axis, keepdims=keepdims)
    found = total(x * w, axis, keepdims=keepdims) / weight
    return (found, weight) if returned else found


def peak_to_peak(a: Any, axis: Any = None, keepdims: bool = False) -> Any:
    return maximum(a, axis, keepdims=keepdims) - minimum(a, axis, keepdims=keepdims)


def count_nonzero(a: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
    return total(array(a) != 0, axis, keepdims=keepdims)


def diff(a: Any, n: int = 1, axis: int = -1, prepend: Any = None, append: Any = None) -> Any:
    x = array(a)
    if n < 0:
        raise ScanValueError(f"order must be non-negative but got {n}", here())
    at = axis_of(axis, x.ndim)
    row = (*x.node.type.shape[:at], 1, *x.node.type.shape[at + 1 :])
    ends = [None if e is None or n == 0 else array(e) for e in (prepend, append)]
    ends = [e if e is None or e.ndim else wrap(build.broadcast_to(e.node, row, here())) for e in ends]
    if any(e is not None for e in ends):
        x = np.concatenate([p for p in (ends[0], x, ends[1]) if p is not None], axis=at)  # type: ignore[assignment]
    for _ in range(n):
        static_length(x, at, "np.diff")
        before = (slice(None),) * at
        later, earlier = x[(*before, slice(1, None))], x[(*before, slice(None, -1))]
        x = later ^ earlier if x.dtype.kind == "b" else later - earlier
    return x


def trapezoid(y: Any, x: Any = None, dx: Any = 1.0, axis: int = -1) -> Any:
    y = array(y)
    at = axis_of(axis, y.ndim)
    before = (slice(None),) * at
    step = dx if x is None else diff(x, axis=-1 if array(x).ndim == 1 else at)
    if x is not None and array(x).ndim == 1 and y.ndim > 1:
        shape = [1] * y.ndim
        shape[at] = -1
        step = np.reshape(step, tuple(shape))
    return total(step * (y[(*before, slice(1, None))] + y[(*before, slice(None, -1))]) / 2.0, at)


REDUCTIONS: dict[Callable, Callable] = {
    np.sum: total, np.prod: product, np.min: minimum, np.max: maximum, np.any: some, np.all: every, np.mean: mean,
    np.var: variance, np.std: deviation, np.argmin: argmin, np.argmax: argmax, np.cumsum: cumsum,
    np.cumprod: cumprod, np.average: average, np.ptp: peak_to_peak, np.count_nonzero: count_nonzero, np.diff: diff,
    np.trapezoid: trapezoid,
}  # fmt: skip
