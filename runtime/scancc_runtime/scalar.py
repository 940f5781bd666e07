"""Scalar functions of generated kernels with NumPy's semantics; operands of one dtype, results of that dtype.

A function here and in `integers` and `reals` writes its instructions into the kernel that needs it: it costs nothing
to compile, has no branches, never widens, and lets LLVM vectorise the loop around it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from llvmlite import binding, ir

from scancc_runtime.code import BIT, declared, scalar_type

EXTREMES = binding.llvm_version_info >= (18,)  # earlier ones have no instructions for them on x86


class ScalarEmitter:
    """Instructions on LLVM values of one dtype."""

    def __init__(self, builder: Any, dtype: np.dtype) -> None:
        self.b, self.dtype, self.type = builder, dtype, scalar_type(dtype)
        self.real = dtype.kind == "f"
        self.signed = dtype.kind == "i"
        self.bits = 8 * dtype.itemsize

    def c(self, value: float) -> Any:
        return self.type(float(value) if self.real else int(value))

    def compare(self, sign: str, x: Any, y: Any) -> Any:
        """False where an operand is a NaN, but for '!='."""
        if self.real:
            return (self.b.fcmp_unordered if sign == "!=" else self.b.fcmp_ordered)(sign, x, y)
        return (self.b.icmp_signed if self.signed else self.b.icmp_unsigned)(sign, x, y)

    def choose(self, condition: Any, x: Any, y: Any) -> Any:
        return self.b.select(condition, x, y)

    def isnan(self, x: Any) -> Any:
        return self.b.fcmp_unordered("uno", x, x) if self.real else BIT(0)

    def llvm(self, name: str, *args: Any, flags: tuple[str, ...] = ()) -> Any:
        """An intrinsic of LLVM."""
        return self._call(f"llvm.{name}.f{self.bits}", args, flags=flags)

    def extreme(self, name: str, sign: str, x: Any, y: Any) -> Any:
        """LLVM's "minimum" or "maximum" of floats; which of two zeros is left open, as in NumPy.

        `y` is the operand to wait for: it passes one instruction, and a choice that is known before it.
        """
        if not self.real:
            return self.choose(self.compare(sign, x, y), x, y)
        if not EXTREMES:
            return self.choose(self.b.or_(self.compare(sign, x, y), self.isnan(x)), x, y)
        return self.llvm(name, x, y, flags=("nsz",))

    def libm(self, name: str, *args: Any) -> Any:
        """A function of the C library that is there for both precisions; it has no effect but its value."""
        return self._call(name + ("f" if self.bits == 32 else ""), args, "readnone", "nounwind")

    def _call(self, name: str, args: tuple, *attributes: str, flags: tuple[str, ...] = ()) -> Any:
        kind = ir.FunctionType(self.type, [self.type] * len(args))
        return self.b.call(declared(self.b.module, name, kind, *attributes), args, fastmath=flags)


@dataclass(frozen=True)
class ScalarFunction:
    """`emit(emitter, *values)` for operands of one dtype, of these kinds; `result`: its dtype, if it is not theirs."""

    name: str
    module: str
    kinds: str
    result: np.dtype | None
    arity: int
    emit: Callable[..., Any]

    def __call__(self, builder: Any, dtype: np.dtype, *values: Any) -> Any:
        """Write the instructions for these operands; the value of the result."""
        return self.emit(ScalarEmitter(builder, dtype), *values)


def scalar_function(kinds: str, result: Any = None) -> Callable[[Callable[..., Any]], ScalarFunction]:
    def decorate(emit: Callable[..., Any]) -> ScalarFunction:
        dtype = None if result is None else np.dtype(result)
        arity = emit.__code__.co_argcount - 1
        return ScalarFunction(emit.__name__, emit.__module__, kinds, dtype, arity, emit)

    return decorate


@scalar_function("iuf")
def minimum(e: ScalarEmitter, x: Any, y: Any) -> Any:
    """The smaller; a NaN if there is one."""
    return e.extreme("minimum", "<", x, y)


@scalar_function("iuf")
def maximum(e: ScalarEmitter, x: Any, y: Any) -> Any:
    """The larger; a NaN if there is one."""
    return e.extreme("maximum", ">", x, y)


@scalar_function("iuf")
def fmin(e: ScalarEmitter, x: Any, y: Any) -> Any:
    """The smaller; the other one where one is a NaN."""
    return e.choose(e.b.or_(e.compare("<", x, y), e.isnan(y)), x, y)


@scalar_function("iuf")
def fmax(e: ScalarEmitter, x: Any, y: Any) -> Any:
    """The larger; the other one where one is a NaN."""
    return e.choose(e.b.or_(e.compare(">", x, y), e.isnan(y)), x, y)


@scalar_function("iuf")
def sign(e: ScalarEmitter, x: Any) -> Any:
    """-1, 0 or 1; a NaN stays a NaN."""
    rest = e.choose(e.isnan(x), x, e.c(0))
    below = e.choose(e.compare("<", x, e.c(0)), e.c(-1), rest) if e.signed or e.real else rest
    return e.choose(e.compare(">", x, e.c(0)), e.c(1), below)


@scalar_function("iuf")
def absolute(e: ScalarEmitter, x: Any) -> Any:
    """|x|; the smallest integer stays what it is."""
    if e.real:
        return e.llvm("fabs", x)
    return e.choose(e.compare("<", x, e.c(0)), e.b.neg(x), x) if e.signed else x
