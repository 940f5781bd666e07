"""Axes of a reshape that stay have the subscripts that they had; others go through flat positions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import scancc as sc
from scancc.ir.types import Dim
from scancc.passes.lower.views import together

N = Dim("n")
GROUPS = [
    ((N, 32, 128), (Dim("m"), 128), [((2, 3), (1, 2)), ((0, 2), (0, 1))]),
    ((2, 3, 4), (6, 4), [((2, 3), (1, 2)), ((0, 2), (0, 1))]),
    ((4, 6, 5), (3, 8, 5), [((2, 3), (2, 3)), ((0, 2), (0, 2))]),
    ((N, 1, 5), (1, N, 5), [((2, 3), (2, 3)), ((0, 1), (1, 2))]),
    ((1, 5), (5,), [((1, 2), (0, 1))]),
    ((1,), (), []),
    ((0, 3), (3, 0), [((0, 2), (0, 2))]),
]


@pytest.mark.parametrize(("old", "new", "expected"), GROUPS)
def test_groups(old, new, expected):
    assert together(old, new) == [(range(*a), range(*b)) for a, b in expected]


@st.composite
def shapes(draw):
    """Two shapes of as many elements."""
    factors = draw(st.lists(st.integers(1, 4), min_size=1, max_size=5))
    made = []
    for _ in range(2):
        order = draw(st.permutations(factors))
        cuts = sorted(draw(st.sets(st.integers(1, len(order)), max_size=len(order))))
        parts = [order[a:b] for a, b in zip([0, *cuts], [*cuts, len(order)], strict=True)]
        made.append(tuple(math.prod(p) for p in parts))
    return made


@settings(max_examples=200, deadline=None)
@given(shapes())
def test_groups_keep_the_elements(given_shapes):
    """Subscripts that are made group by group are those that NumPy finds."""
    old, new = given_shapes
    places = np.arange(math.prod(old)).reshape(old)
    for index in np.ndindex(new):
        own = [0] * len(old)
        for a, b in together(old, new):
            flat = int(np.ravel_multi_index([index[i] for i in b], [new[i] for i in b])) if b else 0
            own[a.start : a.stop] = np.unravel_index(flat, [old[i] for i in a]) if a else ()
        assert places[tuple(own)] == places.reshape(new)[index]


@settings(max_examples=10, deadline=None)
@given(shapes())
def test_reshapes_in_programs(given_shapes):
    old, new = given_shapes
    x = np.random.default_rng(0).normal(size=(3, *old))
    f = sc.jit(lambda x, h: sc.scan(lambda x, h, s: np.sin(x.reshape(s.shape)) + h, x, h, np.zeros(new)))
    h = np.ones(new)
    np.testing.assert_allclose(f(x, h), f(x, h, mode="interpret"), rtol=1e-13, atol=1e-15)


def test_a_batch_of_a_network_is_read_row_by_row():
    """Rows of a product before the loop, which was made of all steps and sequences at once."""
    def run(x, h, u, w):
        return sc.scan(lambda x, h, u, w: np.tanh(x @ u + h @ w), x, h, [u, w])

    r = np.random.default_rng(1)
    given = [r.normal(size=s).astype("f4") for s in ((5, 8, 64), (8, 64), (64, 64), (64, 64))]
    f = sc.jit(run)
    text = f.lower(*given).loop_ir()
    assert "remainder" not in text and "floor_divide" not in text
    np.testing.assert_allclose(f(*given), f(*given, mode="interpret"), rtol=2e-4, atol=1e-5)
