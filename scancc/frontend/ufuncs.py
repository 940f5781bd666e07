"""NumPy ufuncs on traced values: dtype promotion by NumPy's own rules, then one node (or a few) each."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from scancc.errors import ScanTypeError, UnsupportedError
from scancc.frontend.location import here
from scancc.frontend.operators import ArrayOperators
from scancc.frontend.tracer import Tracer, array_of, emit, guard_broadcast, number_of, unwrap, wrap
from scancc.ir import build
from scancc.ir.graph import Node
from scancc.ir.ops import OPS
from scancc.ir.types import widened

# scipy.special has ufuncs too; they are found by name, so that scipy is not imported for it.
COMPARISONS = ("less", "less_equal", "greater", "greater_equal", "equal", "not_equal")
ALIASES = {"true_divide": "divide", "mod": "remainder", "abs": "absolute", "conj": "conjugate"}


def call_ufunc(ufunc: np.ufunc, method: str, inputs: tuple, kwargs: dict[str, Any]) -> Any:
    name = ALIASES.get(ufunc.__name__, ufunc.__name__)
    if method != "__call__":
        return _call_method(ufunc, name, method, inputs, kwargs)
    dtype = kwargs.pop("dtype", None)
    if "out" in kwargs:
        raise UnsupportedError(
            f"np.{name}(..., out=...) is not supported in a step", here(), "values of a step are immutable",
            f"use the result of np.{name}(...)",
        )  # fmt: skip
    where = kwargs.pop("where", True)
    kwargs.pop("casting", None)
    kwargs.pop("order", None)
    if kwargs or where is not True:
        unknown = ", ".join(kwargs) or "where"
        raise UnsupportedError(f"np.{name}(..., {unknown}=...) is not supported in a step", here(), fix="use sc.where")
    if dtype is not None:
        inputs = tuple(wrap(build.cast(unwrap(x), dtype, here())) for x in inputs)
    if name in COMPOSITES:
        return COMPOSITES[name](*inputs)
    if name in OPS and OPS[name].kind == "elementwise":
        return wrap(elementwise(name, ufunc, *inputs))
    raise unsupported(f"{_module(ufunc)}.{name}", name)


def _module(ufunc: np.ufunc) -> str:
    return "np" if getattr(np, ufunc.__name__, None) is ufunc else "scipy.special"


def unsupported(spelling: str, name: str) -> UnsupportedError:
    from difflib import get_close_matches

    from scancc.frontend.numpy_functions import FUNCTIONS

    known = {**{n: f"np.{n}" for n in COMPOSITES}, **{n: f"np.{n}" for n, d in OPS.items() if d.kind == "elementwise"}}
    known |= {f.__name__: f"np.{f.__name__}" for f in FUNCTIONS}
    near = get_close_matches(name, known, 1, 0.76)  # below it "sort" would be "sqrt"
    fix = f"the nearest supported spelling is {known[near[0]]}" if near else "compute it outside the step"
    return UnsupportedError(f"{spelling} is not supported in a step", here(), fix=fix)


def elementwise(op: str, ufunc: np.ufunc, *operands: Any) -> Node:
    """One element-wise node: operands cast to the ufunc's loop dtype (NEP 50: Python numbers are weak)."""
    loop = loop_dtypes(ufunc, operands)
    if op in COMPARISONS and len(set(map(_beyond, operands, loop))) == 2:
        # NumPy compares by value here: all numbers of the dtype are on the same side of this one, as 0 is.
        truth = ufunc(*[x if _beyond(x, d) else 0 for x, d in zip(operands, loop, strict=False)])
        (other,) = [x for x, d in zip(operands, loop, strict=False) if not _beyond(x, d)]
        return build.broadcast_to(build.const(bool(truth)), unwrap(other).type.shape, here())
    nodes = [operand(x, d) for x, d in zip(operands, loop, strict=False)]
    return emit(op, *guard_broadcast(nodes))


def _beyond(x: Any, dtype: np.dtype) -> bool:
    """Whether a Python integer is none of this dtype."""
    return type(x) is int and dtype.kind in "iu" and not np.iinfo(dtype).min <= x <= np.iinfo(dtype).max


def operand(x: Any, dtype: np.dtype) -> Node:
    """An operand of dtype `dtype`; Python numbers become constants of that dtype directly."""
    if isinstance(x, (int, float, complex)) and not isinstance(x, np.generic):
        return build.const(array_of(x, dtype), loc=here())
    if number_of(x) is int and dtype.kind in "iu" and dtype != np.int64:
        x.scope.root.narrowed.setdefault(x.node.attrs["name"], []).append((dtype, here()))
    return build.cast(unwrap(x), dtype, here())


def loop_dtypes(ufunc: np.ufunc, operands: tuple[Any, ...]) -> tuple[np.dtype, ...]:
    """Input dtypes of the loop NumPy would run. float16 loops (of small integers) are widened to float32."""
    given = tuple(_dtype_or_weak(x) for x in operands)
    try:
        resolved = ufunc.resolve_dtypes((*given, *[None] * ufunc.nout))
        if any(map(_stays_int64, given, operands, resolved, [ufunc.__name__] * len(given))):
            given = tuple(x.dtype if _stays_int64(g, x, d, ufunc.__name__) else g
                          for g, x, d in zip(given, operands, resolved, strict=False))
            resolved = ufunc.resolve_dtypes((*given, *[None] * ufunc.nout))
    except TypeError:
        names = ", ".join(str(g if isinstance(g, np.dtype) else g.__name__) for g in given)
        raise ScanTypeError(f"{ufunc.__name__} is not defined for dtypes {names}", here()) from None
    return tuple(widened(d) for d in resolved[: len(operands)])


def _stays_int64(given: Any, x: Any, loop: np.dtype, name: str) -> bool:
    """Whether an integer that a run brings is not to take a narrower dtype.

    Comparisons are by value; and of an integer that was computed nothing checks that it fits.
    """
    if given is not int or not isinstance(x, Tracer) or loop.kind not in "iuO":
        return False
    return name in COMPARISONS or x.node.op != "input"


def _dtype_or_weak(x: Any) -> Any:
    if isinstance(x, Tracer) and x.number is not None:
        return x.number
    if isinstance(x, (ArrayOperators, np.ndarray, np.generic)):
        return widened(x.dtype)
    if type(x) in (int, float, complex):
        return type(x)
    return unwrap(x).type.dtype


def _call_method(ufunc: np.ufunc, name: str, method: str, inputs: tuple, kwargs: dict[str, Any]) -> Any:
    functions: dict[tuple[str, str], Callable] = {
        ("reduce", "add"): np.sum, ("reduce", "multiply"): np.prod, ("reduce", "minimum"): np.min,
        ("reduce", "maximum"): np.max, ("reduce", "logical_and"): np.all, ("reduce", "logical_or"): np.any,
        ("accumulate", "add"): np.cumsum, ("accumulate", "multiply"): np.cumprod,
    }  # fmt: skip
    if (method, name) in functions:
        kwargs.setdefault("axis", 0)  # ufunc methods default to the first axis, the functions to all
        kwargs = {k: v for k, v in kwargs.items() if v is not None or k == "axis"}
        return functions[method, name](*inputs, **kwargs)
    if method == "outer" and len(inputs) == 2:
        a, b = (wrap(unwrap(x)) for x in inputs)
        return ufunc(a.reshape((*a.shape, *[1] * b.ndim)), b)
    raise UnsupportedError(f"np.{name}.{method} is not supported in a step", here(), fix=f"use np.{name} and sc.reduce")


# -- ufuncs that are several ops ---------------------------------------------------------------------------------


def _as_taken(ufunc: np.ufunc, x: Any) -> Tracer:
    """x in the dtype of the loop that NumPy would run for it."""
    return wrap(operand(x, loop_dtypes(ufunc, (x,))[0]))


def _float(x: Any) -> Tracer:
    """x as floating point, as NumPy's unary float ufuncs would take it."""
    return _as_taken(np.sqrt, x)


def _matmul(a: Any, b: Any) -> Any:
    from scancc.frontend.contractions import matmul

    return matmul(a, b)


def _power(x: Any, p: Any) -> Any:
    return wrap(elementwise("power", np.power, x, p))


def _reciprocal(x: Any) -> Any:
    x = _as_taken(np.reciprocal, x)
    if x.dtype.kind in "fc":
        return np.divide(1, x)
    if x.dtype.kind == "u":
        return np.floor_divide(1, x)
    return np.where((x == 1) | (x == -1), x, 0).astype(x.dtype)  # C's division, which rounds towards zero


def _square(x: Any) -> Any:
    x = _as_taken(np.square, x)
    return np.multiply(x, x)


def _logaddexp2(x: Any, y: Any) -> Any:
    x, y = (wrap(operand(v, d)) for v, d in zip((x, y), loop_dtypes(np.logaddexp2, (x, y)), strict=True))
    return np.logaddexp(x * math.log(2), y * math.log(2)) / math.log(2)


def _divmod(a: Any, b: Any) -> Any:
    return np.floor_divide(a, b), np.remainder(a, b)


def _modf(x: Any) -> Any:
    whole = np.trunc(_float(x))
    return np.copysign(x - whole, x), whole


def _heaviside(x: Any, h: Any) -> Any:
    x, h = (wrap(operand(v, d)) for v, d in zip((x, h), loop_dtypes(np.heaviside, (x, h)), strict=True))
    return np.where(np.isnan(x), x, np.where(x == 0, h, np.where(x < 0, 0.0, 1.0))).astype(x.dtype)


def _fabs(x: Any) -> Any:
    return np.absolute(_as_taken(np.fabs, x))


def _xlogy(x: Any, y: Any) -> Any:
    return np.where((x == 0) & ~np.isnan(_float(y)), 0.0, x * np.log(y))


def _logit(x: Any) -> Any:
    x = _float(x)
    return np.log(x) - np.log1p(-x)


def _ndtr(x: Any) -> Any:
    erfc = wrap(emit("erfc", unwrap(_float(x) * -math.sqrt(0.5))))
    return 0.5 * erfc


def _whole(name: str) -> Callable[[Any], Any]:
    def apply(x: Any) -> Any:
        # Since NumPy 2.1 floor, ceil and trunc of integers are the identity.
        return x if unwrap(x).type.dtype.kind in "biu" else wrap(elementwise(name, getattr(np, name), x))

    return apply


def _integer_test(name: str, constant: bool) -> Callable[[Any], Any]:
    def apply(x: Any) -> Any:
        node = unwrap(x)
        if node.type.dtype.kind in "biu":
            return wrap(build.broadcast_to(build.const(constant), node.type.shape, here()))
        return wrap(emit(name, node))

    return apply


def _conjugate(x: Any) -> Any:
    x = _as_taken(np.conjugate, x)
    return wrap(emit("conjugate", x.node)) if x.dtype.kind == "c" else x


def _vecdot(a: Any, b: Any) -> Any:
    x, y = (wrap(operand(v, d)) for v, d in zip((a, b), loop_dtypes(np.vecdot, (a, b)), strict=True))
    if x.dtype.kind == "b":
        return np.any(x & y, axis=-1)
    return np.sum(x.conj() * y, axis=-1, dtype=x.dtype)


def _absolute(x: Any) -> Any:
    return x if unwrap(x).type.dtype.kind in "bu" else wrap(elementwise("absolute", np.absolute, x))


COMPOSITES: dict[str, Callable] = {
    "matmul": _matmul,
    "power": _power,
    "float_power": lambda x, p: wrap(elementwise("power", np.float_power, x, p)),
    "square": _square,
    "positive": lambda x: _as_taken(np.positive, x),
    "reciprocal": _reciprocal,
    "divmod": _divmod,
    "modf": _modf,
    "radians": lambda x: _as_taken(np.radians, x) * (math.pi / 180),
    "deg2rad": lambda x: _as_taken(np.deg2rad, x) * (math.pi / 180),
    "degrees": lambda x: _as_taken(np.degrees, x) * (180 / math.pi),
    "rad2deg": lambda x: _as_taken(np.rad2deg, x) * (180 / math.pi),
    "heaviside": _heaviside,
    "fabs": _fabs,
    "logaddexp2": _logaddexp2,
    "vecdot": _vecdot,
    "floor": _whole("floor"),
    "ceil": _whole("ceil"),
    "trunc": _whole("trunc"),
    "isnan": _integer_test("isnan", False),
    "isinf": _integer_test("isinf", False),
    "isfinite": _integer_test("isfinite", True),
    "conjugate": _conjugate,
    "absolute": _absolute,
    "xlogy": _xlogy,
    "logit": _logit,
    "ndtr": _ndtr,
    "exp10": lambda x: np.power(10.0, x),
}
