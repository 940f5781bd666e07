"""Functions that rewritten code calls: the user's own, rewritten; Python's builtins and `math` on traced values.

What Python itself computes of numbers, by asking for their values, becomes NumPy's counterpart where a value is traced.
`max` and `min` choose as Python's do: the first of equal ones, and whatever a comparison with NaN leaves.
"""

from __future__ import annotations

import builtins
import functools
import math
import random
import types
from collections.abc import Callable, Iterable
from typing import Any, NoReturn

import numpy as np

from scancc.errors import ScanTypeError, UnsupportedError
from scancc.frontend.conditionals import truth_value
from scancc.frontend.control_flow.elements import CONTAINERS, refuse_change
from scancc.frontend.control_flow.expressions import and_, or_
from scancc.frontend.location import here
from scancc.frontend.made_arrays import MadeArray, made
from scancc.frontend.operators import ArrayOperators
from scancc.frontend.regions import is_from_outside, note_container
from scancc.frontend.tracer import Tracer, as_stored, is_traced, unwrap, wrap
from scancc.ir.types import Dim

FOLDED = 64  # elements of an array of which Python's max or min is traced one by one


def callee(fn: Any, keep: bool) -> Any:
    """What a rewritten function calls for `fn`. With `keep` it assigns to arrays: those that calls make are its own."""
    from scancc.frontend.control_flow.convert import converted  # which imports this module

    _refuse_draws(fn)
    of = getattr(fn, "__self__", None)
    if isinstance(of, CONTAINERS) and getattr(fn, "__name__", "") in CHANGES and is_from_outside(of):
        refuse_change(of, f"by {fn.__name__}()")
    if fn in CONTAINERS if isinstance(fn, type) else False:
        return lambda *args, **kwargs: note_container(fn(*args, **kwargs))
    try:
        replaced, creates = REPLACED.get(fn), fn in CREATORS
    except TypeError:  # it has no hash
        replaced, creates = None, False
    if fn in (map, filter, functools.reduce):
        return lambda function, *args: fn(callee(function, keep), *args)
    if replaced is not None:
        return functools.partial(_unless_plain, fn, replaced)
    if creates:
        return functools.partial(_creating, fn, keep)
    if keep and (isinstance(fn, np.ufunc) or _makes_new(fn)):
        return lambda *args, **kwargs: made(fn(*args, **kwargs))
    if isinstance(fn, type) or not callable(fn):
        return fn
    try:
        return converted(fn)
    except UnsupportedError:
        return fn  # it may do without


def _unless_plain(fn: Callable, replaced: Callable, *args: Any, **kwargs: Any) -> Any:
    if any(isinstance(a, types.GeneratorType) for a in args):
        args = tuple(list(a) if isinstance(a, types.GeneratorType) else a for a in args)
    return replaced(*args, **kwargs) if is_traced(*args, *kwargs.values()) else fn(*args, **kwargs)


# -- arrays that calls make --------------------------------------------------------------------------------------------

CHANGES = frozenset((
    "append extend insert remove pop clear sort reverse update setdefault popitem add discard appendleft extendleft "
    "popleft rotate __setitem__ __delitem__ intersection_update difference_update"
).split())
METHODS = frozenset("copy astype sum prod mean cumsum cumprod dot clip round repeat flatten".split())
CREATORS = frozenset({np.zeros, np.ones, np.empty, np.full, np.array, np.asarray, np.zeros_like, np.ones_like,
                      np.empty_like, np.full_like, np.copy, np.arange, np.eye, np.identity, np.linspace, np.where,
                      np.concatenate, np.stack, np.vstack, np.hstack, np.tile, np.repeat, np.outer, np.clip, np.diag,
                      np.cumsum, np.cumprod, np.roll, np.sum, np.mean, np.dot, np.sort})  # fmt: skip
SHARES = frozenset({np.asarray})  # gives the array itself, where it is one


def _makes_new(fn: Any) -> bool:
    """Whether `fn` is a method that gives a new array."""
    of = getattr(fn, "__self__", None)
    return isinstance(of, (ArrayOperators, np.ndarray)) and getattr(fn, "__name__", "") in METHODS


def _creating(fn: Callable, keep: bool, *args: Any, **kwargs: Any) -> Any:
    if fn in SHARES and args and isinstance(args[0], ArrayOperators) and len(args) + len(kwargs) == 1:
        return args[0]
    if fn in (np.array, np.asarray) and is_traced(*args):
        result = _array(*args, **kwargs)
    elif fn is np.full and is_traced(*args, *kwargs.values()):
        result = _full(*args, **kwargs)
    else:
        result = fn(*args, **kwargs)
    return made(_unshared(result)) if keep and fn not in SHARES else result


def _unshared(value: Any) -> Any:
    return value.now() if isinstance(value, MadeArray) else value


def _array(of: Any, dtype: Any = None, *, copy: Any = True, ndmin: int = 0) -> Tracer:
    if ndmin:
        raise UnsupportedError("np.array with ndmin in a step", here(), fix="use np.reshape")
    found = wrap(as_stored(of))
    return found if dtype is None else found.astype(dtype)  # type: ignore[no-any-return]


def _full(shape: Any, fill_value: Any, dtype: Any = None) -> Tracer:
    value = wrap(unwrap(fill_value))
    return np.broadcast_to(value if dtype is None else value.astype(dtype), shape)  # type: ignore[return-value]


# -- draws -------------------------------------------------------------------------------------------------------------

DRAWS = {"normal": "normal", "randn": "normal", "standard_normal": "normal", "gauss": "normal", "randint": "integers",
         "integers": "integers", "choice": "choice", "permutation": "permutation", "shuffle": "permutation",
         "poisson": "poisson", "exponential": "exponential", "gamma": "gamma", "beta": "beta"}  # fmt: skip
GENERATORS = (np.random.Generator, np.random.RandomState, np.random.BitGenerator, random.Random)


def draws(fn: Any) -> bool:
    """Whether a call of `fn` draws from a generator of NumPy or Python."""
    of = getattr(fn, "__self__", None)
    return isinstance(of, GENERATORS)


def _refuse_draws(fn: Any) -> None:
    if draws(fn):
        name = getattr(fn, "__name__", "a draw")
        raise UnsupportedError(
            f"{name}() of a generator of {'NumPy' if isinstance(fn.__self__, GENERATORS[:3]) else 'Python'} "
            "in a compiled function", here(),
            "a function is traced once: what is drawn meanwhile would be the same in every step and call",
            f"draw with sc.random, as sc.random.{DRAWS.get(name, 'uniform')}(key, ...), "
            "or draw before and pass the numbers in",
        )  # fmt: skip


# -- builtins ----------------------------------------------------------------------------------------------------------


def _scalar(x: Any, what: str, instead: str) -> Any:
    """A traced number; of an array, Python's function would ask for the truth or value of several elements."""
    x = wrap(unwrap(x))
    if x.node.type.size == 1:
        return x.reshape(())
    raise ScanTypeError(f"{what} of {x.node.type}", here(), f"Python's {what} takes single numbers", f"use {instead}")


def _extreme(name: str, keep_second: Callable[[Any, Any], Any]) -> Callable:
    array_name = f"np.{name} or np.{name}imum"

    def extreme(*args: Any, **kwargs: Any) -> Any:
        if kwargs:
            raise UnsupportedError(f"{name}() of traced values with {', '.join(kwargs)}", here(),
                                   fix="use np.argmax or np.argmin and an index")
        values = list(args) if len(args) > 1 else _elements(args[0], name)
        if isinstance(values, Tracer):
            return getattr(np, name)(values)
        if not values:
            raise ValueError(f"{name}() iterable argument is empty")
        best, *others = [v if not is_traced(v) else _scalar(v, f"{name}()", array_name) for v in values]
        for v in others:
            best = np.where(keep_second(best, v), v, best) if is_traced(best, v) else getattr(builtins, name)(best, v)
        return best

    return extreme


def _elements(x: Any, name: str) -> Any:
    """The elements of a container; a traced vector itself where NumPy's function gives the same."""
    if not isinstance(x, ArrayOperators):
        return list(x)
    x = wrap(unwrap(x))
    if x.ndim != 1:
        raise ScanTypeError(f"{name}() of {x.node.type}", here(), f"Python's {name} compares elements",
                            f"use np.{name}")
    length = x.node.type.shape[0]
    if x.dtype.kind in "iub" and length != 0:
        return x
    if isinstance(length, Dim) or length > FOLDED:
        raise UnsupportedError(f"{name}() of {x.node.type}", here(),
                               f"np.{name} differs from Python's {name} by NaN only", f"use np.{name}")  # fmt: skip
    return list(x)


def _all_or_any(combine: Callable, function: Callable) -> Callable:
    def decided(values: Any) -> Any:
        if isinstance(values, ArrayOperators):
            x = wrap(unwrap(values))
            if x.ndim != 1:
                raise ScanTypeError(f"{function.__name__}() of {x.node.type}", here(),
                                    "the truth of a row is not one value", f"use np.{function.__name__}")
            return function(x)
        tests = [lambda v=v: wrap(truth_value(v)) if is_traced(v) else bool(v) for v in values]
        return combine(*tests) if tests else function is np.all

    return decided


def _sum(values: Iterable, start: Any = 0) -> Any:
    if not isinstance(values, ArrayOperators):
        return builtins.sum(values, start)
    x = wrap(unwrap(values))
    total = np.sum(x, axis=0) if x.dtype.kind == "b" else np.sum(x, axis=0, dtype=x.dtype)
    return total if type(start) is int and start == 0 else start + total


def _len(x: Any) -> Any:
    return x.shape[0] if isinstance(x, ArrayOperators) and x.ndim else len(x)


def _round(x: Any, ndigits: Any = None) -> Any:
    number = _scalar(x, "round()", "np.round")
    if ndigits is not None:
        return np.round(number, ndigits)
    return np.rint(number).astype("int64") if number.dtype.kind == "f" else number


def _number(dtype: str) -> Callable:
    def convert(x: Any, *more: Any) -> Any:
        number = _scalar(x, f"{dtype}()", f"x.astype('{dtype}')")
        if more and dtype != "complex":
            raise ScanTypeError(f"{dtype}() of a traced value takes one argument", here())
        if number.dtype.kind == "c" and dtype in ("int", "float"):
            raise ScanTypeError(f"{dtype}() of a complex number", here(), fix="use x.real")
        if dtype == "bool":
            return wrap(truth_value(number))
        number = number.astype({"int": "int64", "float": "float64", "complex": "complex128"}[dtype])
        return number + 1j * more[0] if more else number

    return convert


def _unsupported(name: str, fix: str) -> Callable:
    def refuse(*_: Any, **__: Any) -> NoReturn:
        raise UnsupportedError(f"{name} of traced values", here(),
                               "a function is traced once: its values exist only when the compiled loop runs", fix)

    return refuse


# -- math --------------------------------------------------------------------------------------------------------------


def _of_doubles(function: Callable, dtype: str = "") -> Callable:
    """`math` computes with double precision whatever it is given."""

    def call(*args: Any) -> Any:
        given = [_scalar(a, "a function of math", "the function of NumPy") for a in args]
        found = function(*(g if g.dtype.kind == "c" else g.astype("float64") for g in given))
        return found.astype(dtype) if dtype else found

    return call


def _log(x: Any, base: Any = None) -> Any:
    value = _of_doubles(np.log)(x)
    return value if base is None else value / (_of_doubles(np.log)(base) if is_traced(base) else math.log(base))


def _hypot(*coordinates: Any) -> Any:
    return functools.reduce(np.hypot, [_of_doubles(np.positive)(c) for c in coordinates])


def _isclose(a: Any, b: Any, *, rel_tol: float = 1e-9, abs_tol: float = 0.0) -> Any:
    x, y = (_of_doubles(np.positive)(v) for v in (a, b))
    near = np.abs(x - y) <= np.maximum(rel_tol * np.maximum(np.abs(x), np.abs(y)), abs_tol)
    return (x == y) | (near & np.isfinite(x) & np.isfinite(y))


def _special(name: str) -> Callable:
    def call(x: Any) -> Any:
        import scipy.special  # which takes a while

        return getattr(scipy.special, name)(x)

    return call


_MATH: dict[str, Callable] = {
    **{name: _of_doubles(getattr(np, name)) for name in
       ("exp exp2 expm1 log2 log10 log1p sqrt cbrt sin cos tan sinh cosh tanh fabs fmod copysign "
        "degrees radians isnan isinf isfinite").split()},
    **{name: _of_doubles(getattr(np, numpy_name)) for name, numpy_name in
       {"asin": "arcsin", "acos": "arccos", "atan": "arctan", "atan2": "arctan2", "asinh": "arcsinh",
        "acosh": "arccosh", "atanh": "arctanh", "pow": "power", "ldexp": "ldexp", "modf": "modf"}.items()},
    **{name: _of_doubles(_special(special)) for name, special in
       {"erf": "erf", "erfc": "erfc", "lgamma": "gammaln", "gamma": "gamma"}.items()},
    **{name: _of_doubles(getattr(np, name), "int64") for name in ("floor", "ceil", "trunc")},
    "log": _log, "hypot": _hypot, "isclose": _isclose, "prod": lambda values, start=1: start * np.prod(values),
    "fsum": _sum,
    "remainder": _of_doubles(lambda x, y: x - y * np.rint(x / y)),
    "dist": lambda p, q: np.sqrt(np.sum((wrap(unwrap(p)) - wrap(unwrap(q))) ** 2)),
}  # fmt: skip
REPLACED: dict[Any, Callable] = {
    builtins.max: _extreme("max", lambda best, v: v > best), builtins.min: _extreme("min", lambda best, v: v < best),
    builtins.any: _all_or_any(or_, np.any), builtins.all: _all_or_any(and_, np.all), builtins.sum: _sum,
    builtins.len: _len, builtins.round: _round, builtins.int: _number("int"),
    builtins.float: _number("float"), builtins.bool: _number("bool"), builtins.complex: _number("complex"),
    builtins.sorted: _unsupported("sorted()", "use np.sort"), builtins.hash: _unsupported("hash()", "leave it out"),
    **{getattr(math, name): function for name, function in _MATH.items() if hasattr(math, name)},
    **{function: _unsupported(f"math.{name}", "compute it by NumPy's functions") for name, function in
       vars(math).items() if callable(function) and name not in _MATH and not name.startswith("_")},
}  # fmt: skip
