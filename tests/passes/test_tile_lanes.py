"""Loops over lanes in tiles: the same numbers bit for bit, and no tiles where a lane reads another."""

from __future__ import annotations

import re

import numpy as np
import pytest

import scancc as sc

R = np.random.default_rng(0)
LANES = [0, 1, 2, 255, 256, 257, 1000, 20_001]  # the last are several tiles, however wide


def two_taps(x, y0):
    return sc.scan(lambda x, y2, y1: np.sin(x) + 0.5 * y1 - 0.3 * y2, x, [dict(initial=y0, taps=[-2, -1])])


def several(x, y0):
    """A ring, a sum over time, a count that all lanes share, and rows of two elements a lane."""

    def step(x, h, pair, n):
        return h * 0.5 + x, np.stack([pair[1], pair[0] + x]), n + 1

    h, pair, n = sc.scan(step, x, [y0[0], np.stack([y0[1], y0[0]]), 0])
    return h[-1], (h * h).sum(), pair[-1], n[-1], h[-3:]


def tupled(x):
    return x if isinstance(x, tuple) else (x,)


@pytest.mark.parametrize("lanes", LANES)
@pytest.mark.parametrize("program", [two_taps, several])
@pytest.mark.parametrize("axis", [0, 1])
def test_batches(program, lanes, axis):
    x, y0 = R.normal(size=(7, lanes)), R.normal(size=(lanes, 2))
    f = sc.jit(sc.vmap(program, in_axes=(axis, 0)))
    given = x if axis else np.ascontiguousarray(x.T)
    have, want = tupled(f(given, y0)), tupled(f(given, y0, mode="interpret"))
    for h, w in zip(have, want, strict=True):
        assert np.shape(h) == np.shape(w)
        assert np.allclose(h, w, rtol=1e-14)
    if lanes:
        one = tupled(program(x[:, lanes // 2], y0[lanes // 2]))
        for h, w in zip(have, one, strict=True):
            assert np.allclose(h[lanes // 2], w, rtol=1e-13)


def test_width():
    """Rows are the longer the quicker; lanes first are read along cache lines, and paths are to stay in the cache."""

    def width(f, *args):
        text = sc.jit(f, optimize=True).lower(*args).loop_ir()
        return max(int(n) for n in re.findall(r"let lane\d*: int64 = multiply\(tile\d*, (\d+)\)", text))

    def last(x, h):
        return sc.scan(lambda x, h: np.sin(h) + x, x, h)[-1]

    x, h = R.normal(size=(9, 40_000)), R.normal(size=40_000)
    assert width(last, x, h) == 131072 // 16
    assert width(last, x.astype("f4"), h.astype("f4")) == 16384
    assert width(last, x[:, :1000], h[:1000]) == 1000
    assert width(sc.vmap(last), np.ascontiguousarray(x.T), h) == 256
    assert width(sc.grad(lambda x, h: last(x, h).sum()), x, h) == 256


@pytest.mark.parametrize("lanes", LANES)
def test_rows_of_a_length_known_when_it_runs(lanes):
    @sc.jit
    def f(x, h):
        ys = sc.scan(lambda x, h: np.tanh(h) + x, x, h)
        return ys, ys.sum(axis=0), ys[-1]

    x, h = R.normal(size=(9, lanes)), R.normal(size=lanes)
    assert ("lanes of" in f.lower(x, h).source()) == (lanes > 512)
    for have, want in zip(f(x, h), f(x, h, mode="interpret"), strict=True):
        assert have.shape == want.shape
        assert np.allclose(have, want, rtol=1e-14)


@pytest.mark.parametrize(
    "step",
    [
        lambda x, h: np.roll(h, 1) + x,
        lambda x, h: h - h.mean() + x,
        lambda x, h: h[::-1] + x,
        lambda x, h: h.at[3].add(1.0) + x,
        lambda x, h: np.cumsum(h) * 0.01 + x,
    ],
)
def test_lanes_that_read_one_another_are_not_tiled(step):
    f = sc.jit(lambda x, h: sc.scan(step, x, h)[-1])
    x, h = R.normal(size=(5, 1000)), R.normal(size=1000)
    assert "lanes of" not in f.lower(x, h).source()
    assert np.allclose(f(x, h), f(x, h, mode="interpret"), rtol=1e-12)


def test_gradients_of_batches():
    def loss(a, x):
        return (sc.scan(lambda x, h, a: np.sin(h * a) + x, x, 0.0, [a]) ** 2).sum()

    a, x = R.normal(size=600), R.normal(size=(600, 11))
    have = sc.jit(sc.vmap(sc.grad(loss)))(a, x)
    assert np.allclose(have, [sc.grad(loss)(a[i], x[i]) for i in range(600)], rtol=1e-11)


def test_transposing_copies_are_tiled():
    f = sc.jit(lambda x: (x.T * 2.0).sum() + (x.T + 1.0)[3, 5])
    g = sc.jit(lambda x: np.sin(x.T))
    for shape in ((40, 70), (1, 50), (50, 1), (33, 17), (0, 40)):
        x = R.normal(size=shape)
        assert np.array_equal(g(x), g(x, mode="interpret")) or np.allclose(g(x), np.sin(x.T), rtol=1e-15)
    x = R.normal(size=(40, 70))
    assert np.isclose(f(x), (x.T * 2.0).sum() + (x.T + 1.0)[3, 5])
