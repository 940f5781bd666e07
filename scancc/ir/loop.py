"""The loop IR: where values are stored and in which order they are computed. Back ends only print it.

    kernel ::= 'kernel' name '(' param* ')' block
    param  ::= buffer | var                       everything a kernel touches is passed in
    block  ::= statement*
    statement ::= 'let' var '=' expr              defined once in its block
             | 'var' var '=' expr | 'set' var '=' expr        mutable: accumulators, taps held in registers
             | 'store' buffer '[' expr* ']' '=' expr
             | 'alloc' buffer                     only where a size is not known before the kernel starts
             | 'for' var 'in' expr '..' expr block
             | 'if' expr block 'else' block
             | 'break' | 'fail' code | 'call' name '(' (place | expr)* ')'
             | 'share' var 'in' expr '..' expr block | 'barrier' | 'gather' op var      threads of a team, on a device
             | 'prefix' var 'to' expr block*
    expr   ::= const | var | load buffer '[' expr* ']' | op '(' expr* ')'
    place  ::= '&' buffer '[' expr* ']'           an element's position, for run-time calls

Ops of expressions are the element-wise ops of the scan IR on scalars. Expressions are immutable and compare by
value; statements are built once, in order, by `passes/lower`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from scancc.ir.graph import Loc

INT64 = np.dtype("int64")
BOOL = np.dtype("bool")


@dataclass(eq=False, slots=True)
class Buffer:
    """A C-contiguous array. `role`: input (never stored to), output, scratch, local (allocated by the kernel), or
    a block's own on a device: shared, or held (the one whose size the launch sets, beyond what kernels may declare)."""

    name: str
    dtype: np.dtype
    shape: tuple[Expr, ...]
    role: str

    @property
    def nbytes(self) -> int | None:
        """Bytes of its memory; None where a length is known at run time."""
        total = self.dtype.itemsize
        for d in self.shape:
            if not isinstance(d, Const):
                return None
            total *= int(d.value)
        return total

    def __repr__(self) -> str:
        return f"{self.name}: {self.dtype}[{', '.join(show_expr(s) for s in self.shape)}]"


@dataclass(frozen=True, slots=True)
class Const:
    value: Any
    dtype: np.dtype


@dataclass(frozen=True, slots=True)
class Var:
    name: str
    dtype: np.dtype


@dataclass(frozen=True, slots=True)
class Load:
    buffer: Buffer
    index: tuple[Expr, ...]

    @property
    def dtype(self) -> np.dtype:
        return self.buffer.dtype


@dataclass(frozen=True, slots=True)
class Op:
    name: str
    args: tuple[Expr, ...]
    dtype: np.dtype


@dataclass(frozen=True, slots=True)
class Place:
    """The position of an element in a buffer's memory; the elements after it are contiguous."""

    buffer: Buffer
    index: tuple[Expr, ...]


Expr = Const | Var | Load | Op
THREAD = Var("thread", INT64)  # the number of the thread that runs a kernel in its team


@dataclass(slots=True)
class Let:
    var: Var
    expr: Expr
    loc: Loc | None = None


@dataclass(slots=True)
class Declare:
    var: Var
    expr: Expr
    loc: Loc | None = None


@dataclass(slots=True)
class Assign:
    var: Var
    expr: Expr
    loc: Loc | None = None


@dataclass(slots=True)
class Store:
    buffer: Buffer
    index: tuple[Expr, ...]
    expr: Expr
    loc: Loc | None = None


@dataclass(slots=True)
class Alloc:
    buffer: Buffer


@dataclass(slots=True)
class Grow:
    """Make a buffer of the kernel's own larger where it has no row `row` yet; what is in it stays."""

    buffer: Buffer
    row: Expr


@dataclass(slots=True)
class For:
    var: Var
    start: Expr
    stop: Expr
    body: list[Stmt] = field(default_factory=list)
    note: str = ""  # what the loop is, for readers of the generated code
    threads: bool = False  # every iteration is a thread's, where the target has them
    independent: bool = False  # iterations may run in any order, though subscripts alone do not show it
    share: str = ""  # "team" or "block": iterations are shared out among its threads


@dataclass(slots=True)
class If:
    condition: Expr
    then: list[Stmt] = field(default_factory=list)
    orelse: list[Stmt] = field(default_factory=list)


@dataclass(slots=True)
class Break:
    pass


@dataclass(slots=True)
class Fail:
    code: int


@dataclass(slots=True)
class Call:
    """A call of the run-time library for its effect; `results` are the variables it defines, if any."""

    function: str
    args: tuple[Place | Expr, ...]
    results: tuple[Var, ...] = ()
    loc: Loc | None = None


@dataclass(slots=True)
class Print:
    """A format string printed with the contents of buffers; those of scalars have one element."""

    message: str
    names: tuple[str, ...]
    values: tuple[Buffer, ...]
    scalars: tuple[bool, ...]
    loc: Loc | None = None


@dataclass(slots=True)
class Barrier:
    """All threads of the team wait for one another; with `checked` they leave if one has failed."""

    checked: bool = False


@dataclass(slots=True)
class Gather:
    """Combine the values that a variable has in the threads of a block; then all have the result."""

    var: Var
    op: str


@dataclass(slots=True)
class Prefix:
    """A loop whose steps are put together in runs, of which many are under way at once on a device.

    `run` are variables: the numbers of a run of steps. Blocks: `element` sets them to those of step `var`; `fold` adds
    that step to them; `join` sets them to those of the run `left` followed by the run `right`; `start` moves the state
    over the run; `body` is the step itself. `words` has a row for each tile, of its numbers or those of all tiles up to
    it, in words that say which of them they are, and one more row, whose first element counts the tiles that have
    begun; `lane` is the subscript that comes before that of a row where there are several lanes.
    """

    var: Var
    stop: Expr
    run: tuple[Var, ...]
    left: tuple[Var, ...]
    right: tuple[Var, ...]
    words: Buffer
    element: list[Stmt] = field(default_factory=list)
    fold: list[Stmt] = field(default_factory=list)
    join: list[Stmt] = field(default_factory=list)
    start: list[Stmt] = field(default_factory=list)
    body: list[Stmt] = field(default_factory=list)
    lane: tuple[Var, ...] = ()


@dataclass(slots=True)
class Note:
    text: str


Stmt = (Let | Declare | Assign | Store | Alloc | Grow | For | If | Break | Fail | Call | Print | Barrier | Gather
        | Prefix | Note)  # fmt: skip


@dataclass(slots=True)
class Failure:
    """What a `fail` code means to the user."""

    kind: str  # index | steps | shape | value | check
    message: str
    loc: Loc | None
    seen: Print | None = None  # a check's message, with the values that it reports
    steps: Buffer | None = None  # where the kernel leaves the indices of the loops around


@dataclass(slots=True)
class Kernel:
    """One compiled function: parameters in call order, the statements, and the meaning of its failure codes."""

    name: str
    params: list[Buffer | Var]
    body: list[Stmt]
    failures: list[Failure]
    returned: list[Buffer] = field(default_factory=list)  # results that the kernel allocates itself
    team: str = ""  # on a device: the threads that run it together are those of a "block" or of the whole "grid"
    width: int = 1  # the largest number of iterations that a loop shares out, if it is known
    threads: int = 0  # of a block of a team


OWN = ("shared", "held")  # roles of a block's own memory


def const_int(value: int) -> Const:
    return Const(int(value), INT64)


def add(a: Expr, b: Expr | int) -> Expr:
    """Index arithmetic with constants folded, so that generated indices stay readable."""
    b = const_int(b) if isinstance(b, int) else b
    if isinstance(b, Const) and b.value == 0:
        return a
    if isinstance(a, Const):
        if a.value == 0:
            return b
        if isinstance(b, Const):
            return const_int(a.value + b.value)
        a, b = b, a
    if isinstance(b, Const) and isinstance(a, Op) and a.name in ("add", "subtract") and isinstance(a.args[1], Const):
        inner = a.args[1].value if a.name == "add" else -a.args[1].value
        return add(a.args[0], int(inner + b.value))
    if isinstance(b, Const) and b.value < 0:
        return Op("subtract", (a, const_int(-b.value)), INT64)
    return Op("add", (a, b), INT64)


def sub(a: Expr, b: Expr | int) -> Expr:
    b = const_int(b) if isinstance(b, int) else b
    if isinstance(b, Const):
        return add(a, -int(b.value))
    if a == b:
        return const_int(0)
    return Op("subtract", (a, b), INT64)


def mul(a: Expr, b: Expr | int) -> Expr:
    b = const_int(b) if isinstance(b, int) else b
    if isinstance(a, Const) and isinstance(b, Const):
        return const_int(a.value * b.value)
    for x, y in ((a, b), (b, a)):
        if isinstance(x, Const) and x.value == 1:
            return y
        if isinstance(x, Const) and x.value == 0:
            return const_int(0)
    return Op("multiply", (a, b), INT64)


def product(factors: tuple[Expr, ...]) -> Expr:
    total: Expr = const_int(1)
    for f in factors:
        total = mul(total, f)
    return total


def weight(expr: Expr) -> int:
    """Number of operations in an expression: what decides when a statement gets too long to read."""
    match expr:
        case Op(_, args, _):
            return 1 + sum(weight(a) for a in args)
        case Load(_, _):
            return 1
        case _:
            return 0


def show_expr(expr: Expr) -> str:
    match expr:
        case Const(value, _):
            return str(value)
        case Var(name, _):
            return name
        case Load(buffer, index):
            return f"{buffer.name}[{', '.join(map(show_expr, index))}]"
        case Op(name, args, dtype):
            suffix = f":{dtype}" if name == "cast" else ""
            return f"{name}{suffix}({', '.join(map(show_expr, args))})"


def show_kernel(kernel: Kernel) -> str:
    """The textual form of the loop IR."""
    params = ", ".join(repr(p) if isinstance(p, Buffer) else f"{p.name}: {p.dtype}" for p in kernel.params)
    return "\n".join([f"kernel {kernel.name}({params})", *_show_block(kernel.body, 1)]) + "\n"


def _show_block(block: list[Stmt], depth: int) -> list[str]:
    lines: list[str] = []
    pad = "  " * depth
    for s in block:
        match s:
            case Let(var, expr):
                lines.append(f"{pad}let {var.name}: {var.dtype} = {show_expr(expr)}")
            case Declare(var, expr):
                lines.append(f"{pad}var {var.name}: {var.dtype} = {show_expr(expr)}")
            case Assign(var, expr):
                lines.append(f"{pad}set {var.name} = {show_expr(expr)}")
            case Store(buffer, index, expr):
                lines.append(f"{pad}store {show_expr(Load(buffer, index))} = {show_expr(expr)}")
            case Alloc(buffer):
                lines.append(f"{pad}alloc {buffer!r}")
            case Grow(buffer, row):
                lines.append(f"{pad}grow {buffer.name} to row {show_expr(row)}")
            case For(var, start, stop, body, note):
                tail = f"  # {note}" if note else ""
                word = f"share {s.share}" if s.share else "for"
                lines.append(f"{pad}{word} {var.name} in {show_expr(start)}..{show_expr(stop)}{tail}")
                lines += _show_block(body, depth + 1)
            case If(condition, then, orelse):
                lines.append(f"{pad}if {show_expr(condition)}")
                lines += _show_block(then, depth + 1)
                if orelse:
                    lines.append(f"{pad}else")
                    lines += _show_block(orelse, depth + 1)
            case Break():
                lines.append(f"{pad}break")
            case Fail(code):
                lines.append(f"{pad}fail {code}")
            case Call(function, args, results):
                shown = ", ".join(
                    f"&{show_expr(Load(a.buffer, a.index))}" if isinstance(a, Place) else show_expr(a) for a in args
                )
                left = f"{', '.join(r.name for r in results)} = " if results else ""
                lines.append(f"{pad}call {left}{function}({shown})")
            case Print(message, _, values):
                lines.append(f"{pad}print {message!r}{''.join(', ' + b.name for b in values)}")
            case Barrier(checked):
                lines.append(f"{pad}barrier{' checked' if checked else ''}")
            case Gather(var, op):
                lines.append(f"{pad}gather {op} {var.name}")
            case Prefix():
                lines.append(f"{pad}prefix {s.var.name} to {show_expr(s.stop)}")
                for what in ("element", "fold", "join", "start", "body"):
                    lines += [f"{pad}  {what}", *_show_block(getattr(s, what), depth + 2)]
            case Note(text):
                lines.append(f"{pad}# {text}")
    return lines
