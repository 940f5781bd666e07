"""The syntax tree of a function's source, as it stands in its file, and the names that its statements bind."""

from __future__ import annotations

import ast
import copy
import functools
import linecache
import types
from collections.abc import Iterable

Function = ast.FunctionDef | ast.Lambda
SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef, ast.ListComp, ast.SetComp, ast.DictComp,
          ast.GeneratorExp)  # fmt: skip


def syntax_of(fn: types.FunctionType) -> Function | None:
    """The node of a function or lambda in its file, or None where the source is not available."""
    code = fn.__code__
    tree = _parsed("".join(linecache.getlines(code.co_filename, fn.__globals__)))
    if tree is None:
        return None
    found: list[Function] = []
    columns = {p[2] for p in code.co_positions() if p[0] is not None and p[2] is not None}
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name == code.co_name:
            first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
            if first == code.co_firstlineno:
                found.append(node)
        elif isinstance(node, ast.Lambda) and code.co_name == "<lambda>" and node.lineno == code.co_firstlineno:
            own = {n.col_offset for n in ast.walk(node.body) if hasattr(n, "col_offset")}
            if own & columns and node.body.col_offset <= max(columns):
                found.append(node)
    if len(found) > 1:  # several lambdas on one line: the one whose body begins where the code does
        found = [n for n in found if isinstance(n, ast.Lambda) and _holds(n, columns)] or found
        arguments = code.co_varnames[: code.co_argcount]
        found = [n for n in found if tuple(a.arg for a in n.args.args) == arguments] or found
    return copy.deepcopy(found[0]) if len(found) == 1 else None  # which rewriting changes


@functools.lru_cache(8)
def _parsed(text: str) -> ast.Module | None:
    try:
        return ast.parse(text)
    except SyntaxError:
        return None


def _holds(node: ast.Lambda, columns: set[int]) -> bool:
    end = node.body.end_col_offset or 0
    return all(node.body.col_offset <= c < end for c in columns if c > node.col_offset)


def bound_names(statements: Iterable[ast.AST]) -> list[str]:
    """Names that statements bind in their own scope, in order."""
    names: dict[str, None] = {}
    pending = list(statements)
    while pending:
        node = pending.pop(0)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names[node.name] = None
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names[node.id] = None
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            names |= {(a.asname or a.name).split(".")[0]: None for a in node.names}
        if not isinstance(node, SCOPES):
            pending = [*ast.iter_child_nodes(node), *pending]
    return list(names)


RAISE = "raise"


def stored_parts(statements: Iterable[ast.AST]) -> list[str]:
    """Attributes that statements assign to, what they delete, and RAISE: what a branch cannot take back."""
    found: list[str] = []
    pending = list(statements)
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Raise):
            found.append(RAISE)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, (ast.Store, ast.Del)) or (
            isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Del)
        ):
            found.append(ast.unparse(node))
        if not isinstance(node, SCOPES):
            pending += ast.iter_child_nodes(node)
    return found


def holds(node: ast.AST, *kinds: type[ast.AST], loops: bool = True, own: bool = False) -> bool:
    """Whether a statement has one of these kinds inside.

    Without `loops`, loops inside of it are not looked into; with `own`, neither is the statement where it is a loop.
    """
    pending: list[ast.AST] = [node]
    while pending:
        n = pending.pop()
        if isinstance(n, kinds):
            return True
        if isinstance(n, SCOPES) or (
            not loops and (own or n is not node) and isinstance(n, (ast.For, ast.While))
        ):
            continue
        pending += ast.iter_child_nodes(n)
    return False


def always_returns(statements: list[ast.stmt]) -> bool:
    if not statements:
        return False
    last = statements[-1]
    if isinstance(last, ast.If):
        return always_returns(last.body) and always_returns(last.orelse)
    return isinstance(last, (ast.Return, ast.Raise))
