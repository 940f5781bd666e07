"""Loop IR as readable Python: what `.source()` shows, and what numba.cuda compiles. One statement in, one line out."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from scancc.backends.functions import CASTS, EXPRESSIONS
from scancc.errors import UnsupportedError
from scancc.ir.graph import Loc
from scancc.ir.loop import (
    Alloc,
    Assign,
    Break,
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
    add,
    const_int,
    mul,
    product,
)
from scancc.ir.types import in_memory, is_half
from scancc.ir.walk import statements


class SourcePrinter:
    halves: tuple[str, ...] = ()  # dtypes of 16 bits that the target knows

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.constants: dict[str, Any] = {}  # typed constants that Python has no literal for
        self.variables = {p.name for p in kernel.params} | {
            s.var.name for s in statements(kernel.body) if isinstance(s, (Let, Declare, For))
        }
        self.counters = {s.var.name for s in statements(kernel.body) if isinstance(s, For)}
        self.lines: list[str] = []
        self.places: dict[int, int] = {}  # the lines of the text that statements begin at, by their identity
        self.loc: Loc | None = None  # of the statement being printed, for errors

    def print(self) -> str:
        names = ", ".join(p.name for p in self.kernel.params)
        self.lines = [f"def {self.kernel.name}({names}):"]
        for b in self.kernel.returned:  # there to be returned, also where the kernel fails before it gets to them
            self.lines.append(f"    {b.name} = np.empty(({'0, ' * len(b.shape)}), {self.element(b.dtype)})")
        self.block(self.kernel.body, 1)
        self.lines.append("    " + self.leave(0))
        head = [f"{name} = {_typed(v)}" for name, v in self.constants.items()]
        self.places = {s: line + len(head) for s, line in self.places.items()}
        return "\n".join([*head, *self.lines]) + "\n"

    def block(self, block: list[Stmt], depth: int) -> None:
        pad = "    " * depth
        before = len(self.lines)
        for s in block:
            self.loc = getattr(s, "loc", None)
            self.places[id(s)] = len(self.lines) + 1
            match s:
                case Let(var, e, loc) | Declare(var, e, loc) | Assign(var, e, loc):
                    self.line(pad, f"{var.name} = {self.expr(e)}", loc)
                case Store(buffer, index, e, loc):
                    self.line(pad, f"{self.expr(Load(buffer, index))} = {self.expr(e)}", loc)
                case Alloc(buffer):
                    shape = ", ".join(self.expr(d) for d in buffer.shape)
                    self.line(pad, f"{buffer.name} = np.empty(({shape},), {self.element(buffer.dtype)})", None)
                case Grow(buffer, row):
                    self.lines.append(f"{pad}if {self.expr(row)} >= {buffer.name}.shape[0]:")
                    self.lines.append(f"{pad}    {buffer.name} = grown({buffer.name})")
                case For():
                    (self.threads if s.threads else self.loop)(pad, s, depth)
                case If(condition, then, orelse):
                    self.lines.append(f"{pad}if {self.expr(condition)}:")
                    self.block(then, depth + 1)
                    if orelse:
                        self.lines.append(f"{pad}else:")
                        self.block(orelse, depth + 1)
                case Break():
                    self.lines.append(f"{pad}break")
                case Fail(code):
                    self.lines.append(pad + self.leave(code))
                case Call():
                    self.line(pad, self.call(s), s.loc)
                case Print(message, names, values, scalars):
                    shown = [f"{b.name}[0]" if one else b.name for b, one in zip(values, scalars, strict=True)]
                    self.line(pad, f"messages.show({', '.join([repr(message), repr(names), *shown])})", s.loc)
                case Note(text):
                    self.lines.append(f"{pad}# {text}")
                case _:
                    self.other(pad, s)
        if len(self.lines) == before:
            self.lines.append(f"{pad}pass")

    def loop(self, pad: str, s: For, depth: int) -> None:
        self.lines.append(f"{pad}for {s.var.name} in range({self.range(s)}):" + (f"  # {s.note}" if s.note else ""))
        self.block(s.body, depth + 1)

    def range(self, s: For) -> str:
        return f"{self.expr(s.start)}, {self.expr(s.stop)}"

    def threads(self, pad: str, s: For, depth: int) -> None:
        """A loop whose iterations are threads; only devices have them."""
        raise NotImplementedError

    def other(self, pad: str, s: Stmt) -> None:
        """A statement that only some targets have."""
        raise NotImplementedError

    def leave(self, code: int) -> str:
        return f"return {', '.join([str(code), *(b.name for b in self.kernel.returned)])}"

    def line(self, pad: str, text: str, loc: Loc | None) -> None:
        where = f"  # {os.path.basename(loc.file)}:{loc.line}" if loc else ""
        self.lines.append(f"{pad}{text}{where}")

    def call(self, s: Call) -> str:
        args: list[str] = []
        for a in s.args:
            args += [a.buffer.name, self.expr(offset(a))] if isinstance(a, Place) else [self.expr(a)]
        results = "".join(f"{r.name}, " for r in s.results).removesuffix(", ")
        return f"{results}{' = ' if results else ''}{s.function}({', '.join(args)})"

    def expr(self, e: Expr) -> str:
        match e:
            case Const(value, dtype):
                return self.const(value, dtype)
            case Var(name, _):
                return name
            case Load(buffer, index):
                return f"{buffer.name}[{', '.join(map(self.index, index))}]"
            case Op(name, args, dtype):
                return self.op(name, args, dtype)

    def index(self, e: Expr) -> str:
        """A subscript. They are never negative, which numba has to be told, where it compiles this: it would compare
        each with 0."""
        plain = isinstance(e, Const) or (isinstance(e, Var) and e.name in self.counters)
        return self.expr(e) if plain else f"at({self.expr(e)})"

    def element(self, dtype: np.dtype) -> str:
        """The dtype of an array's elements."""
        return f"np.{in_memory(dtype, self.halves).name}"

    def const(self, value: Any, dtype: np.dtype) -> str:
        v = dtype.type(value)
        if is_half(dtype):
            dtype = in_memory(dtype, self.halves)
            v = v.view(dtype)
        if dtype == np.int64 and value >= 0:
            return str(int(value))
        if dtype == np.bool_:
            return str(bool(value))
        if dtype == np.float64 and np.isfinite(v):
            return repr(float(v)) if v >= 0 and not np.signbit(v) else f"({float(v)!r})"
        name = next((n for n, k in self.constants.items() if k.dtype == dtype and k.tobytes() == v.tobytes()), None)
        if name is None:
            name = f"c{len(self.constants)}_{dtype.name}"
            while name in self.variables:
                name += "_"
            self.constants[name] = v
        return name

    def op(self, name: str, args: tuple[Expr, ...], dtype: np.dtype) -> str:
        a = [self.expr(x) for x in args]
        kind = args[-1].dtype.kind
        if name == "cast" and (is_half(dtype) or is_half(args[0].dtype)):
            return self.half(a[0], args[0].dtype, dtype)
        if name == "cast":
            source = args[0].dtype.kind
            real = np.empty(0, dtype).real.dtype.name
            return CASTS[source, dtype.kind].format(a[0], dtype.name, real)
        if name in ("floor_divide", "remainder") and kind == "i" and isinstance(args[1], Const) and args[1].value > 0:
            return narrow(f"({a[0]} {'//' if name == 'floor_divide' else '%'} {a[1]})", dtype)
        form = EXPRESSIONS.get(name, {}).get(kind)
        if form is None:
            raise UnsupportedError(
                f"{name} of {args[-1].dtype} is not supported by the CPU back end", self.loc,
                fix="compute it outside the step",
            )  # fmt: skip
        return narrow(form.format(*a), dtype)

    def half(self, text: str, source: np.dtype, dtype: np.dtype) -> str:
        """A conversion between float32 and 16 bits."""
        return f"halves.to_{dtype.name}({text})" if is_half(dtype) else f"halves.from_{source.name}({text})"


def narrow(text: str, dtype: np.dtype) -> str:
    """Numba's operators widen small integers to 64 bits: cast back to the dtype that the IR says."""
    widened = text.startswith("(") and dtype.kind in "iu" and dtype.itemsize < 8
    return f"np.{dtype.name}{text}" if widened else text


def _typed(v: Any) -> str:
    """A NumPy scalar as Python source, nan and the infinities included."""
    if v.dtype.kind == "c":
        parts = ", ".join(f"float({str(float(p))!r})" for p in (v.real, v.imag))
        return f"np.{v.dtype.name}(complex({parts}))"
    text = repr(v.item()) if v.dtype.kind != "f" or np.isfinite(v) else f"float({str(float(v))!r})"
    return f"np.{v.dtype.name}({text})"


def offset(place: Place) -> Expr:
    """Element offset of a place in its buffer's flat memory."""
    total: Expr = const_int(0)
    for axis, i in enumerate(place.index):
        total = add(total, mul(i, product(place.buffer.shape[axis + 1 :])))
    return total
