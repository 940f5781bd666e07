"""A kernel as LLVM IR: one statement in, its instructions out. Nothing is decided here.

    kernel ar2(x: float64[n_x], a: float64, n_x: int64, y: float64[n_x])

    define i64 @scancc_ar2(double* noalias %x, double %a, i64 %n_x, double* noalias %y)      the C signature
    define i64 @scancc_ar2.packed(i64* %words)                         the same, its arguments one after the other

A kernel returns 0, the code of a failure, or one of the codes below. Arrays are C-contiguous and do not overlap. A
complex number is two parameters. Scratch memory that lies on the stack is no parameter; arrays that the kernel allocates
itself and returns are described in the words that the last parameter points to: their address, then their lengths.

Single-assignment variables are values; mutable ones live on the stack, of which LLVM makes registers.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import contextmanager
from math import prod
from types import MappingProxyType
from typing import Any

from llvmlite import ir
from scancc_runtime.code import (
    BYTES,
    INT,
    Variable,
    declared,
    load_element,
    memory_type,
    scalar_type,
    store_element,
)

from scancc.backends.llvm.hints import Hints, is_long
from scancc.backends.llvm.library import Argument, Library
from scancc.backends.llvm.ops import OpPrinter
from scancc.backends.llvm.ranges import LONGEST, Ranges
from scancc.errors import UnsupportedError
from scancc.ir.graph import Loc
from scancc.ir.loop import (
    INT64,
    Alloc,
    Assign,
    Break,
    Buffer,
    Call,
    Const,
    Declare,
    Expr,
    Fail,
    For,
    Grow,
    If,
    Kernel,
    Let,
    Load,
    Note,
    Op,
    Place,
    Print,
    Stmt,
    Store,
    Var,
)
from scancc.ir.types import in_memory
from scancc.ir.walk import statements, variables

# What a kernel returns where memory is not there, where a print raised an error, and where it was told to stop.
NO_MEMORY, RAISED, STOPPED = -1, -2, -3
STOP = "scancc.stop"  # the flag that tells it
ALIGNMENT = 64  # of arrays on the stack: a cache line
INTEGER = {"add": "add", "subtract": "sub", "multiply": "mul"}
FIRST_ROWS = 16  # of an array that grows

Stack = Mapping[str, tuple[int, ...]]


class KernelPrinter:
    """`module` has the kernel when it is made. `flags` are those of sums and products of floats.

    `stack`: shapes of the buffers that lie on the stack, `lengths`: parameters that are lengths of arrays, `definitions`:
    lengths of arrays that are computed from parameters, `show`: the address of the function that prints, `at` is told of each statement before its instructions are written.
    """

    def __init__(
        self, kernel: Kernel, flags: tuple[str, ...], stack: Stack, lengths: Collection[str] = (),
        definitions: Mapping[str, Expr] = MappingProxyType({}), show: int = 0,
        at: Callable[[ir.Function, Stmt | None], Any] | None = None, triple: str = "", layout: str = "",
    ) -> None:  # fmt: skip
        self.kernel, self.stack, self.show, self.definitions = kernel, stack, show, definitions
        self.module = ir.Module(kernel.name)
        self.module.triple, self.module.data_layout = triple, layout
        self.library = Library(self.module)
        self.given = [p for p in kernel.params if p.name not in stack]
        kinds = [k for p in self.given for k in _parameter_types(p)]
        kinds += [INT.as_pointer()] if kernel.returned else []
        self.symbol = f"scancc_{kernel.name}"
        self.function = ir.Function(self.module, ir.FunctionType(INT, kinds), self.symbol)
        self.function.attributes.add("noinline")
        self.function.attributes.add("nounwind")
        self.b = ir.IRBuilder(self.function.append_basic_block("entry"))
        self.ops = OpPrinter(self.b, self.library, flags)
        self.values: dict[str, Any] = {}  # of variables; mutable ones are `Variable`s
        self.host: dict[str, Any] = {}  # lengths that the host computed, too
        self.memory: dict[str, Any] = {}  # pointers to arrays; those of the kernel's own are `Variable`s
        self.lengths: dict[str, list[Variable]] = {}  # of arrays that the kernel allocates
        self.ranges = Ranges()
        self.hints = Hints(self.module)
        self.after: list[Any] = []  # blocks behind the loops around
        self.loc: Loc | None = None
        self.at = at
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
        self._mark(None)
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
        self.code = Variable(b, INT(0))
        self.leave = self.function.append_basic_block("leave")
        own = [s.buffer for s in _allocations(self.kernel.body)]
        for buffer in dict.fromkeys([*own, *self.kernel.returned]):
            kind = memory_type(in_memory(buffer.dtype)).as_pointer()
            self.memory[buffer.name] = Variable(b, ir.Constant(kind, None))
            self.lengths[buffer.name] = [Variable(b, INT(0)) for _ in buffer.shape]
        self.block(self.kernel.body)
        self._go(self.leave)
        b.position_at_end(self.leave)
        for buffer in dict.fromkeys(own):
            if buffer not in self.kernel.returned:
                self._free(buffer)
        self._hand_over()
        b.ret(self.code.get())

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

    def block(self, block: list[Stmt]) -> None:
        for s in block:
            self._mark(s)
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
                self._go(self.after[-1])
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
        body = self._block(s.var.name)
        latch, after = self._block("next"), self._block("after")
        b.cbranch(b.icmp_signed("<", start, stop), body, after)
        b.position_at_end(body)
        counter = b.phi(scalar_type(s.var.dtype), name=s.var.name)
        counter.add_incoming(start, before)
        self.values[s.var.name] = counter
        self.ranges.count(s.var, s.start, s.stop)
        self.after.append(after)
        if is_long(s):
            self._look_at_flag()
        self.block(s.body)
        self.after.pop()
        self._go(latch)
        b.position_at_end(latch)
        self._mark(s)
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
        first, after = self._block("then"), self._block("after")
        second = self._block("else") if orelse else after
        b.cbranch(condition, first, second)
        b.position_at_end(first)
        self.block(then)
        self._go(after)
        if orelse:
            b.position_at_end(second)
            self.block(orelse)
            self._go(after)
        b.position_at_end(after)

    def fail(self, code: int) -> None:
        if not self.b.block.is_terminated:
            self.code.set(INT(code))
            self._go(self.leave)

    def _look_at_flag(self) -> None:
        """Whoever wants the kernel to end sets the flag."""
        flag = self.module.globals.get(STOP)
        if flag is None:
            flag = ir.GlobalVariable(self.module, ir.IntType(32), STOP)
            flag.initializer, flag.linkage = ir.IntType(32)(0), "weak"
        with self._unlikely(self.b.icmp_signed("!=", self.b.load(flag), ir.IntType(32)(0))):
            self.fail(STOPPED)

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

    # -- memory of the kernel's own ------------------------------------------------------------------------------

    def allocate(self, buffer: Buffer) -> None:
        """Memory that `leave` gives back, or the caller; that of the iteration before goes at once."""
        b = self.b
        self._free(buffer)
        pointer = self.memory[buffer.name]
        pointer.set(ir.Constant(pointer.places[0].type.pointee, None))
        lengths = [self._length(self.expr(d)) for d in buffer.shape]
        size = self._bytes(buffer, lengths)
        malloc = declared(self.module, "malloc", ir.FunctionType(BYTES, [INT]))
        malloc.return_value.attributes.add("noalias")
        self._take(buffer, b.call(malloc, [size]), lengths)

    def grow(self, buffer: Buffer, row: Any) -> None:
        b, (rows, *others) = self.b, [n.get() for n in self.lengths[buffer.name]]
        with self._unlikely(b.icmp_signed(">=", row, rows)):
            twice = b.mul(rows, INT(2))
            lengths = [b.select(b.icmp_signed(">", twice, INT(FIRST_ROWS)), twice, INT(FIRST_ROWS)), *others]
            size = self._bytes(buffer, lengths)
            realloc = declared(self.module, "realloc", ir.FunctionType(BYTES, [BYTES, INT]))
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
        with self._unlikely(self.b.not_(condition)):
            self.fail(NO_MEMORY)

    def _free(self, buffer: Buffer) -> None:
        free = declared(self.module, "free", ir.FunctionType(ir.VoidType(), [BYTES]))
        self.b.call(free, [self.b.bitcast(self.memory[buffer.name].get(), BYTES)])

    # -- prints --------------------------------------------------------------------------------------------------

    def print(self, s: Print) -> None:
        """The function that prints gets the number of the statement, and of each array its address and lengths."""
        b = self.b
        words = [self.show_number(s)]
        for buffer in s.values:
            words += [b.ptrtoint(self._pointer(buffer), INT), *map(self.expr, buffer.shape)]
        with b.goto_entry_block():
            place = b.alloca(ir.ArrayType(INT, len(words)))
        for k, word in enumerate(words):
            b.store(word, b.gep(place, [INT(0), INT(k)]))
        kind = ir.FunctionType(INT, [INT.as_pointer()])
        function = b.inttoptr(INT(self.show), kind.as_pointer())
        raised = b.call(function, [b.bitcast(place, INT.as_pointer())])
        with self._unlikely(b.icmp_signed("!=", raised, INT(0))):
            self.fail(RAISED)

    def show_number(self, s: Print) -> Any:
        return INT(next(k for k, p in enumerate(prints_of(self.kernel.body)) if p is s))

    # -- expressions ---------------------------------------------------------------------------------------------

    def expr(self, e: Expr) -> Any:
        match e:
            case Var(name, _):
                value = self.host.get(name) or self.values[name]
                return value.get() if isinstance(value, Variable) else value
            case Const(value, dtype):
                return self.ops.constant(value, dtype)
            case Load(buffer, index):
                return load_element(self.b, in_memory(buffer.dtype), self.address(buffer, index))
            case Op(("add" | "subtract" | "multiply") as name, (x, y), dtype) if dtype == INT64:
                flags = ("nsw",) if self.ranges.fits(name, x, y) else ()
                return getattr(self.b, INTEGER[name])(self.expr(x), self.expr(y), flags=flags)
            case Op(name, args, dtype):
                values = tuple(self.expr(a) for a in args)
                try:
                    return self.ops.op(name, dtype, values, tuple(a.dtype for a in args))
                except (KeyError, NotImplementedError) as wrong:
                    raise UnsupportedError(
                        f"{name} of {args[-1].dtype} is not supported by the CPU back end"
                        + (f": {wrong}" if isinstance(wrong, NotImplementedError) else ""),
                        self.loc, fix="compute it outside the step",
                    ) from None  # fmt: skip

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

    def address(self, buffer: Buffer, index: tuple[Expr, ...]) -> Any:
        """Of an element. Subscripts are never negative and never too large."""
        b, offset = self.b, None
        for axis, e in enumerate(index):
            i = self.expr(e)
            if offset is None or (isinstance(offset, ir.Constant) and offset.constant == 0):
                offset = i
                continue
            length = self.expr(buffer.shape[axis])
            if not isinstance(length, ir.Constant) or length.constant != 1:
                offset = _folded(b.mul, offset, length, lambda x, y: x * y)
            offset = _folded(b.add, offset, i, lambda x, y: x + y)
        return b.gep(self._pointer(buffer), [INT(0) if offset is None else offset], inbounds=True)

    def _pointer(self, buffer: Buffer) -> Any:
        memory = self.memory[buffer.name]
        return memory.get() if isinstance(memory, Variable) else memory

    # -- blocks --------------------------------------------------------------------------------------------------

    def _mark(self, s: Stmt | None) -> None:
        self.loc = getattr(s, "loc", None)
        if self.at is not None:
            self.b.debug_metadata = self.at(self.function, s)

    def _block(self, name: str) -> Any:
        return self.function.append_basic_block(name)

    def _go(self, block: Any) -> None:
        if not self.b.block.is_terminated:
            self.b.branch(block)

    @contextmanager
    def _unlikely(self, condition: Any) -> Any:
        inside, after = self._block("unlikely"), self._block("after")
        branch = self.b.cbranch(condition, inside, after)
        branch.set_weights([1, 10_000])
        self.b.position_at_end(inside)
        yield
        self._go(after)
        self.b.position_at_end(after)


def _folded(write: Callable[..., Any], x: Any, y: Any, known: Callable[[int, int], int]) -> Any:
    if isinstance(x, ir.Constant) and isinstance(y, ir.Constant):
        return x.type(known(x.constant, y.constant))
    return write(x, y, flags=("nsw",))  # it is an offset within an array


def _parameter_types(p: Buffer | Var) -> list[ir.Type]:
    kind = memory_type(in_memory(p.dtype))
    if isinstance(p, Buffer):
        return [kind.as_pointer()]
    return list(kind.elements) if p.dtype.kind == "c" else [kind]


def _allocations(block: list[Stmt]) -> list[Alloc]:
    return [s for s in statements(block) if isinstance(s, Alloc)]


def prints_of(block: list[Stmt]) -> list[Print]:
    """In the order of their numbers."""
    return [s for s in statements(block) if isinstance(s, Print)]


def word_counts(kernel: Kernel, stack: Stack) -> dict[str, int]:
    """Words of each parameter of the packed form."""
    return {p.name: 1 + (isinstance(p, Var) and p.dtype.itemsize > 8) for p in kernel.params if p.name not in stack}
