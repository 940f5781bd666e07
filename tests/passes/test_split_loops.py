"""Recurrences apart from what hangs on them: the same numbers, and loops that must stay whole do."""

from __future__ import annotations

import numpy as np
import pytest

import scancc as sc
from scancc import driver
from scancc.passes import pipeline
from scancc.passes.loops.split_loops import CHUNK

R = np.random.default_rng(0)
LENGTHS = [0, 1, 2, 7, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 5]


def garch(r, omega, alpha, beta):
    """Linear in its state: solved in blocks."""

    def step(r, s, omega, alpha, beta):
        s = omega + alpha * r * r + beta * s
        return s, np.log(s) + r * r / s

    return sc.scan(step, r, [omega * 0 + 1, None], [omega, alpha, beta])[1].sum()


def three_taps(x, a, b, c):
    """Linear with several taps."""
    y = sc.scan(lambda x, y3, y2, y1, a, b, c: x - c * y3 + b * y2 + a * y1, x,
                [dict(initial=np.array([0.1, 0.2, 0.3], x.dtype), taps=[-3, -2, -1])], [a, b, c])  # fmt: skip
    return (np.exp(-y * y) + y * y).sum()


def two_in_turn(x, a, b, c):
    """A mean and a variance, each linear in its own past: one is solved after the other."""

    def step(x, mean, variance, a, b, c):
        error = x - mean
        variance = (0.2 + a * error * error + variance) / c
        return 0.9 * mean + b * x, variance, np.log(variance) + error * error / variance

    info = [a * 0, a * 0 + 1, None]
    means, variances, terms = sc.scan(step, x, info, [a, b, c])
    return terms.sum(), means[-1:], variances


def local_level(y, q, h, a0):
    """Not linear: one step after the other, then the densities."""

    def step(y, a, p, q, h):
        f, v = p + h, y - a
        k = p / f
        return a + k * v, p * (1 - k) + q, np.log(f) + v * v / f, v / np.sqrt(f)

    means, _, densities, residuals = sc.scan(step, y, [a0, q * 0 + 1, None, None], [q, h])
    return densities.sum(), residuals, means


def lyapunov(u, r, x0, unused):
    """Backwards, with an output that nothing waits for."""

    def step(u, x, r):
        x = r * x * (1 - x) + 0 * u
        return x, np.log(np.abs(r - 2 * r * x) + 1e-3)

    return sc.scan(step, u, [x0, None], [r], go_backwards=True)[1]


def ar2_gradient(x, a, b, unused):
    """The adjoints of two taps are multiples of one value, which recurs."""

    def loss(a, b):
        y = sc.scan(lambda x, y2, y1, a, b: x + a * y1 + b * y2, x, [dict(initial=np.zeros(2, x.dtype), taps=[-2, -1])],
                    [a, b])  # fmt: skip
        return (y * y).sum()

    return sc.grad(loss, (0, 1))(a, b)


def logistic_gradient(u, r, x0, unused):
    """Coefficients of an adjoint change from step to step."""

    def loss(r, x0):
        return sc.scan(lambda u, x, r: r * x * (1 - x) + 0 * u, u[:9], x0, [r]).sum() + sc.scan(
            lambda u, x, r: 0.5 * np.tanh(r * x) + u, u, x0, [r]).sum()  # fmt: skip

    return sc.grad(loss, (0, 1))(r, x0)


PROGRAMS = {
    garch: (0.1, 0.1, 0.8),
    three_taps: (0.5, -0.3, 0.2),
    two_in_turn: (0.1, 0.2, 1.3),
    local_level: (0.1, 0.2, 0.3),
    lyapunov: (3.9, 0.4, 0.0),
    ar2_gradient: (0.5, -0.3, 0.0),
    logistic_gradient: (1.9, 0.4, 0.0),
}


def compiled(program, monkeypatch, split=True, **options):
    if not split:
        kept = tuple(p for p in pipeline.LOOP_PIPELINE if p.name != "split_loops")
        monkeypatch.setattr(pipeline, "LOOP_PIPELINE", kept)
    monkeypatch.setattr(driver, "COMPILED", driver.Programs())
    return sc.jit(program, **options)


def parts(x):
    return x if isinstance(x, tuple) else (x,)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda p: p.__name__)
def test_equals_the_interpreter(program, dtype):
    given = [np.asarray(v, dtype) for v in PROGRAMS[program]]
    f = sc.jit(program)
    assert "at a time" in f.lower(np.ones(9, dtype), *given).source()
    for n in LENGTHS:
        x = R.normal(size=n).astype(dtype)
        for have, want in zip(parts(f(x, *given)), parts(f(x, *given, mode="interpret")), strict=True):
            assert (have.dtype, have.shape) == (want.dtype, want.shape)
            np.testing.assert_allclose(have, want, rtol=1e-11 if dtype == "float64" else 3e-4)


def test_recurrences_are_solved_one_after_the_other():
    source = sc.jit(two_in_turn).lower(np.ones(9), *PROGRAMS[two_in_turn]).source()
    assert source.count("recurrences.solve1") == 2


@pytest.mark.parametrize("program", [garch, two_in_turn, local_level, lyapunov], ids=lambda p: p.__name__)
def test_strict_results_are_those_of_the_whole_loop(program, monkeypatch):
    x, given = R.normal(size=2 * CHUNK + 3), PROGRAMS[program]
    split = compiled(program, monkeypatch, strict_fp=True)
    assert "at a time" in split.lower(x, *given).source()
    assert "recurrences" not in split.lower(x, *given).source()
    have = parts(split(x, *given))
    whole = compiled(program, monkeypatch, split=False, strict_fp=True)
    assert "at a time" not in whole.lower(x, *given).source()
    for a, b in zip(have, parts(whole(x, *given)), strict=True):
        assert np.array_equal(a, b)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e200])
def test_values_that_are_not_finite_appear_where_the_loop_has_them(bad):
    x = R.normal(size=3 * CHUNK)
    x[CHUNK + 100] = bad
    f = sc.jit(local_level)
    for have, want in zip(f(x, 0.1, 0.2, 0.3), f(x, 0.1, 0.2, 0.3, mode="interpret"), strict=True):
        np.testing.assert_array_equal(np.isfinite(have), np.isfinite(want))
        np.testing.assert_allclose(have, want, rtol=1e-11)


def test_gradients_of_a_likelihood():
    r = R.normal(size=2 * CHUNK + 9)
    value, gradient = sc.jit(sc.value_and_grad(garch, (1, 2, 3)))(r, 0.1, 0.1, 0.8)
    np.testing.assert_allclose(value, garch(r, 0.1, 0.1, 0.8))
    for k in range(3):
        at = np.array([0.1, 0.1, 0.8])
        step = np.zeros(3)
        step[k] = 1e-6
        slope = (garch(r, *(at + step)) - garch(r, *(at - step))) / 2e-6
        np.testing.assert_allclose(gradient[k], slope, rtol=1e-5)


def test_states_of_one_value_that_begin_differently():
    def step(x, a, b):
        w = x + 0.5 * a + 0.2 * b
        return w, w, np.log(np.abs(w) + 1) + np.exp(-w * w)

    x = R.normal(size=CHUNK + 9)
    f = sc.jit(lambda x, a, b: sc.scan(step, x, [a, b, None])[2])
    for a, b in ((1.0, 2.0), (0.0, 1.0), (0.0, 0.0)):
        np.testing.assert_allclose(f(x, a, b), f(x, a, b, mode="interpret"), rtol=1e-11)


def never(step, x, info):
    f = sc.jit(lambda x: sc.scan(step, x, info))
    have, want = f(x), f(x, mode="interpret")
    for a, b in zip(parts(have), parts(want), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-11)
    return "at a time" not in f.lower(x).source()


def test_what_stays_whole():
    x = R.normal(size=700)
    # The next step waits for the expensive part.
    assert never(lambda x, h: np.tanh(x + h), x, 0.0)
    # A condition may end the loop at any step.
    assert never(lambda x, s: ((s + x, np.log(np.abs(s) + 1.0)), sc.until(s > 1e9)), x, [0.0, None])
    # Taps are read where the output is stored.
    assert never(lambda x, y9, y1: x + 0.5 * y1 - 0.1 * y9, x, [dict(initial=np.zeros(9), taps=[-9, -1])])
