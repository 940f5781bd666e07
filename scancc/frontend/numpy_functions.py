"""NumPy functions on traced values. What is not in FUNCTIONS is an error that names the nearest spelling."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from scancc.frontend.contractions import matmul
from scancc.frontend.location import here
from scancc.frontend.tracer import Tracer, emit, guard_broadcast, unwrap, wrap
from scancc.ir import build


def call_function(func: Callable, args: tuple, kwargs: dict[str, Any]) -> Any:
    from scancc.frontend.ufuncs import unsupported

    if func not in FUNCTIONS:
        raise unsupported(f"np.{func.__name__}", func.__name__)
    try:
        return FUNCTIONS[func](*args, **kwargs)
    except TypeError as e:
        if "unexpected keyword" in str(e):
            raise unsupported(f"np.{func.__name__} with {str(e).split('argument ')[-1]}", func.__name__) from None
        raise


def _axes(axis: Any, ndim: int) -> tuple[int, ...]:
    if axis is None:
        return tuple(range(ndim))
    from numpy.lib.array_utils import normalize_axis_tuple

    return normalize_axis_tuple(axis, ndim)


def _keep(x: Tracer, axes: tuple[int, ...]) -> tuple:
    return tuple(1 if i in axes else d for i, d in enumerate(x.node.type.shape))


def _reduction(op: str, accumulate: Callable[[np.dtype], np.dtype]) -> Callable:
    def reduce(a: Any, axis: Any = None, dtype: Any = None, keepdims: bool = False) -> Tracer:
        x = wrap(unwrap(a))
        x = x.astype(dtype or accumulate(x.dtype))
        axes = _axes(axis, x.ndim)
        if not axes:
            return x
        result = emit(op, x.node, axes=axes)
        return wrap(build.reshape(result, _keep(x, axes), here()) if keepdims else result)

    return reduce


def _summed(d: np.dtype) -> np.dtype:
    return np.sum(np.empty(0, d)).dtype


_sum = _reduction("reduce_sum", _summed)


def _count(x: Tracer, axis: Any) -> Tracer:
    """Number of elements along axes, which may be known at run time only."""
    total = build.integer(1)
    for a in _axes(axis, x.ndim):
        total = emit("multiply", total, build.dim_of(x.node, a))
    return wrap(total)


def _mean(a: Any, axis: Any = None, dtype: Any = None, keepdims: bool = False) -> Any:
    x = wrap(unwrap(a))
    x = x.astype(dtype or (x.dtype if x.dtype.kind in "fc" else np.float64))
    return _sum(x, axis, keepdims=keepdims) / _count(x, axis).astype(x.dtype)


def _var(a: Any, axis: Any = None, ddof: int = 0, keepdims: bool = False) -> Any:
    x = wrap(unwrap(a))
    x = x.astype(x.dtype if x.dtype.kind in "fc" else np.float64)
    d = x - _mean(x, axis, keepdims=True)
    return _sum(d * d, axis, keepdims=keepdims) / (_count(x, axis) - ddof).astype(x.dtype)


def _where(condition: Any, a: Any, b: Any) -> Tracer:
    from scancc.frontend.ufuncs import loop_dtypes, operand

    c = unwrap(condition)
    if c.type.dtype.kind != "b":
        c = emit("not_equal", c, build.const(0, c.type.dtype))
    dtype = loop_dtypes(np.maximum, (a, b))[0]
    return wrap(emit("where", *guard_broadcast([c, operand(a, dtype), operand(b, dtype)])))


def _clip(a: Any, a_min: Any = None, a_max: Any = None) -> Any:
    if a_min is not None:
        a = np.maximum(a, a_min)
    return a if a_max is None else np.minimum(a, a_max)


def _reshape(a: Any, shape: Any) -> Tracer:
    x = unwrap(a)
    shape = (shape,) if isinstance(shape, (int, np.integer)) else tuple(shape)
    if -1 in shape:
        known = int(np.prod([d for d in shape if d != -1]))
        shape = tuple((x.type.size or 0) // max(1, known) if d == -1 else d for d in shape)
    if int(np.prod(shape)) != x.type.size:
        raise ValueError(f"cannot reshape {x.type} into shape {shape}")
    return wrap(build.reshape(x, shape, here()))


def _concatenate(arrays: Any, axis: int = 0) -> Tracer:
    dtype = np.result_type(*(unwrap(a).type.dtype for a in arrays))
    nodes = [build.cast(unwrap(a), dtype, here()) for a in arrays]
    return wrap(emit("concatenate", *nodes, axis=_axes(axis, nodes[0].type.ndim)[0]))


def _stack(arrays: Any, axis: int = 0) -> Tracer:
    parts = [wrap(unwrap(a)) for a in arrays]
    return _concatenate([_expand_dims(p, axis) for p in parts], axis)


def _expand_dims(a: Any, axis: int) -> Tracer:
    x = unwrap(a)
    at = _axes(axis, x.type.ndim + 1)[0]
    return wrap(build.reshape(x, (*x.type.shape[:at], 1, *x.type.shape[at:]), here()))


def _transpose(a: Any, axes: Any = None) -> Tracer:
    x = unwrap(a)
    perm = tuple(range(x.type.ndim))[::-1] if axes is None else _axes(axes, x.type.ndim)
    return wrap(emit("transpose", x, perm=perm))


def _full_like(value: Any) -> Callable:
    def full(a: Any, fill: Any = value, dtype: Any = None) -> Tracer:
        x = unwrap(a)
        return wrap(build.broadcast_to(build.const(fill, dtype or x.type.dtype), x.type.shape, here()))

    return full


def _linalg(op: str) -> Callable:
    def call(*arrays: Any) -> Tracer:
        return wrap(emit(op, *(unwrap(a) for a in arrays)))

    return call


FUNCTIONS: dict[Callable, Callable] = {
    np.sum: _sum,
    np.prod: _reduction("reduce_prod", _summed),
    np.min: _reduction("reduce_min", lambda d: d),
    np.max: _reduction("reduce_max", lambda d: d),
    np.any: _reduction("reduce_any", lambda d: np.dtype(bool)),
    np.all: _reduction("reduce_all", lambda d: np.dtype(bool)),
    np.mean: _mean,
    np.var: _var,
    np.std: lambda a, axis=None, ddof=0, keepdims=False: np.sqrt(_var(a, axis, ddof, keepdims)),
    np.where: _where,
    np.clip: _clip,
    np.dot: matmul,
    np.reshape: _reshape,
    np.ravel: lambda a: _reshape(a, -1),
    np.concatenate: _concatenate,
    np.stack: _stack,
    np.expand_dims: _expand_dims,
    np.transpose: _transpose,
    np.zeros_like: lambda a, dtype=None: _full_like(0)(a, 0, dtype),
    np.ones_like: lambda a, dtype=None: _full_like(1)(a, 1, dtype),
    np.full_like: lambda a, fill_value, dtype=None: _full_like(0)(a, fill_value, dtype),
    np.outer: lambda a, b: np.multiply(_expand_dims(a, 1), _expand_dims(b, 0)),
    np.linalg.solve: _linalg("solve"),
    np.linalg.inv: _linalg("inv"),
    np.linalg.det: _linalg("det"),
    np.linalg.cholesky: _linalg("cholesky"),
    np.linalg.slogdet: lambda a: (_linalg("slogdet_sign")(a), _linalg("slogdet_logabs")(a)),
}
