"""Rewrites functions: control flow becomes calls of `flow`, which decide whether values are traced.

    if x > 0:               def then():             nonlocal y; y = x
        y = x         ->    def orelse():           nonlocal y; y = -x
    else:                   def get():              return (y,)
        y = -x              def put(values):        nonlocal y; (y,) = values
                            flow.if_(x > 0, then, orelse, get, put, ("y",), ())

A branch that returns takes what follows the `if` with it. Loops that `break`, `continue` or `return` stay Python's, as
do conditions inside of them that do; asked for the truth of a traced value they say so. Lines and columns are those of
the user's file, so that errors point there.
"""

from __future__ import annotations

import ast
import functools
import os
import sysconfig
import types
from typing import Any

import numpy as np

import scancc
from scancc.errors import UnsupportedError
from scancc.frontend.control_flow import flow
from scancc.frontend.control_flow.source import (
    always_returns,
    bound_names,
    holds,
    stored_parts,
    syntax_of,
)
from scancc.frontend.location import Loc

PREFIX = "_scancc_"
FLOW = PREFIX + "flow"
FOREIGN = tuple(
    os.path.join(os.path.dirname(p), "") for p in (scancc.__file__, np.__file__)
) + tuple({sysconfig.get_paths()[k] + os.sep for k in ("stdlib", "platstdlib", "purelib", "platlib")})  # fmt: skip
_made: dict[types.CodeType, types.CodeType | None] = {}


def converted(fn: Any) -> Any:
    """`fn` with its control flow rewritten; itself where it is not the user's own Python, or has no source."""
    if isinstance(fn, functools.partial):
        inner = converted(fn.func)
        return fn if inner is fn.func else functools.partial(inner, *fn.args, **fn.keywords)
    if isinstance(fn, types.MethodType):
        inner = converted(fn.__func__)
        return fn if inner is fn.__func__ else types.MethodType(inner, fn.__self__)
    if isinstance(fn, types.FunctionType):
        return _function(fn)
    call = vars(type(fn)).get("__call__")
    if isinstance(call, types.FunctionType) and not isinstance(fn, type):
        return converted(types.MethodType(call, fn))
    return fn


def _function(fn: types.FunctionType) -> Any:
    code = fn.__code__
    if FLOW in code.co_freevars:
        return fn  # part of a rewritten function
    if code.co_filename.startswith(FOREIGN) or code.co_flags & 0x2A0:  # generators and coroutines
        return fn
    if code not in _made:
        _made[code] = _rewrite(fn)
    new = _made[code]
    if new is None:
        return fn
    cells = dict(zip(code.co_freevars, fn.__closure__ or (), strict=True)) | {FLOW: types.CellType(flow)}
    made = types.FunctionType(
        new, fn.__globals__, fn.__name__, fn.__defaults__, tuple(cells[n] for n in new.co_freevars)
    )
    made.__kwdefaults__ = fn.__kwdefaults__
    made.__qualname__ = fn.__qualname__
    return made


def _rewrite(fn: types.FunctionType) -> types.CodeType | None:
    """The code of the rewritten function: compiled inside of a function that has its free variables."""
    node = syntax_of(fn)
    if node is None:
        return None
    rewriter = Rewriter(fn.__code__)
    args = node.args
    body = [ast.Return(node.body)] if isinstance(node, ast.Lambda) else node.body
    body = rewriter.function_body(body, args)
    blank = ast.arguments(args.posonlyargs, args.args, args.vararg, args.kwonlyargs,
                          [None for _ in args.kwonlyargs], args.kwarg, [])  # fmt: skip
    for a in (*blank.posonlyargs, *blank.args, *blank.kwonlyargs, *filter(None, (blank.vararg, blank.kwarg))):
        a.annotation = None
    name = PREFIX + "function"  # its own name would hide the global one from it
    inner = _def(name, blank, body)
    free = [FLOW, *fn.__code__.co_freevars]
    # A variable that only the rewritten code mentions in a nested function is free in it too: all are parameters.
    outer = _def(PREFIX + "outer", _arguments(free), [inner, ast.Return(_load(name))])
    for part in (inner, outer):
        ast.copy_location(part, node)
    module = ast.fix_missing_locations(ast.Module([outer], []))
    whole = compile(module, fn.__code__.co_filename, "exec", dont_inherit=True, flags=_future(fn.__code__))
    outer_code = _code(whole, PREFIX + "outer")
    return _renamed(_code(outer_code, name), fn.__code__.co_name)


def _future(code: types.CodeType) -> int:
    import __future__

    return code.co_flags & __future__.annotations.compiler_flag


def _code(code: types.CodeType, name: str) -> types.CodeType:
    return next(c for c in code.co_consts if isinstance(c, types.CodeType) and c.co_name == name)


def _renamed(code: types.CodeType, name: str) -> types.CodeType:
    """Functions made here go by the user's name in errors."""
    consts = tuple(_renamed(c, name) if isinstance(c, types.CodeType) else c for c in code.co_consts)
    return code.replace(co_consts=consts, co_name=name if code.co_name.startswith(PREFIX) else code.co_name)


# -- syntax ----------------------------------------------------------------------------------------------------------


def _load(name: str) -> ast.expr:
    return ast.Name(name, ast.Load())


def _arguments(names: list[str]) -> ast.arguments:
    return ast.arguments([], [ast.arg(n) for n in names], None, [], [], None, [])


def _def(name: str, args: ast.arguments, body: list[ast.stmt]) -> ast.FunctionDef:
    made = ast.FunctionDef(name, args, body or [ast.Pass()], [])
    made.type_params = []  # type: ignore[attr-defined,unused-ignore]
    return made


def _lambda(body: ast.expr) -> ast.expr:
    return ast.Lambda(_arguments([]), body)


def _call(function: str, *args: ast.expr) -> ast.Call:
    return ast.Call(ast.Attribute(_load(FLOW), function, ast.Load()), list(args), [])


def _strings(names: list[str]) -> ast.expr:
    return ast.Tuple([ast.Constant(n) for n in names], ast.Load())


class Rewriter(ast.NodeTransformer):
    """Expressions by `visit`, statements by `block`."""

    def __init__(self, code: types.CodeType) -> None:
        self.code = code
        self.count = 0

    def function_body(self, body: list[ast.stmt], args: ast.arguments) -> list[ast.stmt]:
        """A whole function: every name that it binds exists from its beginning, so that branches can share it."""
        parameters = {a.arg for a in ast.walk(args) if isinstance(a, ast.arg)}
        names = [n for n in bound_names(body) if n not in parameters]
        start: list[ast.stmt] = []
        for n in names:
            start.append(ast.Assign([ast.Name(n, ast.Store())], _call("Undefined", ast.Constant(n))))
        made = [*start, *self.block(body, tail=True)]
        for s in start:
            ast.copy_location(s, body[0])
        return made

    # -- statements ----------------------------------------------------------------------------------------------
    def block(self, statements: list[ast.stmt], tail: bool) -> list[ast.stmt]:
        """Statements one after the other; `tail` says that the function is over after them."""
        made: list[ast.stmt] = []
        for i, s in enumerate(statements):
            rest = statements[i + 1 :]
            if isinstance(s, ast.If) and tail and holds(s, ast.Return, loops=False) and not self._jumps(s):
                return [*made, *self._returning(s, rest)]
            made += self.statement(s)
        return made

    def statement(self, s: ast.stmt) -> list[ast.stmt]:
        match s:
            case ast.If():
                made = self._plain(s, "an `if` with break, continue or return inside") if (
                    self._jumps(s) or holds(s, ast.Return)
                ) else self._if(s)  # fmt: skip
            case ast.While():
                jumps = bool(s.orelse) or holds(s, ast.Return) or self._own_jumps(s)
                made = self._plain(s, "a `while` with break, continue, return or else") if jumps else self._while(s)
            case ast.For():
                jumps = bool(s.orelse) or holds(s, ast.Return) or self._own_jumps(s)
                made = self._for(s, jumps)
            case ast.FunctionDef():
                s.body = self.function_body(s.body, s.args)
                made = [s]
            case ast.Try() | ast.TryStar():
                raise self._unsupported(s, "`try`", "a compiled step raises nothing that could be caught")
            case ast.With() | ast.AsyncWith():
                raise self._unsupported(s, "`with`", "a compiled step enters nothing")
            case ast.Match():
                s.subject = _call("plain", self.visit(s.subject), ast.Constant("`match`"))
                for case in s.cases:
                    case.body = self.block(case.body, tail=False)
                made = [s]
            case ast.Global() | ast.Nonlocal():
                raise self._unsupported(s, "`global` and `nonlocal`", "a step changes nothing outside of it")
            case _:
                made = [self.generic_visit(s)]  # type: ignore[list-item]
        for m in made:
            ast.copy_location(m, s)
            for inner in ast.walk(m):
                if "lineno" in inner._attributes and not hasattr(inner, "lineno"):
                    ast.copy_location(inner, s)
        return made

    def _if(self, s: ast.If) -> list[ast.stmt]:
        names = [n for n in bound_names([*s.body, *s.orelse]) if not n.startswith(PREFIX)]
        stores = stored_parts([*s.body, *s.orelse])
        test = self.visit(s.test)
        then = self._branch(self.block(s.body, tail=False), names)
        orelse = self._branch(self.block(s.orelse, tail=False), names)
        get, put = self._state(names)
        call = _call("if_", test, *map(_load, (then.name, orelse.name, get.name, put.name)), _strings(names),
                     _strings(stores))  # fmt: skip
        return [then, orelse, get, put, ast.Expr(call)]

    def _returning(self, s: ast.If, rest: list[ast.stmt]) -> list[ast.stmt]:
        """An `if` of which a branch returns: what follows it belongs to the branches that go on."""
        import copy

        bodies = [b if always_returns(b) else [*b, *copy.deepcopy(rest)] for b in (s.body, s.orelse)]
        names = [n for n in bound_names([*bodies[0], *bodies[1]]) if not n.startswith(PREFIX)]
        stores = stored_parts([*bodies[0], *bodies[1]])
        test = self.visit(s.test)
        then, orelse = (self._branch(self.block(b, tail=True), names) for b in bodies)
        get, put = self._state(names)
        call = _call("if_return", test, *map(_load, (then.name, orelse.name, get.name, put.name)), _strings(names),
                     _strings(stores))  # fmt: skip
        made: list[ast.stmt] = [then, orelse, get, put, ast.Return(call)]
        for m in made:
            ast.copy_location(m, s)
        return made

    def _while(self, s: ast.While) -> list[ast.stmt]:
        names = bound_names(s.body)
        stores = stored_parts(s.body)
        test = self._branch([ast.Return(self.visit(s.test))], [])
        body = self._branch(self.block(s.body, tail=False), names)
        get, put = self._state(names)
        call = _call("while_", *map(_load, (test.name, body.name, get.name, put.name)), _strings(names),
                     _strings(stores))  # fmt: skip
        return [test, body, get, put, ast.Expr(call)]

    def _for(self, s: ast.For, jumps: bool) -> list[ast.stmt]:
        over_range = isinstance(s.iter, ast.Call) and isinstance(s.iter.func, ast.Name) and s.iter.func.id == "range"
        if not over_range or not isinstance(s.target, ast.Name) or s.iter.keywords:  # type: ignore[attr-defined]
            s.iter = self.visit(s.iter)
            s.body, s.orelse = self.block(s.body, tail=False), self.block(s.orelse, tail=False)
            return [s]
        bounds = [self.visit(a) for a in s.iter.args]  # type: ignore[attr-defined]
        if jumps:
            what = ast.Constant("a `for` with break, continue, return or else")
            s.iter.args = [_call("plain", b, what) for b in bounds]  # type: ignore[attr-defined]
            s.body, s.orelse = self.block(s.body, tail=False), self.block(s.orelse, tail=False)
            return [s]
        names = bound_names([s.target, *s.body])
        given = PREFIX + "i"
        first = ast.Assign([ast.Name(s.target.id, ast.Store())], _load(given))
        body = self._branch([first, *self.block(s.body, tail=False)], names, [given])
        get, put = self._state(names)
        call = _call("for_range", ast.Tuple(bounds, ast.Load()), *map(_load, (body.name, get.name, put.name)),
                     _strings(names), _strings(stored_parts(s.body)), ast.Constant(s.target.id))  # fmt: skip
        return [body, get, put, ast.Expr(call)]

    def _plain(self, s: ast.If | ast.While, what: str) -> list[ast.stmt]:
        s.test = _call("plain", self.visit(s.test), ast.Constant(what))
        s.body, s.orelse = self.block(s.body, tail=False), self.block(s.orelse, tail=False)
        return [s]

    def _branch(self, body: list[ast.stmt], names: list[str], args: list[str] | None = None) -> ast.FunctionDef:
        start: list[ast.stmt] = [ast.Nonlocal(list(names))] if names else []
        return _def(self._name(), _arguments(args or []), [*start, *body])

    def _state(self, names: list[str]) -> tuple[ast.FunctionDef, ast.FunctionDef]:
        values = PREFIX + "values"
        get = _def(self._name(), _arguments([]), [ast.Return(ast.Tuple([_load(n) for n in names], ast.Load()))])
        target = ast.Tuple([ast.Name(n, ast.Store()) for n in names], ast.Store())
        store: list[ast.stmt] = [ast.Nonlocal(list(names)), ast.Assign([target], _load(values))] if names else []
        return get, _def(self._name(), _arguments([values]), store)

    def _name(self) -> str:
        self.count += 1
        return f"{PREFIX}{self.count}"

    @staticmethod
    def _jumps(s: ast.stmt) -> bool:
        """Whether a statement leaves or goes on with a loop around it."""
        return holds(s, ast.Break, ast.Continue, loops=False)

    @staticmethod
    def _own_jumps(s: ast.For | ast.While) -> bool:
        return any(
            holds(b, ast.Break, ast.Continue, loops=False) for b in s.body if not isinstance(b, (ast.For, ast.While))
        )

    def _unsupported(self, s: ast.stmt, what: str, rule: str) -> UnsupportedError:
        end = s.end_col_offset if s.end_lineno == s.lineno and s.end_col_offset is not None else -1
        place = Loc(self.code.co_filename, s.lineno, s.col_offset, end, self.code.co_name)
        return UnsupportedError(
            f"{what} in a step with control flow on traced values is not supported",
            place,
            rule,
            "move it out of the step, or write sc.where, sc.cond or sc.until instead of the control flow",
        )

    # -- expressions ---------------------------------------------------------------------------------------------
    def visit_BoolOp(self, node: ast.BoolOp) -> ast.expr:
        name = "and_" if isinstance(node.op, ast.And) else "or_"
        return ast.copy_location(_call(name, *[_lambda(self.visit(v)) for v in node.values]), node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.expr:
        operand = self.visit(node.operand)
        if isinstance(node.op, ast.Not):
            return ast.copy_location(_call("not_", operand), node)
        return ast.copy_location(ast.UnaryOp(node.op, operand), node)

    def visit_Compare(self, node: ast.Compare) -> ast.expr:
        """a < b < c asks for the truth of a < b; its inner operands are evaluated once where that could matter."""
        parts = [self.visit(v) for v in (node.left, *node.comparators)]
        if len(node.ops) == 1 or any(not isinstance(v, (ast.Name, ast.Constant, ast.Attribute)) for v in parts[1:-1]):
            return ast.copy_location(ast.Compare(parts[0], node.ops, parts[1:]), node)
        pairs = [_lambda(ast.Compare(a, [op], [b])) for a, op, b in zip(parts, node.ops, parts[1:], strict=False)]
        return ast.copy_location(_call("and_", *pairs), node)

    def visit_IfExp(self, node: ast.IfExp) -> ast.expr:
        test, then, orelse = self.visit(node.test), self.visit(node.body), self.visit(node.orelse)
        return ast.copy_location(_call("if_expression", test, _lambda(then), _lambda(orelse)), node)

    def visit_Call(self, node: ast.Call) -> ast.expr:
        """Functions that the step calls are rewritten too."""
        self.generic_visit(node)
        if isinstance(node.func, (ast.Name, ast.Attribute)) and not (
            isinstance(node.func, ast.Name) and node.func.id in ("super", "locals", "globals", "eval", "exec")
        ):
            node.func = ast.copy_location(_call("callee", node.func), node.func)
        return node

    def visit_Lambda(self, node: ast.Lambda) -> ast.expr:
        node.body = self.visit(node.body)
        return node
