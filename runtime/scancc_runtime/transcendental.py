"""exp, expm1, log, log1p, sin, cos, tanh, erf and expit for float32 and float64, without branches or calls.

Calls of libm inside of a loop keep LLVM from vectorising it; these are inlined polynomials that it vectorises. All are
within 2 units in the last place over the whole range, with NumPy's values at zeros, infinities and NaNs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir

from scancc_runtime import error_function, exponentials, logarithms, trigonometry
from scancc_runtime.emitter import Emitter, Value
from scancc_runtime.scalar import ScalarEmitter, ScalarFunction


def _function(name: str, emit: Callable[[ScalarEmitter, Any], Any]) -> ScalarFunction:
    return ScalarFunction(name, __name__, "f", None, 1, emit)


def _native(emit: Callable[[Emitter, Value], Value]) -> ScalarFunction:
    """Computed in the format of the argument."""

    def in_its_format(s: ScalarEmitter, x: Any) -> Any:
        e = Emitter(s.b, s.bits)
        return emit(e, Value(e, x)).v

    return _function(emit.__name__, in_its_format)


def _in_double(emit: Callable[[Emitter, Value, int], Value]) -> ScalarFunction:
    """Computed in double precision; `emit` is told for how many bits."""

    def in_double(s: ScalarEmitter, x: Any) -> Any:
        e = Emitter(s.b, 64)
        if s.bits == 64:
            return emit(e, Value(e, x), 64).v
        wide = emit(e, Value(e, s.b.fpext(x, ir.DoubleType())), 32)
        return s.b.fptrunc(wide.v, ir.FloatType())

    return _function(emit.__name__, in_double)


exp, expm1 = _native(exponentials.exp), _native(exponentials.expm1)
tanh, expit = _native(exponentials.tanh), _native(exponentials.expit)
log, log1p = _in_double(logarithms.log), _in_double(logarithms.log1p)
sin, cos = _in_double(trigonometry.sin), _in_double(trigonometry.cos)
erf = _in_double(error_function.erf)
