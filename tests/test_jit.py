"""Whole functions: what is read of a scan decides what is stored."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import scancc as sc
from scancc.backends.machine_code import MachineCode

X = np.random.default_rng(0).normal(size=(20, 3))


def states(x, h):
    return sc.scan(lambda x, h: np.tanh(x + 0.5 * h), sequences=x, outputs_info=h)


@pytest.mark.parametrize(
    "read",
    [lambda y: y, lambda y: y[-1], lambda y: y[-7], lambda y: y[-3:], lambda y: y[-3:-1], lambda y: y[2],
     lambda y: y[::2],
     lambda y: y[::-1], lambda y: y.sum(0), lambda y: y.sum(), lambda y: y * 2 + 1, lambda y: (y[-1], y[-6:]),
     lambda y: y[-30:], lambda y: y[5:], lambda y: y.max(axis=1)],
)  # fmt: skip
@pytest.mark.parametrize("width", [3, 40])
def test_reads_equal_those_of_the_whole_history(read, width):
    x = np.random.default_rng(1).normal(size=(20, width))
    f = sc.jit(lambda x, h: read(states(x, h)))
    got, want = f(x, np.zeros(width)), read(np.array(states(x, np.zeros(width))))
    interpreted = f(x, np.zeros(width), mode="interpret")
    for g, i, w in zip(*(v if isinstance(v, tuple) else (v,) for v in (got, interpreted, want)), strict=True):
        assert np.shape(g) == np.shape(w)
        np.testing.assert_allclose(g, w, rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(i, w, rtol=1e-12, atol=1e-14)


def test_the_last_row_alone_keeps_no_history():
    f = sc.jit(lambda x, h: states(x, h)[-1])
    source = f.lower(X, np.zeros(3)).source()
    assert "rows" not in source and "ring" not in source
    program = f.lower(X, np.zeros(3)).compiled.lowered
    assert sum(b.shape[0].value for b in program.allocated) == 3


def test_a_deep_tap_with_the_last_row_is_a_ring_without_division():
    f = sc.jit(
        lambda x, y0: sc.scan(
            lambda x, y: x + 0.5 * y, sequences=x, outputs_info=[dict(initial=y0, taps=[-1000])]
        )[-1]
    )
    x, y0 = np.arange(2500.0), np.ones(1000)
    y = [*y0]
    for t, v in enumerate(x):
        y.append(v + 0.5 * y[t])
    assert f(x, y0) == y[-1]
    before, _, steps = f.lower(x, y0).source().partition("# steps of")
    assert steps and "%" not in steps and "//" not in steps
    assert before.count("//") == 1  # how many runs of steps between the ends of the ring there are
    assert [b.shape[0].value for b in f.lower(x, y0).compiled.lowered.allocated if "ring" in b.name] == [1000]


def test_no_row_to_read_is_an_index_error():
    f = sc.jit(lambda x, h: states(x, h)[-1])
    f(X, np.zeros(3))
    with pytest.raises(IndexError, match="made fewer steps"):
        f(X[:0], np.zeros(3))
    np.testing.assert_allclose(f(X[:1], np.zeros(3)), np.tanh(X[0]), rtol=1e-14)


def test_what_is_only_looked_at_has_no_machine_code(monkeypatch):
    made = []
    make = MachineCode._make
    monkeypatch.setattr(MachineCode, "_make", lambda self: made.append(self) or make(self))
    f = sc.jit(lambda x: states(x, x[0] * 0.37)[-2])
    program = f.lower(X)
    assert "tanh" in program.source() and "tanh" in program.ir() and program.explain()
    assert not made
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda _: f(X), range(16)))
    assert len(made) == 1
    assert np.allclose(results, [f(X, mode="interpret")] * 16, rtol=1e-12)


def test_other_lengths_do_not_compile_again():
    f = sc.jit(lambda x, h: states(x, h)[-1])
    for n in (1, 5, 20):
        f(X[:n], np.zeros(3))
    assert len(f.programs) == 1


def test_until_has_a_run_time_length():
    def f(x):
        return sc.scan(lambda x, s: (s + x, sc.until(s + x > 3)), sequences=x, outputs_info=0.0)

    x = np.ones(10)
    np.testing.assert_array_equal(sc.jit(f)(x), [1, 2, 3, 4])
    np.testing.assert_array_equal(sc.jit(lambda x: f(x)[-1])(x), 4)
    np.testing.assert_array_equal(sc.jit(lambda x: f(x).sum())(x), 10)


def test_a_step_defined_anew_is_not_compiled_again():
    from scancc.driver import COMPILED

    def run(w):
        return sc.scan(lambda x, y: x + (w * y)[0], X[:, 0], 0.0)

    first = run(np.array([0.25]))
    count = len(COMPILED)
    second = run(np.array([0.5]))
    assert len(COMPILED) == count
    assert first[1] == X[1, 0] + 0.25 * X[0, 0]
    assert second[1] == X[1, 0] + 0.5 * X[0, 0]


def test_parameter_names_that_would_be_keywords():
    got = sc.scan(lambda return_t, sigma2_tm1: return_t + sigma2_tm1, np.ones(3), 0.0)
    np.testing.assert_array_equal(got, [1, 2, 3])


@pytest.mark.parametrize("mode", ["compiled", "interpret"])
def test_step_counts_are_any_arithmetic(mode):
    def steps(n_steps, *args):
        return sc.jit(lambda *k: sc.scan(lambda y: y + 1.0, None, 0.0, n_steps=n_steps(*k)))(*args, mode=mode)

    assert len(steps(lambda k: np.abs(k), -3)) == 3
    assert len(steps(lambda k: np.sqrt(k * 1.0).astype("int64"), 9)) == 3
    assert len(steps(lambda k, m: np.where(k > m, k, m) % 5, 3, 9)) == 4
    for n in (-1, -(2**40)):
        with pytest.raises(ValueError, match="number of steps is"):
            steps(lambda k: k, n)
