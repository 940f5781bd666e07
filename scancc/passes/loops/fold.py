"""Expressions with variables replaced by what is known of them, and arithmetic on known integers done.

    where(less(back, 0), add(back, 3), back)   with back = subtract(slot, 2), slot = 1     is 2
    add(t, 2)                                  with t = add(first, 3)                      is add(first, 5)
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

from scancc.ir.loop import INT64, Const, Expr, Load, Op, Var, add, const_int, mul, sub

EXACT: dict[str, Callable[..., Any]] = {
    "less": operator.lt, "less_equal": operator.le, "greater": operator.gt, "greater_equal": operator.ge,
    "equal": operator.eq, "not_equal": operator.ne, "minimum": min, "maximum": max,
}  # fmt: skip


def folded(e: Expr, known: Mapping[Var, Expr]) -> Expr:
    """Of floats nothing is computed, so nothing is rounded elsewhere than in the program."""
    match e:
        case Var():
            return known.get(e, e)
        case Load(buffer, index):
            return Load(buffer, tuple(folded(i, known) for i in index))
        case Op(name, args, dtype):
            return _op(name, tuple(folded(a, known) for a in args), dtype)
        case _:
            return e


def _op(name: str, args: tuple[Expr, ...], dtype: Any) -> Expr:
    if name == "where" and isinstance(args[0], Const):
        return args[1] if args[0].value else args[2]
    if not all(a.dtype == INT64 for a in args):
        return Op(name, args, dtype)
    match name, args:
        case "add", (a, Op("add" | "subtract" as inner, (b, Const(k, _)), _)):
            return add(_op("add", (a, b), dtype), int(k if inner == "add" else -k))
        case "subtract", (a, Op("add" | "subtract" as inner, (b, Const(k, _)), _)):
            return sub(_op("subtract", (a, b), dtype), int(k if inner == "add" else -k))
        case "multiply", (Op("add", (a, Const(k, _)), _), Const(factor, _) as b):
            return add(mul(a, b), int(k * factor))
        case "add" | "subtract" | "multiply", (a, b):
            return {"add": add, "subtract": sub, "multiply": mul}[name](a, b)
    if name in EXACT and all(isinstance(a, Const) for a in args):
        value = EXACT[name](*(a.value for a in args if isinstance(a, Const)))
        return const_int(value) if dtype == INT64 else Const(value, dtype)
    return Op(name, args, dtype)
