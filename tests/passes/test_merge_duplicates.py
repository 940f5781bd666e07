"""Merging of what is always equal: results stay, states and sequences go."""

from __future__ import annotations

import numpy as np
import pytest

import scancc as sc

X = np.random.default_rng(0).normal(size=50)


def both(f, *args):
    compiled, plain = f(*args), f(*args, mode="interpret")
    for a, b in zip(compiled, plain, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)
    return f.lower(*args).ir("merge_duplicates")


def test_twin_states_become_one():
    @sc.jit
    def f(x, z):
        return sc.scan(lambda x_t, z_t, a, b: (a * 0.5 + x_t, b * 0.5 + z_t), [x, x], [z, z])

    text = both(f, X, 0.0)
    assert text.count("carry ") == 1 and text.count("sequence ") == 1


def test_states_that_cross_are_one_too():
    @sc.jit
    def f(x, z):
        return sc.scan(lambda x_t, a, b: (b * 0.5 + x_t, a * 0.5 + x_t), x, [z, z])

    assert both(f, X, 1.0).count("carry ") == 1


def test_states_that_part_stay():
    @sc.jit
    def f(x, z):
        return sc.scan(lambda x_t, a, b: (a * 0.5 + x_t, b * 0.5 + x_t * x_t), x, [z, z])

    assert both(f, X, 1.0).count("carry ") == 2

    @sc.jit
    def g(x, y, z):
        return sc.scan(lambda x_t, a, b: (a * 0.5 + x_t, b * 0.5 + x_t), x, [y, z])

    assert both(g, X, 1.0, 2.0).count("carry ") == 2


def test_taps_of_one_array():
    @sc.jit
    def f(x):
        return sc.scan(lambda p, q, r, y: (y + p * q - r, p), [dict(input=x, taps=[-2, 0]), dict(input=x, taps=-1)],
                       [0.0, None])

    both(f, X)


def test_final_values_and_nested_loops():
    @sc.jit
    def f(x, z):
        def outer(x_t, s):
            a, b = sc.scan(lambda p, q: (p * 0.5 + x_t, q * 0.5 + x_t), outputs_info=[z, z], n_steps=3)
            return s + a[-1] - b.sum()

        return (sc.scan(outer, x, z),)

    text = both(f, X, 0.0)
    assert "carry p " in text and "carry q " not in text  # the sum over q is a carry of its own


def test_a_step_count_that_is_too_large_is_still_an_error():
    for mode in ("compiled", "interpret"):
        with pytest.raises(ValueError, match="steps need"):
            sc.scan(lambda p, q: p + q, [np.ones(5), dict(input=np.ones(5), taps=-2)], n_steps=4, mode=mode)
