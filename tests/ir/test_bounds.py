"""Room for lengths that only a loop knows: never less than the length, and known before the loop."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from scancc.ir.loop import INT64, Const, Load, Op, Var, const_int
from scancc.passes.lower.bounds import room

N, K = Var("n", INT64), Var("k", INT64)  # known before the kernel starts
T, M = Var("t", INT64), Var("m", INT64)  # a loop's counter, up to n; a length that is known by nothing
MEANINGS = {"t": (const_int(0), Op("subtract", (N, const_int(1)), INT64))}


def known(e):
    return isinstance(e, Const) or e in (N, K) or isinstance(e, Op) and e.dtype == INT64 and all(map(known, e.args))


def expressions(depth):
    leaves = st.sampled_from([N, K, T, M]) | st.integers(-5, 5).map(const_int)
    if not depth:
        return leaves
    inner = expressions(depth - 1)
    names = st.sampled_from(["add", "subtract", "multiply", "minimum", "maximum"])
    binary = st.builds(lambda name, a, b: Op(name, (a, b), INT64), names, inner, inner)
    halves = st.builds(lambda a, b: Op("floor_divide", (a, const_int(b)), INT64), inner, st.integers(1, 5))
    return leaves | binary | halves


def value(e, at):
    match e:
        case Const(v, _):
            return int(v)
        case Var(name, _):
            return at[name]
        case Op("where", (c, a, b), _):
            return value(a if value(c, at) else b, at)
        case Op(name, args, _):
            return int(getattr(np, name)(*(value(a, at) for a in args)))


@settings(deadline=None, max_examples=500)
@given(expressions(3), st.integers(1, 9), st.integers(-9, 9), st.data())
def test_room_is_never_too_small(e, n, k, data):
    found = room(e, known, MEANINGS)
    if found is None:
        return
    at = {"n": n, "k": k}
    most = value(found, at)  # a KeyError here: it is not known before
    for _ in range(5):
        t, m = data.draw(st.integers(0, n - 1)), data.draw(st.integers(-9, 9))
        assert value(e, at | {"t": t, "m": m}) <= most


def test_the_rest_of_a_segment_has_room_for_a_segment():
    rest = Op("minimum", (K, Op("subtract", (N, Op("multiply", (T, K), INT64)), INT64)), INT64)
    assert value(room(rest, known, MEANINGS), {"n": 100, "k": 8}) == 8


def test_nothing_bounds_what_data_decide():
    from scancc.ir.loop import Buffer

    loaded = Load(Buffer("x", INT64, (N,), "input"), (T,))
    assert room(loaded, known, MEANINGS) is None
    assert room(Op("maximum", (K, M), INT64), known, MEANINGS) is None
    assert value(room(Op("minimum", (K, M), INT64), known, MEANINGS), {"n": 1, "k": 4}) == 4
