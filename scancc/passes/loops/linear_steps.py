"""Finds linear recurrences in the statements of a loop: one of all states, or several that read only those before.

    let new = add(u, add(multiply(a, y1), multiply(b, y2)));  set y2 = y1;  set y1 = new

is the recurrence of u with the coefficients (a, b) and the taps (y1, y2). The states may be multiples of the value that
recurs, as those of derivatives are: an adjoint for every tap,

    let w = add(u, add(d1, d22));  set d22 = d21;  set d21 = multiply(w, b);  set d1 = multiply(w, a)

is the same recurrence of w, if the states begin with zero. A coefficient that changes from step to step is a value
of each step like u; then only one tap is dealt with: y = c y1 + u, one multiply-add.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from scancc.ir.graph import Loc
from scancc.ir.loop import Assign, Const, Expr, For, Let, Load, Op, Var
from scancc.ir.walk import made_of, statements, subexpressions
from scancc.passes.graph.block_recurrences import MAX_TAPS
from scancc.passes.loops.circles import circles
from scancc.passes.loops.linear_parts import LinearParts

WORTHWHILE = 3  # operations of a step that wait for one another, where one multiply-add would do


@dataclass
class LinearSteps:
    """new = rest + sum of coefficients[k - 1] * (new of k steps before).

    states   of the loop: how many steps they lie back, and the factor that they are multiplied by; None is 1
    initial  values of `new` before the first step, the newest first
    lets     what `rest` and the coefficients are made of
    varying  whether the only coefficient is one of each step
    """

    new: Var
    coefficients: tuple[Expr, ...]
    states: Mapping[Var, tuple[int, Expr | None]]
    initial: tuple[Expr, ...]
    rest: Expr
    lets: list[Let]
    loc: Loc | None
    varying: bool

    @property
    def depth(self) -> int:
        return len(self.coefficients)


States = dict[Var, tuple[int, Expr | None]]


def linear_steps(
    state: list[Assign], defined: dict[Var, Let], loop: For, initial: Mapping[Var, Expr]
) -> list[LinearSteps]:
    """The recurrences of all of `state`, each of which reads only those before; none where one is not of this kind.

    `defined` has the definitions that the states are made of, `initial` the states that begin with a constant.
    """
    all_at_once = _recurrence(state, defined, loop, initial)
    if all_at_once is not None:
        return [all_at_once]
    names = {s.var for s in state}
    within = {v: s.expr for v, s in defined.items()} | {n: n for n in names}
    reads = {s.var: made_of([s.expr], within) & names for s in state}
    found: list[LinearSteps] = []
    known = dict(defined)
    for circle in circles(reads):
        one = _recurrence([s for s in state if s.var in circle], known, loop, initial)
        if one is None:
            return []
        found.append(one)
        del known[one.new]  # for those after it, a value like any other
    return found if sum(len(one.states) for one in found) == len(state) else []


def _recurrence(
    state: list[Assign], defined: dict[Var, Let], loop: For, initial: Mapping[Var, Expr]
) -> LinearSteps | None:
    """One recurrence of all of `state`; None where it is not of this kind."""
    changing = {loop.var, *(s.var for s in statements(loop.body) if isinstance(s, (Let, Assign)))}

    def same(e: Expr) -> bool:
        return not any(isinstance(x, Load) or x in changing for x in subexpressions(e))

    for new, states in _candidates(state, defined, same):
        depth = max((k for k, _ in states.values()), default=0)
        if not 0 < depth <= MAX_TAPS or new.dtype.name not in ("float32", "float64"):
            continue
        shared = Counter(k for k, _ in states.values())  # states that stand for one value have to begin alike: with 0
        if any((f is not None or shared[k] > 1) and not _zero(initial.get(v)) for v, (k, f) in states.items()):
            continue
        parts = LinearParts(frozenset(states), defined, same)
        found = parts.of(new)
        if found is None or found[0] is None or not set(found[1]) <= set(states):
            continue
        coefficients = _coefficients(found[1], states, depth, new)
        if coefficients is None:
            continue
        varying = not all(map(same, coefficients))
        if varying and (depth > 1 or states[next(iter(states))][1] is not None
                        or _waiting(new, states, parts, defined) < WORTHWHILE):  # fmt: skip
            continue
        by_depth = {k: v for v, (k, f) in states.items() if f is None}
        zero = Const(new.dtype.type(0), new.dtype)
        below = made_of((found[0], *coefficients), {v: s.expr for v, s in defined.items()})
        lets = [s for s in loop.body if isinstance(s, Let) and s.var in below]
        return LinearSteps(new, coefficients, states, tuple(by_depth.get(k, zero) for k in range(1, depth + 1)),
                           found[0], lets, defined[new].loc, varying)  # fmt: skip
    return None


def _candidates(
    state: list[Assign], defined: dict[Var, Let], same: Callable[[Expr], bool]
) -> Iterator[tuple[Var, States]]:
    """Values that may be the one that recurs, with the states as multiples of it, steps back."""
    by_source = {s.expr: s.var for s in state}
    carried = {s.var for s in state}
    roots = [s for s in state if s.expr not in carried]
    options = [_multiples(s.expr, defined, same) for s in roots]
    if not roots:
        return
    for new in options[0]:
        states: States = {}
        for root, option in zip(roots, options, strict=True):
            if new not in option:
                break
            var, back = root.var, 1
            states[var] = back, option[new]
            while var in by_source and by_source[var] not in states:
                var, back = by_source[var], back + 1
                states[var] = back, option[new]
        else:
            if set(states) == carried:
                yield new, states


def _multiples(e: Expr, defined: dict[Var, Let], same: Callable[[Expr], bool]) -> dict[Var, Expr | None]:
    """Definitions that `e` is, or is a constant multiple of, with the factor."""
    if not (isinstance(e, Var) and e in defined):
        return {}
    found: dict[Var, Expr | None] = {e: None}
    made = defined[e].expr
    if isinstance(made, Op) and made.name == "multiply":
        for x, factor in (made.args, made.args[::-1]):
            if isinstance(x, Var) and x in defined and same(factor):
                found[x] = factor
    return found


def _zero(e: Expr | None) -> bool:
    return isinstance(e, Const) and e.value == 0


def _coefficients(
    found: Mapping[Expr, Expr | None], states: Mapping[Var, tuple[int, Expr | None]], depth: int, new: Var
) -> tuple[Expr, ...] | None:
    """By steps back; None where one is missing: a zero in its place would make NaNs of infinities."""
    made: dict[int, Expr] = {}
    one = Const(new.dtype.type(1), new.dtype)
    for var, c in found.items():
        assert isinstance(var, Var)
        back, factor = states[var]
        value = factor if c is None else c if factor is None else Op("multiply", (c, factor), new.dtype)
        value = one if value is None else value
        made[back] = Op("add", (made[back], value), new.dtype) if back in made else value
    return tuple(made[k] for k in range(1, depth + 1)) if set(made) == set(range(1, depth + 1)) else None


def _waiting(new: Var, states: Mapping[Var, Any], parts: LinearParts, defined: dict[Var, Let]) -> int:
    """Operations on the longest way from a tap to the new value."""

    def longest(e: Expr) -> int:
        if isinstance(e, Var):
            return longest(defined[e].expr) if e in parts.dependent and e not in states else 0
        if not isinstance(e, Op):
            return 0
        return max((1 + longest(a) for a in e.args if parts.depends(a)), default=0)

    return longest(new)
