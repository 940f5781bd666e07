"""Variables, loops and conditions around an llvmlite builder: run-time functions read like the C they stand for.

    code = Code(builder)
    for i in code.loop(0, n):                   for (i = 0; i < n; i++)
        total.set(total.get() + a.at(i).load()) total += a[i]

What is known when the code is written, as the length of a row often is, is no instruction: arithmetic of such numbers
is done, conditions are decided, and a loop of no or of one iteration is none.

`Int` is a 64-bit integer that wraps. `Array` is memory of elements of one dtype, whose values are LLVM numbers, or
pairs of them for complex dtypes. Nothing here imports numba.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from llvmlite import ir

INT, INT32, BIT, BYTE = ir.IntType(64), ir.IntType(32), ir.IntType(1), ir.IntType(8)
BYTES = BYTE.as_pointer()
CONTRACT = ("contract",)
SUM = ("contract", "reassoc")  # of products: in any order
LOOP = "scancc.loop"
OF_LOOP = re.compile(r'^!(\d+) = !\{ !"scancc.loop", i64 \d+(, )?', re.M)


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
        self.b, self.v = builder, INT(value) if isinstance(value, int) else value

    @property
    def known(self) -> int | None:
        return self.v.constant if isinstance(self.v, ir.Constant) else None

    def _of(self, other: Any) -> Int:
        return other if isinstance(other, Int) else Int(self.b, other)

    def _made(self, name: str, other: Any, exact: Callable[[int, int], int]) -> Int:
        other = self._of(other)
        if self.known is not None and other.known is not None:
            return Int(self.b, _wrapped(exact(self.known, other.known)))
        return Int(self.b, getattr(self.b, name)(self.v, other.v))

    def __add__(self, other: Any) -> Int:
        other = self._of(other)
        return self if other.known == 0 else other if self.known == 0 else self._made("add", other, operator.add)

    def __sub__(self, other: Any) -> Int:
        other = self._of(other)
        return self if other.known == 0 else self._made("sub", other, operator.sub)

    def __mul__(self, other: Any) -> Int:
        other = self._of(other)
        return self if other.known == 1 else other if self.known == 1 else self._made("mul", other, operator.mul)

    def __mod__(self, other: Any) -> Int:
        """Of numbers that are not negative."""
        return Int(self.b, 0) if self._of(other).known == 1 else self._made("srem", other, operator.mod)

    def _compared(self, sign: str, other: Any, exact: Callable[[int, int], bool]) -> Any:
        other = self._of(other)
        if self.known is not None and other.known is not None:
            return BIT(int(exact(self.known, other.known)))
        return self.b.icmp_signed(sign, self.v, other.v)

    def __lt__(self, other: Any) -> Any:
        return self._compared("<", other, operator.lt)

    def __le__(self, other: Any) -> Any:
        return self._compared("<=", other, operator.le)

    def __gt__(self, other: Any) -> Any:
        return self._compared(">", other, operator.gt)

    def __ge__(self, other: Any) -> Any:
        return self._compared(">=", other, operator.ge)

    def equals(self, other: Any) -> Any:
        return self._compared("==", other, operator.eq)

    def differs(self, other: Any) -> Any:
        return self._compared("!=", other, operator.ne)


def _wrapped(value: int) -> int:
    return (value + 2**63) % 2**64 - 2**63


def decided(condition: Any) -> bool | None:
    """A condition that is known when the code is written; None where it is not."""
    return bool(condition.constant) if isinstance(condition, ir.Constant) else None


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
        return value if isinstance(value, Int) else Int(self.b, value)

    def variable(self, value: Any) -> Variable:
        return Variable(self.b, value)

    def loop(self, start: Any, stop: Any, step: int = 1, whole: bool = False) -> Iterator[Int]:
        """for (i = start; i < stop; i += step). The bounds are computed once.

        `whole`: an iteration has enough to do, LLVM need not unroll it.
        """
        start, stop = self.int(start), self.int(stop)
        if decided(start < stop) is False:
            return
        if decided(start < stop) and decided(start + step >= stop):
            yield start
            return
        before, body, after = self.b.block, self._block("loop"), self._block("after")
        self.b.cbranch(start < stop, body, after)
        self.b.position_at_end(body)
        counter = self.b.phi(INT)
        counter.add_incoming(start.v, before)
        i = Int(self.b, counter)
        yield i
        following = i + step
        counter.add_incoming(following.v, self.b.block)
        jump = self.b.cbranch(following < stop, body, after)
        if whole:
            jump.set_metadata("llvm.loop", loop_metadata(self.b.module, ("llvm.loop.unroll.disable",)))
        self.b.position_at_end(after)

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

    def either(self, condition: Any) -> Iterator[bool]:
        """True in the code where the condition holds, then False in that where it does not."""
        known = decided(condition)
        if known is not None:
            yield known
            return
        with self.b.if_else(condition) as (then, otherwise):
            with then:
                yield True
            with otherwise:
                yield False

    def smaller(self, x: Any, y: Any) -> Int:
        x, y = self.int(x), self.int(y)
        return self.chosen(x < y, x, y)

    def chosen(self, condition: Any, x: Any, y: Any) -> Int:
        x, y = self.int(x), self.int(y)
        known = decided(condition)
        return Int(self.b, self.b.select(condition, x.v, y.v)) if known is None else x if known else y

    def both(self, x: Any, y: Any) -> Any:
        """Whether two conditions hold."""
        for one, other in ((x, y), (y, x)):
            if (known := decided(one)) is not None:
                return other if known else one
        return self.b.and_(x, y)

    def _block(self, name: str) -> Any:
        return self.b.append_basic_block(name)


def loop_metadata(module: ir.Module, *hints: Any) -> Any:
    """What LLVM is told of a loop. It is to begin with itself, which llvmlite cannot say: `linked_loops` does."""
    nodes = [module.add_metadata(list(h)) if isinstance(h, tuple) else h for h in hints]
    return module.add_metadata([LOOP, INT(len(module.metadata)), *nodes])


def linked_loops(text: str) -> str:
    """The text of a module, with the metadata of loops as it is to be."""
    return OF_LOOP.sub(lambda m: f"!{m.group(1)} = distinct !{{ !{m.group(1)}{m.group(2) or ''}", text)


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
