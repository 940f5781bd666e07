"""Loops without `break`, `continue`, `return` and `else`: flags say what is still to run.

    while c:                    broke = False
        if x > 3:               while not broke and c:
            break       ->          if x > 3:
        s = s + x                       broke = True
    else:                           else:
        s = 0                           s = s + x
                                if not broke:
                                    s = 0

A `return` keeps its value, and returns it after the loop. The flag that ends a `for` is noted on the loop (`ends`).
"""

from __future__ import annotations

import ast
import itertools
from collections.abc import Iterable

from scancc.frontend.control_flow.source import SCOPES, holds
from scancc.frontend.control_flow.syntax import assign, flow_call, load

JUMPS = (ast.Break, ast.Continue, ast.Return)
RETURNED = "returned_value_"  # how names of values that a loop returns begin


class LoopRewriter:
    """`statements(body)` of a function: the same, with loops that end by their own conditions only."""

    def __init__(self, names: Iterable[str]) -> None:
        self.taken = set(names)

    def statements(self, body: list[ast.stmt]) -> list[ast.stmt]:
        made: list[ast.stmt] = []
        for s in body:
            if isinstance(s, (ast.While, ast.For)):
                made += self._loop(s)
                continue
            if not isinstance(s, SCOPES):
                for field in ("body", "orelse", "finalbody"):
                    if isinstance(getattr(s, field, None), list):
                        setattr(s, field, self.statements(getattr(s, field)))
                for part in (*getattr(s, "handlers", ()), *getattr(s, "cases", ())):
                    part.body = self.statements(part.body)
            made.append(s)
        return made

    def _name(self, base: str) -> str:
        name = next(n for i in itertools.count() if (n := f"{base}{i}") not in self.taken)
        self.taken.add(name)
        return name

    def _loop(self, s: ast.While | ast.For) -> list[ast.stmt]:
        s.body = self.statements(s.body)
        after = self.statements(s.orelse)
        s.orelse = []
        jumps = [j for j in JUMPS if any(holds(b, j, loops=False, own=True) for b in s.body)]
        if not jumps:
            return [s, *after]
        ends, skips = ast.Break in jumps or ast.Return in jumps, ast.Continue in jumps
        body = _Body(*(self._name(base) if wanted else "" for base, wanted in (
            ("broke_", ends), ("skipped_", skips), ("returned_", ast.Return in jumps), (RETURNED, ast.Return in jumps)
        )))  # fmt: skip
        s.body, _ = body.guarded(s.body)
        before: list[ast.stmt] = []
        if skips and body.skip in body.asked:
            s.body.insert(0, assign(body.skip, ast.Constant(False)))
        elif skips:
            s.body = [_without(b, body.skip) for b in s.body]
        if ends:
            before.append(assign(body.end, ast.Constant(False)))
            if isinstance(s, ast.While):
                s.test = ast.BoolOp(ast.And(), [_not(body.end), s.test])
            else:
                s.ends = body.end  # type: ignore[union-attr]
            if after:
                after = [ast.If(_not(body.end), after, [])]
        if body.returned:
            before.append(assign(body.returned, ast.Constant(False)))
            value: ast.stmt = ast.Return(flow_call("closed", load(body.value)))
            after = [value] if _only_returns(s, jumps) else [ast.If(load(body.returned), [value], []), *after]
        for part in (*before, *after):
            _place(part, s)
        return [*before, s, *after]


def _only_returns(s: ast.While | ast.For, jumps: list[type[ast.stmt]]) -> bool:
    """Whether a loop goes on until it returns: nothing after it is reached."""
    endless = isinstance(s, ast.While) and isinstance(s.test, ast.BoolOp) and isinstance(s.test.values[1], ast.Constant)
    return endless and bool(s.test.values[1].value) and ast.Break not in jumps  # type: ignore[union-attr,attr-defined]


class _Body:
    """The body of one loop and its flags."""

    def __init__(self, end: str, skip: str, returned: str, value: str) -> None:
        self.end, self.skip, self.returned, self.value = end, skip, returned, value
        self.asked: set[str] = set()

    def guarded(self, statements: list[ast.stmt]) -> tuple[list[ast.stmt], set[str]]:
        """Statements with flags for jumps, and the flags that they may set."""
        made: list[ast.stmt] = []
        for i, s in enumerate(statements):
            new, flags = self._statement(s)
            made += [_place(n, s) for n in new]
            rest = statements[i + 1 :]
            if not flags or not rest:
                if flags:
                    return made, flags
                continue
            if isinstance(s, JUMPS):
                return made, flags  # nothing runs after it
            after, more = self.guarded(rest)
            if isinstance(s, ast.If) and _always_jumps(s.body) and not _may_jump(s.orelse):
                made[-1].orelse += after  # type: ignore[attr-defined]
            elif isinstance(s, ast.If) and _always_jumps(s.orelse) and not _may_jump(s.body):
                made[-1].body += after  # type: ignore[attr-defined]
            else:
                self.asked |= flags
                made.append(_place(ast.If(_not(*sorted(flags)), after, []), rest[0]))
            return made, flags | more
        return made, set()

    def _statement(self, s: ast.stmt) -> tuple[list[ast.stmt], set[str]]:
        match s:
            case ast.Break():
                return [assign(self.end, ast.Constant(True))], {self.end}
            case ast.Continue():
                return [assign(self.skip, ast.Constant(True))], {self.skip}
            case ast.Return():
                value = flow_call("opened", s.value or ast.Constant(None))
                new = [assign(self.value, value), *(assign(n, ast.Constant(True)) for n in (self.returned, self.end))]
                return new, {self.end}  # type: ignore[return-value]
            case ast.If():
                (body, a), (orelse, b) = self.guarded(s.body), self.guarded(s.orelse)
                return [ast.If(s.test, body, orelse)], a | b
            case ast.With() | ast.Try():
                s.body, flags = self.guarded(s.body)
                return [s], flags
        return [s], set()


def _always_jumps(statements: list[ast.stmt]) -> bool:
    last = statements[-1] if statements else None
    if isinstance(last, ast.If):
        return _always_jumps(last.body) and _always_jumps(last.orelse)
    return isinstance(last, JUMPS)


def _may_jump(statements: list[ast.stmt]) -> bool:
    return any(holds(s, *JUMPS, loops=False, own=True) for s in statements)


def _without(s: ast.stmt, name: str) -> ast.stmt:
    """A statement without assignments to a name that nobody reads."""

    class Remover(ast.NodeTransformer):
        def visit_Assign(self, node: ast.Assign) -> ast.stmt:
            mine = isinstance(node.targets[0], ast.Name) and node.targets[0].id == name
            return ast.copy_location(ast.Pass(), node) if mine else node

    return Remover().visit(s)  # type: ignore[no-any-return]


def _not(*flags: str) -> ast.expr:
    test = load(flags[0]) if len(flags) == 1 else ast.BoolOp(ast.Or(), [load(f) for f in flags])
    return ast.UnaryOp(ast.Not(), test)


def _place(made: ast.stmt, at: ast.stmt) -> ast.stmt:
    """A new statement at the place of the one that it stands for; parts of the user's keep their own."""
    for part in ast.walk(made):
        if "lineno" in part._attributes and not hasattr(part, "lineno"):
            ast.copy_location(part, at)
    return made
