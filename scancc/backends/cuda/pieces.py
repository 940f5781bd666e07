"""Numbers of any dtype as pieces of 32 bits, which is what threads of a warp, and blocks, hand to one another."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np


def cut(builder: Any, value: Any) -> list[Any]:
    """A value of LLVM IR as integers of 32 bits, low ones first."""
    from llvmlite import ir

    word = ir.IntType(32)
    if isinstance(value.type, ir.LiteralStructType):  # a complex number
        parts = [builder.extract_value(value, k) for k in range(len(value.type.elements))]
        return [piece for part in parts for piece in cut(builder, part)]
    bits = builder.bitcast(value, ir.IntType(_bits(value.type)))
    if bits.type.width <= 32:
        return [bits if bits.type == word else builder.zext(bits, word)]
    return [builder.trunc(bits, word), builder.trunc(builder.lshr(bits, ir.Constant(bits.type, 32)), word)]


def joined(builder: Any, kind: Any, pieces: Iterator[Any]) -> Any:
    """The value of an LLVM type of which these are the pieces."""
    from llvmlite import ir

    if isinstance(kind, ir.LiteralStructType):
        value = ir.Constant(kind, ir.Undefined)
        for k, part in enumerate(kind.elements):
            value = builder.insert_value(value, joined(builder, part, pieces), k)
        return value
    whole = ir.IntType(_bits(kind))
    bits = next(pieces)
    if whole.width > 32:
        high = builder.shl(builder.zext(next(pieces), whole), ir.Constant(whole, 32))
        bits = builder.or_(high, builder.zext(bits, whole))
    elif whole.width < 32:
        bits = builder.trunc(bits, whole)
    return builder.bitcast(bits, kind)


def _bits(kind: Any) -> int:
    from llvmlite import ir

    known: dict[Any, int] = {ir.HalfType(): 16, ir.FloatType(): 32, ir.DoubleType(): 64}
    return int(kind.width) if isinstance(kind, ir.IntType) else known[kind]


def cut_here(value: Any) -> list[int]:
    """The same of NumPy's numbers, for the simulator."""
    data = np.asarray(value).tobytes()
    return [int.from_bytes(data[k : k + 4], "little") for k in range(0, len(data), 4)]


def joined_here(dtype: Any, pieces: list[int]) -> Any:
    data = b"".join(p.to_bytes(4, "little") for p in pieces)
    return np.frombuffer(data[: np.dtype(dtype).itemsize], dtype)[0]
