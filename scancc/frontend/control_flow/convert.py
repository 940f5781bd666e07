"""The rewritten form of a function: its syntax tree, with control flow as calls (`rewriter`), compiled in its place."""

from __future__ import annotations

import ast
import functools
import os
import sysconfig
import types
from typing import Any

import numpy as np

import scancc
from scancc.frontend.control_flow import flow
from scancc.frontend.control_flow.jumps import LoopRewriter
from scancc.frontend.control_flow.needs import needs_rewriting
from scancc.frontend.control_flow.rewriter import Rewriter
from scancc.frontend.control_flow.source import syntax_of
from scancc.frontend.control_flow.syntax import FLOW, PREFIX, arguments, define, load

FOREIGN = tuple(
    os.path.join(os.path.dirname(p), "") for p in (scancc.__file__, np.__file__)
) + tuple({sysconfig.get_paths()[k] + os.sep for k in ("stdlib", "platstdlib", "purelib", "platlib")})  # fmt: skip
_made: dict[types.CodeType, types.CodeType | None] = {}


def code_of(fn: Any) -> types.CodeType | None:
    """The code of a function, a method, a partial application of one, or an object that is called like one."""
    fn = function_of(fn)
    return None if fn is None else fn.__code__


def function_of(fn: Any) -> types.FunctionType | None:
    """The function that a call of `fn` runs, if it is one of Python."""
    if isinstance(fn, functools.partial):
        return function_of(fn.func)
    if isinstance(fn, types.MethodType):
        return function_of(fn.__func__)
    if isinstance(fn, types.FunctionType):
        return fn
    call = None if isinstance(fn, type) else vars(type(fn)).get("__call__")
    return call if isinstance(call, types.FunctionType) else None


def means_otherwise(fn: Any) -> bool:
    """Whether `fn` has to be rewritten though it may ask for nothing."""
    function = function_of(fn)
    of = getattr(fn, "__self__", None if isinstance(fn, types.FunctionType) else fn)
    return function is not None and needs_rewriting(function, of, FOREIGN)


def is_foreign(fn: Any) -> bool:
    """Whether a function is none of the user's own Python."""
    code = code_of(fn)
    return code is None or code.co_filename.startswith(FOREIGN)


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
    assigned = [n for n in ast.walk(node) if isinstance(n, ast.Subscript) and not isinstance(n.ctx, ast.Load)]
    rewriter.assigns_elements = bool(assigned)
    rewriter.changes_arrays = bool(assigned) or any(map(_changes_in_place, ast.walk(node)))
    body = LoopRewriter(n.id for n in ast.walk(node) if isinstance(n, ast.Name)).statements(body)
    body = rewriter.function_body(body, args)
    blank = ast.arguments(args.posonlyargs, args.args, args.vararg, args.kwonlyargs,
                          [None for _ in args.kwonlyargs], args.kwarg, [])  # fmt: skip
    for a in (*blank.posonlyargs, *blank.args, *blank.kwonlyargs, *filter(None, (blank.vararg, blank.kwarg))):
        a.annotation = None
    name = PREFIX + "function"  # its own name would hide the global one from it
    inner = define(name, blank, body)
    free = [FLOW, *fn.__code__.co_freevars]
    # A variable that only the rewritten code mentions in a nested function is free in it too: all are parameters.
    outer = define(PREFIX + "outer", arguments(free), [inner, ast.Return(load(name))])
    for part in (inner, outer):
        ast.copy_location(part, node)
    around = _class_around(fn.__code__.co_qualname)
    body: list[ast.stmt] = [outer]
    if around:  # whose private names its methods mangle
        body = [ast.copy_location(ast.ClassDef(around, [], [], body, [], type_params=[]), node)]
    module = ast.fix_missing_locations(ast.Module(body, []))
    whole = compile(module, fn.__code__.co_filename, "exec", dont_inherit=True, flags=_future(fn.__code__))
    outer_code = _code(_code(whole, around) if around else whole, PREFIX + "outer")
    return _renamed(_code(outer_code, name), fn.__code__.co_name)


def _class_around(qualified: str) -> str:
    """The class whose method a function is, or is defined in; "" where there is none."""
    parts = qualified.split(".")[:-1]
    while parts and parts[-1] == "<locals>":
        parts = parts[:-2]
    return parts[-1] if parts else ""


def _changes_in_place(node: ast.AST) -> bool:
    return isinstance(node, ast.AugAssign) or isinstance(node, ast.keyword) and node.arg == "out" or (
        isinstance(node, ast.Attribute) and node.attr == "fill"
    )


def _future(code: types.CodeType) -> int:
    import __future__

    return code.co_flags & __future__.annotations.compiler_flag


def _code(code: types.CodeType, name: str) -> types.CodeType:
    return next(c for c in code.co_consts if isinstance(c, types.CodeType) and c.co_name == name)


def _renamed(code: types.CodeType, name: str) -> types.CodeType:
    """Functions made here go by the user's name in errors."""
    consts = tuple(_renamed(c, name) if isinstance(c, types.CodeType) else c for c in code.co_consts)
    return code.replace(co_consts=consts, co_name=name if code.co_name.startswith(PREFIX) else code.co_name)
