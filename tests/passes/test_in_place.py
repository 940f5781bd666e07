"""Arrays that a step changes in few places are not copied; whatever is read of them is what was there before."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import scancc as sc

R = np.random.default_rng(0)
N = 40


def last(step, *more):
    def f(x):
        found = sc.scan(step, x, [np.arange(float(N)), *more])
        return found[-1] if not isinstance(found, tuple) else (found[0][-1], *found[1:])

    return sc.jit(f)


def tupled(x):
    return x if isinstance(x, tuple) else (x,)


def swap(i, h):
    a, b = h[i], h[(i + 1) % N]
    return h.at[i].set(b).at[(i + 1) % N].set(a)


def reads_after_the_first_put(i, h):
    h = h.at[i].set(-1.0)
    return h.at[(i + 3) % N].set(h[i] + h[(i + 3) % N])


def sums(i, h, s):
    return h.at[i].add(h[(i * 7) % N] * 0.1), s + h[3]


def rows(i, h):
    return h.at[np.stack([i, (i + 5) % N])].set(np.stack([h[(i + 5) % N], h[i]]))


IN_PLACE = {"swap": (swap,), "after": (reads_after_the_first_put,), "sums": (sums, 0.0), "rows": (rows,)}


@pytest.mark.parametrize("name", IN_PLACE)
def test_updates_in_place(name):
    f = last(*IN_PLACE[name])
    x = R.integers(0, N, size=200)
    assert "h_table" in f.lower(x).source()
    assert "taps in table" in f.lower(x).explain()
    have, want = f(x), f(x, mode="interpret")
    for a, b in zip(tupled(have), tupled(want), strict=True):
        assert np.allclose(a, b, rtol=1e-13)


def reads_the_old_after(i, h, s):
    return h.at[i].set(0.0), s + h[i]


def reads_all(i, h):
    return h.at[i].set(h.sum())


def kept_whole(i, h, g):
    return h.at[i].add(1.0), h


def two_versions(i, h):
    return h.at[i].add(1.0) + h.at[0].add(1.0)


@pytest.mark.parametrize(
    ("step", "more"), [(reads_all, ()), (kept_whole, (np.zeros(N),)), (two_versions, ())]
)
def test_copies_where_the_old_array_is_needed(step, more):
    f = last(step, *more)
    x = R.integers(0, N, size=50)
    assert "h_table" not in f.lower(x).source()
    have, want = f(x), f(x, mode="interpret")
    for a, b in zip(tupled(have), tupled(want), strict=True):
        assert np.allclose(a, b, rtol=1e-13)


def test_an_old_element_that_another_result_reads():
    f = last(reads_the_old_after, 0.0)
    x = R.integers(0, N, size=50)
    for a, b in zip(f(x), f(x, mode="interpret"), strict=True):
        assert np.allclose(a, b, rtol=1e-13)


def test_the_initial_array_is_not_touched():
    start = np.zeros(100)
    ys = sc.scan(lambda i, h: h.at[i].add(1.0), np.array([1, 1, 2]), start)
    assert not start.any()
    assert np.array_equal(ys[-1][:4], [0, 2, 1, 0])
    assert np.array_equal(ys[0][:4], [0, 1, 0, 0])


def test_indices_that_do_not_exist():
    f = last(lambda i, h: h.at[i].add(1.0))
    with pytest.raises(IndexError):
        f(np.array([0, N]))


PUTS = st.lists(
    st.tuples(*[st.integers(0, 9)] * 3, st.sampled_from(["set", "add", "multiply", "max"])),
    min_size=1, max_size=4,
)  # fmt: skip


@settings(max_examples=12, deadline=None)
@given(PUTS, st.booleans())
def test_random_chains(puts, early):
    """Each put writes to one place what it reads at two, of the newest array or of the first."""
    def step(i, h, s):
        first = h
        for to, a, b, how in puts:
            source = first if early else h
            h = getattr(h.at[(i + to) % N], how)(source[(i + a) % N] * 0.5 + source[(i * 3 + b) % N] * 0.25)
        return h, s + h[i]

    f = last(step, 0.0)
    x = R.integers(0, N, size=30)
    for a, b in zip(f(x), f(x, mode="interpret"), strict=True):
        assert np.allclose(a, b, rtol=1e-12)
