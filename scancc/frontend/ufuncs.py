"""NumPy ufuncs on traced values: dtype promotion by NumPy's own rules, then one node (or a few) each."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from scancc.errors import ScanTypeError, UnsupportedError
from scancc.frontend.location import here
from scancc.frontend.operators import ArrayOperators
from scancc.frontend.signatures import bound_call
from scancc.frontend.tracer import Tracer, array_of, emit, number_of, tracing, unwrap, wrap
from scancc.ir import build
from scancc.ir.graph import Node
from scancc.ir.ops import OPS
from scancc.ir.types import widened

# scipy.special has ufuncs too; they are found by name, so that scipy is not imported for it.
KNOWN = frozenset(f for f in vars(np).values() if isinstance(f, np.ufunc))
UFUNCS = frozenset(n for n, d in OPS.items() if d.kind == "elementwise") - {
    "where", "cast", "wrap_index", "split_steps", "digamma", "trigamma", "real", "imag"} - {
    n for n in OPS if "variate" in n or "x32" in n or "x64" in n}  # fmt: skip
COMPARISONS = ("less", "less_equal", "greater", "greater_equal", "equal", "not_equal")
ALIASES = {"true_divide": "divide", "mod": "remainder", "abs": "absolute", "conj": "conjugate"}


def call_ufunc(ufunc: np.ufunc, method: str, inputs: tuple, kwargs: dict[str, Any]) -> Any:
    name = ALIASES.get(ufunc.__name__, ufunc.__name__)
    if method != "__call__":
        return _call_method(ufunc, name, method, inputs, kwargs)
    if "out" in kwargs and kwargs["out"] is not None:
        tracing().root.asked = True  # of an array that the function made, it is an assignment
    if kwargs:
        inputs = _converted(ufunc, inputs, kwargs)
    numpys = ufunc in KNOWN
    if numpys and name in COMPOSITES:
        return COMPOSITES[name](*inputs)
    if numpys and name in UFUNCS:
        return wrap(elementwise(name, ufunc, *inputs))
    scipys = not numpys and getattr(sys.modules.get("scipy.special"), ufunc.__name__, None) is ufunc
    if scipys and name in UFUNCS:
        return wrap(elementwise(name, ufunc, *inputs))
    if scipys:
        from scancc.frontend.special_functions import SPECIAL

        if name in SPECIAL:
            return SPECIAL[name](*inputs)
    if not numpys and not scipys:
        raise UnsupportedError(
            f"the ufunc {name!r} is neither NumPy's nor of scipy.special: it is not supported in a step", here(),
            "what it does to its operands is not known to the compiler", "call the Python function that it is made of",
        )  # fmt: skip
    raise unsupported(f"{'np' if numpys else 'scipy.special'}.{name}", name)


# Parameters of ufuncs, as honoured, of no effect (where results lie in memory, of which class they are), or refused.
PARAMETERS = {"dtype": "honoured", "casting": "honoured", "order": "no effect", "subok": "no effect",
              **dict.fromkeys(("out", "where", "signature", "axis", "axes", "keepdims"), "refused")}  # fmt: skip


def _converted(ufunc: np.ufunc, inputs: tuple, kwargs: dict[str, Any]) -> tuple:
    """The inputs as `dtype=` asks for, if `casting=` allows that. Raises UnsupportedError for other parameters."""
    for given, value in kwargs.items():
        nothing = {"out": None, "where": True, "signature": None}
        if PARAMETERS.get(given, "refused") == "refused" and not (given in nothing and value is nothing[given]):
            if given == "out":
                raise UnsupportedError(
                    f"np.{ufunc.__name__}(..., out=...) is not supported in a step", here(),
                    "values of a step are immutable", f"use the result of np.{ufunc.__name__}(...)",
                )  # fmt: skip
            raise UnsupportedError(f"np.{ufunc.__name__}(..., {given}=...) is not supported in a step", here(),
                                   fix="use sc.where" if given == "where" else "leave the argument out")  # fmt: skip
    dtype, casting = kwargs.get("dtype"), kwargs.get("casting", "same_kind")
    if dtype is None and casting == "same_kind":
        return inputs
    types = (*map(_dtype_or_weak, inputs), *[None] * ufunc.nout)
    asked: dict[str, Any] = {"casting": casting}
    if dtype is not None:
        asked["signature"] = (*[None] * ufunc.nin, *[np.dtype(dtype)] * ufunc.nout)
    try:
        loop = ufunc.resolve_dtypes(types, **asked)
    except TypeError as e:
        raise ScanTypeError(f"np.{ufunc.__name__}: {e}", here()) from None
    return tuple(wrap(operand(x, widened(d))) for x, d in zip(inputs, loop, strict=False))


# What computes the same, by another name.
SAME = {"trapz": "np.trapezoid", "in1d": "np.isin", "row_stack": "np.vstack", "msort": "np.sort(x, axis=0)",
        "softmax": "sc.softmax, whose axis is the last one unless it is given", "logsumexp": "sc.logsumexp",
        "cosm1": "-2 * np.sin(x / 2) ** 2",
        "fill_diagonal": "np.where(np.eye(n, dtype=bool), value, x)", "copyto": "np.where(mask, values, x)",
        "put_along_axis": "x.at[index].set(values)"}  # fmt: skip


def unsupported(spelling: str, name: str) -> UnsupportedError:
    """The error for what there is nothing of; it names another spelling only where that computes the same."""
    fix = f"use {SAME[name]}" if name in SAME else "compute it outside the step"
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
    if op in COMPARISONS and loop[0] != loop[1]:
        return _compared_by_value(op, *nodes)
    return emit(op, *nodes)


def _compared_by_value(op: str, a: Node, b: Node) -> Node:
    """uint64 and a signed integer, which no dtype of integers holds both: a negative number is less than all of uint64.

    The others are compared as uint64.
    """
    if a.type.dtype.kind == "u":
        mirrored = {"less": "greater", "less_equal": "greater_equal", "greater": "less", "greater_equal": "less_equal"}
        return _compared_by_value(mirrored.get(op, op), b, a)
    negative = emit("less", a, build.const(0, a.type.dtype))
    beyond = emit(op, build.cast(a, b.type.dtype, here()), b)
    if op in ("less", "less_equal", "not_equal"):
        return emit("logical_or", negative, beyond)
    return emit("logical_and", emit("logical_not", negative), beyond)


def _beyond(x: Any, dtype: np.dtype) -> bool:
    """Whether a Python integer is none of this dtype."""
    return type(x) is int and dtype.kind in "iu" and not np.iinfo(dtype).min <= x <= np.iinfo(dtype).max


def operand(x: Any, dtype: np.dtype) -> Node:
    """An operand of dtype `dtype`; Python numbers become constants of that dtype directly."""
    if isinstance(x, (int, float, complex)) and not isinstance(x, np.generic):
        return tracing().constant(array_of(x, dtype), x)
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
    if method == "accumulate" and ufunc in (np.maximum, np.minimum):
        from scancc.frontend.numpy_statistics import running_extreme

        return bound_call(f"np.{name}.accumulate", ufunc.accumulate, running_extreme(ufunc), inputs, kwargs)
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
        return ufunc(a.reshape((*a.shape, *[1] * b.ndim)), b, **kwargs)
    instead = {"at": "use x.at[index]", "reduceat": "use sc.scan", "accumulate": "use sc.lax.associative_scan"}
    raise UnsupportedError(f"np.{name}.{method} is not supported in a step", here(),
                           fix=instead.get(method, f"use np.{name} and sc.reduce"))  # fmt: skip


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
    "exp10": lambda x: np.power(10.0, x),
}
