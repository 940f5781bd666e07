"""Checks that a kernel keeps the rules of the loop IR; a breach is a bug in `passes/lower`, shown in the kernel.

Variables are defined before they are used and only mutable ones change; buffers are known, indexed by their rank, and
inputs never stored to; operands have one dtype; and no ring buffer is read after the row that a step overwrites: a
ring of as many rows as its deepest tap suffices only while every read of a step precedes its write.
"""

from __future__ import annotations

from collections.abc import Iterable

from scancc.errors import VerificationError
from scancc.ir.loop import (
    THREAD,
    Alloc,
    Assign,
    Break,
    Buffer,
    Call,
    Declare,
    Expr,
    Fail,
    For,
    Gather,
    Grow,
    If,
    Kernel,
    Let,
    Load,
    Op,
    Place,
    Prefix,
    Print,
    Stmt,
    Store,
    Var,
    show_expr,
    show_kernel,
)
from scancc.ir.walk import blocks, expressions, shared_buffers, statements, subexpressions

SAME_DTYPE = frozenset(
    "add subtract multiply divide minimum maximum less less_equal greater greater_equal equal not_equal "
    "bitwise_and bitwise_or bitwise_xor floor_divide remainder".split()
)


def verify_kernel(kernel: Kernel) -> None:
    """Raises VerificationError with the kernel's text and the faults below it."""
    faults = list(_Checker(kernel).run())
    if faults:
        raise VerificationError(f"loop IR of {kernel.name}: " + "; ".join(faults) + "\n" + show_kernel(kernel))


class _Checker:
    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.faults: list[str] = []
        self.mutable: set[str] = set()
        self.known: set[str] = {p.name for p in kernel.params if isinstance(p, Var)}
        self.known |= {THREAD.name} if kernel.threads else set()
        self.buffers: set[Buffer] = {p for p in kernel.params if isinstance(p, Buffer)} | set(shared_buffers(kernel))

    def run(self) -> list[str]:
        names = [p.name for p in self.kernel.params]
        if len(set(names)) != len(names):
            self.faults.append("two parameters have one name")
        for p in self.kernel.params:
            if isinstance(p, Buffer) and p.role == "local":
                self.faults.append(f"{p.name} is allocated by the kernel, but a parameter")
        self.block(self.kernel.body, self.known, False)
        for s in statements(self.kernel.body):
            if isinstance(s, For):
                self.rings(s)
        return self.faults

    def block(self, block: Iterable[Stmt], known: set[str], inside_loop: bool) -> None:
        known = set(known)
        for s in block:
            for e in expressions(s):
                self.expression(e, known, s)
            match s:
                case Prefix():
                    self.mutable |= {v.name for v in s.run}
                    inside = known | {v.name for v in (s.var, *s.run, *s.left, *s.right)}
                    for inner in blocks(s):
                        self.block(inner, inside, True)
                    self.access(s.words, 2 + len(s.lane))
                case Gather(var, _):
                    if var.name not in self.mutable or var.name not in known:
                        self.faults.append(f"gather {var.name}, which is not a variable that may change here")
                case Let(var, e) | Declare(var, e):
                    if var.dtype != e.dtype:
                        self.faults.append(f"{var.name} is {var.dtype}, its value {e.dtype}")
                    if isinstance(s, Declare):
                        self.mutable.add(var.name)
                    elif var.name in self.mutable:
                        self.faults.append(f"{var.name} is defined again by a let")
                    known.add(var.name)
                case Assign(var, e):
                    if var.name not in self.mutable or var.name not in known:
                        self.faults.append(f"set {var.name}, which is not a variable that may change here")
                    if var.dtype != e.dtype:
                        self.faults.append(f"{var.name} is {var.dtype}, its value {e.dtype}")
                case Store(buffer, index, e):
                    self.access(buffer, len(index))
                    if buffer.role == "input":
                        self.faults.append(f"store to the input {buffer.name}")
                    if buffer.dtype != e.dtype:
                        self.faults.append(f"{buffer.name} is {buffer.dtype}, what is stored {e.dtype}")
                case Alloc(buffer):
                    self.buffers.add(buffer)
                case Grow(buffer, _):
                    self.access(buffer, len(buffer.shape))
                    if buffer.role != "local":
                        self.faults.append(f"{buffer.name} grows, but the kernel did not allocate it")
                case For(var, _, _, body):
                    self.block(body, known | {var.name}, True)
                case If(_, then, orelse):
                    self.block(then, known, inside_loop)
                    self.block(orelse, known, inside_loop)
                case Break():
                    if not inside_loop:
                        self.faults.append("break outside of a loop")
                case Fail(code):
                    if not 1 <= code <= len(self.kernel.failures):
                        self.faults.append(f"fail {code} means nothing")
                case Call(_, args, results):
                    for a in args:
                        if isinstance(a, Place):
                            self.access(a.buffer, len(a.index))
                    known |= {r.name for r in results}
                case Print():
                    for b in s.values:
                        self.access(b, len(b.shape))
                case _:
                    pass

    def expression(self, e: Expr, known: set[str], s: Stmt) -> None:
        for sub in subexpressions(e):
            if isinstance(sub, Var) and sub.name not in known:
                self.faults.append(f"{sub.name} is used before it is defined")
            elif isinstance(sub, Load):
                self.access(sub.buffer, len(sub.index))
            elif isinstance(sub, Op) and sub.name in SAME_DTYPE and len({a.dtype for a in sub.args}) > 1:
                self.faults.append(f"{show_expr(sub)} has operands of {', '.join(str(a.dtype) for a in sub.args)}")

    def access(self, buffer: Buffer, rank: int) -> None:
        if buffer not in self.buffers:
            self.faults.append(f"{buffer.name} is neither a parameter nor allocated")
        if rank != len(buffer.shape):
            self.faults.append(f"{buffer.name} has {len(buffer.shape)} axes, {rank} are indexed")

    def rings(self, loop: For) -> None:
        """A row that a step has stored is that of the oldest tap: no later statement of the step may read it."""
        written: dict[Buffer, Expr] = {}
        alias: dict[str, Expr] = {}  # a tap's row is a copy of the slot where it is the oldest one
        for s in loop.body:
            if isinstance(s, Let):
                alias[s.var.name] = alias.get(s.expr.name, s.expr) if isinstance(s.expr, Var) else s.expr
            if isinstance(s, Assign):
                return  # slots advance: the step is over
            inner = list(statements([s]))
            for load in (x for i in inner if written for e in expressions(i) for x in subexpressions(e)):
                if not isinstance(load, Load) or load.buffer not in written or not load.index:
                    continue
                # The new row, under the slot it was stored at, may be read: the oldest has a name of its own.
                at, row = load.index[0], written[load.buffer]
                if at != row and _resolved(at, alias) == row:
                    self.faults.append(f"{show_expr(load)} is read after the step has overwritten it")
            for i in inner:
                if isinstance(i, Store) and i.buffer.name.rpartition("_")[2].startswith("ring"):
                    written[i.buffer] = _resolved(i.index[0], alias)


def _resolved(e: Expr, alias: dict[str, Expr]) -> Expr:
    return alias.get(e.name, e) if isinstance(e, Var) else e
