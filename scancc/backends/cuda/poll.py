"""What other blocks have written: a load that memory is asked for each time, and that later ones do not overtake."""

from __future__ import annotations

from functools import cache
from typing import Any


@cache
def on_device() -> Any:
    """poll(array, index): the element, with what its writer wrote before it in view. A function for kernels.

    `ld.acquire` of the PTX memory model; numba has no loads that a compiler may not leave out of a waiting loop.
    """
    from llvmlite import ir
    from numba.cuda import cgutils
    from numba.cuda.extending import intrinsic

    @intrinsic  # type: ignore[untyped-decorator,misc]
    def poll(typing: Any, array: Any, index: Any) -> Any:
        signature = array.dtype(array, index)

        def code(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            kind, index_type = sig.args
            value = context.make_array(kind)(context, builder, value=args[0])
            several = hasattr(index_type, "types") or hasattr(index_type, "count")
            places = cgutils.unpack_tuple(builder, args[1]) if several else [args[1]]
            pointer = cgutils.get_item_pointer(context, builder, kind, value, places, wraparound=False)
            element = context.get_value_type(kind.dtype)
            load = ir.InlineAsm(ir.FunctionType(element, [pointer.type]), "ld.acquire.gpu.global.s64 $0, [$1];",
                                "=l,l,~{memory}", side_effect=True)  # fmt: skip
            return builder.call(load, [pointer])

        return signature, code

    return poll
