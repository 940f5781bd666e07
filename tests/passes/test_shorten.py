"""Steps that nobody reads are not made, and errors of the step count stay errors."""

from __future__ import annotations

import numpy as np
import pytest

import scancc as sc


@sc.jit
def third_last(x):
    return sc.scan(lambda x_t, y: y + x_t, x, 0.0)[-3]


def test_runs_fewer_steps():
    x = np.arange(10.0)
    assert third_last(x) == third_last(x, mode="interpret") == x[:8].sum()
    assert "maximum" in third_last.lower(x).ir("shorten")
    assert "last 1" in third_last.lower(x).ir("shorten")


@pytest.mark.parametrize("n", [0, 1, 2])
@pytest.mark.parametrize("mode", ["compiled", "interpret"])
def test_rows_that_are_not_there(n, mode):
    with pytest.raises(IndexError):
        third_last(np.ones(n), mode=mode)


def test_a_wrong_step_count_is_still_an_error():
    @sc.jit
    def f(x, n):
        return sc.scan(lambda x_t, y: y + x_t, x, 0.0, n_steps=n)[-3]

    assert f(np.ones(10), 5) == 3
    with pytest.raises(ValueError):
        f(np.ones(10), 11)
    with pytest.raises(ValueError):
        f(np.ones(10), -1)


def test_another_reader_keeps_the_steps():
    @sc.jit
    def f(x):
        y = sc.scan(lambda x_t, y: y + x_t, x, 0.0)
        return y[-3], y[-1]

    x = np.arange(10.0)
    assert f(x) == (x[:8].sum(), x.sum())
    assert "maximum" not in f.lower(x).ir("shorten")


def cumulative(x):
    return sc.scan(lambda x_t, y: y + x_t, x, 0.0)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 10])
@pytest.mark.parametrize("mode", ["compiled", "interpret"])
def test_views_from_the_start(n, mode):
    x = np.arange(1.0, n + 1)
    whole = np.cumsum(x)
    f = sc.jit(lambda x: (cumulative(x)[:3], cumulative(x)[1:4], cumulative(x)[0], cumulative(x)[:5:2]))
    for have, want in zip(f(x, mode=mode), (whole[:3], whole[1:4], whole[0], whole[:5:2]), strict=True):
        np.testing.assert_array_equal(have, want)
    both = sc.jit(lambda x: (lambda y: (y[:2], y[2:4]))(cumulative(x)))
    for have, want in zip(both(x, mode=mode), (whole[:2], whole[2:4]), strict=True):
        np.testing.assert_array_equal(have, want)
    third = sc.jit(lambda x: cumulative(x)[2])
    if n > 2:
        assert third(x, mode=mode) == whole[2]
    else:
        with pytest.raises(IndexError):
            third(x, mode=mode)


@pytest.mark.parametrize("mode", ["compiled", "interpret"])
def test_a_traced_row(mode):
    x = np.arange(1.0, 8)
    one = sc.jit(lambda x, i: cumulative(x)[i])
    two = sc.jit(lambda x, i: (lambda y: (y[i], y[1]))(cumulative(x)))
    for i in (-7, -1, 0, 3, 6):
        assert one(x, i, mode=mode) == np.cumsum(x)[i] and two(x, i, mode=mode) == (np.cumsum(x)[i], 3)
    for i in (-8, 7):
        with pytest.raises(IndexError):
            one(x, i, mode=mode)
    own = sc.jit(lambda x: (lambda y: y[np.argmax(y) - 1])(cumulative(x)))  # a row that the rows decide
    assert own(x, mode=mode) == 21


def test_steps_and_rows_of_a_traced_row():
    f = sc.jit(lambda x, i: cumulative(x)[i]).lower(np.ones(10), 3)
    assert "last 1" in f.ir("shorten") and "minimum" in f.ir("shorten")
    assert "n_x" not in repr(f.compiled.lowered.allocated)
    seen = []

    def step(x, y):
        seen.append(1)
        return x + y

    with sc.trace_steps() as steps:
        sc.jit(lambda x: sc.scan(step, x, 0.0)[:3])(np.ones(10), mode="interpret")
    assert len(steps) == 11  # the interpreter runs what was written
    assert "steps %" in sc.jit(lambda x: cumulative(x)[2]).lower(np.ones(10)).ir("shorten")


def test_fixed_counts():
    f = sc.jit(lambda a: (lambda y: (y[2], y[4]))(sc.scan(lambda y: y * a, None, 1.0, n_steps=100)))
    assert f(2.0) == f(2.0, mode="interpret") == (8, 32)
    assert "last 3" in f.lower(2.0).ir("shorten") and "5" in f.lower(2.0).loop_ir()
