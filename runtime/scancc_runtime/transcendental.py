"""exp, expm1, log, log1p, sin, cos, tanh, erf and expit for float32 and float64, without branches or calls.

Calls of libm inside of a loop keep LLVM from vectorising it; these are inlined polynomials that it vectorises. All are
within 2 units in the last place over the whole range, with NumPy's values at zeros, infinities and NaNs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from scancc_runtime import error_function, exponentials, logarithms, trigonometry
from scancc_runtime.emitter import Emitter, Value

Emit = Callable[[Emitter, Value], Value]
BITS = {types.float32: 32, types.float64: 64}


def _intrinsic(name: str, doc: str, codegen: Callable[[Any, Any, int], Any]) -> Any:
    def function(typingctx, x):  # type: ignore[no-untyped-def]
        if x not in BITS:
            return None
        return x(x), lambda context, builder, signature, args: codegen(builder, args[0], BITS[x])

    function.__name__ = name
    function.__doc__ = doc
    return intrinsic(function)


def _native(emit: Emit, doc: str) -> Any:
    """Computed in the format of the argument."""

    def codegen(builder: Any, x: Any, bits: int) -> Any:
        e = Emitter(builder, bits)
        return emit(e, Value(e, x)).v

    return _intrinsic(emit.__name__, doc, codegen)


def _in_double(emit: Callable[[Emitter, Value, int], Value], doc: str) -> Any:
    """Computed in double precision; `emit` is told for how many bits."""

    def codegen(builder: Any, x: Any, bits: int) -> Any:
        e = Emitter(builder, 64)
        if bits == 64:
            return emit(e, Value(e, x), 64).v
        wide = emit(e, Value(e, builder.fpext(x, ir.DoubleType())), 32)
        return builder.fptrunc(wide.v, ir.FloatType())

    return _intrinsic(emit.__name__, doc, codegen)


exp = _native(exponentials.exp, "e**x.")
expm1 = _native(exponentials.expm1, "e**x - 1, accurate near 0.")
tanh = _native(exponentials.tanh, "Hyperbolic tangent.")
expit = _native(exponentials.expit, "Logistic function 1 / (1 + e**-x).")
log = _in_double(logarithms.log, "Natural logarithm.")
log1p = _in_double(logarithms.log1p, "log(1 + x), accurate near 0.")
sin = _in_double(trigonometry.sin, "Sine of radians, of any size.")
cos = _in_double(trigonometry.cos, "Cosine of radians, of any size.")
erf = _in_double(error_function.erf, "Error function.")
