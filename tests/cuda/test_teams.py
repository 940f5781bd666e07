"""Programs that threads of a block, or of a grid, run together: the interpreter's numbers under every schedule."""

from __future__ import annotations

import numpy as np
import pytest
from schedules import Barriers, permuted

import scancc as sc
from scancc.backends.cuda import toolkit
from scancc.backends.cuda.toolkit import simulated
from scancc.passes.devices.device import SHARED, Device
from scancc.passes.devices.hold_weights import OTHER_OF_FEW, SUMS
from scancc.passes.devices.strategies import ASIDE

our_schedule = pytest.mark.skipif(not simulated(), reason="a device has its own schedules")
R = np.random.default_rng(0)
H, STEPS = 40, 4
W, U = R.normal(size=(H, H)) / 7, R.normal(size=(3, H))
M = R.normal(size=(6, 6))
X, H0 = R.normal(size=(STEPS, 3)), R.normal(size=H)
ROWS = R.normal(size=(STEPS, H))


def rnn(x, h, w=W):
    return sc.scan(lambda x, h, w, u: np.tanh(x @ u + h @ w), x, h, [w, U])


def gru(x, h):
    def step(x, h):
        z, r = 1 / (1 + np.exp(-(x @ U + h @ W))), np.tanh(h @ W.T + 0.1)
        return (1 - z) * h + z * np.tanh((r * h) @ W + x.sum())

    return sc.scan(step, x, h)


def deep_taps(x, h):
    return sc.scan(lambda x, h3, h1: np.tanh(h1 @ W + h3 + x[0]), x, [dict(initial=np.stack([h] * 3), taps=[-3, -1])])


def checked(x, h):
    def step(x, h):
        sc.check(h.max() < 1e9, "too large")
        return np.tanh(h @ W) * x[0]

    return sc.scan(step, x, h)


PROGRAMS = {
    "rnn": (rnn, X, H0),
    "last": (lambda x, h: rnn(x, h)[-1], X, H0),
    "gru": (gru, X, H0),
    "deep taps": (deep_taps, X, H0),
    "deep taps, last": (lambda x, h: deep_taps(x, h)[-1], X, H0),
    "mean": (lambda x, h: sc.scan(lambda x, h: h - h.mean() + x, x, h), ROWS, H0),
    "softmax": (lambda x, h: sc.scan(lambda x, h: np.exp(h - h.max()) / np.exp(h - h.max()).sum() + x, x, h), ROWS, H0),
    "extremes": (lambda x, h: sc.scan(lambda x, h: np.where(x > h.min(), h * 0.5, x) + np.argmax(h), x, h), ROWS, H0),
    "flips": (lambda x, h: sc.scan(lambda x, h: h[::-1] * 0.5 + np.roll(x, 1), x, h), ROWS, H0),
    "matrices": (lambda x, h: sc.scan(lambda x, h: (h.reshape(8, 5) @ h.reshape(5, 8))[:5].ravel() * 0.01 + x, x, h),
                 ROWS, H0),
    "counts": (lambda x, h: sc.scan(lambda x, h: sc.at_add(h, (x * 9).astype(int) % H, 1.0), x, h)[-1], ROWS, H0),
    "inverse": (lambda x, m: sc.scan(lambda x, m: np.linalg.inv(m) + x[0], x, m), ROWS, M),
    "solve": (lambda x, m: sc.scan(lambda x, m: np.linalg.solve(M, m) + x[0], x, m)[-1], ROWS, M),
    "cholesky": (lambda x, m: sc.scan(lambda x, m: np.linalg.cholesky(m @ m.T + np.eye(6)) + x[0], x, m), ROWS, M),
    "determinant": (lambda x, m: sc.scan(lambda x, d: d * 0.1 + np.linalg.det(M * x[0]), x, 0.0), ROWS, M),
    "branches": (lambda x, h: sc.scan(lambda x, h: sc.cond(h.sum() > 0, lambda h: h @ W, lambda h: h - 1, h) + x, x, h),
                 ROWS, H0),
    "until": (lambda x, h: sc.scan(lambda x, h: (h + x * x, sc.until(h.max() > 2)), x, h), ROWS, H0),
    "take": (lambda x, h: sc.scan(lambda x, h: h[np.argsort(np.arange(H))[::-1]] + x, x, h), ROWS, H0),
    "loss": (lambda x, h: (rnn(x, h) ** 2).sum(), X, H0),
    "gradient": (sc.grad(lambda h, x: (rnn(x, h) ** 2).sum()), H0, X),
    "gradient of weights": (sc.grad(lambda w, x: (rnn(x, H0, w) ** 2).sum()), W, X),
    "checks": (checked, X, H0),
    "several": (lambda x, h: (rnn(x, h)[-1], rnn(x, h).mean(), np.tanh(rnn(x, h)).sum(0)), X, H0),
    "nested": (lambda x, h: sc.scan(lambda x, h: sc.scan(lambda v, g: np.tanh(g @ W) + v, x, h)[-1], x, h), X, H0),
}


def same(have, want):
    have, want = (v if isinstance(v, tuple) else (v,) for v in (have, want))
    for h, w in zip(have, want, strict=True):
        assert h.shape == w.shape
        assert np.allclose(h, w, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("strategy", ["block", "grid"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_schedules(name, strategy):
    f, *args = PROGRAMS[name]
    g = sc.jit(f, target="cuda", strategy=strategy)
    want = g(*args, mode="interpret")
    first = None
    for seed in range(4):
        with permuted(seed):
            have = g(*args)
        same(have, want)
        flat = [np.asarray(h).tobytes() for h in (have if isinstance(have, tuple) else (have,))]
        first = first or flat
        assert flat == first  # bit for bit


@pytest.mark.parametrize("name", ["rnn", "last", "mean", "loss", "inverse", "gradient", "until"])
def test_on_the_simulator_of_numba(name):
    f, *args = PROGRAMS[name]
    g = sc.jit(f, target="cuda")
    assert "strategy: block" in g.lower(*args).explain() or name == "inverse"
    same(g(*args), g(*args, mode="interpret"))


@pytest.mark.parametrize("name", ["rnn", "last", "gru", "mean", "deep taps", "gradient"])
def test_a_block_a_lane(name):
    f, *args = PROGRAMS[name]
    batch = [np.stack([a, a * 0.5, a - 0.1, a, -a]) for a in args]
    g = sc.jit(sc.vmap(f), target="cuda")
    want = g(*batch, mode="interpret")
    assert "strategy: block" in g.lower(*batch).explain()
    for seed in range(3):
        with permuted(seed):
            same(g(*batch), want)
    same(g(*batch), want)


@pytest.mark.parametrize("hidden", [40, 130])
def test_weights_are_held_for_all_steps(hidden):
    """As far as they fit: 130 columns of 130 doubles do not. What a step looks up by data is not copied."""
    w, u, table = R.normal(size=(hidden, hidden)) / 9, R.normal(size=(3, hidden)), R.normal(size=(9, hidden))

    def f(x, h, c, u, table):
        return sc.scan(lambda x, h: np.tanh(x @ u + h @ c) + table[x.astype(int)[0] % 9], x, h)

    args = X, R.normal(size=hidden), w, u, table
    program = sc.jit(f, target="cuda").lower(*args)
    step = program.loop_ir().split("# steps of")[1]
    assert "held[" in step and "table[" in step
    assert (" c[" in step) == (hidden == 130)
    for seed in range(2):
        with permuted(seed):
            same(sc.jit(f, target="cuda")(*args), sc.jit(f)(*args))
    same(sc.jit(f, target="cuda")(*args), sc.jit(f)(*args))


@our_schedule
@pytest.mark.parametrize("registers", [0, 5, 13, 160])
@pytest.mark.parametrize("room", [0, 1100, 1 << 16])
@pytest.mark.parametrize("dtype", ["float32", "float64", "int64"])
def test_where_weights_are(monkeypatch, registers, room, dtype):
    """In registers of threads that have a column each, in shared memory, and where they were, in any mixture."""
    device = Device(4, 32, registers_of_a_thread=OTHER_OF_FEW + registers, shared=SHARED + ASIDE + room)
    monkeypatch.setattr(toolkit, "limits", lambda: device)
    rows, columns, weights = 17 + registers % 7, 19, f"{dtype}_{registers}_{room}"
    size = 3 if dtype == "int64" else 0.2
    w = (R.normal(size=(rows, columns)) * size).astype(dtype)
    v = (R.normal(size=(columns, columns)) * size).astype(dtype)
    x = (R.normal(size=(STEPS, rows)) * 3).astype(dtype)

    def f(x, h, w, v):
        return sc.scan(lambda x, h, w, v: ((x @ w).clip(-9, 9) - h @ v.T).clip(-9, 9).astype(dtype), x, h, [w, v])

    f.__name__ = weights
    args = x, np.ones(columns, dtype), w, v
    g = sc.jit(f, target="cuda", strategy="block")
    before, step = g.lower(*args).loop_ir().split("# steps of")
    sums = 1 if dtype == "int64" else SUMS  # as many terms at once
    assert ("let w_0" in before) == (registers >= sums * np.dtype(dtype).itemsize // 4)
    assert (" held[" in step) == (room > 0 and registers < 160)
    assert not any(f" {name}[" in step for name in "wv") or room < 1 << 16 and registers < 160
    want = sc.jit(f)(*args)
    for seed in range(3):
        with permuted(seed):
            np.testing.assert_allclose(g(*args), want, rtol=1e-4 if dtype == "float32" else 1e-9, atol=1e-4)


def test_weights_of_a_lane_are_held_by_its_block():
    f = sc.vmap(lambda x, h, w: rnn(x, h, w)[-1])
    args = np.stack([X, -X]), np.stack([H0, H0 + 1]), np.stack([W, W.T])
    program = sc.jit(f, target="cuda").lower(*args)
    assert "held[" in program.loop_ir().split("# steps of")[1]
    for seed in range(2):
        with permuted(seed):
            same(sc.jit(f, target="cuda")(*args), sc.jit(f)(*args))


@our_schedule
def test_barriers_a_step():
    """One barrier a step of a recurrent network: the new row is read by all in the next step."""
    g = sc.jit(rnn, target="cuda")
    counts = []
    for steps in (5, 25):
        with permuted(0):
            Barriers.passed = 0
            g(R.normal(size=(steps, 3)), H0)
        counts.append(Barriers.passed)
    assert counts[1] - counts[0] == 20


@our_schedule
def test_a_missing_barrier_is_seen():
    """The schedules find what they are there for: a kernel without its barriers gives other numbers, or none."""
    g = sc.jit(rnn, target="cuda")
    program = g.lower(X, H0).compiled
    want = g(X, H0, mode="interpret")
    program.source = program.source.replace("cuda.syncthreads()", "pass")
    with permuted(1):
        assert not np.allclose(g(X, H0), want)


def test_failures_of_one_thread():
    def step(i, h):
        return np.take(h, np.arange(H) + i)

    g = sc.jit(lambda i, h: sc.scan(step, i, h), target="cuda", strategy="block")
    index = np.zeros(3, np.int64)
    for seed in range(3):
        with permuted(seed):
            same(g(index, H0), g(index, H0, mode="interpret"))
            with pytest.raises(IndexError):
                g(index + 1, H0)
    h = sc.jit(lambda i, h: sc.scan(step, i, h), target="cuda", strategy="grid")
    with permuted(0), pytest.raises(IndexError):
        h(index + 1, H0)


def test_strategies_that_are_asked_for():
    g = sc.jit(rnn, target="cuda", strategy="thread")
    same(g(X, H0), g(X, H0, mode="interpret"))
    with pytest.raises(ValueError, match="strategy is 'lane'"):
        sc.jit(lambda x, h: sc.scan(lambda x, h: h - h.mean() + x, x, h), target="cuda", strategy="lane")(ROWS, H0)
    with pytest.raises(ValueError, match="strategy is 'warp'"):
        sc.jit(rnn, target="cuda", strategy="warp")
