"""Lanes that a condition ends, each at its own step: they leave their loop by themselves; results are those of rows."""

from __future__ import annotations

import numpy as np
import pytest
from schedules import permuted

import scancc as sc
from scancc import interpreter
from scancc.backends.cuda.arrays import device_put
from scancc.backends.cuda.ragged import fill
from scancc.backends.cuda.toolkit import TRAFFIC
from scancc.batching.lanes import lanes_of

R = np.random.default_rng(0)
STEPS, LANES = 7, 5
X = R.normal(size=(LANES, STEPS)) ** 2
H = np.array([30.0, 0.0, -1.0, 0.5, -100.0])  # the first lane ends at the first step, the last one never
SAME = np.zeros(LANES)


def until(x, h):
    return sc.scan(lambda x, h: (h + x, sc.until(h + x > 2)), x, h)


def two_taps(x, h):
    def step(x, h2, h1):
        new = 0.9 * h1 + 0.3 * h2 + x
        return new, sc.until(new > 2)

    return sc.scan(step, x, [dict(initial=np.stack([h * 0.1, h]), taps=[-2, -1])])


def old_tap(x, h):
    def step(x, h9):
        return h9 + x, sc.until(h9 + x > 2)

    return sc.scan(step, x, [dict(initial=h * np.linspace(1, 0, 9), taps=[-9])])


def newton(a):
    """The square root, with as many steps as a number needs."""
    return sc.lax.while_loop(lambda r: np.abs(r * r - a) > 1e-12 * a, lambda r: 0.5 * (r + a / r), a + 1.0)


def inner(x, h):
    """Steps of an outer loop in which lanes leave an inner one at different steps."""

    def step(x, h):
        return sc.lax.while_loop(lambda g: g < 3, lambda g: 0.5 * g + 2, h * 0.1 + x)

    return sc.scan(step, x, h)


def masks(x, h):
    """What batching makes, written by hand: all lanes are rows of one loop."""

    def step(x, h, running):
        new = np.where(running, h + x, h)
        goes_on = running & (new < 2)
        return (new, goes_on), sc.until(~np.any(goes_on))

    return sc.scan(step, x.T, [h, np.ones(LANES, bool)])[0][-1]


PROGRAMS = {
    "rows": until,
    "rows and lengths": lambda x, h: (until(x, h), until(x, h).shape[0]),
    "sum": lambda x, h: until(x, h).sum(),
    "last": lambda x, h: until(x, h)[-1],
    "all that is read": lambda x, h: (
        until(x, h).mean(), np.exp(until(x, h)).sum(), until(x, h).max(), until(x, h)[-1],
    ),
    "two taps": lambda x, h: (two_taps(x, h), two_taps(x, h)[-1]),
    "an old tap": old_tap,
    "pairs": lambda x, h: sc.scan(lambda x, p: (np.flip(p) + x, sc.until(p[0] > 2)), x, np.stack([h, h])),
    "another output": lambda x, h: sc.scan(lambda x, h: ((h + x, np.sin(h)), sc.until(h > 2)), x, [h, None])[1],
    "while": lambda x, h: newton(np.abs(h) + 1e-3) * x,
    "counts": lambda x, h: sc.lax.fori_loop(0, (np.abs(h) * 3).astype(int) % 5, lambda i, g: g * 0.5 + x[0], h),
    "ragged": lambda x, h: sc.scan(lambda x, g: g * 0.5 + x, x, h, n_steps=(np.abs(h) * 3).astype(int) % 5),
    "inner loops": inner,
    "one end for all": lambda x, h: sc.scan(lambda x, t, h: (h + x, sc.until(t > 2)), [x, np.arange(STEPS)], h),
}  # fmt: skip


def same(have, want):
    have, want = (v if isinstance(v, tuple) else (v,) for v in (have, want))
    for h, w in zip(have, want, strict=True):
        assert h.shape == w.shape
        assert h.dtype == w.dtype
        assert np.allclose(h, w, rtol=1e-12, equal_nan=True)


def strategies(program):
    made = program.compilation
    return [s.strategy for s in made.stages or (made,)]


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs(name):
    g = sc.jit(sc.vmap(PROGRAMS[name]), target="cuda")
    assert strategies(g.lower(X, H))[-1] == "lane"
    for h in (H, SAME, SAME + 30, SAME - 100):  # some end, all by and by, all at the first step, none
        same(g(X, h), g(X, h, mode="interpret"))


@pytest.mark.parametrize("axis", [0, 1])
def test_a_lane_leaves_at_its_own_step(axis):
    """The program of a lane, run by itself, makes that lane's steps and no more; nothing in it asks for others."""
    f = sc.jit(sc.vmap(PROGRAMS["rows and lengths"], in_axes=(axis, 0)), target="cuda")
    x = X if axis == 0 else X.T.copy()
    program = f.lower(x, H)
    lanes = lanes_of(program.compilation.graph)
    assert lanes.apart
    assert "lanes leave the loop each at its own step; rows after" in program.explain()
    bodies = [s.attrs["spec"].body for s in lanes.graph.nodes() if s.op == "scan"]
    assert all(n.op != "reduce_any" for body in bodies for n in body.nodes())
    counts = f(x, H)[1]
    assert (min(counts), max(counts)) == (1, STEPS)
    given = dict(zip((n.attrs["name"] for n in program.compilation.graph.inputs), (x, H), strict=True))
    for lane in range(LANES):
        own = {name: np.take(a, lane, axis=lanes.inputs[name]) for name, a in given.items()}
        found = interpreter.run(lanes.graph, own)
        assert found["result0"].shape == (counts[lane],)
        assert found["result1"] == counts[lane]


def test_launches():
    """One launch for the loop, one for the rows after the ends where lanes end apart; none for last values alone."""
    g = sc.jit(sc.vmap(until, in_axes=(1, 0)), target="cuda")
    for h, launches in ((H, 2), (SAME - 100, 1)):
        TRAFFIC.clear()
        g(X.T.copy(), h)
        assert TRAFFIC["launch"] == launches


@pytest.mark.parametrize("name", ["sum", "last", "two taps", "rows"])
def test_gradients(name):
    def loss(x, h):
        found = sc.vmap(PROGRAMS[name])(x, h)
        return ((found[0] if isinstance(found, tuple) else found) ** 2).sum()

    f = sc.grad(loss, (0, 1))
    g = sc.jit(f, target="cuda")
    there_and_back = 1 if name == "last" else 2  # the gradient of a row of each lane is put among those of all lanes
    assert strategies(g.lower(X, H)).count("lane") >= there_and_back
    for h in (H, SAME - 100):
        have, want = g(X, h), sc.jit(f, target="cpu")(X, h)
        for a, b in zip(have, want, strict=True):
            assert np.allclose(a, b, rtol=1e-11)


def wide(x, h):
    return sc.scan(lambda x, h: (np.tanh(h + x) * 2, sc.until(h.max() > 1.5)), x, h * np.linspace(-1, 1, 40))


@pytest.mark.parametrize("f", [wide, lambda x, h: (wide(x, h)[-1], wide(x, h).sum(0), wide(x, h).shape[0])])
def test_a_block_a_lane(f):
    """Blocks leave by themselves, too."""
    g = sc.jit(sc.vmap(f), target="cuda")
    assert strategies(g.lower(X, H))[0] == "block"
    assert "lanes leave the loop each at its own step" in g.lower(X, H).explain()
    want = g(X, H, mode="interpret")
    for seed in range(3):
        with permuted(seed):
            same(g(X, H), want)


def test_masks_that_are_written_by_hand():
    g = sc.jit(masks, target="cuda")
    program = g.lower(X, H)
    assert program.compilation.lanes.apart
    same(g(X, H), g(X, H, mode="interpret"))


@pytest.mark.parametrize("changes", [
    lambda x, h, on: (h + x, on & (h < 2)),  # which goes on for all lanes
    lambda x, h, on: (np.where(on, h + x, h * 2), on & (h < 2)),
    lambda x, h, on: (np.where(on, h + x, h), h < 2),  # a lane may begin again
])  # fmt: skip
def test_lanes_that_change_after_their_end_are_rows(changes):
    def f(x, h):
        def step(x, h, on):
            new, on = changes(x, h, on)
            return (new, on), sc.until(~np.any(on))

        return sc.scan(step, x.T, [h, np.ones(LANES, bool)])[0][-1]

    g = sc.jit(f, target="cuda")
    assert g.lower(X, H).compilation.lanes is None
    same(g(X, H), g(X, H, mode="interpret"))


@pytest.mark.parametrize("dtype", ["bool", "float16", "float32", "complex128"])
@pytest.mark.parametrize("first", [False, True])
def test_rows_after_the_ends(first, dtype):
    rows, inner, lanes, lead = 6, 3, 4, 1
    a = (R.normal(size=(rows, inner, lanes)) * 9).astype(dtype)
    counts = np.array([2, 5, 1, 3])
    for repeats in (False, True):
        memory = device_put(np.moveaxis(a, -1, 0) if first else a)
        fill(memory.memory, device_put(counts).memory, counts, lead, first, repeats)
        want = a.copy()
        for k, n in enumerate(counts):
            want[lead + n : lead + 5, :, k] = a[lead + n - 1, :, k] if repeats else 0
        have = np.moveaxis(memory.copy_to_host(), 0, -1) if first else memory.copy_to_host()
        assert np.array_equal(have, want)


def doubled(y0):
    return sc.scan(lambda y: (2 * y, sc.until((2 * y).min() > 2)), outputs_info=y0, n_steps=10)


def doubled_apart(y0):
    return sc.vmap(doubled)(y0)


@pytest.mark.parametrize("starts", [[0.3], [0.3, 0.01, 1.9], [9.0, 9.0]])
@pytest.mark.parametrize("one", [doubled, doubled_apart])
def test_results_have_the_rows_that_were_made(starts, one):
    """Their memory has room for all that there might have been."""

    def reads(y):
        return y, y.T, np.exp(y.T), y.sum(0), y.shape[0]

    f = sc.jit(lambda y0: reads(one(y0)), target="cuda")
    y0 = np.array(starts)
    for h, w in zip(f(y0), f(y0, mode="interpret"), strict=True):
        assert np.shape(h) == np.shape(w)
        np.testing.assert_allclose(h, w, rtol=1e-12)
