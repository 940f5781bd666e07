"""NumPy functions on traced values. What is not in FUNCTIONS is an error that names the nearest spelling."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from scancc.errors import ScanTypeError, UnsupportedError
from scancc.frontend.axes import array, floating, static_shape
from scancc.frontend.contractions import CONTRACTIONS
from scancc.frontend.location import here
from scancc.frontend.numpy_arrangements import ARRANGEMENTS
from scancc.frontend.numpy_linalg import LINALG
from scancc.frontend.numpy_reductions import REDUCTIONS, every
from scancc.frontend.numpy_sequences import SEQUENCES
from scancc.frontend.numpy_shapes import SHAPES
from scancc.frontend.numpy_sorting import SORTING
from scancc.frontend.numpy_statistics import STATISTICS
from scancc.frontend.operators import ArrayOperators
from scancc.frontend.signatures import bound_call
from scancc.frontend.tracer import Tracer, emit, unwrap, wrap
from scancc.frontend.ufuncs import loop_dtypes, operand, unsupported
from scancc.ir import build


def call_function(func: Callable, args: tuple, kwargs: dict[str, Any]) -> Any:
    name = func.__name__
    module = "np.linalg" if getattr(np.linalg, name, None) is func else "np"
    if func not in FUNCTIONS:
        raise unsupported(f"{module}.{name}", name)
    return bound_call(f"{module}.{name}", func, FUNCTIONS[func], args, kwargs)


def where(condition: Any, x: Any = None, y: Any = None) -> Tracer:
    if x is None or y is None:
        raise UnsupportedError(
            "np.where with a condition only is not supported in a step: the shape of its result depends on values",
            here(), fix="use np.where(condition, a, b)",
        )  # fmt: skip
    c = unwrap(condition)
    if c.type.dtype.kind != "b":
        c = emit("not_equal", c, build.const(0, c.type.dtype))
    dtype = loop_dtypes(np.maximum, (x, y))[0]
    return wrap(emit("where", c, operand(x, dtype), operand(y, dtype)))


def select(conditions: Any, choices: Any, default: Any = 0) -> Any:
    result = default
    for condition, choice in zip(reversed(list(conditions)), reversed(list(choices)), strict=True):
        result = where(condition, choice, result)
    return result


def clip(a: Any, a_min: Any = None, a_max: Any = None, *, min: Any = None, max: Any = None) -> Any:
    low, high = a_min if min is None else min, a_max if max is None else max
    dtype = array(a).dtype
    if dtype.kind in "iu":  # bounds that are always kept, as in NumPy
        low = None if type(low) is int and low < np.iinfo(dtype).min else low
        high = None if type(high) is int and high > np.iinfo(dtype).max else high
    if low is not None:
        a = np.maximum(a, low)
    return a if high is None else np.minimum(a, high)


def rounded(a: Any, decimals: int = 0) -> Any:
    x = array(a)
    if x.dtype.kind == "b" and decimals != 0:
        raise ScanTypeError(f"np.round of truth values to {decimals} decimals", here())
    if x.dtype.kind in "iu" and decimals >= 0:
        return x
    if decimals == 0:
        return np.rint(x)
    scale = 10.0 ** abs(decimals)
    result = np.rint(x * scale) / scale if decimals > 0 else np.rint(x / scale) * scale
    return result.astype(x.dtype)


def isclose(a: Any, b: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Any:
    x, y = array(a), array(b)
    near = np.absolute(floating(x) - floating(y)) <= atol + rtol * np.absolute(floating(y))
    result = (near & np.isfinite(y)) | (x == y)
    return result | (np.isnan(x) & np.isnan(y)) if equal_nan else result


def nan_to_num(x: Any, copy: bool = True, nan: float = 0.0, posinf: Any = None, neginf: Any = None) -> Any:
    a = array(x)
    if a.dtype.kind == "c":
        real, imag = (nan_to_num(part, copy, nan, posinf, neginf) for part in (a.real, a.imag))
        return real + imag * a.dtype.type(1j)
    if a.dtype.kind != "f":
        return a
    info = np.finfo(a.dtype)
    a = np.where(np.isnan(a), a.dtype.type(nan), a)
    a = np.where(a == np.inf, a.dtype.type(info.max if posinf is None else posinf), a)
    return np.where(a == -np.inf, a.dtype.type(info.min if neginf is None else neginf), a)


def sinc(x: Any) -> Any:
    y = np.pi * np.where(array(x) == 0, 1.0e-20, x)
    return np.sin(y) / y


def angle(z: Any, deg: bool = False) -> Any:
    x = array(z)
    found = np.arctan2(x.imag, x.real) if x.dtype.kind == "c" else np.arctan2(0, x)
    return found * (180 / np.pi) if deg else found


def array_equal(a1: Any, a2: Any, equal_nan: bool = False) -> Any:
    x, y = array(a1), array(a2)
    if static_shape(x, "np.array_equal") != static_shape(y, "np.array_equal"):
        return array(False)
    same = x == y
    return every(same | np.isnan(x) & np.isnan(y) if equal_nan else same)


def imag(a: Any) -> Any:
    x = array(a)
    return wrap(emit("imag", x.node)) if x.dtype.kind == "c" else np.zeros_like(x)


def real(a: Any) -> Any:
    x = array(a)
    return wrap(emit("real", x.node)) if x.dtype.kind == "c" else x


FUNCTIONS: dict[Callable, Callable] = {
    **REDUCTIONS,
    **SHAPES,
    **CONTRACTIONS,
    **SORTING,
    **STATISTICS,
    **SEQUENCES,
    **ARRANGEMENTS,
    **LINALG,
    np.where: where, np.select: select, np.clip: clip, np.round: rounded, np.around: rounded,
    np.fix: lambda x: np.trunc(x), np.isclose: isclose,
    np.allclose: lambda a, b, rtol=1e-5, atol=1e-8, equal_nan=False: every(isclose(a, b, rtol, atol, equal_nan)),
    np.array_equal: array_equal, np.nan_to_num: nan_to_num, np.sinc: sinc,
    np.angle: angle, np.real: real, np.imag: imag, np.iscomplexobj: lambda x: array(x).dtype.kind == "c",
    np.isrealobj: lambda x: array(x).dtype.kind != "c", np.result_type: lambda *a: np.result_type(*map(_kind, a)),
}  # fmt: skip


def _kind(x: Any) -> Any:
    return x.dtype if isinstance(x, ArrayOperators) else x
