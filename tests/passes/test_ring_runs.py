"""Steps in runs between the ends of their rings: the same numbers, whatever the lengths of ring and sequence."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import scancc as sc
from scancc.errors import StepsError
from scancc.passes.loops.ring_runs import LEAST_ROWS
from scancc.static.figures import figures_of

R = np.random.default_rng(0)
ROWS = [LEAST_ROWS, LEAST_ROWS + 1, 100]
LENGTHS = [0, 1, 2, -1, 3]  # and so many more or fewer than whole rings


def delay(x, y0, b):
    """Nothing waits within a run."""
    return sc.scan(lambda x, old, b: x + b * old, x, dict(initial=y0, taps=[-len(y0)]), b)[-1:]


def seasonal(x, y0, b):
    """A linear recurrence in each run, beside the ring."""
    return sc.scan(lambda x, old, y1, b: x + b * old - 0.4 * y1, x, dict(initial=y0, taps=[-len(y0), -1]), b)[-2:]


def two_long_taps(x, y0, b):
    """A read of a row that the run itself has written."""
    n = len(y0)
    return sc.scan(lambda x, old, half, b: x + b * old - 0.3 * half, x, dict(initial=y0, taps=[-n, -n // 2]), b)[-2:]


def two_states(x, y0, b):
    """Two rings at the same row at the same time, and sums over the steps."""

    def step(x, y, z, b):
        return x + b * z, y - x

    info = [dict(initial=y0, taps=[-len(y0)]), dict(initial=y0[::-1] * 2, taps=[-len(y0)])]
    ys, zs = sc.scan(step, x, info, b)
    return ys[-1:], zs[-1:], np.exp(-ys * ys).sum()


def apart(x, y0, b):
    """Rings of different lengths: no runs."""
    info = [dict(initial=y0, taps=[-len(y0)]), dict(initial=y0[1:], taps=[1 - len(y0)])]
    ys, zs = sc.scan(lambda x, y, z, b: (x + b * z, y - x), x, info, b)
    return ys[-1:], zs[-1:]


def outputs(x, y0, b):
    """What is stored at every step, from the end on."""

    def step(x, old, b):
        y = x + b * old
        return y, y * y

    ys, squares = sc.scan(step, x, [dict(initial=y0, taps=[-len(y0)]), None], b, go_backwards=True)
    return ys[-1:], squares


def ended(x, y0, b):
    """A condition may end the loop: no runs."""
    def step(x, old, b):
        y = x + b * old
        return y, sc.until(y > 1e3)

    return sc.scan(step, x, dict(initial=y0, taps=[-len(y0)]), b)[-1:]


PROGRAMS = {f.__name__: f for f in (delay, seasonal, two_long_taps, two_states, apart, outputs, ended)}
WITHOUT = {"apart", "ended"}


def several(results):
    return results if isinstance(results, tuple) else (results,)


def arguments(steps, rows):
    return R.normal(size=steps), R.normal(size=rows), 0.7


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("name", PROGRAMS)
def test_programs(name, rows, strict):
    f = sc.jit(PROGRAMS[name], strict_fp=strict)
    for whole in (0, 1, 2, 5):
        for more in LENGTHS:
            steps = whole * rows + more
            if steps < 0 or (steps == 0 and name != "outputs"):
                continue
            given = arguments(max(steps, 2) if name in ("seasonal", "two_long_taps") else steps, rows)
            for found, expected in zip(several(f(*given)), several(f(*given, mode="interpret")), strict=True):
                if strict and name != "two_states":  # whose sum the interpreter leaves to NumPy
                    np.testing.assert_array_equal(found, expected)
                else:
                    np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("name", PROGRAMS)
def test_where_there_are_runs(name):
    text = sc.jit(PROGRAMS[name]).lower(*arguments(300, 100)).loop_ir()
    assert ("# runs of" in text) == (name not in WITHOUT)
    short = sc.jit(PROGRAMS[name]).lower(*arguments(300, LEAST_ROWS - 1)).loop_ir()
    assert "# runs of" not in short


def test_a_delay_line_is_vectorised():
    """And a linear recurrence beside one is solved in blocks, up to where the ring ends."""
    given = arguments(10**4, 1000)
    loop = figures_of(sc.jit(delay).lower(*given)).hot
    assert loop is not None and loop.vector_bits >= 256
    assert "recurrences.solve1" in sc.jit(seasonal).lower(*given).loop_ir()


STRICT = sc.jit(delay, strict_fp=True)


@settings(max_examples=15, deadline=None)
@given(steps=st.integers(1, 700), rows=st.integers(LEAST_ROWS, 300))
def test_any_lengths(steps, rows):
    x, y0, b = arguments(steps, rows)
    expected = np.concatenate([y0, np.empty(steps)])
    for t in range(steps):
        expected[rows + t] = x[t] + b * expected[t]
    np.testing.assert_array_equal(STRICT(x, y0, b), expected[-1:])


def test_a_count_that_is_negative():
    f = sc.jit(lambda y0, n: sc.scan(lambda old: old * 0.5, None, dict(initial=y0, taps=[-len(y0)]), n_steps=n)[-1:])
    y0 = R.normal(size=80)
    np.testing.assert_array_equal(f(y0, 3), f(y0, 3, mode="interpret"))
    with pytest.raises(StepsError):
        f(y0, -3)
