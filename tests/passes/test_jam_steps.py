"""Several steps of a lane at once: the numbers of the loop that makes one after the other."""

from __future__ import annotations

import numpy as np
import pytest

import scancc as sc
from scancc.ir.loop import INT64, Const, Op, Var, const_int
from scancc.passes.loops.fold import folded
from scancc.passes.loops.jam_steps import WANTED

R = np.random.default_rng(0)
LANES = [0, 1, 17, 257, 513]
STEPS = [0, 1, WANTED - 1, WANTED, WANTED + 1, 2 * WANTED, 2 * WANTED + 5]


def two_taps(x, y0):
    """A ring of three rows."""
    return sc.scan(lambda x, y2, y1: x + 0.5 * y1 - 0.3 * y2, x, [dict(initial=y0, taps=[-2, -1])])[-1:].sum(axis=0)


def path(x, y0):
    """States that are read where they were stored."""
    return sc.scan(lambda x, y2, y1: x + 0.5 * y1 - 0.3 * y2, x, [dict(initial=y0, taps=[-2, -1])])


def rings(x, y0):
    """Rings of two, of three and of four rows come back to their slots after twelve steps."""

    def step(x, a, b2, b1, c3, c1):
        return 0.5 * a + x, b1 - 0.1 * b2 + a, 0.2 * c3 + c1 * b1

    far = np.stack([y0[0], y0[1], y0[0]])
    ys = sc.scan(step, x, [y0[0], dict(initial=y0, taps=[-2, -1]), dict(initial=far, taps=[-3, -1])])
    return sum(y[-1:].sum(axis=0) for y in ys)


def shared(x, y0):
    """Numbers that all lanes share: one that counts, and two that depend on one another."""

    def step(x, h, n, p, q):
        return 0.5 * h + x * p + n, n + 1, q, 0.5 * p + 0.25

    return sc.scan(step, x, [y0[0], 0, 1.0, 0.5])[0]


def choice(x, y0):
    return sc.scan(lambda x, h: np.where(x > 0, h + x, 0.5 * h), x, y0[0])


PROGRAMS = [two_taps, path, rings, shared, choice]


def check(program, steps, lanes):
    """Bit for bit what the interpreter makes, with NaN, infinities and a huge number among the inputs."""
    x, y0 = R.normal(size=(steps, lanes)), R.normal(size=(2, lanes))
    for bad in (np.nan, np.inf, -np.inf, 1e300):
        if steps and lanes:
            x[R.integers(steps), R.integers(lanes)] = bad
    f = sc.jit(program, strict_fp=True)
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(f(x, y0), f(x, y0, mode="interpret"))


@pytest.mark.parametrize("program", PROGRAMS)
def test_numbers_of_steps(program):
    for steps in STEPS:
        check(program, steps, 600)


@pytest.mark.parametrize("lanes", LANES)
def test_numbers_of_lanes(lanes):
    for program in (path, rings):
        check(program, 2 * WANTED + 1, lanes)


@pytest.mark.parametrize("program", PROGRAMS)
def test_with_multiply_adds(program):
    x, y0 = R.normal(size=(2 * WANTED + 1, 600)), R.normal(size=(2, 600))
    f = sc.jit(program)
    assert np.allclose(f(x, y0), f(x, y0, mode="interpret"), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("dtype", ["float32", "int32", "complex128"])
def test_dtypes(dtype):
    x = (10 * R.normal(size=(2 * WANTED + 1, 600))).astype(dtype)
    h = x[0]
    f = sc.jit(lambda x, h: sc.scan(lambda x, h: x - h, x, h)[-1])
    have, want = f(x, h), f(x, h, mode="interpret")
    assert have.dtype == want.dtype == np.dtype(dtype)
    assert np.allclose(have, want, rtol=1e-5)


def test_the_state_is_loaded_once_for_several_steps():
    x, y0 = R.normal(size=(20, 600)), R.normal(size=(2, 600))
    source = sc.jit(two_taps).lower(x, y0).source()
    jammed = source.split(f"{WANTED} steps of")[1].split("rest =")[0]
    assert jammed.count("= y_ring[") == 2
    assert jammed.count("] = ") == 3  # of six values those that are left in the three rows


def test_expensive_steps_stay_alone():
    def step(x, h):
        for _ in range(8):
            h = np.sin(h) + x
        return h

    x = R.normal(size=(20, 600))
    f = sc.jit(lambda x, h: sc.scan(step, x, h))
    assert "at a time" not in f.lower(x, x[0]).source()


def test_folding():
    slot, t = Var("slot", INT64), Var("t", INT64)
    back = Op("subtract", (slot, const_int(2)), INT64)
    negative = Op("less", (back, const_int(0)), np.dtype(bool))
    row = Op("where", (negative, Op("add", (back, const_int(3)), INT64), back), INT64)
    assert [folded(row, {slot: const_int(k)}) for k in range(3)] == [const_int(1), const_int(2), const_int(0)]
    ahead = Op("add", (t, const_int(2)), INT64)
    assert folded(ahead, {t: ahead}) == Op("add", (t, const_int(4)), INT64)
    n = Var("n", INT64)
    left = Op("subtract", (Op("subtract", (n, const_int(1)), INT64), t), INT64)
    assert folded(left, {t: ahead}) == Op("subtract", (folded(left, {}), const_int(2)), INT64)
    one = Const(1.0, np.dtype(float))
    assert folded(Op("add", (one, one), one.dtype), {}) == Op("add", (one, one), one.dtype)


@pytest.mark.parametrize(("lanes", "steps"), [(4095, 6), (4096, 4), (512, 4), (1024, 4)])
def test_rows_that_share_sets_of_the_cache(lanes, steps):
    x, y0 = R.normal(size=(20, lanes)), R.normal(size=(2, lanes))
    f = sc.jit(path)
    assert f"{steps} steps of" in f.lower(x, y0).source()
    assert np.allclose(f(x, y0), f(x, y0, mode="interpret"), rtol=1e-9)


def test_many_rows_that_share_sets_of_the_cache():
    def weighted(x, w, h):
        return sc.scan(lambda x, w, h: h * w + x, [x, w], h)

    x = R.normal(size=(20, 1024))
    assert "at a time" not in sc.jit(weighted).lower(x, x, x[0]).source()


def test_a_delayed_state_that_begins_with_a_number():
    """Its first steps leave it as it was, and later ones do not: no slot of a ring."""

    def last(x, h):
        p, q = sc.scan(lambda x, h, a: (h * 0.5 + x, x + 0.05 * a), x, [h, dict(initial=np.zeros(2), taps=[-2])])
        return p[-1], q[-1]

    def loss(h, b):
        p, q = sc.scan(lambda h, a: (h * 0.5, 0.3 + 0.05 * a), None, [h, dict(initial=b, taps=[-2])], n_steps=6)
        return p[-1].sum() + q.sum()

    for f, args in ((last, (np.arange(1.0, 14.0), np.ones(17))), (sc.grad(loss, (0, 1)), (np.ones(17), np.ones(2)))):
        program = sc.jit(f)
        for have, want in zip(program(*args), program(*args, mode="interpret"), strict=True):
            np.testing.assert_allclose(have, want, rtol=1e-14)
