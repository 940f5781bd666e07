"""Shared variables: state that lives between calls, read in steps and functions, changed by their updates.

    total = sc.shared(0.0)
    sc.scan(lambda x: (None_or_outputs, {total: total + x}), xs)     total is written back after the run

A step reads the value from before its own updates, as all assignments of one step happen at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np

from scancc.errors import ScanTypeError, TracedValueError
from scancc.frontend.location import here
from scancc.frontend.operators import ArrayOperators
from scancc.frontend.scope import current
from scancc.ir.types import is_half, supported
from scancc.locks import lock


class Shared(ArrayOperators):
    """An array that functions share and update. Made by `sc.shared`.

    Inside of a step or a compiled function it is an array like any other; outside, `get_value` and `set_value` reach
    its value. dtype and number of axes never change, the shape may (programs are then compiled for the new one).

    Threads: a run that updates shared variables holds them from before it reads them until it has written them back,
    so concurrent runs happen one after the other and no update is lost. A run that only reads takes the values as they
    are when it starts. `get_value` and `set_value` are atomic.
    """

    __slots__ = ("_lock", "_value", "default_update", "name", "symbol", "__weakref__")

    def __init__(self, value: Any, name: str | None = None, borrow: bool = False) -> None:
        array = np.asarray(value) if borrow else np.array(value)
        if not supported(array.dtype) or is_half(array.dtype):
            raise ScanTypeError(f"a shared variable cannot hold {array.dtype}",
                                rule="values are bool, integers, float32, float64, complex64 or complex128")
        self._value: Any = array
        self._lock = lock()
        self.name = name
        self.default_update: Any = None  # of a random stream: applied when nobody gives another
        self.symbol: Any = None  # its node outside of any trace, in the Theano layer

    # -- the value -----------------------------------------------------------------------------------------------
    def get_value(self, borrow: bool = False) -> np.ndarray:
        """The value: a copy, or with `borrow` the very array, which a later update replaces but never changes."""
        with self._lock:
            if not isinstance(self._value, np.ndarray):
                return self._value.copy_to_host()  # type: ignore[no-any-return]
            return self._value if borrow else self._value.copy()

    def move(self, place: Callable[[np.ndarray], Any]) -> None:
        """Keep the value where `place` puts an array, until the next `set_value`."""
        with self._lock:
            if isinstance(self._value, np.ndarray):
                self._value = place(self._value)

    @property
    def content(self) -> Any:
        """The value as it is kept: an array, or one on a device."""
        return self._value

    def set_value(self, value: Any, borrow: bool = False) -> None:
        """Replace the value by a copy of `value`, or with `borrow` by the array itself.

        Raises TypeError for another number of axes, or a dtype that cannot be converted exactly.
        """
        array = value if borrow and hasattr(value, "copy_to_host") else np.asarray(value)
        if array.ndim != self.ndim:
            raise ScanTypeError(f"{self} has {self.ndim} axes, the new value {array.ndim}", here())
        if array.dtype != self.dtype:
            weak = isinstance(value, (int, float)) and array.dtype.kind in "iuf" and self.dtype.kind in "iufc"
            if not np.can_cast(array.dtype, self.dtype, "same_kind" if weak else "safe"):
                raise ScanTypeError(f"{self} is {self.dtype}, the new value {array.dtype}", here(),
                                    fix=f'convert it, for example with .astype("{self.dtype}")')
            array = array.astype(self.dtype)
        elif not borrow:
            array = array.copy()
        with self._lock:
            self._value = array

    # -- what it is ----------------------------------------------------------------------------------------------
    @property
    def dtype(self) -> np.dtype:
        return self._value.dtype

    @property
    def ndim(self) -> int:
        return self._value.ndim

    @property
    def shape(self) -> tuple[int, ...]:
        return self._value.shape

    @property
    def size(self) -> int:
        return self._value.size

    def __len__(self) -> int:
        return len(self._value)

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(len(self)))

    def __hash__(self) -> int:
        return id(self)

    def __repr__(self) -> str:
        return f"<shared {self.name or ''}{': ' if self.name else ''}{self.dtype}{list(self.shape)}>"

    def __bool__(self) -> bool:
        raise TracedValueError(f"Python asked {self} for its truth", here(), fix="use get_value()")

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        if current() is not None:
            raise TracedValueError(f"{self} is asked for its value while a function is traced", here(),
                                   "its value is known only when the compiled program runs", "use it as an array")
        return np.array(self.get_value(borrow=True), dtype=dtype)

    def __reduce__(self) -> tuple:
        return (Shared, (self.get_value(), self.name))


def values_of(bound: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """What a program captured, as arrays: shared variables by their values of this moment."""
    return {k: v.content if isinstance(v, Shared) else v for k, v in bound.items()}


def kinds_of(bound: Mapping[str, Any]) -> tuple:
    """What a program depends on of the variables and arrays that it captured, which may be changed in place."""
    return tuple([(v.shape, v.dtype) for v in bound.values()])


@contextmanager
def held(variables: Iterable[Shared]) -> Iterator[None]:
    """Keep variables from everybody else, always in the same order, so that no two runs wait for one another."""
    with ExitStack() as stack:
        for v in sorted(set(variables), key=id):
            stack.enter_context(v._lock)
        yield
