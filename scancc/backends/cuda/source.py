"""Loop IR as Python source for numba.cuda: the CPU's, but for how a kernel begins, ends and fails, and its threads."""

from __future__ import annotations

import numpy as np

from scancc.backends.cuda import prefix
from scancc.backends.cuda.library import RUNTIME
from scancc.backends.cuda.tiles import Tiles
from scancc.backends.cuda.toolkit import simulated
from scancc.backends.functions import EXPRESSIONS
from scancc.backends.source import SourcePrinter
from scancc.errors import UnsupportedError
from scancc.ir.loop import (
    Alloc,
    Barrier,
    Break,
    Call,
    Const,
    Expr,
    Fail,
    For,
    Gather,
    Grow,
    Kernel,
    Prefix,
    Print,
    Stmt,
    Var,
    const_int,
)
from scancc.ir.types import is_half
from scancc.ir.walk import shared_buffers, statements

STATUS = "status"  # of all threads: 0, or the code of a failure and above it the lane that failed
LANE_BITS = 32
TEAMS = {
    "block": ("cuda.threadIdx.x", "cuda.blockDim.x"),
    "grid": ("cuda.grid(1)", "cuda.gridsize(1)"),
}
ALIGNED = 16  # bytes
HALVES = ("float16",)  # dtypes of 16 bits that numba.cuda has


class CudaPrinter(SourcePrinter):
    """`threads`: of a block that gathers sums, a power of two; `items`: steps of a thread in a prefix."""

    halves = HALVES

    def __init__(self, kernel: Kernel, threads: int, items: int = 1) -> None:
        super().__init__(kernel)
        self.block_threads, self.items = threads, items
        self.lanes = any(isinstance(s, For) and s.threads for s in kernel.body)
        self.depth_of_shares = 0

    def print(self) -> str:
        for s in statements(self.kernel.body):
            self.check(s)
        text = super().print()
        head, body = text.split("):\n", 1)
        return f"{head}, {STATUS}):\n{self.prologue()}{body}"

    def prologue(self) -> str:
        lines: list[str] = []
        for s in statements(self.kernel.body):
            if isinstance(s, Prefix):
                lines += prefix.declarations(self.tiles(s), self.name_of)
        if self.kernel.team in TEAMS:
            thread, threads = TEAMS[self.kernel.team]
            if self.kernel.team == "block":
                threads = f"{self.block_threads}"
            lines += [f"thread = {thread}", f"threads = {threads}"]
        elif not self.kernel.team and shared_buffers(self.kernel):
            lines.append(f"thread = {TEAMS['block'][0]}")
        if self.kernel.team == "grid":
            lines.append("grid = cuda.cg.this_grid()")
        if any(isinstance(s, Barrier) and s.checked for s in statements(self.kernel.body)):
            lines.append("failed = 0")
        # So that neighbours are read four at once; the simulator knows no alignment.
        aligned = "" if simulated() else f", alignment={ALIGNED}"
        for b in shared_buffers(self.kernel):
            if b.role == "held":
                text = f"0, types.{b.dtype.name}"  # the simulator wants a type of numba's here
            else:
                text = f"({''.join(f'{self.expr(d)}, ' for d in b.shape)}), {self.element(b.dtype)}"
            lines.append(f"{b.name} = cuda.shared.array({text}{aligned})")
        for dtype in dict.fromkeys(s.var.dtype.name for s in statements(self.kernel.body) if isinstance(s, Gather)):
            lines.append(f"cells_{dtype} = cuda.shared.array(({self.block_threads},), {self.element(np.dtype(dtype))})")
        return "".join(f"    {line}\n" for line in lines)

    def check(self, s: Stmt) -> None:
        """What a device cannot do: allocate, print, and call what its run-time library lacks."""
        loc = getattr(s, "loc", None)
        if isinstance(s, (Alloc, Grow)):
            raise UnsupportedError(
                f"{s.buffer.name} has a length that is known in the loop only, which a device cannot allocate", loc,
                fix="compile this program for the CPU",
            )  # fmt: skip
        if isinstance(s, Print) and s.values:
            raise UnsupportedError("sc.debug_print is not supported on a device", loc,
                                   fix="compile this program for the CPU to print, target='cpu'")  # fmt: skip
        if isinstance(s, Call):
            raise UnsupportedError(f"{s.function} is not there on a device", loc,
                                   fix="compile this program for the CPU")  # fmt: skip

    def block(self, block: list[Stmt], depth: int) -> None:
        if depth == 1 and not self.lanes and not self.kernel.team:
            self.lines.append("    if cuda.grid(1) == 0:  # one thread for all")
            depth = 2
        super().block(block, depth)

    def threads(self, pad: str, s: For, depth: int) -> None:
        if self.kernel.team == "prefix":  # every block is one of a lane's
            self.lines.append(f"{pad}{s.var.name} = cuda.blockIdx.x % {self.expr(s.stop)}")
            self.block(s.body, depth)
            return
        number = "cuda.blockIdx.x" if self.kernel.team else "cuda.grid(1)"
        self.lines.append(f"{pad}{s.var.name} = {number}  # {s.note}")
        self.lines.append(f"{pad}if {s.var.name} < {self.expr(s.stop)}:")
        self.block(s.body, depth + 1)

    def range(self, s: For) -> str:
        if not s.share:
            return super().range(s)
        team = self.kernel.team if s.share == "team" else "block"
        first, step = ("thread", "threads") if team == self.kernel.team else TEAMS[team]
        start = self.expr(s.start)
        return f"{first if start == '0' else f'{start} + {first}'}, {self.expr(s.stop)}, {step}"

    def loop(self, pad: str, s: For, depth: int) -> None:
        if self.one_each(s):
            self.lines.append(f"{pad}{s.var.name} = np.int64({TEAMS['block'][0]})")
            if s.stop != const_int(self.block_threads):
                self.lines.append(f"{pad}if {s.var.name} < {self.expr(s.stop)}:")
                depth += 1
            self.block(s.body, depth)
            return
        self.depth_of_shares += bool(s.share)
        super().loop(pad, s, depth)
        self.depth_of_shares -= bool(s.share)

    def one_each(self, s: For) -> bool:
        """Whether a loop that a block shares out has one iteration for a thread at most."""
        block = s.share == "block" or s.share == "team" and self.kernel.team == "block"
        few = isinstance(s.stop, Const) and s.stop.value <= self.block_threads and s.start == const_int(0)
        return block and few and not any(isinstance(i, (Fail, Break)) for i in statements(s.body))

    def other(self, pad: str, s: Stmt) -> None:
        match s:
            case Barrier(False):
                self.lines.append(f"{pad}{'grid.sync()' if self.kernel.team == 'grid' else 'cuda.syncthreads()'}")
            case Barrier(True) if self.kernel.team == "grid":
                # Nobody may go on, and fail, before all have seen that nobody has failed so far.
                self.lines += [f"{pad}if failed:", f"{pad}    {self.report('failed')}", f"{pad}grid.sync()",
                               f"{pad}if cuda.atomic.max({STATUS}, 0, 0):", f"{pad}    return", f"{pad}grid.sync()"]
            case Barrier(True):
                self.lines += [f"{pad}if cuda.syncthreads_or(failed):", f"{pad}    if failed:",
                               f"{pad}        {self.report('failed')}", f"{pad}    return"]  # fmt: skip
            case Prefix():
                self.lines += prefix.source(self.tiles(s), self.part, self.expr, self.name_of).split("\n")
            case Gather(var, op):
                self.gather(pad, var.name, op, var.dtype)
            case _:
                raise AssertionError(f"{s} in a kernel for a device")

    def tiles(self, s: Prefix) -> Tiles:
        return Tiles(s, self.block_threads, self.items, self.halves)

    def name_of(self, v: Var) -> str:
        return self.element(v.dtype)

    def part(self, block: list[Stmt], depth: int) -> list[str]:
        """Statements as lines of their own."""
        known, self.lines = self.lines, []
        super().block(block, depth)
        made, self.lines = self.lines, known
        return made

    def gather(self, pad: str, name: str, op: str, dtype: np.dtype) -> None:
        """A tree over the threads of the block, in an order that does not depend on which of them is faster."""
        cells, mine = f"cells_{dtype.name}", "cuda.threadIdx.x"
        form = EXPRESSIONS[op][dtype.kind]
        self.lines += [f"{pad}{cells}[{mine}] = {name}", f"{pad}cuda.syncthreads()"]
        half = self.block_threads // 2
        while half:
            both = form.format(f"{cells}[{mine}]", f"{cells}[{mine} + {half}]")
            self.lines += [f"{pad}if {mine} < {half}:", f"{pad}    {cells}[{mine}] = {both}",
                           f"{pad}cuda.syncthreads()"]  # fmt: skip
            half //= 2
        self.lines += [f"{pad}{name} = {cells}[0]", f"{pad}cuda.syncthreads()"]

    def element(self, dtype: np.dtype) -> str:
        return "np.bool_" if dtype.kind == "b" else super().element(dtype)

    def half(self, text: str, source: np.dtype, dtype: np.dtype) -> str:
        known = (source if is_half(source) else dtype).name in self.halves
        return f"np.{dtype.name}({text})" if known else super().half(text, source, dtype)

    def leave(self, code: int) -> str:
        if not code:
            return "return"
        if self.depth_of_shares:
            return f"failed = {code}; continue"  # all leave together, at the next barrier
        return f"{self.report(str(code))}; return"

    def report(self, code: str) -> str:
        """One store, so that code and lane belong together."""
        return f"{STATUS}[0] = {f'({code}) + (lane << {LANE_BITS})' if self.lanes else code}"

    def op(self, name: str, args: tuple[Expr, ...], dtype: np.dtype) -> str:
        text = super().op(name, args, dtype)
        module, _, rest = text.removeprefix("np.").partition(".")
        function = rest.partition("(")[0]
        if module not in RUNTIME:
            return text
        if function not in RUNTIME[module]:
            raise UnsupportedError(f"{name} of {args[-1].dtype} is not supported on a device", self.loc,
                                   fix="compile this program for the CPU")  # fmt: skip
        # Constants in the library are doubles.
        return f"np.{dtype.name}({text})" if dtype in NARROW and not text.startswith("np.") else text


NARROW = tuple(np.dtype(d) for d in ("float32", "complex64"))

