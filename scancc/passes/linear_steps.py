"""Finds linear recurrences with constant coefficients in the statements of a loop.

    let new = add(u, add(multiply(a, y1), multiply(b, y2)));  set y2 = y1;  set y1 = new

is the recurrence of u with the coefficients (a, b) and the taps (y1, y2).
"""

from __future__ import annotations

from dataclasses import dataclass

from scancc.ir.graph import Loc
from scancc.ir.loop import Assign, Const, Expr, For, Let, Load, Op, Var
from scancc.ir.walk import statements, subexpressions
from scancc.passes.block_recurrences import MAX_TAPS


@dataclass
class LinearSteps:
    """new = rest + sum of coefficients[k] * taps[k]; the newest tap first. `lets` are what `rest` is made of."""

    new: Var
    taps: tuple[Var, ...]
    coefficients: tuple[Expr, ...]
    rest: Expr
    lets: list[Let]
    loc: Loc | None


Part = tuple[Expr | None, dict[Var, Expr | None]]  # rest, and coefficients by tap; a coefficient None is 1


def linear_steps(state: list[Assign], defined: dict[Var, Let], loop: For) -> LinearSteps | None:
    """The recurrence of all of `state`, whose definitions are `defined`; None where it is not of this kind."""
    taps = _taps(state, defined)
    if not taps or len(taps) > MAX_TAPS or taps[0].dtype.name not in ("float32", "float64"):
        return None
    new = next(s.expr for s in state if s.var == taps[0])
    assert isinstance(new, Var)
    found = _linear(new, taps, defined)
    if found is None or found[0] is None or set(found[1]) != set(taps):
        return None
    changing = {loop.var, *(s.var for s in statements(loop.body) if isinstance(s, (Let, Assign)))}
    one = Const(taps[0].dtype.type(1), taps[0].dtype)
    coefficients = tuple(one if (c := found[1][t]) is None else c for t in taps)
    if any(isinstance(x, Load) or x in changing for c in coefficients for x in subexpressions(c)):
        return None
    lets = [s for s in loop.body if isinstance(s, Let) and s.var in _below(found[0], defined)]
    return LinearSteps(new, taps, coefficients, found[0], lets, defined[new].loc)


def _taps(state: list[Assign], defined: dict[Var, Let]) -> tuple[Var, ...]:
    """The state as the values before, newest first; empty where it is not one value with its taps."""
    by_source = {s.expr: s.var for s in state}
    newest = [s.var for s in state if isinstance(s.expr, Var) and s.expr in defined]
    if len(newest) != 1:
        return ()
    taps = newest
    while taps[-1] in by_source:
        taps.append(by_source[taps[-1]])
    return tuple(taps) if len(taps) == len(state) else ()


def _linear(e: Expr, taps: tuple[Var, ...], defined: dict[Var, Let]) -> Part | None:
    """`e` in parts; None where it is not linear in the taps."""
    if isinstance(e, Var) and e in taps:
        return None, {e: None}
    if not _below(e, defined, taps):
        return e, {}
    if isinstance(e, Var):
        return _linear(defined[e].expr, taps, defined)
    if not isinstance(e, Op):
        return None
    parts = [_linear(a, taps, defined) for a in e.args]
    if any(p is None for p in parts):
        return None
    return _combined(e, [p for p in parts if p is not None])


def _combined(e: Op, parts: list[Part]) -> Part | None:
    dtype = e.dtype
    if e.name == "negative":
        rest, taps = parts[0]
        minus = {t: Const(dtype.type(-1), dtype) if c is None else Op("negative", (c,), dtype) for t, c in taps.items()}
        return (None if rest is None else Op("negative", (rest,), dtype)), dict(minus)
    if e.name in ("add", "subtract"):
        (rest, taps), (more, others) = parts
        if set(taps) & set(others):
            return None
        if e.name == "subtract":
            others = {t: Const(dtype.type(-1), dtype) if c is None else Op("negative", (c,), dtype)
                      for t, c in others.items()}  # fmt: skip
            if rest is None and more is not None:
                more = Op("negative", (more,), dtype)
        if rest is None or more is None:
            return (more if rest is None else rest), {**taps, **others}
        return Op(e.name, (rest, more), dtype), {**taps, **others}
    if e.name == "multiply":
        (rest, taps), (more, others) = parts
        if taps and others:
            return None
        factor, (rest, taps) = (more, (rest, taps)) if taps else (rest, (more, others))
        if factor is None:
            return None
        scaled: dict[Var, Expr | None] = {t: factor if c is None else Op("multiply", (c, factor), dtype)
                                          for t, c in taps.items()}  # fmt: skip
        return (None if rest is None else Op("multiply", (rest, factor), dtype)), scaled
    return None


def _below(e: Expr, defined: dict[Var, Let], wanted: tuple[Var, ...] | None = None) -> set[Var]:
    """Variables that `e` is made of through definitions: those of the step, or the ones `wanted`."""
    found: set[Var] = set()
    seen: set[Var] = set()
    pending = [e]
    while pending:
        for x in subexpressions(pending.pop()):
            if not isinstance(x, Var) or x in seen:
                continue
            seen.add(x)
            if x in defined:
                pending.append(defined[x].expr)
            if x in (defined if wanted is None else wanted):
                found.add(x)
    return found
