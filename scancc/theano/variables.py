"""Symbolic variables: inputs of graphs that are built outside of any trace."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from scancc.frontend.scope import SYMBOLIC
from scancc.frontend.shared import Shared
from scancc.frontend.tracer import Tracer
from scancc.ir.types import Dim
from scancc.theano.configuration import config

PREFIXES = {"": None, "b": "int8", "w": "int16", "i": "int32", "l": "int64", "f": "float32", "d": "float64",
            "c": "complex64", "z": "complex128"}  # fmt: skip
# Axes that have length 1, by the name of the variable's kind.
KINDS: dict[str, tuple[bool, ...]] = {
    "scalar": (), "vector": (False,), "matrix": (False, False), "row": (True, False), "col": (False, True),
    "tensor3": (False,) * 3, "tensor4": (False,) * 4, "tensor5": (False,) * 5,
}  # fmt: skip


def variable(name: str | None, dtype: Any, broadcastable: Sequence[bool]) -> Tracer:
    """An input of dtype `dtype` with one axis an entry of `broadcastable`; axes of True have length 1."""
    base = name or "x"
    shape: list[int | Dim] = [1 if one else SYMBOLIC.new_dim(f"{base}_{i}") for i, one in enumerate(broadcastable)]
    node = SYMBOLIC.add_input(base, np.dtype(dtype), tuple(shape))
    return Tracer(node, SYMBOLIC)


def constructor(kind: str, prefix: str) -> Callable:
    broadcastable = KINDS[kind]

    def make(name: str | None = None, dtype: Any = None) -> Tracer:
        return variable(name, PREFIXES[prefix] or dtype or config.floatX, broadcastable)

    make.__name__ = make.__qualname__ = prefix + kind
    make.__doc__ = f"A symbolic {kind} of {PREFIXES[prefix] or 'dtype `dtype`, by default config.floatX'}."
    return make


def several(make: Callable) -> Callable:
    """`vectors('x', 'y')` or `vectors(2)`: several variables at once."""

    def many(*names: Any, dtype: Any = None) -> list[Tracer]:
        wanted = [None] * names[0] if len(names) == 1 and isinstance(names[0], int) else list(names)
        return [make(n, dtype) for n in wanted]

    many.__name__ = many.__qualname__ = make.__name__ + "s"
    return many


def shared(value: Any, name: str | None = None, strict: bool = False, allow_downcast: bool | None = None,
           borrow: bool = False) -> Shared:  # fmt: skip
    """A shared variable: see `sc.shared`. `strict` and `allow_downcast` are accepted for Theano's sake."""
    return Shared(value, name, borrow)
