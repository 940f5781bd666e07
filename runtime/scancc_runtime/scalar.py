"""Scalar functions of generated kernels with NumPy's semantics; operands of one dtype, results of that dtype."""

from __future__ import annotations

from numba import njit, types
from numba.extending import intrinsic


@intrinsic
def select(typingctx, condition, a, b):  # type: ignore[no-untyped-def]
    """`a if condition else b` without a branch."""
    if a != b or condition != types.boolean:
        return None

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        flag = builder.icmp_unsigned("!=", args[0], args[0].type(0))
        return builder.select(flag, args[1], args[2])

    return a(condition, a, b), codegen


@njit(inline="always")
def minimum(a, b):  # type: ignore[no-untyped-def]
    return select((a < b) | (a != a), a, b)


@njit(inline="always")
def maximum(a, b):  # type: ignore[no-untyped-def]
    return select((a > b) | (a != a), a, b)
