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
from scancc_runtime.code import (
    BYTES,
    INT,
    Variable,
    declared,
    memory_type,
    scalar_type,
    store_element,
)

from scancc.backends.llvm.allocations import Allocations
from scancc.backends.llvm.body import LEFT, RAISED, At
from scancc.backends.llvm.hints import Hints, is_long
from scancc.backends.llvm.interrupts import HOST
from scancc.backends.llvm.library import Argument, Library
from scancc.backends.llvm.ranges import LONGEST
from scancc.ir.loop import (
    Alloc,
    Assign,
    Break,
    Buffer,
    Call,
    Declare,
    Expr,
    Fail,
    For,
    Grow,
    If,
    Kernel,
    Let,
    Note,
    Place,
    Print,
    Stmt,
    Store,
    Var,
)
from scancc.ir.types import in_memory
from scancc.ir.walk import statements, variables

FLAG = "scancc.flag"  # which nobody sets
ALIGNMENT = 64  # of arrays on the stack: a cache line

Stack = Mapping[str, tuple[int, ...]]


class KernelPrinter(Allocations):
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
        self.kernel, self.stack, self.show, self.definitions = kernel, stack, show, definitions
        module = ir.Module(kernel.name)
        module.triple, module.data_layout = triple, layout
        self.library, self.hints = Library(module), Hints(module)
        self.given = [p for p in kernel.params if p.name not in stack]
        kinds = [k for p in self.given for k in _parameter_types(p)]
        kinds += [INT.as_pointer()] if kernel.returned else []
        self.symbol = f"scancc_{kernel.name}"
        function = ir.Function(module, ir.FunctionType(INT, kinds), self.symbol)
        function.attributes.add("noinline")
        function.attributes.add("nounwind")
        super().__init__(function, self.library, flags, at)
        self.after: list[Any] = []  # blocks behind the loops around
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

    # -- statements ----------------------------------------------------------------------------------------------

    def run(self, block: list[Stmt]) -> None:
        for s in block:
            self.mark(s)
            self.statement(s)

    def statement(self, s: Stmt) -> None:
        match s:
            case Let(var, e):
                self.values[var.name] = self.expr(e)
                self.ranges.learn(var, e)
            case Declare(var, e):
                self.values[var.name] = Variable(self.b, self.expr(e))
            case Assign(var, e):
                self.values[var.name].set(self.expr(e))
            case Store(buffer, index, e):
                value = self.expr(e)
                store_element(self.b, in_memory(buffer.dtype), self.address(buffer, index), value)
            case For():
                self.loop(s)
            case If(condition, then, orelse):
                self.branch(self.expr(condition), then, orelse)
            case Break():
                self.go(self.after[-1])
            case Fail(code):
                self.fail(code)
            case Call():
                self.call(s)
            case Alloc(buffer):
                self.allocate(buffer)
            case Grow(buffer, row):
                self.grow(buffer, self.expr(row))
            case Print():
                self.print(s)
            case Note():
                pass
            case _:
                raise AssertionError(f"a statement of other targets: {s}")

    def loop(self, s: For) -> None:
        b = self.b
        start, stop = self.expr(s.start), self.expr(s.stop)
        before, first = b.block, len(self.function.blocks)
        body = self.block(s.var.name)
        latch, after = self.block("next"), self.block("after")
        b.cbranch(b.icmp_signed("<", start, stop), body, after)
        b.position_at_end(body)
        counter = b.phi(scalar_type(s.var.dtype), name=s.var.name)
        counter.add_incoming(start, before)
        self.values[s.var.name] = counter
        self.ranges.count(s.var, s.start, s.stop)
        self.after.append(after)
        if is_long(s):
            self._second_way_out()
        self.run(s.body)
        self.after.pop()
        self.go(latch)
        b.position_at_end(latch)
        self.mark(s)
        following = b.add(counter, counter.type(1), flags=("nsw",))  # at most the end
        counter.add_incoming(following, latch)
        again = b.icmp_signed("<", following, stop)
        jump = b.cbranch(again, body, after)
        hints = self.hints.of(s, self.function.blocks[first:])
        if hints is not None:
            jump.set_metadata("llvm.loop", hints)
        b.position_at_end(after)

    def branch(self, condition: Any, then: list[Stmt], orelse: list[Stmt]) -> None:
        b = self.b
        first, after = self.block("then"), self.block("after")
        second = self.block("else") if orelse else after
        b.cbranch(condition, first, second)
        b.position_at_end(first)
        self.run(then)
        self.go(after)
        if orelse:
            b.position_at_end(second)
            self.run(orelse)
            self.go(after)
        b.position_at_end(after)

    def _second_way_out(self) -> None:
        """It is not taken: `hints.py` says what it is for."""
        flag = self.module.globals.get(FLAG)
        if flag is None:
            flag = ir.GlobalVariable(self.module, ir.IntType(32), FLAG)
            flag.initializer, flag.linkage = ir.IntType(32)(0), "weak"
        with self.unlikely(self.b.icmp_signed("!=", self.b.load(flag), ir.IntType(32)(0))):
            self.fail(LEFT)

    def call(self, s: Call) -> None:
        args: list[Argument] = []
        for a in s.args:
            if isinstance(a, Place):
                args.append((in_memory(a.buffer.dtype), self.address(a.buffer, a.index)))
            else:
                args.append((None, self.expr(a)))
        found = self.library.call(self.b, s.function, args)
        for result in s.results:
            self.values[result.name] = found

    # -- prints --------------------------------------------------------------------------------------------------

    def print(self, s: Print) -> None:
        """The function that prints gets the number of the statement, and of each array its address and lengths."""
        b = self.b
        words = [self.show_number(s)]
        for buffer in s.values:
            words += [b.ptrtoint(self.pointer(buffer), INT), *map(self.expr, buffer.shape)]
        with b.goto_entry_block():
            place = b.alloca(ir.ArrayType(INT, len(words)))
        for k, word in enumerate(words):
            b.store(word, b.gep(place, [INT(0), INT(k)]))
        show = declared(self.module, HOST + "show", ir.FunctionType(INT, [INT, INT.as_pointer()]))
        raised = b.call(show, [INT(self.show), b.bitcast(place, INT.as_pointer())])
        with self.unlikely(b.icmp_signed("!=", raised, INT(0))):
            self.fail(RAISED)

    def show_number(self, s: Print) -> Any:
        return INT(next(k for k, p in enumerate(prints_of(self.kernel.body)) if p is s))


def _parameter_types(p: Buffer | Var) -> list[ir.Type]:
    kind = memory_type(in_memory(p.dtype))
    if isinstance(p, Buffer):
        return [kind.as_pointer()]
    return list(kind.elements) if p.dtype.kind == "c" else [kind]


def prints_of(block: list[Stmt]) -> list[Print]:
    """In the order of their numbers."""
    return [s for s in statements(block) if isinstance(s, Print)]
