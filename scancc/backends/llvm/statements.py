"""Statements of the loop IR as instructions of a function: one in, its instructions out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llvmlite import ir
from scancc_runtime.code import INT, Variable, declared, scalar_type, store_element

from scancc.backends.llvm.allocations import Allocations
from scancc.backends.llvm.body import LEFT, RAISED, At
from scancc.backends.llvm.hints import Hints, is_long
from scancc.backends.llvm.interrupts import HOST
from scancc.backends.llvm.library import Argument, Library
from scancc.backends.llvm.parts import Part
from scancc.ir.loop import (
    Alloc,
    Assign,
    Break,
    Call,
    Declare,
    Fail,
    For,
    Grow,
    If,
    Let,
    Note,
    Place,
    Print,
    Stmt,
    Store,
)
from scancc.ir.types import in_memory
from scancc.ir.walk import statements

FLAG = "scancc.flag"  # which nobody sets


class StatementPrinter(Allocations):
    """`parts`: loops that become functions of their own, by identity; `functions` has those that are written.

    `show` is the address of the function that prints, `prints` are the kernel's, in the order of their numbers.
    """

    def __init__(
        self, function: ir.Function, library: Library, hints: Hints, flags: tuple[str, ...], at: At | None,
        show: int, prints: list[Print], parts: Mapping[int, Part],
    ) -> None:  # fmt: skip
        super().__init__(function, library, flags, at)
        self.hints, self.show, self.prints, self.parts = hints, show, prints, parts
        self.functions: dict[str, ir.Function] = {}
        self.after: list[Any] = []  # blocks behind the loops around

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
                part = self.parts.get(id(s))
                self.loop(s) if part is None else self.part(part)
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
        return INT(next(k for k, p in enumerate(self.prints) if p is s))

    # -- functions of their own ----------------------------------------------------------------------------------

    def part(self, p: Part) -> None:
        """A call. What the loops set comes back through memory, which is gone when LLVM has made registers of it."""
        b = self.b
        arrays = [self.pointer(buffer) for buffer in p.buffers]
        numbers = [self.host[name] if name in self.host else self.values[name] for name in p.read]
        numbers = [v.get() if isinstance(v, Variable) else v for v in numbers]
        changed = [self.values[name] for name in p.set]
        places: list[Any] = []
        with b.goto_entry_block():
            places += [[b.alloca(k.type.pointee) for k in v.places] for v in changed]
        for variable, own in zip(changed, places, strict=True):
            for place, outer in zip(own, variable.places, strict=True):
                b.store(b.load(outer), place)
        given = [*arrays, *(x for v in numbers for x in _parts(v)), *(place for own in places for place in own)]
        found = self.functions.get(p.key)
        if found is None:
            found = self._written(p, [x.type for x in given], numbers, [len(own) for own in places])
        code = b.call(found, given)
        for variable, own in zip(changed, places, strict=True):
            for place, outer in zip(own, variable.places, strict=True):
                b.store(b.load(place), outer)
        if _may_end(p.loop):
            with self.unlikely(b.icmp_signed("!=", code, INT(0))):
                self.code.set(code)
                self.go(self.leave)

    def _written(self, p: Part, kinds: list[ir.Type], numbers: list[Any], places: list[int]) -> ir.Function:
        """Its parameters: arrays, numbers, places of the variables that it sets."""
        name = f"{self.function.name}.part{len(self.functions)}"
        function = self.functions[p.key] = ir.Function(self.module, ir.FunctionType(INT, kinds), name)
        function.linkage = "internal"
        for attribute in ("noinline", "nounwind"):
            function.attributes.add(attribute)
        own = StatementPrinter(function, self.library, self.hints, self.ops.flags, self.at, self.show, self.prints, {})
        own.ranges, own.lengths = self.ranges, {}
        given = iter(function.args)
        for buffer in p.buffers:
            own.memory[buffer.name] = parameter = next(given)
            parameter.add_attribute("noalias")
        for name, value in zip(p.read, numbers, strict=True):
            parts = tuple(next(given) for _ in _parts(value))
            (own.host if name in self.host else own.values)[name] = parts if isinstance(value, tuple) else parts[0]
        changed = []
        for name, count in zip(p.set, places, strict=True):
            at = [next(given) for _ in range(count)]
            for place in at:
                place.add_attribute("noalias")
            first = [own.b.load(place) for place in at]
            own.values[name] = Variable(own.b, tuple(first) if count > 1 else first[0])
            changed.append((own.values[name], at))
        own.loop(p.loop)
        for variable, at in changed:
            for value, place in zip(_parts(variable.get()), at, strict=True):
                own.b.store(value, place)
        own.go(own.leave)
        own.b.position_at_end(own.leave)
        own.b.ret(own.code.get())
        self.mark(None)
        return function


def _parts(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


def _may_end(loop: For) -> bool:
    """Whether the kernel may end within it."""
    return any(isinstance(s, Fail) or (isinstance(s, For) and is_long(s)) for s in statements([loop]))


def prints_of(block: list[Stmt]) -> list[Print]:
    """In the order of their numbers."""
    return [s for s in statements(block) if isinstance(s, Print)]
