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
