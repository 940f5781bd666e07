"""Numbers of 16 bits in memory, as integers: float16 (IEEE 754) and bfloat16.

Kernels convert what they load to float32, and what they store from it, to nearest even.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import binding, ir

from scancc_runtime.processor import has

F32, I32, I16 = ir.FloatType(), ir.IntType(32), ir.IntType(16)


def converts() -> bool:
    """Whether the processor converts float16 by itself: on x86 since 2012."""
    return has("f16c") or not binding.get_process_triple().startswith("x86")


def to_float32(b: Any, x: Any, source: np.dtype) -> Any:
    """Raises NotImplementedError for float16 where the processor does not convert it."""
    if source == np.float16:
        _needs_conversion()
        return b.fpext(b.bitcast(x, ir.HalfType()), F32)
    return b.bitcast(b.shl(b.zext(x, I32), I32(16)), F32)


def from_float32(b: Any, x: Any, target: np.dtype) -> Any:
    if target == np.float16:
        _needs_conversion()
        return b.bitcast(b.fptrunc(x, ir.HalfType()), I16)
    bits = b.bitcast(x, I32)
    high = b.lshr(bits, I32(16))
    even = b.add(I32(0x7FFF), b.and_(high, I32(1)))
    rounded = b.lshr(b.add(bits, even), I32(16))
    quiet = b.or_(high, I32(0x40))
    return b.trunc(b.select(b.fcmp_unordered("uno", x, x), quiet, rounded), I16)


def _needs_conversion() -> None:
    if not converts():
        raise NotImplementedError("float16 needs a processor that converts it (F16C)")
