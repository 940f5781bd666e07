"""NumPy's functions that sort and search, and what is read off a sorted array: all of them positions and gathers.

Positions have no derivative, so that of a sorted value is that of the element which it is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from scancc.errors import ScanTypeError, ScanValueError, UnsupportedError
from scancc.frontend.axes import array, axes_of, axis_of, static_length
from scancc.frontend.location import here
from scancc.frontend.numpy_shapes import concatenate, expand_dims, moveaxis, ravel, reshape, take_along_axis
from scancc.frontend.tracer import Tracer, emit, is_traced, unwrap, wrap
from scancc.ir import build
from scancc.ir.types import Dim

SEARCHED = 40  # halvings of an array whose length is known at run time only


def _real(x: Tracer, what: str) -> Tracer:
    if x.dtype.kind == "c":
        raise UnsupportedError(f"{what} of complex numbers is not supported in a step", here(),
                               fix="order them by a real number of each")  # fmt: skip
    return x


def argsort(a: Any, axis: Any = -1, kind: Any = None, stable: Any = None) -> Tracer:
    """Every kind is a stable one."""
    _check_kind(kind, stable)
    x = _real(array(a), "sorting")
    if axis is None or x.ndim == 0:
        x, axis = ravel(x), 0 if x.ndim == 0 or axis is None else axis
    return wrap(emit("argsort", x.node, axis=axis_of(axis, x.ndim)))


def _check_kind(kind: Any, stable: Any) -> None:
    if kind is not None and stable is not None:
        raise ScanValueError("`kind` and `stable` parameters can't be provided at the same time", here())
    if kind is not None and str(kind)[:1].lower() not in ("q", "m", "h", "s"):
        raise ScanValueError(f"sort kind must be one of 'quick', 'heap', or 'stable' (got {kind!r})", here())


def sort(a: Any, axis: Any = -1, kind: Any = None, stable: Any = None) -> Tracer:
    x = array(a)
    if x.ndim == 0 and axis is not None:
        axis_of(axis, x.ndim)
    if axis is None:
        x, axis = ravel(x), 0
    at = axis_of(axis, x.ndim)
    return along(x, argsort(x, at, kind, stable), at)


def along(x: Tracer, positions: Tracer, axis: int) -> Tracer:
    """take_along_axis for an axis of which the length may be known at run time only."""
    if x.ndim == 1:
        return x[positions]
    if not x.node.type.is_static:
        x, positions = moveaxis(x, axis, -1), moveaxis(positions, axis, -1)
        rows, n = reshape(x, (-1, x.shape[-1])), x.shape[-1]
        starts = wrap(_iota(rows.node.type.shape[0])) * n
        flat = ravel(x)[ravel(reshape(positions, (-1, positions.shape[-1])) + expand_dims(starts, 1))]
        return moveaxis(reshape(flat, positions.shape), -1, axis)
    return take_along_axis(x, positions, axis)


def _iota(n: int | Dim) -> Any:
    return build.make("iota", type=build.integer(0).type.with_shape((n,)), shape=(n,), loc=here())


def lexsort(keys: Any, axis: Any = -1) -> Tracer:
    rows = [array(k) for k in keys]
    if not rows:
        raise ScanTypeError("need sequence of keys with len > 0 in lexsort", here())
    at = axis_of(axis, rows[0].ndim)
    order = argsort(rows[0], at)
    for row in rows[1:]:
        order = along(order, argsort(along(row, order, at), at), at)
    return order


def _check_place(kth: Any, x: Tracer, at: int) -> None:
    if is_traced(kth):
        return
    n = x.node.type.shape[at]
    for k in np.atleast_1d(kth):
        if isinstance(n, int) and not -n <= k < n:
            raise ScanValueError(f"kth(={k}) out of bounds ({n})", here())


def partition(a: Any, kth: Any, axis: Any = -1) -> Tracer:
    """Sorted as a whole: that is a partition by every place."""
    x = ravel(a) if axis is None else array(a)
    at = 0 if axis is None else axis_of(axis, x.ndim)
    _check_place(kth, x, at)
    return sort(x, at)


def argpartition(a: Any, kth: Any, axis: Any = -1) -> Tracer:
    x = ravel(a) if axis is None else array(a)
    at = 0 if axis is None else axis_of(axis, x.ndim)
    _check_place(kth, x, at)
    return argsort(x, at)


def before(a: Tracer, b: Tracer) -> Any:
    """a < b in the order of sorted arrays, in which NaN comes last."""
    return (a < b) | (~np.isnan(a) & np.isnan(b))


def searchsorted(a: Any, v: Any, side: str = "left", sorter: Any = None) -> Tracer:
    """Bisection, for all values at once."""
    table, values = array(a), array(v)
    if table.ndim != 1:
        raise ScanValueError("object too deep for desired array", here(), "np.searchsorted takes an array of one axis")
    if side not in ("left", "right"):
        raise ScanValueError(f"side must be 'left' or 'right' (got {side!r})", here())
    if sorter is not None:
        table = table[sorter if not isinstance(sorter, (list, tuple)) else np.asarray(sorter)]
    dtype = np.result_type(table.dtype, values.dtype)
    table, values = _real(table, "searching").astype(dtype), _real(values, "searching").astype(dtype)
    n = table.node.type.shape[0]
    length = table.shape[0]
    found = wrap(build.broadcast_to(build.integer(0), values.node.type.shape, here()))  # how many come before
    if n == 0:
        return found
    for step in reversed(range(n.bit_length() if isinstance(n, int) else SEARCHED)):
        further = found + (1 << step)
        element = table[np.minimum(further, length) - 1]
        counts = before(element, values) if side == "left" else ~before(values, element)
        found = np.where((further <= length) & counts, further, found)  # type: ignore[assignment]
    return found


def digitize(x: Any, bins: Any, right: bool = False) -> Tracer:
    if is_traced(bins):
        edges = array(bins)
        if edges.ndim != 1:
            raise ScanValueError("object too deep for desired array", here(), "bins have one axis")
        up = searchsorted(edges, x, "left" if right else "right")
        down = edges.shape[0] - searchsorted(edges[::-1], x, "left" if right else "right")
        return np.where(edges[-1] < edges[0], down, up)  # type: ignore[return-value]
    edges = np.asarray(bins)
    if edges.ndim != 1:
        raise ScanValueError("object too deep for desired array", here(), "bins have one axis")
    steps = np.diff(edges)
    if (steps >= 0).all():
        return searchsorted(edges, x, "left" if right else "right")
    if not (steps <= 0).all():
        raise ScanValueError("bins must be monotonically increasing or decreasing", here())
    return len(edges) - searchsorted(edges[::-1], x, "left" if right else "right")  # type: ignore[return-value]


def interp(x: Any, xp: Any, fp: Any, left: Any = None, right: Any = None, period: Any = None) -> Any:
    """Linear interpolation; its derivatives are those of the pieces, by `x`, `xp` and `fp`."""
    x, xp, fp = array(x), array(xp), array(fp)
    if xp.ndim != 1 or fp.ndim != 1:
        raise ScanValueError("Data points must be 1-D sequences", here())
    n, m = static_length(xp, 0, "np.interp"), static_length(fp, 0, "np.interp")
    if n != m:
        raise ScanValueError("fp and xp are not of the same length.", here())
    if n == 0:
        raise ScanValueError("array of sample points is empty", here())
    x, xp = x.astype(np.float64), xp.astype(np.float64)
    fp = fp.astype(np.complex128 if fp.dtype.kind == "c" else np.float64)
    if period is not None:
        if not is_traced(period) and period == 0:
            raise ScanValueError("period must be a non-zero value", here())
        left = right = None
        period = np.absolute(period)
        x, xp = np.remainder(x, period), np.remainder(xp, period)
        order = argsort(xp)
        xp, fp = xp[order], fp[order]
        xp = concatenate([xp[-1:] - period, xp, xp[:1] + period])
        fp = concatenate([fp[-1:], fp, fp[:1]])
        n += 2
    low = fp[0] if left is None else left
    high = fp[-1] if right is None else right
    if n == 1:
        inside = np.zeros_like(x) + fp[0]
    else:
        k = np.clip(searchsorted(xp, x, "right") - 1, 0, n - 2)
        (x0, x1), (y0, y1) = (xp[k], xp[k + 1]), (fp[k], fp[k + 1])
        slope = (y1 - y0) / (x1 - x0)
        at_end = x == x1  # from there, so that the last point gives itself
        y, distance = np.where(at_end, y1, y0), np.where(at_end, x - x1, x - x0)
        inside = np.where((distance == 0) & ~np.isfinite(slope), y, slope * distance + y)
        inside = np.where(np.isnan(inside), slope * (x - x1) + y1, inside)
        inside = np.where(np.isnan(inside) & (y0 == y1), y0, inside)
    found = np.where(x < xp[0], low, np.where(x > xp[-1], high, inside))
    return np.where(np.isnan(x), x, found)


def bincount(x: Any, weights: Any = None, minlength: Any = 0) -> Tracer:
    """With `minlength`, which is the length of the result: an index beyond it is an IndexError when the kernel runs."""
    i = array(x)
    if i.ndim != 1 or i.dtype.kind not in "biu":
        raise ScanTypeError(f"np.bincount of an array of type {i.node.type}", here(), "it counts integers of one axis")
    length = int(minlength)
    if length <= 0:
        raise UnsupportedError("np.bincount without minlength is not supported in a step: its length would depend on "
                               "values", here(), fix="give minlength, at least the largest value + 1")  # fmt: skip
    # A negative index is none of a bin, though it would be one of an array.
    i = np.where(i.astype(np.int64) < 0, length, i.astype(np.int64))  # type: ignore[assignment]
    ones = wrap(build.broadcast_to(build.integer(1), i.node.type.shape, here()))
    values = ones if weights is None else array(weights).astype(np.float64)
    if values.ndim != 1 or _differ(values.node.type.shape[0], i.node.type.shape[0]):
        raise ScanValueError("The weights and list don't have the same length.", here())
    zeros = wrap(build.broadcast_to(build.const(0, values.dtype), (length,), here()))
    return zeros.at[i].add(values)


def _differ(a: Any, b: Any) -> bool:
    return isinstance(a, int) and isinstance(b, int) and a != b


def isin(element: Any, test_elements: Any, assume_unique: bool = False, invert: bool = False, kind: Any = None) -> Any:
    x, tests = array(element), ravel(test_elements)
    found = np.any(expand_dims(x, -1) == tests, axis=-1)
    return ~found if invert else found


# -- medians and quantiles -----------------------------------------------------------------------------------------


def _flattened(a: Any, axis: Any) -> tuple[Tracer, Any]:
    """The axes that are reduced as one, the last; and the shape of a result that keeps them."""
    x = array(a)
    axes = axes_of(axis, x.ndim)
    kept = tuple(1 if i in axes else d for i, d in enumerate(x.node.type.shape))
    if x.ndim == 0:
        return reshape(x, (1,)), kept
    others = [i for i in range(x.ndim) if i not in axes]
    front = np.transpose(x, (*others, *sorted(axes)))
    shape = tuple(front.shape[: len(others)])
    return reshape(front, (*shape, -1)) if len(axes) != 1 else front, kept


def _kept(x: Any, shape: Any, keepdims: bool) -> Any:
    return wrap(build.reshape(unwrap(x), shape, here())) if keepdims else x


def median(a: Any, axis: Any = None, keepdims: bool = False) -> Any:
    return quantile(a, 0.5, axis, "median", keepdims)


def nanmedian(a: Any, axis: Any = None, keepdims: bool = False) -> Any:
    return nanquantile(a, 0.5, axis, "median", keepdims)


# Hyndman and Fan, Sample quantiles in statistical packages, 1996: alpha and beta of the continuous ones.
CONTINUOUS = {"linear": (1.0, 1.0), "weibull": (0.0, 0.0), "hazen": (0.5, 0.5), "median_unbiased": (1 / 3, 1 / 3),
              "normal_unbiased": (3 / 8, 3 / 8), "interpolated_inverted_cdf": (0.0, 1.0)}  # fmt: skip
DISCRETE = ("lower", "higher", "nearest", "midpoint")


def _places(n: Any, q: Any, method: str) -> tuple[Any, Any, Any]:
    """The two positions between which a quantile lies, and how far it is from the first one."""
    if method in CONTINUOUS:
        alpha, beta = CONTINUOUS[method]
        at = (n - 1) * q if method == "linear" else n * q + (alpha + q * (1 - alpha - beta)) - 1
    else:
        at = (n - 1) * q
    low = np.floor(at)
    part = at - low
    if method == "lower":
        part = part * 0
    elif method == "higher":
        low, part = np.ceil(at), part * 0
    elif method == "nearest":
        low, part = np.rint(at), part * 0
    elif method == "midpoint":
        part = np.where(part == 0, 0.0, 0.5)
    return np.clip(low, 0, n - 1), np.clip(low + 1, 0, n - 1), np.where(at < 0, 0.0, part)


def _lerp(a: Any, b: Any, t: Any) -> Any:
    """As NumPy interpolates: from the nearer end, so that equal ends give themselves."""
    d = b - a
    found = np.where(t >= 0.5, b - d * (1 - t), a + d * t)
    return np.where(t == 0, a, np.where(a == b, a, found))


def _at_quantile(ordered: Any, n: Any, q: Any, method: str) -> Any:
    """Quantiles of rows that are sorted along the last axis, of which the first `n` count."""
    if method == "median":
        half = np.asarray(n // 2) if not is_traced(n) else n // 2
        other = np.maximum(n - 1 - half, 0)
        a, b = (_pick(ordered, np.minimum(half, other)), _pick(ordered, np.maximum(half, other)))
        dtype = np.mean(np.empty(1, ordered.dtype)).dtype
        a, b = a.astype(dtype), b.astype(dtype)
        return np.where(half == other, a, (a + b) / 2)
    low, high, part = _places(n, q, method)
    a, b = _pick(ordered, low), _pick(ordered, high)
    if method in ("lower", "higher", "nearest"):
        return a
    dtype = np.result_type(ordered.dtype, q.dtype)
    part = part.astype(dtype) if is_traced(part) else dtype.type(part)
    return _lerp(a.astype(dtype), b.astype(dtype), part)


def _pick(ordered: Tracer, position: Any) -> Any:
    """The element of each row at one position, or at one of its own."""
    if not is_traced(position):
        return ordered[..., int(position)]
    position = array(position).astype(np.int64)
    if position.ndim == 0:
        return ordered[..., position]
    return along(ordered, expand_dims(position, -1), ordered.ndim - 1)[..., 0]


def quantile(a: Any, q: Any, axis: Any = None, method: str = "linear", keepdims: bool = False) -> Any:
    return _quantiles(a, q, axis, method, keepdims, lambda x: (x, None))


def percentile(a: Any, q: Any, axis: Any = None, method: str = "linear", keepdims: bool = False) -> Any:
    return quantile(a, _parts(q, a), axis, method, keepdims)


def nanquantile(a: Any, q: Any, axis: Any = None, method: str = "linear", keepdims: bool = False) -> Any:
    def known(x: Tracer) -> tuple[Tracer, Any]:
        return x, None if x.dtype.kind != "f" else np.sum(~np.isnan(x), axis=-1)

    return _quantiles(a, q, axis, method, keepdims, known)


def nanpercentile(a: Any, q: Any, axis: Any = None, method: str = "linear", keepdims: bool = False) -> Any:
    return nanquantile(a, _parts(q, a), axis, method, keepdims)


def _parts(q: Any, a: Any) -> Any:
    kind = array(a).dtype
    return np.true_divide(array(q) if is_traced(q) else q, kind.type(100) if kind.kind == "f" else 100)


def _quantiles(a: Any, q: Any, axis: Any, method: str, keepdims: bool, known: Callable) -> Any:
    if method not in (*CONTINUOUS, *DISCRETE, "median"):
        raise UnsupportedError(f"quantiles by method={method!r} are not supported in a step", here(),
                               fix=f"use one of {', '.join((*CONTINUOUS, *DISCRETE))}")  # fmt: skip
    x, kept = _flattened(a, axis)
    if x.dtype.kind == "b" and method not in ("median", *DISCRETE[:3]):
        x = x.astype(np.float64)
    x, counts = known(_real(x, "quantiles"))
    n = counts if counts is not None else static_length(x, x.ndim - 1, "a quantile")
    if counts is None and n == 0:
        raise ScanValueError("a quantile of an empty array", here())
    ordered = sort(x, -1)

    def one(p: Any) -> Any:
        if not is_traced(p) and not 0 <= p <= 1:
            raise ScanValueError("Quantiles must be in the range [0, 1]", here())
        found = _at_quantile(ordered, n, p, method)
        if x.dtype.kind == "f":  # NaN comes last: it is there, or there is nothing else
            nan = np.isnan(ordered[..., -1]) if counts is None else counts == 0
            found = np.where(nan, x.dtype.type(np.nan), found)
        return _kept(found, kept, keepdims)

    if not is_traced(q):  # a number of Python has no dtype of its own
        q = np.asarray(q, dtype=x.dtype if type(q) in (int, float) and x.dtype.kind == "f" else None)
        q = q if q.dtype.kind == "f" else q.astype(np.float64)
    if np.ndim(q) == 0:
        return one(q if is_traced(q) else q[()])
    flat = [one(p) for p in (ravel(q) if is_traced(q) else np.ravel(q))]
    return reshape(np.stack(flat), (*np.shape(q), *flat[0].shape))


SORTING: dict[Callable, Callable] = {
    np.sort: sort, np.argsort: argsort, np.lexsort: lexsort, np.partition: partition, np.argpartition: argpartition,
    np.searchsorted: searchsorted, np.digitize: digitize, np.interp: interp, np.bincount: bincount, np.isin: isin,
    np.median: median, np.nanmedian: nanmedian, np.quantile: quantile, np.percentile: percentile,
    np.nanquantile: nanquantile, np.nanpercentile: nanpercentile,
}  # fmt: skip
