"""The tracer: a value of the graph that behaves like a NumPy array and records what is done to it."""

from __future__ import annotations

import operator
from collections.abc import Iterator
from typing import Any, NoReturn

import numpy as np

from scancc.arrays import refuse_large, refuse_masked, shown
from scancc.errors import ScanOverflowError, ScanTypeError, ShapeError, TracedValueError, UnsupportedError
from scancc.frontend.location import here
from scancc.frontend.operators import ArrayOperators
from scancc.frontend.scope import SYMBOLIC, Scope, current
from scancc.frontend.shared import Shared
from scancc.ir import build
from scancc.ir.graph import Loc, Node
from scancc.ir.ops import ShapeMismatch
from scancc.ir.types import Dim, Shape, is_half, supported, widened


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
    def _ask(self, what: str, fix: str = "use sc.where to choose, sc.until to stop", truth: bool = False) -> NoReturn:
        error = TracedValueError(
            f"Python asked a traced value ({self.node.type}) for {what}",
            here(),
            "a step is traced once: its values exist only when the compiled loop runs",
            fix,
        )
        error.asks_truth = truth
        raise error

    def __bool__(self) -> bool:
        fix = "use sc.where or sc.cond to choose, sc.until to stop"
        self._ask("its truth, as in `if`, `while`, `and` or `not`", fix, truth=True)

    def __int__(self) -> int:
        self._ask("an int", "use x.astype('int64') to convert; sc.where to choose, sc.until to stop")

    def __index__(self) -> int:
        fix = "index arrays with the traced value; use sc.where to choose, sc.until to stop"
        self._ask("an int", fix, truth=True)  # as range() does

    def __float__(self) -> float:
        self._ask("a float", "use x.astype('float64') to convert; sc.where to choose, sc.until to stop")

    def __complex__(self) -> complex:
        self._ask("a complex", "use x.astype('complex128') to convert; sc.where to choose, sc.until to stop")

    def __array__(self, *args: Any, **kwargs: Any) -> NoReturn:
        fix = "join traced values with np.stack([...]), index an array by one with sc.take(array, i, axis=0)"
        self._ask("a NumPy array", fix)

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
    if isinstance(value, np.ndarray) and dtype is None:
        refuse_masked(value, "an array that the step uses")
        return scope.capture_array(value)
    if isinstance(value, (list, tuple)) and any(_holds_tracer(v) for v in value):
        return as_stored(np.stack([wrap(unwrap(v)) for v in value]))
    array = array_of(value, dtype)
    refuse_large(array, "a value of a step", here())
    if array.dtype.kind not in "biufc" and not is_half(array.dtype):
        raise ScanTypeError(
            f"{value!r} ({type(value).__name__}) cannot take part in a computation",
            here(),
            "operands are arrays, numbers, or nested lists of them",
        )
    return build.const(array, loc=here())


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
    return isinstance(value, ArrayOperators) or (
        isinstance(value, (list, tuple)) and any(_holds_tracer(v) for v in value)
    )


def is_traced(*values: Any) -> bool:
    return any(_holds_tracer(v) for v in values)


def emit(op: str, *args: Node, **kwargs: Any) -> Node:
    """A node at the user's location; shapes that do not fit become an error that points there."""
    loc = here()
    _count(loc)
    try:
        return build.make(op, *args, loc=loc, **kwargs)
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


def guard_broadcast(nodes: list[Node]) -> list[Node]:
    """Insert run-time checks where lengths known at run time meet other lengths in a broadcast."""
    rank = max((n.type.ndim for n in nodes), default=0)
    target: list[int | Dim] = [1] * rank
    for node in nodes:
        for axis, d in enumerate(node.type.shape, rank - node.type.ndim):
            if target[axis] == 1 or (isinstance(target[axis], Dim) and isinstance(d, int) and d != 1):
                target[axis] = d
    return [expect(n, tuple(d if d == 1 else t for d, t in zip(n.type.shape, target[rank - n.type.ndim :],
            strict=True))) if any(isinstance(d, Dim) for d in n.type.shape) else n for n in nodes]


def expect(node: Node, shape: Shape) -> Node:
    """`node` checked at run time to have `shape`; a no-op where the type says so already."""
    shape = tuple(a if isinstance(a, int) and isinstance(b, int) else b for a, b in zip(node.type.shape, shape,
                  strict=True))
    return node if node.type.shape == shape else emit("expect", node, shape=shape)


def length_of(value: Any) -> int | Dim:
    """A length as an entry of a shape: an integer, or a traced value."""
    if not isinstance(value, ArrayOperators):
        return index_of(value)
    return build.dim_from(build.cast(unwrap(value), "int64", here()), tracing().root.unique("length"))


index_of = operator.index
