"""What run-time functions that numba compiles are written with: elements by their address, and numbers of a given type.

A numba index may be negative, so it is compared with 0 before use, and a loop over computed offsets does not vectorise.
Offsets here are never negative: no bounds, wrapping or reference counts. This module imports numba; kernels need it
only where they call what numba compiles.
"""

from __future__ import annotations

from typing import Any

from numba import types
from numba.extending import intrinsic
from numba.np.numpy_support import as_dtype

from scancc_runtime import counters
from scancc_runtime.scalar import ScalarFunction


@intrinsic
def pointer(typingctx, array, offset):  # type: ignore[no-untyped-def]
    """The address of element `offset`."""
    if not isinstance(array, types.Array) or array.layout != "C":
        return None

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        return builder.gep(data, [args[1]])

    return types.CPointer(array.dtype)(array, types.intp), codegen


@intrinsic
def load(typingctx, address, i):  # type: ignore[no-untyped-def]
    """The element `i` places after `address`."""
    if not isinstance(address, types.CPointer):
        return None

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        place = builder.gep(args[0], [args[1]])
        return context.unpack_value(builder, address.dtype, place)

    return address.dtype(address, types.intp), codegen


@intrinsic
def store(typingctx, address, i, value):  # type: ignore[no-untyped-def]
    """Put `value`, converted to the elements' type, `i` places after `address`."""
    if not isinstance(address, types.CPointer):
        return None

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        converted: Any = context.cast(builder, args[2], signature.args[2], address.dtype)
        context.pack_value(builder, address.dtype, converted, builder.gep(args[0], [args[1]]))
        return context.get_dummy_value()

    return types.void(address, types.intp, value), codegen


@intrinsic
def like(typingctx, x, value):  # type: ignore[no-untyped-def]
    """`value` converted to the type of `x`: constants of a function that must not widen its operands."""
    kind = types.unliteral(x)

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        return context.cast(builder, args[1], signature.args[1], kind)

    return kind(kind, value), codegen


def _of_three(function: ScalarFunction) -> Any:
    """A scalar function of three operands as numba calls it."""

    def form(typingctx, x, y, z):  # type: ignore[no-untyped-def]
        kind = types.unliteral(x)
        if as_dtype(kind).kind not in function.kinds:
            return None

        def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
            return function(builder, as_dtype(kind), *args)

        return kind(kind, kind, kind), codegen

    form.__name__ = function.name
    return intrinsic(form)


philox4x32 = _of_three(counters.philox4x32)
