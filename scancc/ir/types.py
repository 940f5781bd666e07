"""Types of the scan IR: a dtype and a shape whose entries are integers or named dimensions.

    Type ::= dtype '[' dim (',' dim)* ']'
    dim  ::= integer | name            a name stands for a length that is known at run time only
    dtype ::= bool | i8..i64 | u8..u64 | f32 | f64 | c64 | c128 | f16 | bf16      the last two to store, not to compute

A `Dim` is compared by name, and names are unique in a program. It is either the axis length of an input (then
`define` is None and the input's type introduces it) or the value of a scalar node of the graph (`define`), such
as a step count. Inside a body all dimensions are introduced by its leaves.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from scancc.ir.graph import Node

DTYPE_NAMES: dict[str, str] = {
    "bool": "bool",
    "int8": "i8",
    "int16": "i16",
    "int32": "i32",
    "int64": "i64",
    "uint8": "u8",
    "uint16": "u16",
    "uint32": "u32",
    "uint64": "u64",
    "float32": "f32",
    "float64": "f64",
    "complex64": "c64",
    "complex128": "c128",
}
HALVES: dict[str, str] = {"float16": "f16", "bfloat16": "bf16"}  # arithmetic on them is that of float32
DTYPE_NAMES |= HALVES
DTYPES: dict[str, np.dtype] = {short: np.dtype(long) for long, short in DTYPE_NAMES.items() if long != "bfloat16"}


def dtype_of(short: str) -> np.dtype | None:
    """The dtype that the IR writes so, if it is one: bf16 comes with the package ml_dtypes."""
    if short == "bf16":
        import ml_dtypes

        brain: np.dtype = np.dtype(ml_dtypes.bfloat16)
        return brain
    return DTYPES.get(short)


def is_half(dtype: np.dtype) -> bool:
    """Whether a dtype of 16 bits is for memory only: values of it are converted to float32 before anything else."""
    return dtype.itemsize == 2 and dtype.name in HALVES


def in_memory(dtype: np.dtype, known: tuple[str, ...] = ()) -> np.dtype:
    """What kernels take the elements of an array for: integers, where they are of 16 bits but for those `known`."""
    return np.dtype("uint16") if is_half(dtype) and dtype.name not in known else dtype


def widened(dtype: np.dtype) -> np.dtype:
    return np.dtype("float32") if is_half(dtype) else dtype


@functools.cache  # NumPy composes the name of a dtype anew each time
def supported(dtype: np.dtype) -> bool:
    return dtype.name in DTYPE_NAMES


@functools.cache
def short_name(dtype: np.dtype) -> str:
    """As the IR writes a dtype."""
    return DTYPE_NAMES[dtype.name]


@dataclass(frozen=True, slots=True)
class Dim:
    """A length known at run time. `hint` is its value in the call that was traced, if there was one."""

    name: str
    hint: int | None = field(default=None, compare=False)
    define: Node | None = field(default=None, compare=False)

    def __repr__(self) -> str:
        return self.name


Shape = tuple[int | Dim, ...]


def show_shape(shape: Sequence[int | Dim]) -> str:
    """As Python writes it, with the names of lengths that are known at run time: (3,), (n, 4), ()."""
    return f"({', '.join(map(str, shape))}{',' * (len(shape) == 1)})"


@dataclass(frozen=True, slots=True)
class Type:
    """Element type and shape of a value. Scalars have shape ()."""

    dtype: np.dtype
    shape: Shape

    def __str__(self) -> str:
        return f"{short_name(self.dtype)}[{', '.join(map(str, self.shape))}]"

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def is_static(self) -> bool:
        return all(isinstance(d, int) for d in self.shape)

    @property
    def size(self) -> int | None:
        """Number of elements, or None when a dimension is known at run time only."""
        total = 1
        for d in self.shape:
            if not isinstance(d, int):
                return None
            total *= d
        return total

    def with_shape(self, shape: Shape) -> Type:
        return Type(self.dtype, tuple(shape))

    def with_dtype(self, dtype: np.dtype | str) -> Type:
        return Type(np.dtype(dtype), self.shape)


def scalar(dtype: str | np.dtype) -> Type:
    return Type(np.dtype(dtype), ())


INT = scalar("int64")
BOOL = scalar("bool")
