"""The function that a kernel becomes: its values, its memory, and what expressions are in it.

Single-assignment variables are values; mutable ones live on the stack, of which LLVM makes registers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from llvmlite import ir
from scancc_runtime.code import INT, Variable, load_element

from scancc.backends.llvm.library import Library
from scancc.backends.llvm.ops import OpPrinter
from scancc.backends.llvm.ranges import Ranges
from scancc.errors import UnsupportedError
from scancc.ir.graph import Loc
from scancc.ir.loop import INT64, Buffer, Const, Expr, Load, Op, Stmt, Var
from scancc.ir.types import in_memory

INTEGER = {"add": "add", "subtract": "sub", "multiply": "mul"}
# What a kernel returns where memory is not there, where a print raised an error, and by a way out that is not taken.
NO_MEMORY, RAISED, LEFT = -1, -2, -3

At = Callable[[ir.Function, "Stmt | None"], Any]  # where the instructions of a statement come from


class Body:
    def __init__(self, function: ir.Function, library: Library, flags: tuple[str, ...], at: At | None) -> None:
        self.module, self.function, self.at = function.module, function, at
        self.library = library
        self.b = ir.IRBuilder(function.append_basic_block("entry"))
        self.ops = OpPrinter(self.b, library, flags)
        self.values: dict[str, Any] = {}  # of variables; mutable ones are `Variable`s
        self.host: dict[str, Any] = {}  # lengths that the host computed, too
        self.memory: dict[str, Any] = {}  # pointers to arrays; those of the kernel's own are `Variable`s
        self.ranges = Ranges()
        self.loc: Loc | None = None
        self.mark(None)
        self.code = Variable(self.b, INT(0))  # what the kernel returns
        self.leave = function.append_basic_block("leave")

    def fail(self, code: int) -> None:
        if not self.b.block.is_terminated:
            self.code.set(INT(code))
            self.go(self.leave)

    # -- expressions ---------------------------------------------------------------------------------------------

    def expr(self, e: Expr) -> Any:
        match e:
            case Var(name, _):
                value = self.host[name] if name in self.host else self.values[name]
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
        return b.gep(self.pointer(buffer), [INT(0) if offset is None else offset], inbounds=True)

    def pointer(self, buffer: Buffer) -> Any:
        memory = self.memory[buffer.name]
        return memory.get() if isinstance(memory, Variable) else memory

    # -- blocks --------------------------------------------------------------------------------------------------

    def mark(self, s: Stmt | None) -> None:
        self.loc = getattr(s, "loc", None)
        if self.at is not None:
            self.b.debug_metadata = self.at(self.function, s)

    def block(self, name: str) -> Any:
        return self.function.append_basic_block(name)

    def go(self, block: Any) -> None:
        if not self.b.block.is_terminated:
            self.b.branch(block)

    @contextmanager
    def unlikely(self, condition: Any) -> Iterator[None]:
        inside, after = self.block("unlikely"), self.block("after")
        branch = self.b.cbranch(condition, inside, after)
        branch.set_weights([1, 10_000])
        self.b.position_at_end(inside)
        yield
        self.go(after)
        self.b.position_at_end(after)


def _folded(write: Callable[..., Any], x: Any, y: Any, known: Callable[[int, int], int]) -> Any:
    if isinstance(x, ir.Constant) and isinstance(y, ir.Constant):
        return x.type(known(x.constant, y.constant))
    return write(x, y, flags=("nsw",))  # it is an offset within an array
