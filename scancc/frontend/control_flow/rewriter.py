"""Rewrites functions: control flow becomes calls of `flow`, which decide whether values are traced.

    if x > 0:               def then():             nonlocal y; y = x
        y = x         ->    def orelse():           nonlocal y; y = -x
    else:                   def get():              return (y,)
        y = -x              def put(values):        nonlocal y; (y,) = values
                            flow.if_(x > 0, then, orelse, get, put, ("y",), ())

A branch that returns takes what follows the `if` with it. Loops that `break`, `continue` or `return` have become loops
with flags before (`jumps`). Calls, subscripts and assignments to elements become calls, too. Lines and columns are
those of the user's file, so that errors point there.
"""

from __future__ import annotations

import ast
import types
from typing import Any

from scancc.errors import UnsupportedError
from scancc.frontend.control_flow.jumps import LoopRewriter
from scancc.frontend.control_flow.source import always_returns, bound_names, holds, stored_parts
from scancc.frontend.control_flow.syntax import PREFIX, arguments, assign, define, flow_call, load, strings, thunk
from scancc.frontend.location import Loc


class Rewriter(ast.NodeTransformer):
    """Expressions by `visit`, statements by `block`."""

    def __init__(self, code: types.CodeType) -> None:
        self.code = code
        self.count = 0
        self.assigns_elements = False  # anywhere in the function: arrays that it makes are kept as such
        self.changes_arrays = False
        self.setters: list[ast.FunctionDef] = []  # of the statement at hand
        self.lambdas = 0  # around the expression at hand
        self.is_operand = False  # whether the expression at hand is one of an operator

    def function_body(self, body: list[ast.stmt], args: ast.arguments) -> list[ast.stmt]:
        """A whole function: every name that it binds exists from its beginning, so that branches can share it."""
        parameters = {a.arg for a in ast.walk(args) if isinstance(a, ast.arg)}
        names = [n for n in bound_names(body) if n not in parameters]
        start: list[ast.stmt] = []
        for n in names:
            start.append(ast.Assign([ast.Name(n, ast.Store())], flow_call("Undefined", ast.Constant(n))))
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
                around, self.setters = self.setters, []
                returning = self._returning(s, rest)
                made += [*(ast.fix_missing_locations(ast.copy_location(d, s)) for d in self.setters), *returning]
                self.setters = around
                return made
            if isinstance(s, ast.With):
                s.items = [self.visit(item) for item in s.items]
                s.body = self.block(s.body, tail and not rest)
                made.append(s)
                continue
            made += self.statement(s)
        return made

    def statement(self, s: ast.stmt) -> list[ast.stmt]:
        around, self.setters = self.setters, []
        made: list[ast.stmt] = self._statement(s)
        made = [*self.setters, *made]
        self.setters = around
        for m in made:
            ast.copy_location(m, s)
            for inner in ast.walk(m):
                if "lineno" in inner._attributes and not hasattr(inner, "lineno"):
                    ast.copy_location(inner, s)
        return made

    def _statement(self, s: ast.stmt) -> list[ast.stmt]:
        made: list[ast.stmt]
        match s:
            case ast.If():
                made = self._plain(s, "an `if` that returns from inside of `with` or `match`") if (
                    self._jumps(s) or holds(s, ast.Return)
                ) else self._if(s)  # fmt: skip
            case ast.While():
                made = self._while(s)
            case ast.For():
                made = self._for(s)
            case ast.Assert():
                message = s.msg or ast.Constant("an assertion does not hold")
                made = [ast.Expr(flow_call("assert_", thunk(self.visit(s.test)), thunk(self.visit(message))))]
            case ast.Assign():
                made = self._assign(s)
            case ast.AugAssign(target=ast.Name()):
                operator, name = ast.Constant(type(s.op).__name__), s.target.id
                made = [assign(name, flow_call("in_place", operator, load(name), self.visit(s.value)))]
            case ast.AugAssign(target=ast.Subscript()):
                of, key = self.visit(s.target.value), self._key(s.target.slice)
                operator = ast.Constant(type(s.op).__name__)
                made = [ast.Expr(flow_call("augment", operator, of, key, self.visit(s.value)))]
            case ast.FunctionDef():
                names = (n.id for n in ast.walk(s) if isinstance(n, ast.Name))
                s.body = self.function_body(LoopRewriter(names).statements(s.body), s.args)
                made = [s]
            case ast.Try() | ast.TryStar():
                raise self._unsupported(s, "`try`", "a compiled step raises nothing that could be caught")
            case ast.Match():
                s.subject = flow_call("plain", self.visit(s.subject), ast.Constant("`match`"))
                for case in s.cases:
                    case.body = self.block(case.body, tail=False)
                made = [s]
            case ast.Global() | ast.Nonlocal():
                raise self._unsupported(s, "`global` and `nonlocal`", "a step changes nothing outside of it")
            case _:
                made = [self.generic_visit(s)]  # type: ignore[list-item]
        return made

    def _if(self, s: ast.If) -> list[ast.stmt]:
        names = [n for n in bound_names([*s.body, *s.orelse]) if not n.startswith(PREFIX)]
        stores = stored_parts([*s.body, *s.orelse])
        test = self.visit(s.test)
        then = self._branch(self.block(s.body, tail=False), names)
        orelse = self._branch(self.block(s.orelse, tail=False), names)
        get, put = self._state(names)
        call = flow_call("if_", test, *map(load, (then.name, orelse.name, get.name, put.name)), strings(names),
                     strings(stores))  # fmt: skip
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
        call = flow_call("if_return", test, *map(load, (then.name, orelse.name, get.name, put.name)), strings(names),
                     strings(stores))  # fmt: skip
        made: list[ast.stmt] = [then, orelse, get, put, ast.Return(call)]
        for m in made:
            ast.copy_location(m, s)
        return made

    def _while(self, s: ast.While) -> list[ast.stmt]:
        names = bound_names([s.test, *s.body])
        stores = stored_parts(s.body)
        test = self._branch([ast.Return(self.visit(s.test))], [])
        body = self._branch(self.block(s.body, tail=False), names)
        get, put = self._state(names)
        call = flow_call("while_", *map(load, (test.name, body.name, get.name, put.name)), strings(names),
                     strings(stores))  # fmt: skip
        return [test, body, get, put, ast.Expr(call)]

    def _for(self, s: ast.For) -> list[ast.stmt]:
        """Over a range, or anything that Python iterates over; `ends` is the flag that ends the loop, if it has one."""
        over_range = isinstance(s.iter, ast.Call) and isinstance(s.iter.func, ast.Name) and s.iter.func.id == "range"
        names = bound_names([s.target, *s.body])
        stores = stored_parts([s.target, *s.body])
        given = PREFIX + "i"
        first = ast.copy_location(ast.Assign([s.target], load(given)), s.target)
        body = self._branch([*self._assign(first), *self.block(s.body, tail=False)], names, [given])
        get, put = self._state(names)
        ends = getattr(s, "ends", "")
        ended = thunk(load(ends) if ends else ast.Constant(False))
        parts = [*map(load, (body.name, get.name, put.name)), strings(names), strings(stores), ended]
        if over_range and not s.iter.keywords and not any(isinstance(a, ast.Starred) for a in s.iter.args):  # type: ignore[attr-defined]
            bounds = [self.visit(a) for a in s.iter.args]  # type: ignore[attr-defined]
            call = flow_call("for_range", load("range"), ast.Tuple(bounds, ast.Load()), *parts)
        else:
            call = flow_call("for_each", self.visit(s.iter), *parts)
        return [body, get, put, ast.Expr(call)]

    def _assign(self, s: ast.Assign) -> list[ast.stmt]:
        """Elements are assigned by `flow.store`."""
        value = self.visit(s.value)
        if not any(isinstance(n, ast.Subscript) for t in s.targets for n in ast.walk(t)):
            return [ast.copy_location(ast.Assign(s.targets, value), s)]
        if len(s.targets) == 1 and isinstance(s.targets[0], ast.Subscript):
            return [self._store(s.targets[0], value)]
        stores: list[ast.stmt] = []
        targets = [self._put_off(t, stores) for t in s.targets]
        return [ast.copy_location(ast.Assign(targets, value), s), *stores]

    def _put_off(self, target: ast.expr, stores: list[ast.stmt]) -> ast.expr:
        """A target without elements; these are assigned afterwards."""
        if isinstance(target, ast.Subscript):
            name = self._name()
            stores.append(self._store(target, ast.copy_location(load(name), target)))
            return ast.copy_location(ast.Name(name, ast.Store()), target)
        if isinstance(target, (ast.Tuple, ast.List)):
            target.elts = [self._put_off(t, stores) for t in target.elts]
        elif isinstance(target, ast.Starred):
            target.value = self._put_off(target.value, stores)
        return target

    def _store(self, target: ast.Subscript, value: ast.expr) -> ast.stmt:
        call = flow_call("store", value, self.visit(target.value), self._key(target.slice))
        return ast.copy_location(ast.Expr(ast.copy_location(call, target)), target)

    def _key(self, node: ast.expr) -> ast.expr:
        """An index as an expression outside of brackets."""
        if isinstance(node, ast.Tuple):
            return ast.copy_location(ast.Tuple([self._key(e) for e in node.elts], ast.Load()), node)
        if isinstance(node, ast.Slice):
            bounds = [ast.Constant(None) if b is None else self.visit(b) for b in (node.lower, node.upper, node.step)]
            return ast.copy_location(flow_call("slice", *bounds), node)
        return self.visit(node)  # type: ignore[no-any-return]

    def _plain(self, s: ast.If | ast.While, what: str) -> list[ast.stmt]:
        s.test = flow_call("plain", self.visit(s.test), ast.Constant(what))
        s.body, s.orelse = self.block(s.body, tail=False), self.block(s.orelse, tail=False)
        return [s]

    def _branch(self, body: list[ast.stmt], names: list[str], args: list[str] | None = None) -> ast.FunctionDef:
        start: list[ast.stmt] = [ast.Nonlocal(list(names))] if names else []
        return define(self._name(), arguments(args or []), [*start, *body])

    def _state(self, names: list[str]) -> tuple[ast.FunctionDef, ast.FunctionDef]:
        values = PREFIX + "values"
        get = define(self._name(), arguments([]), [ast.Return(ast.Tuple([load(n) for n in names], ast.Load()))])
        target = ast.Tuple([ast.Name(n, ast.Store()) for n in names], ast.Store())
        store: list[ast.stmt] = [ast.Nonlocal(list(names)), ast.Assign([target], load(values))] if names else []
        return get, define(self._name(), arguments([values]), store)

    def _name(self) -> str:
        self.count += 1
        return f"{PREFIX}{self.count}"

    @staticmethod
    def _jumps(s: ast.stmt) -> bool:
        """Whether a statement leaves or goes on with a loop around it."""
        return holds(s, ast.Break, ast.Continue, loops=False)

    def _unsupported(self, s: ast.stmt, what: str, rule: str) -> UnsupportedError:
        end = s.end_col_offset if s.end_lineno == s.lineno and s.end_col_offset is not None else -1
        place = Loc(self.code.co_filename, s.lineno, s.col_offset, end, self.code.co_name)
        return UnsupportedError(
            f"{what} in a step with control flow on traced values is not supported",
            place,
            rule,
            "move it out of the step, or write sc.where, sc.cond or sc.until instead of the control flow",
        )

    def visit(self, node: ast.AST) -> Any:
        if isinstance(node, (ast.BinOp, ast.UnaryOp)) or not isinstance(node, ast.expr):
            return super().visit(node)
        around, self.is_operand = self.is_operand, False
        new = super().visit(node)
        self.is_operand = around
        return new

    # -- expressions ---------------------------------------------------------------------------------------------
    def visit_BoolOp(self, node: ast.BoolOp) -> ast.expr:
        name = "and_" if isinstance(node.op, ast.And) else "or_"
        return ast.copy_location(flow_call(name, *[thunk(self.visit(v)) for v in node.values]), node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.expr:
        if isinstance(node.op, ast.Not):
            return ast.copy_location(flow_call("not_", self.visit(node.operand)), node)
        return self._operation(node)

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        return self._operation(node)

    def _operation(self, node: ast.UnaryOp | ast.BinOp) -> ast.expr:
        """What an operator makes is an array of the function's own, where the function assigns to elements."""
        outermost, self.is_operand = not self.is_operand, True
        new = self.generic_visit(node)
        self.is_operand = not outermost
        return ast.copy_location(flow_call("made", new), node) if outermost and self.assigns_elements else new  # type: ignore[arg-type,return-value]

    def visit_Compare(self, node: ast.Compare) -> ast.expr:
        """a < b < c asks for the truth of a < b; an operand is evaluated once, and only if it is needed."""
        first, *rest = [self.visit(v) for v in (node.left, *node.comparators)]
        if len(node.ops) == 1:
            return ast.copy_location(self._comparison(first, node.ops[0], rest[0]), node)
        a, b = (PREFIX + n for n in "ab")
        steps: list[ast.expr] = []
        for op, operand in zip(node.ops, rest, strict=True):
            test = ast.Lambda(arguments([a, b]), self._comparison(load(a), op, load(b)))
            steps.append(ast.Tuple([thunk(operand), test], ast.Load()))
        return ast.copy_location(flow_call("chain", first, *steps), node)

    @staticmethod
    def _comparison(left: ast.expr, op: ast.cmpop, right: ast.expr) -> ast.expr:
        if isinstance(op, (ast.In, ast.NotIn)):
            found = flow_call("contains", right, left)
            return flow_call("not_", found) if isinstance(op, ast.NotIn) else found
        return ast.Compare(left, [op], [right])

    def visit_Subscript(self, node: ast.Subscript) -> ast.expr:
        of, key = self.visit(node.value), self._key(node.slice)
        if not isinstance(node.ctx, ast.Load):
            node.value, node.slice = of, key
            return node
        return ast.copy_location(flow_call("item", of, key), node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.stmt:
        node.value = node.value and self.visit(node.value)
        return node

    def visit_IfExp(self, node: ast.IfExp) -> ast.expr:
        test, then, orelse = self.visit(node.test), self.visit(node.body), self.visit(node.orelse)
        return ast.copy_location(flow_call("if_expression", test, thunk(then), thunk(orelse)), node)

    def visit_Call(self, node: ast.Call) -> ast.expr:
        """Functions that the step calls are rewritten too."""
        self.generic_visit(node)
        if isinstance(node.func, (ast.Name, ast.Attribute)) and not (
            isinstance(node.func, ast.Name) and node.func.id in ("super", "locals", "globals", "eval", "exec")
        ):
            keep = ast.Constant(self.changes_arrays)
            node.func = ast.copy_location(flow_call("callee", node.func, keep), node.func)
        return node

    def visit_Lambda(self, node: ast.Lambda) -> ast.expr:
        self.lambdas += 1
        node.body = self.visit(node.body)
        self.lambdas -= 1
        return node

    def _container(self, node: ast.expr) -> ast.expr:
        """A list, dict or set that is made here."""
        new = self.generic_visit(node)
        if not isinstance(getattr(node, "ctx", ast.Load()), ast.Load):
            return new  # type: ignore[return-value]
        return ast.copy_location(flow_call("fresh", new), node)  # type: ignore[arg-type]

    visit_List = visit_Dict = visit_Set = visit_ListComp = visit_DictComp = visit_SetComp = _container

    def visit_NamedExpr(self, node: ast.NamedExpr) -> ast.expr:
        """`(y := v)` where v may be evaluated in a function of its own: a call of one that sets y."""
        value = self.visit(node.value)
        if self.lambdas:
            return ast.copy_location(ast.NamedExpr(node.target, value), node)
        given, name = PREFIX + "v", node.target.id
        body: list[ast.stmt] = [ast.Nonlocal([name]), assign(name, load(given)), ast.Return(load(given))]
        setter = define(self._name(), arguments([given]), body)
        self.setters.append(setter)
        return ast.copy_location(ast.Call(load(setter.name), [value], []), node)
