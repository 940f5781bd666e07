"""The tracer: a value of the graph that behaves like a NumPy array and records what is done to it."""

from __future__ import annotations

import operator
from collections.abc import Iterator
from typing import Any, NoReturn

import numpy as np

from scancc.arrays import refuse_large, refuse_masked, shown
from scancc.errors import ScanOverflowError, ScanTypeError, ShapeError, TracedValueError, UnsupportedError
from scancc.frontend.fits import as_int64, fitting
from scancc.frontend.location import here, library_function
from scancc.frontend.operators import ArrayOperators
from scancc.frontend.scope import SYMBOLIC, Scope, current
from scancc.frontend.shared import Shared
from scancc.ir import build
from scancc.ir.graph import Loc, Node
from scancc.ir.ops import ShapeMismatch
from scancc.ir.types import Dim, is_half, supported, widened


class Tracer(ArrayOperators):
    """A traced array. Operators, methods, indexing and NumPy functions on it become nodes of the scan IR.

    Attributes: `shape` (lengths known only at run time are traced integers), `dtype`, `ndim`, `size`, `T`.
    Asking for its value (`if x:`, `int(x)`, iteration over a run-time length) raises TracedValueError.
    """

    __slots__ = ("node", "number", "origin", "scope", "__weakref__")

    def __init__(self, node: Node, scope: Scope, number: type | None = None) -> None:
        self.node = node
        self.number = number  # int, float or complex: what is such a number in Python, and takes the dtype it meets
        self.scope = scope
        self.origin: tuple[Any, Any] | None = None  # what was indexed, and how

    # -- what it is ------------------------------------------------------------------------------------------
    @property
    def dtype(self) -> np.dtype:
        return self.node.type.dtype

    @property
    def ndim(self) -> int:
        return self.node.type.ndim

    @property
    def shape(self) -> tuple[Any, ...]:
        return tuple(
            d if isinstance(d, int) else wrap(build.dim_of(as_stored(self), axis, here()))
            for axis, d in enumerate(self.node.type.shape)
        )

    @property
    def size(self) -> int:
        size = self.node.type.size
        if size is None:
            self._ask("its size")
        return size

    def __len__(self) -> int:
        if self.ndim == 0:
            raise TypeError("len() of a traced scalar")
        first = self.node.type.shape[0]
        if isinstance(first, Dim):
            self._ask("its length, which is known at run time only,", fix="use x.shape[0], which can be traced")
        return first

    def __repr__(self) -> str:
        return f"<traced {self.node.type}>"

    def __hash__(self) -> int:
        return id(self)

    def __iter__(self) -> Iterator[Tracer]:
        return (self[i] for i in range(len(self)))

    # -- values do not exist while tracing -------------------------------------------------------------------
    def _ask(self, what: str, fix: str = "use sc.where to choose, sc.until to stop") -> NoReturn:
        tracing().root.asked = True  # control flow can be rewritten
        raise TracedValueError(
            f"Python asked a traced value ({self.node.type}) for {what}",
            here(),
            "a step is traced once: its values exist only when the compiled loop runs",
            fix,
        )

    def __bool__(self) -> bool:
        fix = "use sc.where or sc.cond to choose, sc.until to stop"
        self._ask("its truth, as in `if`, `while`, `and` or `not`", fix)

    def __int__(self) -> int:
        self._ask("an int", "use x.astype('int64') to convert; sc.where to choose, sc.until to stop")

    def __index__(self) -> int:
        fix = "index arrays with the traced value; use sc.where to choose, sc.until to stop"
        self._ask("an int", fix)

    def __float__(self) -> float:
        self._ask("a float", "use x.astype('float64') to convert; sc.where to choose, sc.until to stop")

    def __round__(self, ndigits: Any = None) -> int:
        self._ask("a rounded number", "use np.rint or np.round")

    def __trunc__(self) -> int:
        self._ask("a whole number", "use np.trunc")

    def __complex__(self) -> complex:
        self._ask("a complex", "use x.astype('complex128') to convert; sc.where to choose, sc.until to stop")

    def __array__(self, *args: Any, **kwargs: Any) -> NoReturn:
        from scancc.frontend.ufuncs import SAME

        fix = "join traced values with np.stack([...]), index an array by one with sc.take(array, i, axis=0)"
        called = library_function()  # a function in Python, as some of scipy.special are
        self._ask("a NumPy array", f"use {SAME[called]}" if called in SAME else fix)

    def item(self) -> NoReturn:
        self._ask("its value with .item()")

    def copy(self) -> Tracer:
        return self

    def tolist(self) -> NoReturn:
        self._ask("a list")


# -- between tracers and nodes ---------------------------------------------------------------------------------


def tracing() -> Scope:
    """The scope that nodes are added to: the innermost trace, or outside of all the scope of symbolic graphs."""
    return current() or SYMBOLIC


def wrap(node: Node, number: type | None = None) -> Tracer:
    return Tracer(node, tracing(), number)


def number_of(value: Any) -> type | None:
    """int, float or complex for numbers of Python and for what stands for one, None for all else."""
    if isinstance(value, Tracer):
        return value.number
    return type(value) if type(value) in (int, float, complex) else None


def unwrap(value: Any, dtype: Any = None) -> Node:
    """The node of anything that can stand for an array: tracers, NumPy arrays (captured), scalars, nested lists.

    Values of 16 bits are float32 from here on: they are to store, not to compute with.
    """
    node = as_stored(value, dtype)
    return build.cast(node, widened(node.type.dtype), here()) if is_half(node.type.dtype) else node


def as_stored(value: Any, dtype: Any = None) -> Node:
    """As `unwrap`, of the dtype that the value is to be stored with."""
    scope = tracing()
    if isinstance(value, Tracer):
        return scope.bring(value.node, value.scope)
    if isinstance(value, Shared):
        return scope.value_of(value)
    if isinstance(value, ArrayOperators):
        return as_stored(value.held, dtype)  # type: ignore[attr-defined]
    if isinstance(value, np.ndarray) and dtype is None:
        refuse_masked(value, "an array that the step uses")
        return scope.capture_array(value)
    if isinstance(value, (list, tuple)) and any(_holds_array(v) for v in value):
        return as_stored(np.stack([wrap(unwrap(v)) for v in value]))
    array = array_of(value, dtype)
    refuse_large(array, "a value of a step", here())
    if array.dtype.kind not in "biufc" and not is_half(array.dtype):
        raise ScanTypeError(
            f"{value!r} ({type(value).__name__}) cannot take part in a computation",
            here(),
            "operands are arrays, numbers, or nested lists of them",
        )
    return scope.constant(array, value)


def array_of(value: Any, dtype: Any) -> np.ndarray:
    """Numbers as an array; where they do not fit the dtype it is an error that names the line."""
    try:
        return np.asarray(value, dtype=dtype)
    except OverflowError:
        wider = "int64" if isinstance(value, int) and -(2**63) <= value < 2**63 else "float64"
        raise ScanOverflowError(
            f"{shown(value)} does not fit into {np.dtype(dtype)}", here(),
            "Python's numbers take the dtype of the arrays that they meet, as in NumPy",
            "" if np.dtype(dtype).kind in "fc" else f"convert the array first, for example x.astype('{wider}')",
        ) from None  # fmt: skip


def cast(value: Any, dtype: Any) -> Tracer:
    dtype = np.dtype(dtype)
    if not supported(dtype):
        raise ScanTypeError(f"dtype {dtype} is not supported", here(),
                            "dtypes are bool, integers, float16, bfloat16, float32, float64, complex64 and complex128")
    return wrap(build.cast(as_stored(value), dtype, here()))


def _holds_tracer(value: Any) -> bool:
    return isinstance(value, ArrayOperators) and value.traced or (
        isinstance(value, (list, tuple)) and any(_holds_tracer(v) for v in value)
    )


def _holds_array(value: Any) -> bool:
    return isinstance(value, ArrayOperators) or (
        isinstance(value, (list, tuple)) and any(_holds_array(v) for v in value)
    )


def is_traced(*values: Any) -> bool:
    return any(_holds_tracer(v) for v in values)


def emit(op: str, *args: Node, **kwargs: Any) -> Node:
    """A node at the user's location; shapes that do not fit become an error that points there, now or at run time."""
    loc = here()
    _count(loc)
    try:
        return build.make(op, *fitting(op, args, kwargs), loc=loc, **kwargs)
    except ShapeMismatch as e:
        raise ShapeError(str(e), loc, context=f"{op}") from None


# Operations of one program: at about 0.3 ms each for tracing and passes, and several times that for machine code, more
# would take minutes, and nobody has written so many by hand.
MOST_OPERATIONS = 30_000


def _count(loc: Loc | None) -> None:
    scope = tracing().root
    if scope is SYMBOLIC:  # of all graphs that are built outside of a trace
        return
    scope.operations += 1
    if scope.operations > MOST_OPERATIONS:
        raise UnsupportedError(
            f"'{scope.name}' has more than {MOST_OPERATIONS} operations", loc,
            "a loop of Python is traced round by round: all of its rounds are part of the program",
            "make the loop a scan, whose step is compiled once: sc.scan(step, None, initial, n_steps=...)",
        )  # fmt: skip


def length_of(value: Any) -> int | Dim:
    """A length as an entry of a shape: an integer, or a traced value."""
    if not isinstance(value, ArrayOperators):
        return index_of(value)
    node = unwrap(value)
    if node.type.shape or node.type.dtype.kind not in "iu":
        raise ScanTypeError(f"a length is of type {node.type}", here(), "lengths are integers",
                            'convert it, for example with .astype("int64")')
    return build.dim_from(as_int64(node), tracing().root.unique("length"))


index_of = operator.index
