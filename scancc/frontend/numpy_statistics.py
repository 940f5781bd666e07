"""NumPy's reductions that leave out NaN, and statistics of several variables."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from scancc.errors import ScanValueError
from scancc.frontend.axes import array, axis_of
from scancc.frontend.contractions import matmul
from scancc.frontend.location import here
from scancc.frontend.numpy_reductions import argmax as position_of_maximum
from scancc.frontend.numpy_reductions import argmin as position_of_minimum
from scancc.frontend.numpy_reductions import (
    average,
    count,
    cumprod,
    cumsum,
    every,
    maximum,
    mean,
    minimum,
    product,
    total,
    variance,
)
from scancc.frontend.numpy_shapes import concatenate, transpose
from scancc.frontend.numpy_sorting import along
from scancc.frontend.tracer import Tracer, array_of, emit, wrap
from scancc.ir import build


def _filled(x: Tracer, neutral: Any) -> Tracer:
    if x.dtype.kind not in "fc":
        return x
    return np.where(np.isnan(x), np.asarray(neutral, x.dtype), x)  # type: ignore[return-value]


def _without_nans(function: Callable, neutral: Any) -> Callable:
    def reduce(
        a: Any, axis: Any = None, dtype: Any = None, keepdims: bool = False, initial: Any = None, where: Any = True
    ) -> Any:
        return function(_filled(array(a), neutral), axis, dtype, keepdims, initial, where)

    return reduce


nansum, nanprod = _without_nans(total, 0), _without_nans(product, 1)


def _running(function: Callable, neutral: Any) -> Callable:
    def accumulate(a: Any, axis: Any = None, dtype: Any = None) -> Any:
        return function(_filled(array(a), neutral), axis, dtype)

    return accumulate


nancumsum, nancumprod = _running(cumsum, 0), _running(cumprod, 1)


def _known(x: Tracer, where: Any) -> Any:
    return ~np.isnan(x) if where is True else ~np.isnan(x) & array(where)


def nanmean(a: Any, axis: Any = None, dtype: Any = None, keepdims: bool = False, where: Any = True) -> Any:
    x = array(a)
    return mean(x, axis, dtype, keepdims, _known(x, where)) if x.dtype.kind in "fc" else (
        mean(x, axis, dtype, keepdims, where))  # fmt: skip


def nanvar(
    a: Any, axis: Any = None, dtype: Any = None, ddof: float = 0, keepdims: bool = False, where: Any = True,
    mean: Any = None, correction: Any = None,
) -> Any:  # fmt: skip
    """NaN where there are no more elements than `ddof` takes off."""
    ddof = ddof if correction is None else correction
    x = array(a)
    if x.dtype.kind not in "fc":
        return variance(x, axis, dtype, ddof, keepdims, where, mean)
    known = _known(x, where)
    n = count(x, axis, keepdims, known)
    found = variance(_filled(x, 0), axis, dtype, ddof, keepdims, known, mean)
    return np.where(n <= ddof, found.dtype.type(np.nan), found)


def nanstd(
    a: Any, axis: Any = None, dtype: Any = None, ddof: float = 0, keepdims: bool = False, where: Any = True,
    mean: Any = None, correction: Any = None,
) -> Any:  # fmt: skip
    return np.sqrt(nanvar(a, axis, dtype, ddof, keepdims, where, mean, correction))


def _nan_extreme(function: Callable, neutral: float, combine: np.ufunc) -> Callable:
    def reduce(a: Any, axis: Any = None, keepdims: bool = False, initial: Any = None, where: Any = True) -> Any:
        x = array(a)
        if x.dtype.kind != "f":
            return function(x, axis, None, keepdims, initial, where)
        if initial is None and where is not True:
            return function(x, axis, None, keepdims, initial, where)  # which says that it needs `initial`
        known = _known(x, where)
        found = function(np.where(known, x, x.dtype.type(neutral)), axis, keepdims=keepdims, initial=initial)
        if initial is not None:
            return combine(found, array_of(initial, x.dtype))
        return np.where(every(~known, axis, keepdims=keepdims), x.dtype.type(np.nan), found)

    return reduce


nanmin, nanmax = _nan_extreme(minimum, np.inf, np.fmin), _nan_extreme(maximum, -np.inf, np.fmax)


def _nan_position(function: Callable, neutral: float) -> Callable:
    def find(a: Any, axis: Any = None, keepdims: bool = False) -> Any:
        """Of rows of which no element is known it is 0, where NumPy raises an error."""
        x = array(a)
        return function(_filled(x, neutral) if x.dtype.kind == "f" else x, axis, keepdims)

    return find


def cov(
    m: Any, y: Any = None, rowvar: bool = True, bias: bool = False, ddof: Any = None, aweights: Any = None,
    dtype: Any = None,
) -> Any:  # fmt: skip
    if ddof is not None and ddof != int(ddof):
        raise ScanValueError("ddof must be integer", here())
    x = _variables(m, rowvar, dtype)
    if y is not None:
        x = concatenate([x, _variables(y, rowvar, dtype)], 0)
    ddof = (0 if bias else 1) if ddof is None else ddof
    weights = None if aweights is None else array(aweights)
    centre, whole = average(x, axis=1, weights=weights, returned=True)
    whole = whole[0]
    if weights is None:
        fact: Any = x.shape[1] - ddof
    else:
        fact = whole if ddof == 0 else whole - ddof * total(weights * weights) / whole
    x = x - centre[:, None]
    right = x if weights is None else x * weights
    fact = np.maximum(fact, 0) if isinstance(fact, Tracer) else max(fact, 0)
    found = matmul(x, np.conjugate(transpose(right))) / fact
    return np.squeeze(found)


def _variables(m: Any, rowvar: bool, dtype: Any) -> Tracer:
    x = array(m)
    if x.ndim > 2:
        raise ScanValueError("m has more than 2 dimensions", here())
    x = x.astype(dtype) if dtype is not None else x.astype(np.result_type(x.dtype, np.float64))
    x = np.atleast_2d(x)  # type: ignore[assignment]
    return transpose(x) if not rowvar and array(m).ndim != 1 else x


def corrcoef(x: Any, y: Any = None, rowvar: bool = True, dtype: Any = None) -> Any:
    c = cov(x, y, rowvar, dtype=dtype)
    if c.ndim == 0:
        return c / c
    size = np.sqrt(np.real(np.diagonal(c)))
    found = c / size[:, None] / size[None, :]
    if found.dtype.kind == "c":
        return np.clip(found.real, -1, 1) + 1j * np.clip(found.imag, -1, 1)
    return np.clip(found, -1, 1)


def running_extreme(ufunc: np.ufunc) -> Callable:
    """np.maximum.accumulate or its like. The derivative is that of the element which each extreme is."""
    op, beats = ("cummax", np.greater) if ufunc in (np.maximum, np.fmax) else ("cummin", np.less)

    def accumulate(array_: Any, axis: Any = 0, dtype: Any = None) -> Any:
        x = array(array_) if dtype is None else array(array_).astype(dtype)
        at = axis_of(axis, x.ndim)
        keys = wrap(build.make("stop_gradient", x.node, loc=here()))
        highest = wrap(emit(op, keys.node, axis=at))
        if x.dtype.kind != "f":
            return highest
        # The place of each extreme: the last one before it where a new one was found.
        n = x.node.type.shape[at]
        iota = build.make("iota", type=build.integer(0).type.with_shape((n,)), shape=(n,), loc=here())
        places = wrap(build.reshape(iota, tuple(n if a == at else 1 for a in range(x.ndim)), here()))
        before = (slice(None),) * at
        older, newer = highest[(*before, slice(None, -1))], keys[(*before, slice(1, None))]
        new = beats(newer, older) | np.isnan(newer) & ~np.isnan(older)
        first = wrap(build.broadcast_to(build.const(True), keys[(*before, slice(0, 1))].node.type.shape, here()))
        found = np.where(concatenate([first, new], at), places, 0)
        return along(x, wrap(emit("cummax", found.node, axis=at)), at)

    return accumulate


def cumulative(function: Callable, neutral: int) -> Callable:
    def accumulate(x: Any, axis: Any = None, dtype: Any = None, include_initial: bool = False) -> Any:
        a = array(x)
        if a.ndim == 0:
            raise ScanValueError("the input of a running sum or product has an axis", here())
        if axis is None and a.ndim != 1:
            raise ScanValueError("axis= is needed for an array of more than one axis", here())
        at = axis_of(0 if axis is None else axis, a.ndim)
        found = function(a, at, dtype)
        if not include_initial:
            return found
        row = found[(*(slice(None),) * at, slice(0, 1))]
        return concatenate([np.zeros_like(row) + found.dtype.type(neutral), found], at)

    return accumulate


STATISTICS: dict[Callable, Callable] = {
    np.nansum: nansum, np.nanprod: nanprod, np.nancumsum: nancumsum, np.nancumprod: nancumprod, np.nanmean: nanmean,
    np.nanvar: nanvar, np.nanstd: nanstd, np.nanmin: nanmin, np.nanmax: nanmax,
    np.nanargmin: _nan_position(position_of_minimum, np.inf),
    np.nanargmax: _nan_position(position_of_maximum, -np.inf), np.cov: cov, np.corrcoef: corrcoef,
}  # fmt: skip
if hasattr(np, "cumulative_sum"):  # since NumPy 2.1
    STATISTICS |= {np.cumulative_sum: cumulative(cumsum, 0), np.cumulative_prod: cumulative(cumprod, 1)}
