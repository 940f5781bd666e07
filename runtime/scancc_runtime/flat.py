"""Elements of arrays by their flat offset in C-contiguous memory, without bounds, wrapping or reference counts.

A numba index may be negative, so it is compared with 0 before use, and a loop over computed offsets does not vectorise.
The run-time library indexes with these instead; offsets are never negative there.
"""

from __future__ import annotations

from typing import Any

from numba import types
from numba.extending import intrinsic


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
