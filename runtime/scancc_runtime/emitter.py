"""Arithmetic on LLVM values that reads like arithmetic: what the vector math is written in.

Everything is straight-line code of instructions that exist for vectors, so that LLVM vectorises a loop around it.

The algorithms live on roundings: (x + 1.5 * 2**52) - 1.5 * 2**52 is an integer, which real arithmetic would take for x.
Whatever the flags of a kernel are, each instruction has flags of its own here: products may be fused with sums, and
nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llvmlite import ir

from scancc_runtime.code import declared

FLAGS = ("contract",)


class Emitter:
    """Operations of one float format; its values are `Value`s, or plain LLVM integers for bits."""

    def __init__(self, builder: Any, bits: int) -> None:
        self.b = builder
        self.bits = bits
        self.mantissa, self.bias = (52, 1023) if bits == 64 else (23, 127)
        self.real = ir.DoubleType() if bits == 64 else ir.FloatType()
        self.int = ir.IntType(bits)

    def c(self, value: float) -> Value:
        return Value(self, self.real(value))

    def value(self, x: Any) -> Value:
        return x if isinstance(x, Value) else self.c(float(x))

    def call(self, name: str, *args: Value) -> Value:
        kind = ir.FunctionType(self.real, [self.real] * len(args))
        function = declared(self.b.module, f"llvm.{name}.f{self.bits}", kind)
        return Value(self, self.b.call(function, [a.v for a in args]))

    def fma(self, a: Any, b: Any, c: Any) -> Value:
        """a * b + c with one rounding."""
        return self.call("fma", self.value(a), self.value(b), self.value(c))

    def absolute(self, x: Value) -> Value:
        return self.call("fabs", x)

    def copysign(self, x: Value, sign: Value) -> Value:
        return self.call("copysign", x, sign)

    def round(self, x: Value) -> Value:
        return self.call("rint", x)

    def select(self, condition: Any, a: Any, b: Any) -> Value:
        return Value(self, self.b.select(condition, self.value(a).v, self.value(b).v))

    def clamp(self, x: Value, low: float, high: float) -> Value:
        """x between bounds; a NaN stays a NaN."""
        x = self.select(x > high, high, x)
        return self.select(x < low, low, x)

    def polynomial(self, x: Value, coefficients: list[float]) -> Value:
        """The constant coefficient comes first. Long ones are sums of a + b x + (c + d x) x**2, side by side, by
        Horner's rule in x**4: two multiplications more, and a third of the chain, which is what a recurrence through
        a function waits for (after Estrin; Knuth, TAOCP 2, 4.6.4)."""
        if len(coefficients) < 8:
            return self._horner(x, coefficients)
        square = x * x
        pairs = [self._horner(x, coefficients[k : k + 2]) for k in range(0, len(coefficients), 2)]
        fours = [self._horner(square, pairs[k : k + 2]) for k in range(0, len(pairs), 2)]
        return self._horner(square * square, fours)

    def _horner(self, x: Value, coefficients: Sequence[float | Value]) -> Value:
        *rest, last = coefficients
        p = self.value(last)
        for k in reversed(rest):
            p = self.fma(p, x, k)
        return p

    def two_sum(self, a: Value, b: Value) -> tuple[Value, Value]:
        """a + b as a rounded sum and its exact error (Knuth, TAOCP 2, 4.2.2)."""
        s = a + b
        t = s - a
        return s, (a - (s - t)) + (b - t)

    def two_product(self, a: Value, b: Value) -> tuple[Value, Value]:
        """a * b as a rounded product and its exact error."""
        p = a * b
        return p, self.fma(a, b, -p)

    # -- bits ----------------------------------------------------------------------------------------------------
    def to_bits(self, x: Value) -> Any:
        return self.b.bitcast(x.v, self.int)

    def from_bits(self, i: Any) -> Value:
        return Value(self, self.b.bitcast(i, self.real))

    def to_real(self, i: Any) -> Value:
        return Value(self, self.b.sitofp(i, self.real))

    def power_of_two(self, k: Any) -> Value:
        """2**k for an integer k between the smallest normal exponent and the largest."""
        return self.from_bits(self.b.shl(self.b.add(k, self.int(self.bias)), self.int(self.mantissa)))

    def rounded(self, x: Value) -> tuple[Any, Value]:
        """The integer nearest to x, as bits and as a float: adding 1.5 * 2**mantissa leaves it in the low bits."""
        magic = self.c(1.5 * 2.0**self.mantissa)
        shifted = x + magic
        return self.b.sub(self.to_bits(shifted), self.to_bits(magic)), shifted - magic


class Value:
    """A float in the code being emitted."""

    __slots__ = ("e", "v")

    def __init__(self, e: Emitter, v: Any) -> None:
        self.e, self.v = e, v

    def _binary(self, name: str, a: Any, b: Any) -> Value:
        return Value(self.e, getattr(self.e.b, name)(self.e.value(a).v, self.e.value(b).v, flags=FLAGS))

    def __add__(self, other: Any) -> Value:
        return self._binary("fadd", self, other)

    def __radd__(self, other: Any) -> Value:
        return self._binary("fadd", other, self)

    def __sub__(self, other: Any) -> Value:
        return self._binary("fsub", self, other)

    def __rsub__(self, other: Any) -> Value:
        return self._binary("fsub", other, self)

    def __mul__(self, other: Any) -> Value:
        return self._binary("fmul", self, other)

    def __rmul__(self, other: Any) -> Value:
        return self._binary("fmul", other, self)

    def __truediv__(self, other: Any) -> Value:
        return self._binary("fdiv", self, other)

    def __rtruediv__(self, other: Any) -> Value:
        return self._binary("fdiv", other, self)

    def __neg__(self) -> Value:
        return Value(self.e, self.e.b.fneg(self.v))

    def __lt__(self, other: Any) -> Any:
        return self.e.b.fcmp_ordered("<", self.v, self.e.value(other).v)

    def __gt__(self, other: Any) -> Any:
        return self.e.b.fcmp_ordered(">", self.v, self.e.value(other).v)

    def __ge__(self, other: Any) -> Any:
        return self.e.b.fcmp_ordered(">=", self.v, self.e.value(other).v)

    def equals(self, other: Any) -> Any:
        return self.e.b.fcmp_ordered("==", self.v, self.e.value(other).v)
