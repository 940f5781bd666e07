"""NumPy's functions of samples along an axis: ranges, convolutions, differences, and what is put around arrays."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from scancc.errors import ScanTypeError, ScanValueError, UnsupportedError
from scancc.frontend.axes import array, axes_of, axis_of, floating, static_length
from scancc.frontend.contractions import matmul
from scancc.frontend.location import here
from scancc.frontend.numpy_reductions import diff, maximum, mean, minimum
from scancc.frontend.numpy_shapes import concatenate, flip, moveaxis, ravel
from scancc.frontend.numpy_sorting import median
from scancc.frontend.tracer import Tracer, is_traced, wrap
from scancc.ir import build


def linspace(
    start: Any, stop: Any, num: int = 50, endpoint: bool = True, retstep: bool = False, dtype: Any = None, axis: int = 0
) -> Any:
    count = operator.index(num)
    if count < 0:
        raise ScanValueError(f"Number of samples, {count}, must be non-negative.", here())
    low, high = np.broadcast_arrays(array(start), array(stop))
    exact = np.result_type(low.dtype, high.dtype, float(count))
    wanted = exact if dtype is None else np.dtype(dtype)
    low, high = low.astype(exact), high.astype(exact)
    parts = count - 1 if endpoint else count
    places = np.arange(count, dtype=exact).reshape(-1, *[1] * low.ndim)
    step = (high - low) / parts if parts > 0 else low * np.nan
    found = places * step + low if parts > 0 else places * (high - low) + low
    if endpoint and count > 1:  # the last one is what was asked for
        found = concatenate([found[:-1], high[None]], 0)
    found = moveaxis(found, 0, axis) if axis else found
    if wanted.kind in "iu":
        found = np.floor(found)
    found = found.astype(wanted)
    return (found, step) if retstep else found


def logspace(
    start: Any, stop: Any, num: int = 50, endpoint: bool = True, base: Any = 10.0, dtype: Any = None, axis: int = 0
) -> Any:
    if np.ndim(base):
        raise UnsupportedError("np.logspace with an array as base is not supported in a step", here(),
                               fix="use np.linspace and np.power")  # fmt: skip
    found = np.power(base, linspace(start, stop, num, endpoint, False, None, axis))
    return found if dtype is None else found.astype(dtype)


def _long_and_short(a: Any, v: Any, what: str) -> tuple[Tracer, Tracer, bool]:
    x, y = array(a), array(v)
    x, y = (np.atleast_1d(x), np.atleast_1d(y)) if what == "convolve" else (x, y)
    if x.ndim != 1 or y.ndim != 1:
        raise ScanValueError("object too deep for desired array", here(), f"np.{what} takes arrays of one axis")
    n, m = static_length(x, 0, f"np.{what}"), static_length(y, 0, f"np.{what}")
    if not n or not m:
        raise ScanValueError(f"{'a' if not n else 'v'} cannot be empty", here())
    dtype = np.result_type(x.dtype, y.dtype)
    x, y = x.astype(dtype), y.astype(dtype)
    return (y, x, True) if m > n else (x, y, False)


def _sliding(x: Tracer, y: Tracer, mode: str) -> Tracer:
    """Sums of products of the shorter one, `y`, with the rows of `x` under it: one matrix product."""
    n, m = len(x), len(y)
    if mode not in ("full", "same", "valid"):
        raise ScanValueError(f"mode must be one of 'valid', 'same', or 'full' (got {mode!r})", here())
    left = {"full": m - 1, "same": m // 2, "valid": 0}[mode]
    length = {"full": n + m - 1, "same": n, "valid": n - m + 1}[mode]
    right = length + m - 1 - n - left
    ends = [np.zeros(left, x.dtype), x, np.zeros(right, x.dtype)]
    padded = concatenate(ends, 0)
    if x.dtype.kind == "b":
        windows = padded[np.arange(length)[:, None] + np.arange(m)]
        return np.any(windows & y, axis=1)
    return matmul(padded[np.arange(length)[:, None] + np.arange(m)], y)


def convolve(a: Any, v: Any, mode: str = "full") -> Tracer:
    x, y, _ = _long_and_short(a, v, "convolve")
    if mode == "same" and not len(y) % 2:  # the rows before the middle are one fewer
        return _sliding(x, flip(y), "full")[len(y) // 2 - 1 :][: len(x)]
    return _sliding(x, flip(y), mode)


def correlate(a: Any, v: Any, mode: str = "valid") -> Tracer:
    x, y, swapped = _long_and_short(a, np.conjugate(array(v)), "correlate")
    if not swapped:
        return _sliding(x, y, mode)
    return flip(_sliding(x, y, mode))  # the shorter one slides over the longer one, the other way round


def unwrap(p: Any, discont: Any = None, axis: int = -1, period: Any = 2 * np.pi) -> Any:
    x = array(p)
    at = axis_of(axis, x.ndim)
    d = diff(x, axis=at)
    limit = period / 2 if discont is None else discont
    dtype = np.result_type(d.dtype, np.asarray(period).dtype if not isinstance(period, (int, float)) else d.dtype)
    whole = dtype.kind in "iu" and isinstance(period, (int, np.integer))
    if whole:
        high, rest = divmod(period, 2)
        low, ambiguous = -high, rest == 0
    else:
        d = floating(d)
        high, ambiguous = period / 2, True
        low = -high
    wrapped = np.remainder(d - low, period) + low
    if ambiguous:
        wrapped = np.where((wrapped == low) & (d > 0), high, wrapped)
    change = np.where(np.absolute(d) < limit, 0, wrapped - d)
    before = (slice(None),) * at
    first = x[(*before, slice(0, 1))]
    rest_of = x[(*before, slice(1, None))] + np.cumsum(change, axis=at)
    return concatenate([first, rest_of], at)


def ediff1d(ary: Any, to_end: Any = None, to_begin: Any = None) -> Any:
    x = ravel(ary)
    d = x[1:] - x[:-1]
    ends = [None if e is None else ravel(e).astype(x.dtype) for e in (to_begin, to_end)]
    parts = [p for p in (ends[0], d, ends[1]) if p is not None]
    return concatenate(parts, 0) if len(parts) > 1 else d


def gradient(f: Any, *varargs: Any, axis: Any = None, edge_order: int = 1) -> Any:
    x = floating(array(f))
    axes = axes_of(axis, x.ndim)
    spacing = list(varargs) or [1.0]
    spacing = spacing * len(axes) if len(spacing) == 1 else spacing
    if len(spacing) != len(axes):
        raise ScanTypeError("invalid number of arguments", here(), "there is one spacing, or one for each axis")
    if edge_order not in (1, 2):
        raise ScanValueError("'edge_order' greater than 2 not supported", here())
    found = [_slope(x, a, h, edge_order) for a, h in zip(axes, spacing, strict=True)]
    return found[0] if len(found) == 1 else tuple(found)


def _slope(x: Tracer, axis: int, spacing: Any, edge_order: int) -> Tracer:
    y = moveaxis(x, axis, 0)
    n = static_length(y, 0, "np.gradient")
    if n < edge_order + 1:
        raise ScanValueError("Shape of array too small to calculate a numerical gradient, at least (edge_order + 1) "
                             "elements are required.", here())  # fmt: skip
    if np.ndim(spacing):
        places = array(spacing)
        if places.ndim != 1 or static_length(places, 0, "np.gradient") != n:
            raise ScanValueError("when 1d, distances must match the length of the corresponding dimension", here())
        steps = diff(floating(places)).reshape(-1, *[1] * (y.ndim - 1))
    else:
        steps = wrap(build.broadcast_to(array(spacing).node, (n - 1, *[1] * (y.ndim - 1)), here()))
        steps = steps.astype(y.dtype) if not is_traced(spacing) else floating(steps)
    d = (y[1:] - y[:-1]) / steps
    h, k = steps[:-1], steps[1:]
    inner = (d[:-1] * k + d[1:] * h) / (h + k)
    if edge_order == 1:
        return moveaxis(concatenate([d[:1], inner, d[-1:]], 0), 0, axis)
    start = d[:1] - (d[1:2] - d[:1]) * steps[:1] / (steps[:1] + steps[1:2])
    end = d[-1:] + (d[-1:] - d[-2:-1]) * steps[-1:] / (steps[-1:] + steps[-2:-1])
    return moveaxis(concatenate([start, inner, end], 0), 0, axis)


# -- what is put around an array -----------------------------------------------------------------------------------

STATISTICS: dict[str, Callable] = {"maximum": maximum, "minimum": minimum, "mean": mean, "median": median}
TAKES = {"constant": {"constant_values"}, "linear_ramp": {"end_values"}, "reflect": {"reflect_type"},
         "symmetric": {"reflect_type"}, "edge": set(), "wrap": set(), "empty": set(),
         **dict.fromkeys(STATISTICS, {"stat_length"})}  # fmt: skip


def pad(
    array: Any, pad_width: Any, mode: Any = "constant", constant_values: Any = 0, end_values: Any = 0,
    stat_length: Any = None, reflect_type: str = "even",
) -> Tracer:  # fmt: skip
    """With `mode="empty"` the new elements are zeros."""
    x = _array(array)
    if mode not in TAKES:
        raise UnsupportedError(f"np.pad with mode={mode!r} is not supported in a step", here(),
                               fix=f"use one of {', '.join(TAKES)}")  # fmt: skip
    defaults = {"constant_values": 0, "end_values": 0, "stat_length": None, "reflect_type": "even"}
    given = dict(zip(defaults, (constant_values, end_values, stat_length, reflect_type), strict=True))
    for name, value in given.items():
        if name not in TAKES[mode] and value is not defaults[name] and value != defaults[name]:
            raise ScanValueError(f"unsupported keyword arguments for mode '{mode}': {name}", here())
    if isinstance(pad_width, dict):
        pad_width = [pad_width.get(a, pad_width.get(a - x.ndim, (0, 0))) for a in range(x.ndim)]
        pad_width = [w if isinstance(w, (tuple, list)) else (w, w) for w in pad_width]
    widths = _pairs(pad_width, x.ndim)
    if any(not isinstance(w, (int, np.integer)) for pair in widths for w in pair):
        raise ScanTypeError("`pad_width` must be of integral type.", here())
    if any(w < 0 for pair in widths for w in pair):
        raise ScanValueError("index can't contain negative values", here())
    values = _pairs(constant_values if mode == "constant" else end_values, x.ndim)
    lengths = _pairs(stat_length, x.ndim)
    for axis, (low, high) in enumerate(widths):
        if low or high:
            x = _padded(x, axis, (int(low), int(high)), mode, values[axis], lengths[axis], reflect_type)
    return x


_array = array


def _pairs(value: Any, rank: int) -> list[Any]:
    """What is given for both ends of each axis, as NumPy broadcasts it."""
    if value is None:
        return [(None, None)] * rank
    if is_traced(value):
        if isinstance(value, (tuple, list)):
            rows = [tuple(v) if isinstance(v, (tuple, list)) else v for v in value]
            if all(isinstance(v, tuple) for v in rows):
                return rows * rank if len(rows) == 1 else rows
            return [tuple(rows) if len(rows) == 2 else (rows[0], rows[0])] * rank
        return [(value, value)] * rank
    return [tuple(row) for row in np.broadcast_to(np.asarray(value), (rank, 2)).tolist()]


def _padded(
    x: Tracer, axis: int, widths: tuple[int, int], mode: str, values: Any, lengths: Any, reflect_type: str
) -> Tracer:
    y = moveaxis(x, axis, 0)
    if mode in ("constant", "empty", "linear_ramp", *STATISTICS):
        ends = [_end(y, w, side, mode, values[side], lengths[side]) for side, w in enumerate(widths)]
        return moveaxis(concatenate([ends[0], y, ends[1]], 0), 0, axis)
    n = static_length(y, 0, f"np.pad with mode={mode!r}")
    if n == 0:
        raise ScanValueError(f"can't extend empty axis {axis} using modes other than 'constant' or 'empty'", here())
    if reflect_type == "odd" and mode in ("reflect", "symmetric"):
        # New elements are sums of old ones: with which factors is what becomes of the identity.
        factors = np.pad(np.eye(n), (widths, (0, 0)), mode=mode, reflect_type="odd").astype(y.dtype)  # type: ignore[call-overload]
        found = matmul(factors, y.reshape(n, -1)).reshape((len(factors), *y.shape[1:]))
    elif reflect_type not in ("even", "odd"):
        raise ScanValueError(f"reflect_type must be 'even' or 'odd' (got {reflect_type!r})", here())
    else:
        found = y[np.pad(np.arange(n), widths, mode=mode)]  # type: ignore[call-overload]
    return moveaxis(found, 0, axis)


def _end(y: Tracer, width: int, side: int, mode: str, value: Any, length: Any) -> Tracer:
    rows = (width, *y.node.type.shape[1:])
    if mode in ("constant", "empty"):
        fill = _array(value if mode == "constant" else 0).astype(y.dtype)
        return wrap(build.broadcast_to(fill.node, rows, here()))
    if mode == "linear_ramp":
        edge = y[:1] if side == 0 else y[-1:]
        final = _array(value).astype(y.dtype)
        ramp = linspace(wrap(build.broadcast_to(final.node, edge[0].node.type.shape, here())), edge[0], width, False,
                        dtype=y.dtype)  # fmt: skip
        return ramp if side == 0 else flip(ramp, 0)
    part = y if length is None else y[:length] if side == 0 else y[-length:] if length else y[:0]
    found = STATISTICS[mode](part, 0)
    if y.dtype.kind in "iu":
        found = np.rint(found)
    return wrap(build.broadcast_to(found.astype(y.dtype).node, rows, here()))


SEQUENCES: dict[Callable, Callable] = {
    np.linspace: linspace, np.logspace: logspace, np.convolve: convolve, np.correlate: correlate, np.unwrap: unwrap,
    np.ediff1d: ediff1d, np.gradient: gradient, np.pad: pad,
}  # fmt: skip
