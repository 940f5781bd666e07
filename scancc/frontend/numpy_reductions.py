"""NumPy's reductions of traced values: results have NumPy's dtypes, accumulators too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from scancc.errors import ScanValueError
from scancc.frontend.axes import array, axes_of, axis_of, floating, static_length
from scancc.frontend.location import here
from scancc.frontend.tracer import Tracer, array_of, emit, wrap
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
            x = np.where(where, x, np.asarray(neutral(x.dtype), x.dtype))  # type: ignore[assignment]
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
        return result if initial is None else combine(result, array_of(initial, x.dtype))

    return reduce


def _never_empty(x: Tracer, axes: tuple[int, ...], initial: Any) -> Tracer:
    """`x` with one more row along each axis that may have none: extremes of nothing are `initial`."""
    for axis in axes:
        length = x.node.type.shape[axis]
        if not isinstance(length, int) or length == 0:
            row = (*x.node.type.shape[:axis], 1, *x.node.type.shape[axis + 1 :])
            more = wrap(build.broadcast_to(build.const(array_of(initial, x.dtype)[()], x.dtype, here()), row, here()))
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


def count(x: Tracer, axis: Any) -> Tracer:
    """Number of elements along axes, which may be known at run time only."""
    n = build.integer(1)
    for a in axes_of(axis, x.ndim):
        n = emit("multiply", n, build.dim_of(x.node, a))
    return wrap(n)


def mean(a: Any, axis: Any = None, dtype: Any = None, keepdims: bool = False, where: Any = True) -> Any:
    x = array(a)
    x = x.astype(dtype) if dtype is not None else floating(x)
    if where is not True:
        mask = np.broadcast_to(where, x.node.type.shape) if x.node.type.is_static else array(where) | (x != x) & False
        n = total(mask, axis, keepdims=keepdims)
        return total(x, axis, keepdims=keepdims, where=where) / n.astype(x.dtype)
    return total(x, axis, keepdims=keepdims) / count(x, axis).astype(x.dtype)


def variance(
    a: Any, axis: Any = None, dtype: Any = None, ddof: float = 0, keepdims: bool = False, correction: Any = None
) -> Any:
    ddof = ddof if correction is None else correction
    x = array(a)
    x = x.astype(dtype) if dtype is not None else floating(x)
    d = x - mean(x, axis, keepdims=True)
    squares = (d * np.conjugate(d)).real if x.dtype.kind == "c" else d * d
    return total(squares, axis, keepdims=keepdims) / (count(x, axis) - ddof).astype(squares.dtype)


def deviation(*args: Any, **kwargs: Any) -> Any:
    return np.sqrt(variance(*args, **kwargs))


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


def average(a: Any, axis: Any = None, weights: Any = None) -> Any:
    if weights is None:
        return mean(a, axis)
    x, w = array(a), array(weights)
    if w.ndim == 1 and x.ndim > 1:
        shape = [1] * x.ndim
        shape[axis_of(axis, x.ndim)] = w.node.type.shape[0]
        w = wrap(build.reshape(w.node, tuple(shape), here()))
    whole = np.broadcast_arrays(x, w)[1]
    return total(x * w, axis) / total(whole, axis)


def _without_nans(function: Callable, neutral: Any) -> Callable:
    def reduce(a: Any, axis: Any = None, keepdims: bool = False) -> Any:
        x = array(a)
        if x.dtype.kind not in "fc":
            return function(x, axis, keepdims=keepdims)
        filled = np.where(np.isnan(x), np.asarray(neutral, x.dtype), x)
        return function(filled, axis, keepdims=keepdims)

    return reduce


nansum, nanprod = _without_nans(total, 0), _without_nans(product, 1)


def nanmean(a: Any, axis: Any = None, keepdims: bool = False) -> Any:
    x = floating(array(a))
    n = total(~np.isnan(x), axis, keepdims=keepdims)
    return nansum(x, axis, keepdims=keepdims) / n.astype(x.dtype)


def _nan_extreme(function: Callable, neutral: float) -> Callable:
    def reduce(a: Any, axis: Any = None, keepdims: bool = False) -> Any:
        x = array(a)
        if x.dtype.kind != "f":
            return function(x, axis, keepdims=keepdims)
        found = _without_nans(function, neutral)(x, axis, keepdims)
        return np.where(every(np.isnan(x), axis, keepdims=keepdims), np.asarray(np.nan, x.dtype), found)

    return reduce


nanmin, nanmax = _nan_extreme(minimum, np.inf), _nan_extreme(maximum, -np.inf)


def peak_to_peak(a: Any, axis: Any = None, keepdims: bool = False) -> Any:
    return maximum(a, axis, keepdims=keepdims) - minimum(a, axis, keepdims=keepdims)


def count_nonzero(a: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
    return total(array(a) != 0, axis, keepdims=keepdims)


def diff(a: Any, n: int = 1, axis: int = -1) -> Any:
    x = array(a)
    at = axis_of(axis, x.ndim)
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


def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    """np.linalg.norm for vectors (any order) and matrices (Frobenius, 1, inf, -1, -inf)."""
    a = floating(array(x))
    size = np.absolute(a)
    if ord is None or (ord == 2 and (a.ndim == 1 or isinstance(axis, int))) or ord == "fro":
        return np.sqrt(total(size * size, axis, keepdims=keepdims))
    if a.ndim == 1 or isinstance(axis, int):
        if ord in (np.inf, -np.inf):
            return (maximum if ord > 0 else minimum)(size, axis, keepdims=keepdims)
        if ord == 0:
            return total(size != 0, axis, keepdims=keepdims).astype(size.dtype)
        if ord == 1:
            return total(size, axis, keepdims=keepdims)
        return total(size**ord, axis, keepdims=keepdims) ** (1.0 / ord)
    if a.ndim == 2 and axis is None and ord in (1, -1, np.inf, -np.inf):
        sums = total(size, 0 if abs(ord) == 1 else 1)
        found = (maximum if ord > 0 else minimum)(sums)
        return found.reshape(1, 1) if keepdims else found
    raise ScanValueError(f"np.linalg.norm with ord={ord!r} is not supported in a step", here(),
                         fix="use the Frobenius norm, 1 or inf for matrices")


REDUCTIONS: dict[Callable, Callable] = {
    np.sum: total, np.prod: product, np.min: minimum, np.max: maximum, np.any: some, np.all: every, np.mean: mean,
    np.var: variance, np.std: deviation, np.argmin: argmin, np.argmax: argmax, np.cumsum: cumsum,
    np.cumprod: cumprod, np.average: average, np.nansum: nansum, np.nanprod: nanprod, np.nanmean: nanmean,
    np.nanmin: nanmin, np.nanmax: nanmax, np.ptp: peak_to_peak, np.count_nonzero: count_nonzero, np.diff: diff,
    np.trapezoid: trapezoid, np.linalg.norm: norm,
}  # fmt: skip
