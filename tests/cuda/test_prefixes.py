"""One long sequence in tiles, and programs of several launches: the interpreter's numbers at every length."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from schedules import Barriers, permuted

import scancc as sc
from scancc.backends.cuda import prefix
from scancc.backends.cuda.tiles import copies_of
from scancc.backends.cuda.toolkit import TRAFFIC, simulated
from scancc.ir.loop import Buffer, Prefix, Store
from scancc.ir.walk import statements

R = np.random.default_rng(0)
X, A = R.normal(size=700), R.normal(size=700)
LENGTHS = [0, 1, 2, 7, 8, 9, 16, 17, 63, 300, 700]  # tiles of the simulator have 8 steps


def ema(x, start=0.5):
    return sc.scan(lambda x, y: 0.9 * y + 0.1 * x, x, start)


def two_taps(x, a):
    return sc.scan(lambda x, y2, y1: x + 0.5 * y1 - 0.3 * y2, x, [dict(initial=np.array([0.1, 0.2]), taps=[-2, -1])])


def trend(x, a):
    return sc.scan(lambda x, level, slope: (0.9 * level + 0.5 * slope + 0.1 * x, 0.8 * slope + 0.01 * x), x, [0.0, 1.0])


FORMS = {
    "affine in 1 number": lambda x, a: ema(x),
    "affine in 2 numbers": two_taps,
    "affine in 2 numbers, two carries": trend,
    "affine in 1 number, gates": lambda x, a: sc.scan(
        lambda x, a, y: (1 - sc.expit(a)) * y + sc.expit(a) * x, [x, a], 0.0),
    "add": lambda x, a: sc.scan(lambda x, y: y + x, x, 0.25),
    "multiply": lambda x, a: sc.scan(lambda x, y: y * x, x, 1.0),
    "maximum": lambda x, a: sc.scan(lambda x, y: np.maximum(x * 2, y), x, -np.inf),
    "minimum": lambda x, a: sc.scan(np.minimum, x, np.inf),
    "logaddexp": lambda x, a: sc.scan(np.logaddexp, x, -np.inf),
    "add, whole numbers": lambda x, a: sc.scan(lambda x, y: y + (x * 9).astype(int), x, 0),
    "bitwise_xor": lambda x, a: sc.scan(lambda x, y: y ^ (x * 99).astype(int), x, 0),
    "affine in 1 number, whole numbers": lambda x, a: sc.scan(lambda x, y: y * 3 + (x * 9).astype(int), x, 1),
    "associative": lambda x, a: sc.associative_scan(lambda p, q: (p[0] * q[0], q[0] * p[1] + q[1]), (sc.expit(a), x)),
    "with outputs": lambda x, a: sc.scan(lambda x, y: (0.9 * y + x, np.tanh(y) * x), x, [0.5, None]),
    "backwards": lambda x, a: sc.scan(lambda x, y: 0.9 * y + x, x, 0.0, go_backwards=True),
}  # fmt: skip


def same(have, want):
    for h, w in zip(*(v if isinstance(v, tuple) else (v,) for v in (have, want)), strict=True):
        assert h.shape == w.shape
        assert h.dtype == w.dtype
        assert np.allclose(h, w, rtol=1e-11, atol=1e-13, equal_nan=True)


@pytest.mark.parametrize("form", FORMS)
def test_forms(form):
    g = sc.jit(FORMS[form], target="cuda")
    explained = g.lower(X, A).explain()
    assert "strategy: prefix" in explained
    if "associative" not in form and form not in ("with outputs", "backwards"):
        assert form.partition(",")[0] in explained
    for seed, n in enumerate(LENGTHS):
        with permuted(seed):
            same(g(X[:n], A[:n]), g(X[:n], A[:n], mode="interpret"))


def test_on_the_simulator_of_numba():
    g = sc.jit(lambda x, a: ema(x), target="cuda")
    same(g(X[:50], A), g(X[:50], A, mode="interpret"))


def pairs(fn, x):
    """Pairs of numbers by whole numbers, so that results are exact."""
    a, b = (x * 5).astype(int), (x * 7).astype(int) + 1
    return sc.associative_scan(fn, (a, b))


ORDERED = {  # the earlier run is on the left everywhere, or these are wrong
    "affine": lambda x: pairs(lambda p, q: (p[0] * q[0], q[0] * p[1] + q[1]), x),
    "first": lambda x: sc.associative_scan(lambda p, q: p, x + 1),
    "last that is positive": lambda x: sc.associative_scan(lambda p, q: sc.where(q > 0, q, p), x * 2),
    "larger, the earlier of two": lambda x: pairs(
        lambda p, q: (np.maximum(p[0], q[0]), sc.where(q[0] > p[0], q[1], p[1])), x),
}  # fmt: skip


@pytest.mark.parametrize("name", ORDERED)
def test_order(name):
    g = sc.jit(ORDERED[name], target="cuda")
    assert "strategy: prefix" in g.lower(X).explain()
    for seed, n in enumerate([1, 3, 8, 9, 77, 300]):
        with permuted(seed):
            have, want = g(X[:n]), g(X[:n], mode="interpret")
        for h, w in zip(*(v if isinstance(v, tuple) else (v,) for v in (have, want)), strict=True):
            assert np.array_equal(h, w)


def test_looking_back_over_windows():
    """Tiles of which only their own numbers are known, in a row longer than what a warp looks at at a time."""
    g = sc.jit(ORDERED["affine"], target="cuda")
    g(X[:9])
    tiles, looks, want = -(-X.size // 8), [], g(X, mode="interpret")
    for seed in range(4):
        Barriers.looks = 0
        with permuted(seed):
            assert all(map(np.array_equal, g(X), want))
        looks.append(Barriers.looks)
    if simulated():
        assert min(looks) >= tiles - 1
        assert max(looks) > tiles + 20


DTYPES = "int8 uint8 int16 uint16 int32 uint32 int64 uint64 float32 float64 complex64 complex128".split()


@pytest.mark.parametrize("dtype", ["bool", *DTYPES])
def test_dtypes(dtype):
    x = X > 0 if dtype == "bool" else (X * 9 + (1j * A if dtype.startswith("c") else 0)).astype(dtype)
    g = sc.jit(lambda x: sc.associative_scan((lambda p, q: p ^ q) if dtype == "bool" else np.add, x), target="cuda")
    assert "strategy: prefix" in g.lower(x).explain()
    for seed, n in enumerate([5, 100]):
        with permuted(seed):
            have, want = g(x[:n]), g(x[:n], mode="interpret")
        assert have.dtype == want.dtype == dtype
        assert np.allclose(have, want, rtol=1e-4 if dtype in ("float32", "complex64") else 1e-11)


def test_results_take_the_place_of_what_is_read_no_more():
    program = sc.jit(lambda x: ema(x * 2), target="cuda").lower(X)
    (s,) = (s for s in statements(program.compilation.lowered.kernel.body) if isinstance(s, Prefix))
    known = copies_of(s)
    assert [p.written for p in known] == [False, True]
    assert len(set(known.values())) == 1
    read, written = known
    other = Buffer("other", X.dtype, written.buffer.shape, "output")
    late = replace(s, body=[*s.body, Store(other, (s.var,), read.place(s.var))])
    first, second, third = copies_of(late).items()
    assert (first[0], second[0]) == (read, written)
    assert first[1] != second[1]
    assert third[1] == first[1]


def test_float32_stays_float32():
    g = sc.jit(lambda x: sc.scan(lambda x, y: np.float32(0.5) * y + x, x, np.float32(0)), target="cuda")
    x = X[:99].astype("f4")
    assert g(x).dtype == np.float32
    assert np.allclose(g(x), g(x, mode="interpret"), rtol=1e-5, atol=1e-6)


def test_errors_that_may_grow():
    """A coefficient that the program does not bound: the loop, unless it is asked for."""

    def f(x, a):
        return sc.scan(lambda x, y, a: a * y + x, x, 0.0, [a])

    assert "strategy: prefix" not in sc.jit(f, target="cuda").lower(X, 0.5).explain()
    g = sc.jit(f, target="cuda", parallel="prefix")
    assert "strategy: prefix" in g.lower(X, 0.5).explain()
    with permuted(0):
        same(g(X, 0.5), g(X, 0.5, mode="interpret"))
    assert "strategy: prefix" not in sc.jit(lambda x: ema(x), target="cuda", parallel="never").lower(X).explain()
    assert "strategy: prefix" not in sc.jit(lambda x: ema(x), target="cuda", strict_fp=True).lower(X).explain()
    with pytest.raises(ValueError, match="parallel is 'always'"):
        sc.jit(f, target="cuda", parallel="always")
    with pytest.raises(ValueError, match="strategy is 'prefix'"):
        sc.jit(lambda x: sc.scan(lambda x, y: np.sin(y) + x, x, 0.0), target="cuda", strategy="prefix")(X)


def test_unstable_taps_are_not_prefixes():
    def f(x):
        return sc.scan(lambda x, y2, y1: x + 1.5 * y1 + 0.5 * y2, x, [dict(initial=np.zeros(2), taps=[-2, -1])])

    assert "strategy: prefix" not in sc.jit(f, target="cuda").lower(X).explain()


def one(x, a):
    return (sc.scan(lambda x, y, a: a * y + np.tanh(x), x, 0.0, [a]) ** 2).sum()


def batch_loss(a, x):
    return sc.vmap(one, in_axes=(1, None))(x, a).mean()


ROWS = R.normal(size=(30, 7))
STAGES = {
    "last": (lambda x, w: ema(x)[-1], X, A),
    "loss": (lambda x, w: ((ema(x) - w) ** 2).mean(), X, A),
    "function of all rows": (lambda x, w: np.tanh(ema(x)) * 2, X, A),
    "two in a row": (lambda x, w: ema(ema(x)), X, A),
    "first rows": (lambda x, w: ema(x)[:5], X, A),
    "final carry": (lambda x, w: sc.lax.scan(lambda c, x: (0.5 * c + x, c), 0.0, x), X, A),
    "scaled before": (lambda x, w: ema(x / np.abs(x).max()), X, A),
    "gradient": (sc.grad(lambda x, w: ((ema(x) - w) ** 2).mean()), X, A),
    "gradient of what lanes share": (sc.grad(batch_loss), 0.3, ROWS),
    "value and gradient": (sc.value_and_grad(batch_loss), 0.3, ROWS),
    "mean over lanes": (lambda a, x: sc.vmap(ema, in_axes=1)(x).mean(0), 0.0, ROWS),
    "until, and what follows": (
        lambda x, w: sc.scan(lambda x, h: (h + x * x, sc.until(h > 3)), x, 0.0).cumsum() * 2, X, A),
}  # fmt: skip


@pytest.mark.parametrize("name", STAGES)
def test_stages(name):
    f, *args = STAGES[name]
    g = sc.jit(f, target="cuda")
    assert "launches, values stay on the device" in g.lower(*args).explain()
    want = g(*args, mode="interpret")
    for seed in range(2):
        with permuted(seed):
            same(g(*args), want)


def test_what_lanes_share_is_added_up_after_the_loops():
    g = sc.jit(sc.grad(batch_loss), target="cuda")
    program = g.lower(0.3, ROWS).compilation
    assert [s.strategy for s in program.stages] == ["lane", "thread"]
    g(0.3, ROWS)
    TRAFFIC.clear()
    g(0.3, ROWS)
    assert TRAFFIC["launch"] == 2


@pytest.mark.skipif(not simulated(), reason="a device fetches what it wants")
@pytest.mark.parametrize("bytes_ahead", [1, 100, 1000])
def test_what_is_fetched_is_there(monkeypatch, bytes_ahead):
    """The simulator's stand-in reads what is fetched, and an element outside of its array would be an error."""
    monkeypatch.setattr(prefix, "SOON", bytes_ahead)
    x, y = R.normal(size=61), R.normal(size=63)
    g = sc.jit(lambda x, y: sc.scan(lambda x, y0, y2, s: 0.5 * s + x * y0 - y2, [x, dict(input=y, taps=[0, 2])], 0.0),
               target="cuda", parallel="prefix")
    assert "words.fetch(" in g.lower(x, y).source()
    same(g(x, y), g(x, y, mode="interpret"))
