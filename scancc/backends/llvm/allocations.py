"""Arrays that a kernel allocates itself, since their lengths are known in the loop only, by the C library."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from scancc_runtime.code import BYTES, INT, Variable, declared, memory_type

from scancc.backends.llvm.body import NO_MEMORY, Body
from scancc.backends.llvm.interrupts import HOST
from scancc.ir.loop import Buffer
from scancc.ir.types import in_memory

FIRST_ROWS = 16  # of an array that grows


class Allocations(Body):
    lengths: dict[str, list[Variable]]  # of the arrays

    def prepare(self, buffers: list[Buffer]) -> None:
        """There is nothing yet."""
        self.lengths = {}
        for buffer in buffers:
            kind = memory_type(in_memory(buffer.dtype)).as_pointer()
            self.memory[buffer.name] = Variable(self.b, ir.Constant(kind, None))
            self.lengths[buffer.name] = [Variable(self.b, INT(0)) for _ in buffer.shape]

    def allocate(self, buffer: Buffer) -> None:
        """Memory that `leave` gives back, or the caller; that of the iteration before goes at once."""
        b = self.b
        self.free(buffer)
        pointer = self.memory[buffer.name]
        pointer.set(ir.Constant(pointer.places[0].type.pointee, None))
        lengths = [self._length(self.expr(d)) for d in buffer.shape]
        size = self._bytes(buffer, lengths)
        malloc = declared(self.module, HOST + "allocate", ir.FunctionType(BYTES, [INT]))
        malloc.return_value.attributes.add("noalias")
        self._take(buffer, b.call(malloc, [size]), lengths)

    def grow(self, buffer: Buffer, row: Any) -> None:
        b, (rows, *others) = self.b, [n.get() for n in self.lengths[buffer.name]]
        with self.unlikely(b.icmp_signed(">=", row, rows)):
            twice = b.mul(rows, INT(2))
            lengths = [b.select(b.icmp_signed(">", twice, INT(FIRST_ROWS)), twice, INT(FIRST_ROWS)), *others]
            size = self._bytes(buffer, lengths)
            realloc = declared(self.module, HOST + "reallocate", ir.FunctionType(BYTES, [BYTES, INT]))
            old = b.bitcast(self.memory[buffer.name].get(), BYTES)
            self._take(buffer, b.call(realloc, [old, size]), lengths)

    def _take(self, buffer: Buffer, memory: Any, lengths: list[Any]) -> None:
        b = self.b
        self._demand(b.icmp_unsigned("!=", memory, ir.Constant(BYTES, None)))
        self.memory[buffer.name].set(b.bitcast(memory, memory_type(in_memory(buffer.dtype)).as_pointer()))
        for place, n in zip(self.lengths[buffer.name], lengths, strict=True):
            place.set(n)

    def _bytes(self, buffer: Buffer, lengths: list[Any]) -> Any:
        """One byte at least; what does not fit into 63 bits is memory that is not there."""
        b, size = self.b, INT(in_memory(buffer.dtype).itemsize)
        for n in lengths:
            both = b.smul_with_overflow(size, n)
            self._demand(b.not_(b.extract_value(both, 1)))
            size = b.extract_value(both, 0)
        return b.add(size, INT(1))

    def _length(self, n: Any) -> Any:
        """Lengths that are computed may be negative."""
        return self.b.select(self.b.icmp_signed(">", n, INT(0)), n, INT(0))

    def _demand(self, condition: Any) -> None:
        with self.unlikely(self.b.not_(condition)):
            self.fail(NO_MEMORY)

    def free(self, buffer: Buffer) -> None:
        free = declared(self.module, HOST + "release", ir.FunctionType(ir.VoidType(), [BYTES]))
        self.b.call(free, [self.b.bitcast(self.memory[buffer.name].get(), BYTES)])
