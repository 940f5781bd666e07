"""Which loops of a kernel become functions of their own.

LLVM takes several times as long for a function of twice as many loops. So the outermost loops of a large kernel are
functions, and loops that are equal but for the names of what they read and write are one:

    for i in 0..4: y[i] = x[i] * a            f(y, x, a)
    for j in 0..4: z[j] = y[j] * b            f(z, y, b)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from scancc.ir.loop import (
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
    If,
    Let,
    Load,
    Note,
    Op,
    Place,
    Stmt,
    Store,
    Var,
)
from scancc.ir.walk import operations, statements

LARGE = 800  # operations of a kernel whose long loops are functions
LONG = 100  # operations of such a loop
MANY = 3  # equal loops, from which on they are one function
WRITTEN = (Let, Declare, Assign, Store, For, If, Break, Fail, Call, Note)


@dataclass(slots=True)
class Part:
    """A loop that is a function. Parts with one key are the same function, whose parameters are in this order."""

    loop: For
    key: str
    buffers: list[Buffer]
    read: list[str]  # variables from around the loop
    set: list[str]  # those of them that it sets


def parts_of(block: list[Stmt]) -> dict[int, Part]:
    """By the identity of the loop."""
    outermost = list(_outermost(block))
    own = {s.buffer for s in statements(block) if isinstance(s, Alloc)}  # whose memory moves
    sizes = [operations([s]) for s in outermost]
    large = operations(block) > LARGE and sum(size > LONG for size in sizes) > 1
    like = Counter(zip(sizes, (_loops(s) for s in outermost), strict=True))
    found = []
    for loop, size in zip(outermost, sizes, strict=True):
        alike = like[size, _loops(loop)] >= MANY
        if (alike or (large and size > LONG)) and all(isinstance(s, WRITTEN) for s in statements([loop])):
            reader = _Reader()
            reader.block([loop])
            if own.isdisjoint(reader.buffers):
                found.append((reader.part(loop), size))
    equal = Counter(part.key for part, _ in found)
    return {id(p.loop): p for p, size in found if (large and size > LONG) or equal[p.key] >= MANY}


def _outermost(block: list[Stmt]) -> Iterator[For]:
    for s in block:
        if isinstance(s, For):
            yield s
        elif isinstance(s, If):
            yield from _outermost(s.then)
            yield from _outermost(s.orelse)


def _loops(s: Stmt) -> int:
    return sum(isinstance(i, For) for i in statements([s]))


@dataclass(slots=True)
class _Reader:
    """Writes a loop down, with numbers for names, in the order in which they come."""

    words: list[str] = field(default_factory=list)
    buffers: dict[Buffer, int] = field(default_factory=dict)
    names: dict[str, int] = field(default_factory=dict)
    made: set[str] = field(default_factory=set)  # within the loop
    read: dict[str, None] = field(default_factory=dict)
    set: dict[str, None] = field(default_factory=dict)

    def part(self, loop: For) -> Part:
        given = [f"{self.names[name]}" for name in (*self.read, *self.set)]
        key = " ".join([*self.words, "|", *given])
        return Part(loop, key, list(self.buffers), list(self.read), list(self.set))

    def block(self, block: list[Stmt]) -> None:
        for s in block:
            self.words.append(type(s).__name__)
            self._statement(s)
        self.words.append("end")

    def _statement(self, s: Stmt) -> None:
        match s:
            case Let(var, e) | Declare(var, e):
                self._expr(e)
                self._make(var)
            case Assign(var, e):
                self._expr(e)
                self._use(var)
                if var.name not in self.made:
                    self.set[var.name] = None
            case Store(buffer, index, e):
                self._expr(e)
                self._element(buffer, index)
            case For(var, start, stop, body):
                self._expr(start)
                self._expr(stop)
                self._make(var)
                self.words.append(str(s.independent))
                self.block(body)
            case If(condition, then, orelse):
                self._expr(condition)
                self.block(then)
                self.block(orelse)
            case Fail(code):
                self.words.append(str(code))
            case Call(function, args, results):
                self.words.append(function)
                for a in args:
                    self._element(a.buffer, a.index) if isinstance(a, Place) else self._expr(a)
                for var in results:
                    self._make(var)

    def _expr(self, e: Expr) -> None:
        match e:
            case Const(value, dtype):
                self.words.append(f"{value!r}:{dtype.str}")
            case Var():
                self._use(e)
            case Load(buffer, index):
                self._element(buffer, index)
            case Op(name, args, dtype):
                self.words.append(f"{name}:{dtype.str}")
                for a in args:
                    self._expr(a)

    def _element(self, buffer: Buffer, index: tuple[Expr, ...]) -> None:
        known = self.buffers.get(buffer)
        if known is None:
            known = self.buffers[buffer] = len(self.buffers)
            self.words.append(f"{buffer.dtype.str}[{len(buffer.shape)}]")
            for d in buffer.shape[1:]:
                self._expr(d)
        self.words.append(f"@{known}")
        for i in index:
            self._expr(i)

    def _make(self, var: Var) -> None:
        self.made.add(var.name)
        self._use(var)

    def _use(self, var: Var) -> None:
        number = self.names.setdefault(var.name, len(self.names))
        self.words.append(f"%{number}:{var.dtype.str}")
        if var.name not in self.made:
            self.read[var.name] = None
