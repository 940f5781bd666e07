"""A kernel as LLVM IR: one statement in, its instructions out. Nothing is decided here.

    kernel ar2(x: float64[n_x], a: float64, n_x: int64, y: float64[n_x])

    define i64 @scancc_ar2(double* noalias %x, double %a, i64 %n_x, double* noalias %y)      the C signature
    define i64 @scancc_ar2.packed(i64* %words)                         the same, its arguments one after the other

A kernel returns 0, the code of a failure, or one of the codes in `body.py`. Arrays are C-contiguous and do not overlap.
A complex number is two parameters. Scratch memory that lies on the stack is no parameter; arrays that the kernel
allocates itself and returns are described in the words that the last parameter points to: address, then lengths.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from math import prod
from types import MappingProxyType
from typing import Any

from llvmlite import ir
from scancc_runtime.code import BYTES, INT, declared, memory_type

from scancc.backends.llvm.body import At
from scancc.backends.llvm.hints import Hints
from scancc.backends.llvm.library import Library
from scancc.backends.llvm.parts import parts_of
from scancc.backends.llvm.ranges import LONGEST
from scancc.backends.llvm.statements import StatementPrinter, prints_of
from scancc.ir.loop import Alloc, Buffer, Expr, Kernel, Var
from scancc.ir.types import in_memory
from scancc.ir.walk import statements, variables

ALIGNMENT = 64  # of arrays on the stack: a cache line

Stack = Mapping[str, tuple[int, ...]]


class KernelPrinter(StatementPrinter):
    """`module` has the kernel when it is made. `flags` are those of sums and products of floats.

    `stack`: shapes of the buffers that lie on the stack, `lengths`: parameters that are lengths of arrays,
    `definitions`: lengths of arrays that are computed from parameters, `show`: the address of the function that prints;
    `at` is told of each statement before its instructions are written.
    """

    def __init__(
        self, kernel: Kernel, flags: tuple[str, ...], stack: Stack, lengths: Collection[str] = (),
        definitions: Mapping[str, Expr] = MappingProxyType({}), show: int = 0,
        at: At | None = None, triple: str = "", layout: str = "",
    ) -> None:  # fmt: skip
        self.kernel, self.stack, self.definitions = kernel, stack, definitions
        module = ir.Module(kernel.name)
        module.triple, module.data_layout = triple, layout
        self.given = [p for p in kernel.params if p.name not in stack]
        kinds = [k for p in self.given for k in _parameter_types(p)]
        kinds += [INT.as_pointer()] if kernel.returned else []
        self.symbol = f"scancc_{kernel.name}"
        function = ir.Function(module, ir.FunctionType(INT, kinds), self.symbol)
        function.attributes.add("noinline")
        function.attributes.add("nounwind")
        super().__init__(function, Library(module), Hints(module), flags, at, show, prints_of(kernel.body),
                         parts_of(kernel.body))  # fmt: skip
        self._print(lengths)

    def text(self) -> str:
        return self.hints.written(str(self.module))

    def packed(self) -> str:
        """Add the form that takes its arguments as words, complex numbers as two; returns its symbol."""
        symbol = f"{self.symbol}.packed"
        function = ir.Function(self.module, ir.FunctionType(INT, [INT.as_pointer()]), symbol)
        b = ir.IRBuilder(function.append_basic_block("entry"))
        arguments, word = [], 0
        for p in self.given:
            place = b.gep(function.args[0], [INT(word)])
            if isinstance(p, Buffer):
                arguments.append(b.inttoptr(b.load(place), memory_type(in_memory(p.dtype)).as_pointer()))
                word += 1
                continue
            kind = memory_type(in_memory(p.dtype))
            parts = kind.elements if p.dtype.kind == "c" else (kind,)
            size = p.dtype.itemsize // len(parts)
            start = b.bitcast(place, BYTES)
            for k, part in enumerate(parts):
                at = b.gep(start, [INT(k * size)])
                arguments.append(b.load(b.bitcast(at, part.as_pointer()), align=size))
            word += 1 + (p.dtype.itemsize > 8)
        if self.kernel.returned:
            arguments.append(b.inttoptr(b.load(b.gep(function.args[0], [INT(word)])), INT.as_pointer()))
        b.ret(b.call(self.function, arguments))
        return symbol

    # -- the function --------------------------------------------------------------------------------------------

    def _print(self, lengths: Collection[str]) -> None:
        b = self.b
        given = iter(self.function.args)
        for p in self.given:
            if isinstance(p, Buffer):
                pointer = next(given)
                pointer.name = p.name
                pointer.add_attribute("noalias")
                self.memory[p.name] = pointer
            else:
                self.values[p.name] = self._parameter(p, given)
        for p in self.kernel.params:
            if isinstance(p, Buffer) and p.name in self.stack:
                kind = memory_type(in_memory(p.dtype))
                array = b.alloca(ir.ArrayType(kind, prod(self.stack[p.name])), name=p.name)
                array.align = ALIGNMENT
                self.memory[p.name] = b.bitcast(array, kind.as_pointer())
        assume = declared(self.module, "llvm.assume", ir.FunctionType(ir.VoidType(), [ir.IntType(1)]))
        for name in lengths:
            self.ranges.known[name] = (0, LONGEST)
            b.call(assume, [b.icmp_signed(">=", self.values[name], INT(0))])
        self._host_lengths()
        self.returned = next(given, None)
        own = [s.buffer for s in statements(self.kernel.body) if isinstance(s, Alloc)]
        self.prepare(list(dict.fromkeys([*own, *self.kernel.returned])))
        self.run(self.kernel.body)
        self.go(self.leave)
        b.position_at_end(self.leave)
        for buffer in dict.fromkeys(own):
            if buffer not in self.kernel.returned:
                self.free(buffer)
        self._hand_over()
        b.ret(self.code.get())

    def _host_lengths(self) -> None:
        """Lengths of arrays that the host computed before the call, computed once more where a subscript needs them."""
        shapes = [d for p in self.kernel.params if isinstance(p, Buffer) for d in p.shape[1:]]
        needed: dict[str, None] = {}
        pending = [v.name for d in shapes for v in variables(d)]
        while pending:
            name = pending.pop()
            if name in self.definitions and name not in self.values:
                needed.pop(name, None)  # those that it depends on come after it
                needed[name] = None
                pending += [v.name for v in variables(self.definitions[name])]
        for name in reversed(needed):
            self.host[name] = self.expr(self.definitions[name])
            self.ranges.known[name] = (-LONGEST, LONGEST)

    def _parameter(self, p: Var, given: Any) -> Any:
        parts = [next(given) for _ in _parameter_types(p)]
        for part, suffix in zip(parts, ("", "_imag"), strict=False):
            part.name = p.name + suffix
        if p.dtype.kind == "c":
            return tuple(parts)
        return self.b.trunc(parts[0], ir.IntType(1)) if p.dtype.kind == "b" else parts[0]

    def _hand_over(self) -> None:
        b, word = self.b, 0
        for buffer in self.kernel.returned:
            lengths = [n.get() for n in self.lengths[buffer.name]]
            for value in (b.ptrtoint(self.memory[buffer.name].get(), INT), *lengths):
                b.store(value, b.gep(self.returned, [INT(word)]))
                word += 1


def _parameter_types(p: Buffer | Var) -> list[ir.Type]:
    kind = memory_type(in_memory(p.dtype))
    if isinstance(p, Buffer):
        return [kind.as_pointer()]
    return list(kind.elements) if p.dtype.kind == "c" else [kind]
