"""Arrays made where they would be copied to: which copies go, and that nothing but memory changes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import scancc as sc
from scancc.ir.loop import Assign, Buffer, Const, Declare, For, Kernel, Let, Load, Op, Store, Var, add, const_int, sub
from scancc.ir.verify_loop import verify_kernel
from scancc.passes.loops.fold import folded
from scancc.passes.loops.forward_copies import forward_copies
from scancc.passes.lower import Lowered

F64, I64 = np.dtype("float64"), np.dtype("int64")
ZERO = const_int(0)
N, M = Var("n", I64), Var("m", I64)


def mix(s1, s2, y0):
    """Gradients have zeros behind for rows that only the longer sequence has."""
    return (sc.scan(lambda a, b, y: 0.5 * (a * b + y), [s1, s2], y0) ** 2).sum()


@pytest.mark.parametrize("lengths", [(5, 5), (5, 9), (9, 5), (1, 4), (4, 1)])
def test_gradients_of_sequences(lengths):
    rng = np.random.default_rng(0)
    s1, s2 = (rng.normal(size=n) for n in lengths)
    f = sc.jit(sc.grad(mix, (0, 1, 2)))
    for mine, expected in zip(f(s1, s2, 0.3), f(s1, s2, 0.3, mode="interpret"), strict=True):
        np.testing.assert_allclose(mine, expected, rtol=1e-13)
    text = f.lower(s1, s2, 0.3).loop_ir("forward_copies")
    assert "joined" not in text and "d_s" not in text.splitlines()[0]


def test_taps_ahead_have_zeros_in_front():
    def f(x, y0):
        return (sc.scan(lambda x0, x2, y: x0 * y + x2, dict(input=x, taps=[0, 2]), y0) ** 2).sum()

    x = np.random.default_rng(1).normal(size=12)
    d = sc.jit(sc.grad(f))
    np.testing.assert_allclose(d(x, 0.5), d(x, 0.5, mode="interpret"), rtol=1e-12)


def both(x, y0):
    ys = sc.scan(lambda x, y: x + y, x, y0)
    return np.concatenate([ys, ys[::-1]]), np.concatenate([ys, ys]), ys


@pytest.mark.parametrize("width", [(), (3,), (20,)])
def test_what_is_read_twice_stays(width):
    f = sc.jit(both)
    x, y0 = np.random.default_rng(2).normal(size=(7, *width)), np.zeros(width)
    found = f(x, y0)
    for mine, expected in zip(found, f(x, y0, mode="interpret"), strict=True):
        np.testing.assert_array_equal(mine, expected)
    assert not any(np.shares_memory(a, b) for i, a in enumerate(found) for b in found[:i])


@settings(max_examples=24, deadline=None)
@given(st.lists(st.integers(0, 3), min_size=2, max_size=4), st.integers(1, 6))
def test_parts_in_any_order(kinds, steps):
    """Traces, inputs, constants and sums of them joined, some of them more than once."""

    def f(x, y0):
        ys = sc.scan(lambda x, y: 0.5 * y + x, x, y0)
        zs = sc.scan(lambda x, z: x - z, x, y0)
        parts = [ys, zs, x, np.ones(2)]
        return np.concatenate([parts[k] for k in kinds]), np.concatenate([zs + 1, ys])

    x = np.arange(1.0, steps + 1)
    program = sc.jit(f)
    for mine, expected in zip(program(x, 0.25), program(x, 0.25, mode="interpret"), strict=True):
        np.testing.assert_array_equal(mine, expected)


# -- loops written by hand -------------------------------------------------------------------------------------------


def buffer(name, *shape, role="scratch"):
    return Buffer(name, F64, shape, role)


def fill(target, stop, value, start=ZERO, name="c"):
    var = Var(name, I64)
    return For(var, ZERO, stop, [Store(target, (add(start, var),), value(var))])


def lowered(*body, out, scratch):
    kernel = Kernel("k", [N, M, *scratch, *out], list(body), [])
    verify_kernel(kernel)
    return Lowered(kernel, [], {}, [*scratch, *out], {b.name: (b, 0) for b in out}, {}, {})


def number(value):
    return lambda var: Const(np.float64(value), F64)


def load(source):
    return lambda var: Load(source, (var,))


def gone(program):
    return "rows" not in [b.name for b in forward_copies(program).allocated]


def test_a_copy_with_an_offset():
    rows, out = buffer("rows", N), buffer("out", add(N, M))
    made = forward_copies(lowered(fill(rows, N, number(1), name="t"), fill(out, M, number(0), name="d"),
                                  fill(out, N, load(rows), start=M), out=[out], scratch=[rows]))  # fmt: skip
    verify_kernel(made.kernel)
    assert made.allocated == [out] and len(made.kernel.body) == 2
    (store,) = made.kernel.body[0].body
    assert store.buffer is out and store.index == (add(M, Var("t", I64)),)


def test_a_region_that_may_overlap():
    """Zeros over a part that is copied later must not come after what they are over."""
    rows, out = buffer("rows", N), buffer("out", add(N, M))
    assert not gone(lowered(fill(rows, N, number(1), name="t"), fill(out, M, number(0), name="d"),
                            fill(out, N, load(rows)), out=[out], scratch=[rows]))  # fmt: skip


def test_a_target_that_is_read_meanwhile():
    rows, out, other = buffer("rows", N), buffer("out", N), buffer("other", N)
    first = fill(out, N, number(2), name="a")
    body = [first, fill(rows, N, number(1), name="t"), fill(other, N, load(out), name="d"), fill(out, N, load(rows))]
    assert not gone(lowered(*body, out=[out, other], scratch=[rows]))


def test_a_source_that_is_read_later():
    rows, out, other = buffer("rows", N), buffer("out", N), buffer("other", N)
    body = [fill(rows, N, number(1), name="t"), fill(out, N, load(rows)), fill(other, N, load(rows), name="d")]
    made = forward_copies(lowered(*body, out=[out, other], scratch=[rows]))
    verify_kernel(made.kernel)
    assert made.allocated == [out, other]  # the later one is the last use; the one before is a copy of that
    assert [s.body[0].buffer for s in made.kernel.body] == [other, out]


def test_a_source_that_changes_later():
    rows, out = buffer("rows", N), buffer("out", N)
    more = [fill(rows, N, number(3), name="d"), fill(out, N, lambda v: Op("add", (Load(rows, (v,)),) * 2, F64))]
    body = [fill(rows, N, number(1), name="t"), fill(out, N, load(rows)), *more]
    assert not gone(lowered(*body, out=[out], scratch=[rows]))


def test_an_offset_that_is_defined_later():
    """By what is known before, or not at all."""
    rows, out, k = buffer("rows", N), buffer("out", add(N, M)), Var("k", I64)
    body = [fill(rows, N, number(1), name="t"), Let(k, M), fill(out, N, load(rows), start=k)]
    made = forward_copies(lowered(*body, out=[out], scratch=[rows]))
    (store,) = made.kernel.body[0].body
    assert made.allocated == [out] and store.index == (add(M, Var("t", I64)),)
    sizes = Buffer("sizes", I64, (const_int(1),), "scratch")
    body[1] = Let(k, Load(sizes, (ZERO,)))
    assert not gone(lowered(*body, out=[out], scratch=[rows, sizes]))


def test_an_offset_that_changes():
    rows, out, k = buffer("rows", N), buffer("out", add(N, M)), Var("k", I64)
    change = For(Var("d", I64), ZERO, M, [Assign(k, add(k, 1))])
    body = [Declare(k, M), fill(rows, N, number(1), name="t"), change, fill(out, N, load(rows), start=k)]
    assert not gone(lowered(*body, out=[out], scratch=[rows]))


def test_reversed_copies():
    """Once and twice."""
    rows, turned, out = buffer("rows", N), buffer("turned", N), buffer("out", add(M, N))
    c, d = Var("c", I64), Var("d", I64)
    back = For(c, ZERO, N, [Store(turned, (c,), Load(rows, (sub(sub(N, 1), c),)))])
    again = For(d, ZERO, N, [Store(out, (sub(sub(add(M, N), 1), d),), Load(turned, (d,)))])
    zeros = fill(out, M, number(0), name="e")
    made = forward_copies(lowered(fill(rows, N, number(1), name="t"), back, again, zeros, out=[out],
                                  scratch=[rows, turned]))  # fmt: skip
    verify_kernel(made.kernel)
    assert made.allocated == [out] and len(made.kernel.body) == 2
    (store,) = made.kernel.body[0].body
    for n, m, t in ((5, 3, 0), (5, 3, 4), (1, 0, 0)):
        known = {N: const_int(n), M: const_int(m), Var("t", I64): const_int(t)}
        assert folded(store.index[0], known) == const_int(m + t)  # turned twice: in front of it are m zeros


def test_a_part_of_the_source():
    rows, out = buffer("rows", add(N, M)), buffer("out", N)
    assert not gone(lowered(fill(rows, add(N, M), number(1), name="t"), fill(out, N, load(rows)), out=[out],
                            scratch=[rows]))  # fmt: skip


def test_another_dtype():
    rows, out = buffer("rows", N), Buffer("out", np.dtype("float32"), (N,), "scratch")
    value = lambda v: Op("cast", (Load(rows, (v,)),), np.dtype("float32"))  # noqa: E731
    assert not gone(lowered(fill(rows, N, number(1), name="t"), fill(out, N, value), out=[out], scratch=[rows]))


def test_a_result_is_not_taken_away():
    rows, out = buffer("rows", N), buffer("out", N)
    program = lowered(fill(rows, N, number(1), name="t"), fill(out, N, load(rows)), out=[rows, out], scratch=[])
    assert forward_copies(program) is program
