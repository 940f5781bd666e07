"""Scalar functions of generated kernels with NumPy's semantics; operands of one dtype, results of that dtype.

A function here and in `integers` and `reals` is a numba intrinsic: it writes its instructions into the caller, so it
costs nothing to compile, has no branches, never widens, and lets LLVM vectorise the loop around it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from llvmlite import binding, ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

EXTREMES = binding.llvm_version_info >= (18,)  # earlier ones have no instructions for them on x86


class ScalarEmitter:
    """Instructions on LLVM values of one numba type."""

    def __init__(self, builder: Any, kind: Any, value: Any) -> None:
        self.b, self.kind, self.type = builder, kind, value
        self.real = isinstance(kind, types.Float)
        self.signed = isinstance(kind, types.Integer) and kind.signed

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
        return self.b.fcmp_unordered("uno", x, x) if self.real else ir.IntType(1)(0)

    def llvm(self, name: str, *args: Any, flags: tuple[str, ...] = ()) -> Any:
        """An intrinsic of LLVM."""
        return self._call(f"llvm.{name}.f{self.kind.bitwidth}", args, flags=flags)

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
        return self._call(name + ("f" if self.kind == types.float32 else ""), args, "readnone", "nounwind")

    def _call(self, name: str, args: tuple, *attributes: str, flags: tuple[str, ...] = ()) -> Any:
        kind = ir.FunctionType(self.type, [self.type] * len(args))
        function = cgutils.get_or_insert_function(self.b.module, kind, name)
        for a in attributes:
            function.attributes.add(a)
        return self.b.call(function, args, fastmath=flags)


def scalar_function(kinds: Any, result: Any = None) -> Callable[[Callable[..., Any]], Any]:
    """`emit(emitter, *values)` as an intrinsic on operands of one type of `kinds`; the result is of that type too."""

    def decorate(emit: Callable[..., Any]) -> Any:
        signature_of_emit = inspect.signature(emit)
        arity = len(signature_of_emit.parameters) - 1

        def function(typingctx, *operands):  # type: ignore[no-untyped-def]
            kind = types.unliteral(operands[0])
            if len(operands) != arity or not isinstance(kind, kinds):
                return None
            if any(types.unliteral(o) != kind for o in operands):
                return None

            def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
                return emit(ScalarEmitter(builder, kind, args[0].type), *args)

            return (result or kind)(*[kind] * arity), codegen

        function.__name__ = emit.__name__
        function.__doc__ = emit.__doc__
        function.__signature__ = signature_of_emit  # type: ignore[attr-defined]  # numba goes by it, `e` the context
        return intrinsic(function)

    return decorate


REAL = (types.Integer, types.Float)


@intrinsic
def select(typingctx, condition, a, b):  # type: ignore[no-untyped-def]
    """`a if condition else b` without a branch."""
    if a != b or condition != types.boolean:
        return None

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        flag = builder.icmp_unsigned("!=", args[0], args[0].type(0))
        return builder.select(flag, args[1], args[2])

    return a(condition, a, b), codegen


@intrinsic
def like(typingctx, x, value):  # type: ignore[no-untyped-def]
    """`value` converted to the type of `x`: constants of a function that must not widen its operands."""
    kind = types.unliteral(x)

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        return context.cast(builder, args[1], signature.args[1], kind)

    return kind(kind, value), codegen


@scalar_function(REAL)
def minimum(e: ScalarEmitter, x: Any, y: Any) -> Any:
    """The smaller; a NaN if there is one."""
    return e.extreme("minimum", "<", x, y)


@scalar_function(REAL)
def maximum(e: ScalarEmitter, x: Any, y: Any) -> Any:
    """The larger; a NaN if there is one."""
    return e.extreme("maximum", ">", x, y)


@scalar_function(REAL)
def fmin(e: ScalarEmitter, x: Any, y: Any) -> Any:
    """The smaller; the other one where one is a NaN."""
    return e.choose(e.b.or_(e.compare("<", x, y), e.isnan(y)), x, y)


@scalar_function(REAL)
def fmax(e: ScalarEmitter, x: Any, y: Any) -> Any:
    """The larger; the other one where one is a NaN."""
    return e.choose(e.b.or_(e.compare(">", x, y), e.isnan(y)), x, y)


@scalar_function(REAL)
def sign(e: ScalarEmitter, x: Any) -> Any:
    """-1, 0 or 1; a NaN stays a NaN."""
    rest = e.choose(e.isnan(x), x, e.c(0))
    below = e.choose(e.compare("<", x, e.c(0)), e.c(-1), rest) if e.signed or e.real else rest
    return e.choose(e.compare(">", x, e.c(0)), e.c(1), below)


@scalar_function(REAL)
def absolute(e: ScalarEmitter, x: Any) -> Any:
    """|x|; the smallest integer stays what it is."""
    if e.real:
        return e.llvm("fabs", x)
    return e.choose(e.compare("<", x, e.c(0)), e.b.neg(x), x) if e.signed else x
