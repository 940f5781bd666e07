"""Truncated gradients, sliding windows, and checkpoints: the same derivatives with less of the history."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

import scancc as sc

RNG = np.random.default_rng(0)
X = RNG.normal(size=10)


def several_taps(**options):
    def f(u, v, y0, w):
        def step(u_m1, u, u_p1, v, t, y3, y1, w):
            return np.sin(y1) * w + 0.3 * y3 + u_m1 * u + np.tanh(u_p1) * v + 0.01 * t

        ys = sc.scan(step, [dict(input=u, taps=[-1, 0, 1]), v, np.arange(20)], [dict(initial=y0, taps=[-3, -1])], [w],
                     **options)
        return (ys**2).sum() + ys[-1] * ys[-2]

    return f, (RNG.normal(size=12), RNG.normal(size=10), RNG.normal(size=3), 0.7)


def until(**options):
    def f(x, h0, w):
        def step(x, h, w):
            h = h * w + x * x
            return h, sc.until(h > 3)

        ys = sc.scan(step, x, h0, [w], **options)
        return (ys**2).sum() + ys[-1]

    return f, (X, 0.4, 1.3)


def states(**options):
    def f(a0, b0, w):
        a, b = sc.scan(lambda t, a, b, w: (np.tanh(b @ w) + t, a * 0.5), np.arange(7.0), [a0, b0], [w], **options)
        return (a * b).sum()

    return f, (RNG.normal(size=20), RNG.normal(size=20), RNG.normal(size=(20, 20)) * 0.3)


def no_non_sequences(**options):
    return lambda h: sc.scan(lambda h: np.sin(h) * 1.2, None, h, n_steps=11, **options).sum(), (0.4,)


@pytest.mark.parametrize("program", [several_taps, until, states, no_non_sequences])
@pytest.mark.parametrize("checkpoint", [2, "sqrt", "binomial"])
def test_checkpoints_change_no_derivative(program, checkpoint):
    f, args = program()
    g, _ = program(checkpoint=checkpoint)
    numbers = tuple(range(len(args)))
    for plain, kept in zip(sc.grad(f, numbers)(*args), sc.grad(g, numbers)(*args), strict=True):
        assert np.allclose(plain, kept, rtol=1e-12, atol=1e-13)


def test_second_derivatives_through_checkpoints():
    f, args = several_taps()
    g, _ = several_taps(checkpoint=4)
    for k in (2, 3):
        want = sc.jit(sc.jacfwd(sc.grad(f, k), k))(*map(np.asarray, args), mode="interpret")
        got = sc.jit(sc.jacrev(sc.grad(g, k), k))(*map(np.asarray, args), mode="interpret")
        assert np.allclose(want, got, rtol=1e-10)


def garch(**options):
    def f(parameters, r):
        def step(r, s, o, a, b):
            s = o + a * r * r + b * s
            return s, np.log(s) + r * r / s

        return sc.scan(step, r, [1.0, None], [parameters[i] for i in range(3)], **options)[1].mean()

    return sc.value_and_grad(f)


def test_memory_of_a_long_recurrence():
    """A million steps of a scalar GARCH gradient in less than 16 MB (here: 0.1 MB and the broadcast of one number)."""
    r = np.random.default_rng(0).normal(size=1_000_000)
    p = np.array([0.1, 0.1, 0.8])
    found = {}
    for name, options in {"whole": {}, "sqrt": {"checkpoint": "sqrt"}, "budget": {"memory_budget": "1MB"}}.items():
        run = garch(**options)
        value = run(p, r)
        tracemalloc.start()
        run(p, r)
        found[name] = value, tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert found["sqrt"][1] < 16e6
    for name in ("sqrt", "budget"):
        assert np.allclose(found[name][0][1], found["whole"][0][1], rtol=1e-11)


def test_truncated_gradients():
    """C32."""
    def f(a, x0, u, last):
        ys = sc.scan(lambda u, x, a: a * x + u, u, x0, [a], truncate_gradient=2)
        return np.where(last, ys[-1], ys.sum())

    ga, gx, gu = sc.grad(f, (0, 1, 2))(0.5, 1.0, np.ones(5), False)
    assert (ga, gx) == (4.75, 0)
    assert np.allclose(gu, [0, 0, 0, 1.5, 1])
    ga, gx, gu = sc.grad(f, (0, 1, 2))(0.5, 1.0, np.ones(5), True)
    assert (ga, gx) == (2.875, 0)
    assert np.allclose(gu, [0, 0, 0, 0.5, 1])
    assert sc.grad(f, 1)(0.5, 1.0, np.ones(2), False) == 0.75


def cut_by_hand(k, steps):
    """The sum over t of the loss of step t, whose history is a constant before its last k steps."""
    def f(x, h0, w):
        total = 0.0
        for t in range(steps):
            first = max(0, t - k + 1)
            h = h0
            for s in range(t + 1):
                held = (lambda v: v) if s >= first else sc.stop_gradient
                before = sc.stop_gradient(h) if 0 < s == first else h
                h = np.sin(before * held(w)) + held(x[s])
            total = total + h**2
        return total

    return f


@pytest.mark.parametrize("k", [1, 2, 3, 20])
def test_windows(k):
    def f(x, h0, w):
        return (sc.scan(lambda x, h, w: np.sin(h * w) + x, x, h0, [w], tbptt=k) ** 2).sum()

    args = (X[:6], 0.4, 0.8)
    for got, want in zip(sc.grad(f, (0, 1, 2))(*args), sc.grad(cut_by_hand(k, 6), (0, 1, 2))(*args), strict=True):
        assert np.allclose(got, want, rtol=1e-12)


def test_a_window_as_long_as_the_run_cuts_nothing():
    def f(x, y0, w, **options):
        step = lambda x, y3, y1, w: np.tanh(y3 @ w + y1) + x  # noqa: E731
        ys = sc.scan(step, x, [dict(initial=y0, taps=[-3, -1])], [w], **options)
        return ys.sum() + (ys[-1] ** 2).sum()

    args = (RNG.normal(size=(7, 3)), RNG.normal(size=(3, 3)), RNG.normal(size=(3, 3)))
    whole = sc.grad(f, (0, 1, 2))(*args)
    cut = sc.grad(lambda *a: f(*a, tbptt=7), (0, 1, 2))(*args)
    for a, b in zip(whole, cut, strict=True):
        assert np.allclose(a, b, rtol=1e-12)


def test_weight_gradients_are_one_product_after_the_loop():
    def f(W, x):
        return (sc.scan(lambda x, h, W: np.tanh(x + h @ W), x, np.zeros(32), [W])[-1] ** 2).sum()

    program = sc.jit(sc.grad(f)).lower(np.eye(32), np.ones((9, 32)))
    forward, back = program.source().split("# scan scan_back")
    assert "gemm" not in back.split("for t")[1].split("products.gemm")[0]
    assert back.count("products.gemm") == 1
    assert "np.empty" not in program.source()
    assert "d_W_right" in program.explain()


def test_scalar_gradients_are_two_loops_without_memory_but_the_history():
    def f(a, x):
        return (sc.scan(lambda x, h, a: a * np.tanh(h) + x, x, 0.0, [a]) ** 2).sum()

    program = sc.jit(sc.grad(f)).lower(0.5, X)
    source = program.source()
    # Two runs over the steps, of which the second goes a chunk at a time.
    assert source.count("\n    for ") == source.count("# scan ") == 2
    assert "np.empty" not in source


@pytest.mark.parametrize("options", [{"checkpoint": "sqrt"}, {"checkpoint": 2}, {"checkpoint": "binomial"},
                                     {"memory_budget": 200}], ids=str)  # fmt: skip
@pytest.mark.parametrize("taps", [1, 2])
def test_second_derivatives(options, taps):
    """Segments are scans in a scan, and their way back is differentiated as any other program is."""

    def loss(x, h, **options):
        start = dict(initial=h, taps=[-1, -2][:taps]) if taps > 1 else h[0]
        return sc.scan(lambda x, *h: np.tanh(x + 0.5 * h[0]) * h[-1], x, start, **options)[-1]

    def curvature(**options):
        slope = sc.grad(lambda x, h: loss(x, h, **options), (0, 1))
        return sc.grad(lambda x, h: sum((d**2).sum() for d in slope(x, h)), (0, 1))

    x, h = np.linspace(0.1, 1, 5), np.array([0.3, -0.2])
    expected = sc.jit(curvature())(x, h)
    for mode in ("interpret", "compiled") if taps == 1 and options == {"checkpoint": 2} else ("interpret",):
        for d, e in zip(sc.jit(curvature(**options))(x, h, mode=mode), expected, strict=True):
            np.testing.assert_allclose(d, e, rtol=1e-10, atol=1e-12)


def test_hessian_of_segments():
    """Zeros in place of a window outlive the window itself."""

    def last(x, **options):
        return sc.scan(lambda x, h: np.tanh(x + 0.5 * h), x, 0.3, **options)[-1]

    x = np.linspace(0.1, 1, 5)
    found = sc.jit(sc.hessian(lambda x: last(x, checkpoint="sqrt")))(x)
    np.testing.assert_allclose(found, sc.hessian(last)(x), rtol=1e-10, atol=1e-12)
