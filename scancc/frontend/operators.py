"""What makes an object behave like a NumPy array while it is traced: operators, methods, NumPy's protocols.

Shared by traced values and by shared variables. Everything goes through `unwrap`, which turns `self` into a node of the
scope being traced.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np

from scancc.errors import ScanTypeError, UnsupportedAttributeError, UnsupportedError
from scancc.frontend.location import here

# What to write for methods that change an array in place, or look into its memory.
INSTEAD = {
    "sort": "use x = np.sort(x)", "partition": "use x = np.partition(x, kth)", "resize": "use np.resize(x, shape)",
    "fill": "use np.full_like(x, value)", "put": "use x.at[index].set(values)", "setflags": "leave it out",
    "itemset": "use x.at[index].set(value)", "byteswap": "leave it out", "nonzero": "use np.where(mask, a, b)",
    "compress": "use np.where(mask, a, b)", "flat": "use x.ravel()", "tobytes": "return the value from the step",
    "tofile": "return the value from the step", "dump": "return the value from the step",
    "dumps": "return the value from the step",
}  # fmt: skip


class ArrayOperators:
    """Operators, indexing, NumPy functions and the methods of arrays."""

    __slots__ = ()
    __array_priority__ = 1000
    traced = True  # whether its value is unknown while tracing

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

    @property
    def mT(self) -> Any:  # noqa: N802
        return np.matrix_transpose(self)  # type: ignore[call-overload]

    def astype(
        self, dtype: Any, order: str = "K", casting: str = "unsafe", subok: bool = True, copy: bool = True
    ) -> Any:
        """Converted, if the rule `casting` allows it; the other arguments are about memory."""
        from scancc.frontend.tracer import cast

        if not np.can_cast(self.dtype, dtype, casting):  # type: ignore[attr-defined, arg-type]
            raise ScanTypeError(
                f"cannot cast an array of {self.dtype} to {np.dtype(dtype)} "  # type: ignore[attr-defined]
                f"according to the rule {casting!r}", here(),
            )  # fmt: skip
        return cast(self, dtype)

    def view(self, dtype: Any = None) -> Any:
        if dtype is not None and np.dtype(dtype) != self.dtype:  # type: ignore[attr-defined]
            raise UnsupportedError("x.view(dtype) is not supported in a step", here(),
                                   "values of a step have no bytes to look at", "convert with x.astype(dtype)")
        return self

    @property
    def _numba_type_(self) -> NoReturn:
        """What numba asks of the arguments of its functions."""
        raise UnsupportedError(
            "a function that numba compiles (njit, vectorize) was called with a traced value", here(),
            "it takes arrays, and a step's values exist only when its loop runs",
            "call the Python function that it is made of: f.py_func(x), or leave its decorator out",
        )  # fmt: skip

    @property
    def itemsize(self) -> int:
        return self.dtype.itemsize  # type: ignore[attr-defined, no-any-return]

    def __getattr__(self, name: str) -> NoReturn:
        """Called for what there is no attribute of: that of an array is an error which says so."""
        if name.startswith("_") or not hasattr(np.ndarray, name):
            raise AttributeError(f"a traced value has no attribute {name!r}")
        raise UnsupportedAttributeError(f"x.{name} of a traced value is not supported in a step", here(),
                                        fix=INSTEAD.get(name, "compute it outside the step"))


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


OPERATORS: dict[str, np.ufunc] = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "truediv": np.divide, "floordiv": np.floor_divide,
    "mod": np.remainder, "pow": np.power, "matmul": np.matmul, "and": np.bitwise_and, "or": np.bitwise_or,
    "xor": np.bitwise_xor, "lshift": np.left_shift, "rshift": np.right_shift, "lt": np.less, "le": np.less_equal,
    "gt": np.greater, "ge": np.greater_equal, "eq": np.equal, "ne": np.not_equal, "divmod": np.divmod,
}  # fmt: skip
for _name, _ufunc in OPERATORS.items():
    _operator(_name, _ufunc)

for _name, _ufunc in {"neg": np.negative, "pos": np.positive, "abs": np.absolute, "invert": np.invert}.items():
    setattr(ArrayOperators, f"__{_name}__", lambda self, ufunc=_ufunc: _of_numbers(ufunc(self), self))


def _method(name: str, function: Callable) -> None:
    def call(self: ArrayOperators, *args: Any, **kwargs: Any) -> Any:
        return function(self, *args, **kwargs)

    call.__name__ = name
    setattr(ArrayOperators, name, call)


for _name in (
    "sum prod mean var std min max argmin argmax any all cumsum cumprod ravel squeeze swapaxes repeat "
    "diagonal trace dot round clip take argsort argpartition searchsorted choose"
).split():
    _method(_name, getattr(np, _name))
_method("flatten", np.ravel)
for _name in ("conj", "conjugate"):  # of an array that is real, as it is; np.conjugate makes integers of truth values
    _method(_name, lambda x: np.conjugate(x) if x.dtype.kind == "c" else x)


def _reshape(self: ArrayOperators, *shape: Any, order: Any = "C", copy: Any = None) -> Any:
    return np.reshape(self, shape[0] if len(shape) == 1 else shape, order=order)  # type: ignore[call-overload]


def _transpose(self: ArrayOperators, *axes: Any) -> Any:
    return np.transpose(self, axes[0] if len(axes) == 1 else axes or None)  # type: ignore[call-overload]


ArrayOperators.reshape = _reshape  # type: ignore[attr-defined]
ArrayOperators.transpose = _transpose  # type: ignore[attr-defined]
