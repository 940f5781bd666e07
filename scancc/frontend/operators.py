"""What makes an object behave like a NumPy array while it is traced: operators, methods, NumPy's protocols.

Shared by traced values and by shared variables. Everything goes through `unwrap`, which turns `self` into a node of the
scope being traced.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np

from scancc.errors import UnsupportedError
from scancc.frontend.location import here


class ArrayOperators:
    """Operators, indexing, NumPy functions and the methods of arrays."""

    __slots__ = ()
    __array_priority__ = 1000

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        from scancc.frontend.ufuncs import call_ufunc

        return call_ufunc(ufunc, method, inputs, kwargs)

    def __array_function__(self, func: Callable, types: Any, args: tuple, kwargs: dict[str, Any]) -> Any:
        from scancc.frontend.numpy_functions import call_function

        return call_function(func, args, kwargs)

    def __getitem__(self, key: Any) -> Any:
        from scancc.frontend.indexing import getitem

        found = getitem(self, key)
        found.origin = (self, key)
        return found

    def __setitem__(self, key: Any, value: Any) -> NoReturn:
        raise UnsupportedError(
            "a traced array cannot be assigned to",
            here(),
            "values of a step are immutable",
            "write x = x.at[index].set(value)",
        )

    @property
    def T(self) -> Any:
        return np.transpose(self)  # type: ignore[call-overload]

    @property
    def real(self) -> Any:
        return np.real(self)  # type: ignore[call-overload]

    @property
    def imag(self) -> Any:
        return np.imag(self)  # type: ignore[call-overload]

    @property
    def at(self) -> Any:
        """`x.at[index].set(v)`, `.add`, `.multiply`, `.min`, `.max`: a changed copy (see `frontend/updates.py`)."""
        from scancc.frontend.updates import At

        return At(self)

    def astype(self, dtype: Any, **_: Any) -> Any:
        from scancc.frontend.tracer import cast

        return cast(self, dtype)


def _of_numbers(result: Any, *operands: Any) -> Any:
    """The result of Python's operator; of numbers only it is a number again, as in Python."""
    from scancc.frontend.tracer import Tracer, number_of

    if isinstance(result, Tracer) and all(number_of(x) is not None for x in operands):
        result.number = {"i": int, "f": float, "c": complex}.get(result.dtype.kind)
    return result


def _operator(name: str, ufunc: np.ufunc) -> None:
    def forward(self: ArrayOperators, other: Any) -> Any:
        return _of_numbers(ufunc(self, other), self, other)

    def backward(self: ArrayOperators, other: Any) -> Any:
        return _of_numbers(ufunc(other, self), other, self)

    setattr(ArrayOperators, f"__{name}__", forward)
    if name not in ("lt", "le", "gt", "ge", "eq", "ne"):
        setattr(ArrayOperators, f"__r{name}__", backward)


for _name, _ufunc in {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "truediv": np.divide, "floordiv": np.floor_divide,
    "mod": np.remainder, "pow": np.power, "matmul": np.matmul, "and": np.bitwise_and, "or": np.bitwise_or,
    "xor": np.bitwise_xor, "lshift": np.left_shift, "rshift": np.right_shift, "lt": np.less, "le": np.less_equal,
    "gt": np.greater, "ge": np.greater_equal, "eq": np.equal, "ne": np.not_equal, "divmod": np.divmod,
}.items():  # fmt: skip
    _operator(_name, _ufunc)

for _name, _ufunc in {"neg": np.negative, "pos": np.positive, "abs": np.absolute, "invert": np.invert}.items():
    setattr(ArrayOperators, f"__{_name}__", lambda self, ufunc=_ufunc: _of_numbers(ufunc(self), self))


def _method(name: str, function: Callable) -> None:
    def call(self: ArrayOperators, *args: Any, **kwargs: Any) -> Any:
        return function(self, *args, **kwargs)

    call.__name__ = name
    setattr(ArrayOperators, name, call)


for _name in (
    "sum prod mean var std min max argmin argmax any all cumsum cumprod ravel squeeze transpose swapaxes repeat "
    "diagonal trace dot round clip take"
).split():
    _method(_name, getattr(np, _name))
_method("flatten", np.ravel)
for _name in ("conj", "conjugate"):  # of an array that is real, as it is; np.conjugate makes integers of truth values
    _method(_name, lambda x: np.conjugate(x) if x.dtype.kind == "c" else x)


def _reshape(self: ArrayOperators, *shape: Any, **_: Any) -> Any:
    return np.reshape(self, shape[0] if len(shape) == 1 else shape)  # type: ignore[call-overload]


ArrayOperators.reshape = ArrayOperators.view = _reshape  # type: ignore[attr-defined]
