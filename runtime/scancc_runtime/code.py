"""Variables, loops and conditions around an llvmlite builder: run-time functions read like the C they stand for.

    code = Code(builder)
    with code.loop(0, n) as i:                  for (i = 0; i < n; i++)
        total.set(total.get() + a.at(i).load()) total += a[i]

`Int` is a 64-bit integer that wraps. `Array` is memory of elements of one dtype, whose values are LLVM numbers, or
pairs of them for complex dtypes. Nothing here imports numba.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from llvmlite import ir

INT, INT32, BIT, BYTE = ir.IntType(64), ir.IntType(32), ir.IntType(1), ir.IntType(8)
BYTES = BYTE.as_pointer()
CONTRACT = ("contract",)
SUM = ("contract", "reassoc")  # of products: in any order


def declared(module: ir.Module, name: str, kind: ir.FunctionType, *attributes: str) -> Any:
    """A function that is defined elsewhere, or is an intrinsic of LLVM."""
    function = module.globals.get(name)
    if function is None:
        function = ir.Function(module, kind, name)
        for a in attributes:
            function.attributes.add(a)
    return function


def scalar_type(dtype: np.dtype) -> ir.Type:
    """The LLVM type of a number, or of each part of a complex one; a bool is one bit."""
    match dtype.kind:
        case "b":
            return BIT
        case "i" | "u":
            return ir.IntType(8 * dtype.itemsize)
        case "f" | "c":
            return ir.DoubleType() if dtype.itemsize == (8 if dtype.kind == "f" else 16) else ir.FloatType()
        case _:
            raise TypeError(f"kernels have no numbers of {dtype}")


def memory_type(dtype: np.dtype) -> ir.Type:
    """The LLVM type of an element of an array."""
    if dtype.kind == "b":
        return BYTE
    part = scalar_type(dtype)
    return ir.LiteralStructType([part, part]) if dtype.kind == "c" else part


class Int:
    """A 64-bit integer in the code being written."""

    __slots__ = ("b", "v")

    def __init__(self, builder: Any, value: Any) -> None:
        self.b, self.v = builder, value

    def _of(self, other: Any) -> Any:
        return other.v if isinstance(other, Int) else INT(other) if isinstance(other, int) else other

    def _made(self, name: str, other: Any) -> Int:
        return Int(self.b, getattr(self.b, name)(self.v, self._of(other)))

    def __add__(self, other: Any) -> Int:
        return self if isinstance(other, int) and other == 0 else self._made("add", other)

    def __sub__(self, other: Any) -> Int:
        return self if isinstance(other, int) and other == 0 else self._made("sub", other)

    def __mul__(self, other: Any) -> Int:
        return self if isinstance(other, int) and other == 1 else self._made("mul", other)

    def __mod__(self, other: Any) -> Int:
        """Of numbers that are not negative."""
        return self._made("srem", other)

    def _compared(self, sign: str, other: Any) -> Any:
        return self.b.icmp_signed(sign, self.v, self._of(other))

    def __lt__(self, other: Any) -> Any:
        return self._compared("<", other)

    def __le__(self, other: Any) -> Any:
        return self._compared("<=", other)

    def __gt__(self, other: Any) -> Any:
        return self._compared(">", other)

    def __ge__(self, other: Any) -> Any:
        return self._compared(">=", other)

    def equals(self, other: Any) -> Any:
        return self._compared("==", other)

    def differs(self, other: Any) -> Any:
        return self._compared("!=", other)


class Variable:
    """A place on the stack, which LLVM makes a register of."""

    __slots__ = ("b", "places", "wrap")

    def __init__(self, builder: Any, value: Any) -> None:
        self.b = builder
        self.wrap = isinstance(value, Int)
        parts = _parts(value)
        with builder.goto_entry_block():
            self.places = [builder.alloca(p.type) for p in parts]
        self.set(value)

    def get(self) -> Any:
        loaded = [self.b.load(p) for p in self.places]
        if self.wrap:
            return Int(self.b, loaded[0])
        return tuple(loaded) if len(loaded) > 1 else loaded[0]

    def set(self, value: Any) -> None:
        for part, place in zip(_parts(value), self.places, strict=True):
            self.b.store(part, place)


def _parts(value: Any) -> tuple[Any, ...]:
    return (value.v,) if isinstance(value, Int) else value if isinstance(value, tuple) else (value,)


class Numbers:
    """Arithmetic on elements of one dtype."""

    def __init__(self, builder: Any, dtype: np.dtype, flags: tuple[str, ...] = SUM) -> None:
        self.b, self.dtype, self.flags = builder, dtype, flags
        self.part = scalar_type(dtype)

    def constant(self, value: float) -> Any:
        if self.dtype.kind == "c":
            return self.part(float(value)), self.part(0.0)
        return self.part(float(value) if self.dtype.kind == "f" else int(value))

    def add(self, x: Any, y: Any) -> Any:
        if self.dtype.kind == "c":
            return tuple(self.b.fadd(p, q, flags=self.flags) for p, q in zip(x, y, strict=True))
        if self.dtype.kind == "f":
            return self.b.fadd(x, y, flags=self.flags)
        return self.b.or_(x, y) if self.dtype.kind == "b" else self.b.add(x, y)

    def multiply(self, x: Any, y: Any) -> Any:
        if self.dtype.kind == "c":
            (a, b), (c, d) = x, y
            m = self._product
            real = self.b.fsub(m(a, c), m(b, d), flags=self.flags)
            return real, self.b.fadd(m(a, d), m(b, c), flags=self.flags)
        if self.dtype.kind == "f":
            return self._product(x, y)
        return self.b.and_(x, y) if self.dtype.kind == "b" else self.b.mul(x, y)

    def _product(self, x: Any, y: Any) -> Any:
        return self.b.fmul(x, y, flags=self.flags)


class Array:
    """The elements from a pointer on."""

    def __init__(self, builder: Any, dtype: np.dtype, pointer: Any) -> None:
        self.b, self.dtype, self.pointer = builder, dtype, pointer

    def at(self, offset: Any) -> Array:
        index = offset.v if isinstance(offset, Int) else INT(offset) if isinstance(offset, int) else offset
        return Array(self.b, self.dtype, self.b.gep(self.pointer, [index], inbounds=True))

    def load(self) -> Any:
        return load_element(self.b, self.dtype, self.pointer)

    def store(self, value: Any) -> None:
        store_element(self.b, self.dtype, self.pointer, value)

    def vector(self, lanes: int) -> Any:
        """A pointer to so many elements from here on as one vector."""
        return self.b.bitcast(self.pointer, ir.VectorType(memory_type(self.dtype), lanes).as_pointer())


def load_element(builder: Any, dtype: np.dtype, pointer: Any) -> Any:
    """The element at a pointer, as a value."""
    if dtype.kind == "c":
        return tuple(builder.load(part) for part in _both(builder, pointer))
    value = builder.load(pointer)
    return builder.trunc(value, BIT) if dtype.kind == "b" else value


def store_element(builder: Any, dtype: np.dtype, pointer: Any, value: Any) -> None:
    if dtype.kind == "c":
        for part, place in zip(value, _both(builder, pointer), strict=True):
            builder.store(part, place)
    else:
        builder.store(builder.zext(value, BYTE) if dtype.kind == "b" else value, pointer)


def _both(builder: Any, pointer: Any) -> tuple[Any, Any]:
    """Where the real and the imaginary part lie."""
    real, imag = (builder.gep(pointer, [INT32(0), INT32(k)], inbounds=True) for k in (0, 1))
    return real, imag


class Code:
    """A function under construction."""

    def __init__(self, builder: Any) -> None:
        self.b = builder

    def int(self, value: Any) -> Int:
        return value if isinstance(value, Int) else Int(self.b, INT(value) if isinstance(value, int) else value)

    def variable(self, value: Any) -> Variable:
        return Variable(self.b, value)

    @contextmanager
    def loop(self, start: Any, stop: Any, step: int = 1) -> Iterator[Int]:
        """for (i = start; i < stop; i += step). The bounds are computed once."""
        start, stop = self.int(start), self.int(stop)
        before, body, after = self.b.block, self._block("loop"), self._block("after")
        self.b.cbranch(start < stop, body, after)
        self.b.position_at_end(body)
        counter = self.b.phi(INT)
        counter.add_incoming(start.v, before)
        i = Int(self.b, counter)
        yield i
        following = i + step
        counter.add_incoming(following.v, self.b.block)
        self.b.cbranch(following < stop, body, after)
        self.b.position_at_end(after)

    @contextmanager
    def during(self, condition: Callable[[], Any]) -> Iterator[None]:
        """while (condition())"""
        head, body, after = self._block("head"), self._block("during"), self._block("after")
        self.b.branch(head)
        self.b.position_at_end(head)
        self.b.cbranch(condition(), body, after)
        self.b.position_at_end(body)
        yield
        self.b.branch(head)
        self.b.position_at_end(after)

    def smaller(self, x: Any, y: Any) -> Int:
        x, y = self.int(x), self.int(y)
        return Int(self.b, self.b.select(x < y, x.v, y.v))

    def chosen(self, condition: Any, x: Any, y: Any) -> Int:
        return Int(self.b, self.b.select(condition, self.int(x).v, self.int(y).v))

    def _block(self, name: str) -> Any:
        return self.b.append_basic_block(name)


def broadcast(builder: Any, value: Any, kind: ir.VectorType) -> Any:
    """A vector of one number."""
    none = ir.Constant(kind, ir.Undefined)
    mask = ir.Constant(ir.VectorType(INT32, kind.count), None)
    return builder.shuffle_vector(builder.insert_element(none, value, INT32(0)), none, mask)


def fma_of(module: ir.Module, kind: ir.Type) -> Any:
    """LLVM's fused multiply-add of a float type, or of vectors of it."""
    vector = isinstance(kind, ir.VectorType)
    bits = 64 if isinstance(kind.element if vector else kind, ir.DoubleType) else 32
    name = f"llvm.fma.{f'v{kind.count}' if vector else ''}f{bits}"
    return declared(module, name, ir.FunctionType(kind, [kind] * 3))
