"""Upper bounds of lengths, for memory that has to be there before a kernel starts.

A device allocates nothing while it runs. A length that only the loop knows (the rest of a segment, the number of steps
until a condition held) is bounded by what is known before: `minimum(k, n - t * k)` by `k`, a count of steps by the
number of iterations. Buffers get room for the bound; rows beyond the length are never read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from scancc.ir.loop import INT64, Const, Expr, Op, Var, add, const_int, mul, sub

Range = tuple[Expr | None, Expr | None]  # least and largest value, both possible; None: not known before


Known = Callable[[Expr], bool]
Meanings = Mapping[str, tuple[Expr, Expr]]  # of variables: the expressions of their least and largest value


def room(e: Expr, known: Known, meanings: Meanings) -> Expr | None:
    """The largest value that a length may have, from what is known before the kernel starts."""
    return _range(e, known, meanings)[1]


def _range(e: Expr, known: Known, meanings: Meanings) -> Range:
    if known(e):
        return e, e
    match e:
        case Var(name, _) if name in meanings:
            first, last = meanings[name]
            return _range(first, known, meanings)[0], _range(last, known, meanings)[1]
        case Op("cast", (x,), dtype) if dtype == INT64 and x.dtype.kind in "iub":
            return _range(x, known, meanings)
        case Op(name, args, dtype) if dtype == INT64:
            return _of_op(name, [_range(a, known, meanings) for a in args], args)
    return None, None


def _of_op(name: str, ranges: list[Range], args: tuple[Expr, ...]) -> Range:
    los, his = [r[0] for r in ranges], [r[1] for r in ranges]
    match name:
        case "add":
            return _both(add, los[0], los[1]), _both(add, his[0], his[1])
        case "subtract":
            return _both(sub, los[0], his[1]), _both(sub, his[0], los[1])
        case "minimum":
            return _both(_least, *los), _any(_least, *his)
        case "maximum":
            return _any(_most, *los), _both(_most, *his)
        case "multiply":
            return _product(ranges)
        case "where":
            return _both(_least, *los[1:]), _both(_most, *his[1:])
        case "floor_divide" if isinstance(args[1], Const) and args[1].value > 0:
            return tuple(None if x is None else Op(name, (x, args[1]), INT64) for x in ranges[0])  # type: ignore[return-value]
    return None, None


def _product(ranges: list[Range]) -> Range:
    """One factor is a number that does not fall below zero; the other may be anything."""
    for (lo, hi), other in (ranges, ranges[::-1]):
        if lo is not None and lo == hi and isinstance(lo, Const) and lo.value >= 0:
            return tuple(None if x is None else mul(x, lo) for x in other)  # type: ignore[return-value]
    (a, b), (c, d) = ranges
    if all(isinstance(x, Const) and x.value >= 0 for x in (a, c)):  # also a lower bound that is known, like that of t
        return _both(mul, a, c), _both(mul, b, d)
    return None, None


def _both(combine, a: Expr | None, b: Expr | None) -> Expr | None:  # type: ignore[no-untyped-def]
    return None if a is None or b is None else combine(a, b)


def _any(combine, a: Expr | None, b: Expr | None) -> Expr | None:  # type: ignore[no-untyped-def]
    """One bound is as good as two."""
    return b if a is None else a if b is None else combine(a, b)


def _least(a: Expr, b: Expr) -> Expr:
    return _folded("minimum", min, a, b)


def _most(a: Expr, b: Expr) -> Expr:
    return _folded("maximum", max, a, b)


def _folded(name: str, of, a: Expr, b: Expr) -> Expr:  # type: ignore[no-untyped-def]
    if isinstance(a, Const) and isinstance(b, Const):
        return const_int(of(a.value, b.value))
    return a if a == b else Op(name, (a, b), INT64)
