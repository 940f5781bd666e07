"""Numbers of 16 bits in memory, as the integers that numba takes them for: float16 (IEEE 754) and bfloat16.

Kernels convert what they load to float32, and what they store from it, to nearest even.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from llvmlite import binding, ir
from numba import types
from numba.extending import intrinsic

from scancc_runtime.processor import has

F32, I32, I16 = ir.FloatType(), ir.IntType(32), ir.IntType(16)


@cache
def converts() -> bool:
    """Whether the processor converts float16 by itself: on x86 since 2012."""
    return has("f16c") or not binding.get_process_triple().startswith("x86")


@intrinsic
def from_float16(typingctx: Any, x: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.fpext(builder.bitcast(args[0], ir.HalfType()), F32)

    if not converts():
        raise NotImplementedError("float16 needs a processor that converts it (F16C)")
    return types.float32(types.uint16), codegen


@intrinsic
def to_float16(typingctx: Any, x: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(builder.fptrunc(args[0], ir.HalfType()), I16)

    if not converts():
        raise NotImplementedError("float16 needs a processor that converts it (F16C)")
    return types.uint16(types.float32), codegen


@intrinsic
def from_bfloat16(typingctx: Any, x: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(builder.shl(builder.zext(args[0], I32), I32(16)), F32)

    return types.float32(types.uint16), codegen


@intrinsic
def to_bfloat16(typingctx: Any, x: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        (x,) = args
        bits = builder.bitcast(x, I32)
        high = builder.lshr(bits, I32(16))
        even = builder.add(I32(0x7FFF), builder.and_(high, I32(1)))
        rounded = builder.lshr(builder.add(bits, even), I32(16))
        quiet = builder.or_(high, I32(0x40))
        return builder.trunc(builder.select(builder.fcmp_unordered("uno", x, x), quiet, rounded), I16)

    return types.uint16(types.float32), codegen
