"""Parts of syntax trees that rewriting makes."""

from __future__ import annotations

import ast
from collections.abc import Iterable

PREFIX = "_scancc_"  # of names that no user has
FLOW = PREFIX + "flow"


def load(name: str) -> ast.expr:
    return ast.Name(name, ast.Load())


def arguments(names: Iterable[str]) -> ast.arguments:
    return ast.arguments([], [ast.arg(n) for n in names], None, [], [], None, [])


def define(name: str, args: ast.arguments, body: list[ast.stmt]) -> ast.FunctionDef:
    made = ast.FunctionDef(name, args, body or [ast.Pass()], [])
    made.type_params = []  # type: ignore[attr-defined,unused-ignore]
    return made


def thunk(body: ast.expr) -> ast.expr:
    """A function that evaluates an expression when it is called."""
    return ast.Lambda(arguments([]), body)


def flow_call(function: str, *args: ast.expr) -> ast.Call:
    return ast.Call(ast.Attribute(load(FLOW), function, ast.Load()), list(args), [])


def strings(names: Iterable[str]) -> ast.expr:
    return ast.Tuple([ast.Constant(n) for n in names], ast.Load())


def assign(name: str, value: ast.expr) -> ast.stmt:
    return ast.Assign([ast.Name(name, ast.Store())], value)
