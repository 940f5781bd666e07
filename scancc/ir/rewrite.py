"""Renewal of the loop IR: a copy of a block in which some accesses, variables or statements are others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from scancc.ir.loop import (
    Alloc,
    Assign,
    Buffer,
    Call,
    Declare,
    Expr,
    For,
    Grow,
    If,
    Let,
    Load,
    Op,
    Place,
    Prefix,
    Print,
    Stmt,
    Store,
    Var,
)


class Rewriter:
    """Rebuilds blocks. A transformation says what it changes by overriding `access`, `var` and `statement`."""

    def access(self, buffer: Buffer, index: tuple[Expr, ...]) -> tuple[Buffer, tuple[Expr, ...]]:
        """Where an element is now. The subscripts are those of the copy already."""
        return buffer, index

    def var(self, var: Var) -> Expr:
        return var

    def expr(self, e: Expr) -> Expr:
        match e:
            case Load(b, index):
                return Load(*self.access(b, tuple(map(self.expr, index))))
            case Op(name, args, dtype):
                return Op(name, tuple(map(self.expr, args)), dtype)
            case Var():
                return self.var(e)
            case _:
                return e

    def place(self, place: Place) -> Place:
        return Place(*self.access(place.buffer, tuple(map(self.expr, place.index))))

    def block(self, block: list[Stmt]) -> list[Stmt]:
        return [self.statement(s) for s in block]

    def statement(self, s: Stmt) -> Stmt:
        match s:
            case Let(var, e, loc):
                return Let(var, self.expr(e), loc)
            case Declare(var, e, loc):
                return Declare(var, self.expr(e), loc)
            case Assign(var, e, loc):
                return Assign(var, self.expr(e), loc)
            case Store(b, index, e, loc):
                return Store(*self.access(b, tuple(map(self.expr, index))), self.expr(e), loc)
            case For(_, start, stop, body):
                return replace(s, start=self.expr(start), stop=self.expr(stop), body=self.block(body))
            case If(condition, then, orelse):
                return If(self.expr(condition), self.block(then), self.block(orelse))
            case Call(_, args, _, _):
                return replace(s, args=tuple(self.place(a) if isinstance(a, Place) else self.expr(a) for a in args))
            case Alloc(b):
                return Alloc(self.whole(b))
            case Grow(b, row):
                return Grow(self.whole(b), self.expr(row))
            case Print(_, _, values, _, _):
                return replace(s, values=tuple(map(self.whole, values)))
            case Prefix():
                return replace(
                    s, stop=self.expr(s.stop), words=self.whole(s.words), element=self.block(s.element),
                    fold=self.block(s.fold), join=self.block(s.join), start=self.block(s.start),
                    body=self.block(s.body),
                )  # fmt: skip
            case _:
                return s

    def whole(self, buffer: Buffer) -> Buffer:
        """The buffer that takes the place of one that is named without subscripts."""
        return buffer


class Replaced(Rewriter):
    """Variables, and loads as they are written, that are other values in the copy."""

    def __init__(self, variables: Mapping[Var, Expr], loads: Mapping[Load, Expr] | None = None) -> None:
        self.variables, self.loads = variables, loads or {}

    def var(self, var: Var) -> Expr:
        return self.variables.get(var, var)

    def expr(self, e: Expr) -> Expr:
        known = self.loads.get(e) if isinstance(e, Load) else None
        return super().expr(e) if known is None else known
