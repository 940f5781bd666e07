"""Conformance cases about what is kept and what is computed: C09, C10, C18, C20, C24, C26 and C27."""

from __future__ import annotations

import re

import numpy as np
import pytest

import scancc as sc
from scancc.ir.graph import spec_of
from scancc.ir.loop import Const
from scancc.passes.loops.split_loops import CHUNK


def scans(program):
    return [n for n in program.compilation.graph.nodes() if n.op == "scan"]


@pytest.fixture(params=["compiled", "interpret", "no passes"])
def jit(request):
    def make(fn):
        compiled = sc.jit(fn, optimize=request.param != "no passes")
        if request.param == "interpret":
            return lambda *args: compiled(*args, mode="interpret")
        return compiled

    return make


def test_c09_zero_steps(jit):
    f = jit(lambda x, s: sc.scan(lambda v, y: v.sum() + y, x, s))
    assert f(np.empty((0, 5)), np.zeros(3)).shape == (0, 3)
    np.testing.assert_array_equal(f(np.ones((1, 5)), np.zeros(3)), np.full((1, 3), 5.0))
    g = jit(lambda m: sc.scan(lambda row: row * 2, m))
    rows = g(np.empty((0, 5), "f4"))
    assert rows.shape == (0, 5) and rows.dtype == np.float32
    with pytest.raises(IndexError):
        jit(lambda x: sc.scan(lambda v, y: v + y, x, 0.0)[-1])(np.empty(0))


def test_c10_direct_state(jit):
    f = jit(lambda s: sc.scan(lambda y: y * 2, outputs_info=s, n_steps=5))
    np.testing.assert_array_equal(f(3.0), 3.0 * 2.0 ** np.arange(1, 6))


@pytest.mark.parametrize(("n", "want"), [(3, 3), (2, 1), (1, 0)])
def test_c18_nested_reuse(jit, n, want):
    """An inner counter from 0 until z > 2, at most n - 1 steps; the sum of its values."""

    def outer(n):
        def step():
            inner = sc.scan(lambda z: (z + 1, sc.until(z + 1 > 2)), outputs_info=np.int64(0), n_steps=n - 1)
            return inner.sum()

        return sc.scan(step, n_steps=1)

    np.testing.assert_array_equal(jit(outer)(np.int64(n)), [want])


def test_c20_chain(jit):
    def chain(zero):
        first = sc.scan(lambda y: y + 1, outputs_info=zero, n_steps=10)
        return sc.scan(lambda v: v + 1, first)

    np.testing.assert_array_equal(jit(chain)(0.0), np.arange(2, 12))


def _views(x, s):
    def step(v, a, b, c, d2, d1, e):
        return 0.5 * a + v, b * 0.9 - v, c + v * v, d1 - 0.5 * d2 + v, e * 0.1 + v

    info = [s, s, s, dict(initial=np.array([0.1, 0.2]), taps=[-2, -1]), s]
    return sc.scan(step, x, info)


def test_c24_views_of_outputs(jit):
    x = np.random.default_rng(0).normal(size=20)

    def read(x, s):
        x1, x2, x3, x4, x5 = _views(x, s)
        return x1[-7], x2[-3:-1], x3[-6:], x4[-1], x5[-1]

    full = _views_of(x)
    want = full[0][-7], full[1][-3:-1], full[2][-6:], full[3][-1], full[4][-1]
    for got, expected in zip(jit(read)(x, 1.0), want, strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-12)
    for rows in (1, 2, 3):  # fewer rows than a slice asks for: NumPy's answer
        short = sc.jit(lambda x, s: _views(x, s)[1][-3:-1])(x[:rows], 1.0)
        np.testing.assert_allclose(short, _views_of(x[:rows])[1][-3:-1])


def _views_of(x):
    return sc.jit(_views)(x, 1.0, mode="interpret")


def test_c24_rows_stored():
    def read(x, s):
        x1, x2, x3, x4, x5 = _views(x, s)
        return x1[-7], x2[-3:-1], x3[-6:], x4[-1], x5[-1]

    program = sc.jit(read).lower(np.zeros(20), 1.0)
    (scan,) = scans(program)
    storage = [program.compilation.plan[scan, c.name] for c in spec_of(scan).carries]
    assert [max(s.ring, s.short) for s in storage] == [7, 3, 6, 2, 1]
    assert not any(s.trace for s in storage)


def test_c26_dead_states(jit):
    def step(v, a, b, c, d):
        # b and c feed one another and nobody else; d is read by the stopping condition only
        return (a + v, c + 1, b * 2, d + 1), sc.until(d >= 4)

    def read(x):
        return sc.scan(step, x, [0.0, 1.0, 2.0, 0.0])[0]

    np.testing.assert_allclose(jit(read)(np.arange(10.0)), np.cumsum(np.arange(5.0)))
    program = sc.jit(read).lower(np.arange(10.0))
    (scan,) = scans(program)
    assert [c.name for c in spec_of(scan).carries] == ["a", "d"]


def test_c27_nothing_varies(jit):
    w1, w2 = np.random.default_rng(1).normal(size=(2, 3, 3))
    h = np.arange(3.0)

    def read(h, w1, w2):
        return sc.scan(lambda: h @ (w1 + w2), n_steps=4)

    np.testing.assert_allclose(jit(read)(h, w1, w2), np.tile(h @ (w1 + w2), (4, 1)))
    program = sc.jit(read).lower(h, w1, w2)
    assert not scans(program) and "no loop is left" in program.explain()


def test_c27_partly_varying(jit):
    w1, w2 = np.random.default_rng(1).normal(size=(2, 20, 20)) / 20

    def read(x, h, w1, w2):
        return sc.scan(lambda v, y: np.exp(v) + y @ (w1 + w2), x, h)

    x, h = np.linspace(0, 1, 6), np.ones(20)
    want, y = [], h
    for v in x:
        y = np.exp(v) + y @ (w1 + w2)
        want.append(y)
    np.testing.assert_allclose(jit(read)(x, h, w1, w2), want, rtol=1e-10)
    program = sc.jit(read).lower(x, h, w1, w2)
    (scan,) = scans(program)
    ops = [n.op for n in spec_of(scan).body.nodes()]
    assert ops.count("matmul") == 1 and "exp" not in ops and ops.count("add") == 1
    assert "hoisted   exp" in program.explain() and "hoisted   add" in program.explain()


def test_c27_with_until(jit):
    def read(x):
        return sc.scan(lambda v: (np.exp(v), sc.until(v > 2)), x)

    np.testing.assert_allclose(jit(read)(np.arange(9.0)), np.exp(np.arange(4.0)))


def test_until_counts(jit):
    x = np.zeros(50)
    x[23] = 4
    f = jit(lambda x: (sc.scan(lambda v: (v, sc.until(v > 3)), x).shape[0], sc.scan(lambda v: (v, sc.until(v > 3)), x)))
    length, rows = f(x)
    assert length == 24 and len(rows) == 24
    g = jit(lambda: sc.scan(lambda y: (y * 2, sc.until(y * 2 > 45)), outputs_info=1.0, n_steps=1024))
    np.testing.assert_array_equal(g(), [2, 4, 8, 16, 32, 64])


def test_sums_over_time_keep_no_rows():
    program = sc.jit(lambda x: sc.scan(lambda v, y: 0.5 * y + v, x, 0.0).sum()).lower(np.ones(1000))
    for b in program.compiled.lowered.allocated:  # lengths known before, of a chunk of steps at most
        (length,) = b.shape
        assert isinstance(length, Const) and length.value <= CHUNK + 1, b


def test_no_modulo_in_the_loop_of_a_ring():
    f = sc.jit(lambda x, y0: sc.scan(lambda v, a, b: v + a - b, x, dict(initial=y0, taps=[-1000, -1]))[-1])
    program = f.lower(np.ones(5), np.ones(1000))
    # Only how many runs and chunks of steps there are is divided, once for each.
    work = [line for line in program.source().splitlines() if not re.search("for .* # (runs of|512 steps of)", line)]
    assert len(work) > 10 and not any("%" in line or "//" in line for line in work)
    assert "ring of 1000 rows" in program.explain()


def test_whole_outputs_of_until_grow():
    """A bound of 10**12 steps allocates for the steps that are made."""
    def run(limit):
        return sc.scan(lambda y, z: ((y + 1.0, z * 0.5 + y), sc.until(y > limit)), None,
                       [0.0, dict(initial=np.zeros((3, 2)), taps=[-3])], n_steps=10**12)  # fmt: skip

    for limit in (0.5, 100.0, 20_000.0):
        ys, zs = run(limit)
        n = int(limit + 1.5) + (limit != 0.5)
        assert ys.shape == (n,) and zs.shape == (n, 2)
        np.testing.assert_array_equal(ys, np.arange(1.0, n + 1))
        assert max(a.base.nbytes if a.base is not None else a.nbytes for a in (ys, zs)) <= max(2**17, 4 * zs.nbytes)
    many = sc.scan_compile(lambda y: (y + 1.0, sc.until(y > 5)))
    assert len(many(None, 0.0, n_steps=100)) == 7
    assert many(None, 9.0, n_steps=0).shape == (0,)
    with pytest.raises(ValueError, match="negative|-1"):
        many(None, 9.0, n_steps=-1)


def test_results_whose_length_the_loop_decides():
    @sc.jit
    def f(xs):
        ys = sc.scan(lambda x, y: (x + y, sc.until(y > 3)), xs, 0.0)
        return ys[1:], np.stack([ys, ys * 2]), ys[-1], np.concatenate([ys, xs])

    for mode in ("compiled", "interpret"):
        cut, both, last, joined = f(np.arange(9.0), mode=mode)
        np.testing.assert_array_equal(cut, [1, 3, 6, 10])
        np.testing.assert_array_equal(both, [[0, 1, 3, 6, 10], [0, 2, 6, 12, 20]])
        assert last == 10 and joined.shape == (14,)


@pytest.mark.parametrize("steps", [0, 1, 5])
def test_the_last_rows_of_vectors_in_registers(steps):
    """`ys[-2:]` of a short vector: as many rows as there are."""

    def f(x):
        return sc.scan(lambda x, y: y * 0.5 + x, x, [dict(initial=np.arange(6.0).reshape(2, 3), taps=[-2])])[-2:]

    x = np.arange(steps * 1.0)
    np.testing.assert_array_equal(sc.jit(f)(x), sc.jit(f)(x, mode="interpret"))
