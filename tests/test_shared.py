"""Shared variables in `sc.scan` and `sc.jit`: updates are carries, written back after the run."""

from __future__ import annotations

import pickle
import threading

import numpy as np
import pytest

import scancc as sc

MODES = ("compiled", "interpret")


@pytest.mark.parametrize("mode", MODES)
def test_counts(mode):
    x = sc.shared(1)
    assert sc.scan(lambda: {x: x + 1}, n_steps=10, mode=mode) is None
    assert sc.scan(lambda: {x: x + 1}, n_steps=1, return_list=True, mode=mode) == []
    assert x.get_value() == 12


@pytest.mark.parametrize("mode", MODES)
def test_two_variables_and_an_output(mode):
    x, y = sc.shared(1.0, "x"), sc.shared(1.0, "y")
    out = sc.scan(lambda v, h: (h + v * x, [(x, x + 1), (y, x)]), np.ones(4), 0.0, mode=mode)
    np.testing.assert_array_equal(out, [1, 3, 6, 10])
    assert (x.get_value(), y.get_value()) == (5, 4)


@pytest.mark.parametrize("mode", MODES)
def test_until_and_zero_steps(mode):
    s = sc.shared(0)
    out = sc.scan(lambda: (s + 1, {s: s + 1}, sc.until(s + 1 >= 4)), n_steps=100, mode=mode)
    np.testing.assert_array_equal(out, [1, 2, 3, 4])
    sc.scan(lambda: {s: s + 1}, n_steps=0, mode=mode)
    assert s.get_value() == 4


@pytest.mark.parametrize("mode", MODES)
def test_nested_updates_reach_the_outer_loop(mode):
    s = sc.shared(0)
    out = sc.scan(lambda v: (v + 0 * sc.scan(lambda: (v, {s: s + 1}), n_steps=3)[0]), np.ones(4), mode=mode)
    np.testing.assert_array_equal(out, np.ones(4))
    assert s.get_value() == 12


@pytest.mark.parametrize("mode", MODES)
def test_jit_reads_what_it_wrote(mode):
    s = sc.shared(0)

    @sc.jit
    def f(xs):
        rows = sc.scan(lambda v: (v, {s: s + 1}), xs)
        return rows.sum(), s * 10

    total, ten = f(np.ones(5), mode=mode)
    assert (total, ten, s.get_value()) == (5, 50, 5)


def test_a_new_shape_compiles_anew():
    w = sc.shared(np.ones((2, 2)))
    f = sc.scan_compile(lambda v: (w @ np.ones(2)).sum() * v)
    np.testing.assert_array_equal(f(np.ones(3)), [4, 4, 4])
    w.set_value(np.ones((3, 2)))
    np.testing.assert_array_equal(f(np.ones(3)), [6, 6, 6])


def test_values_are_copies():
    array = np.zeros(3)
    s, borrowed = sc.shared(array), sc.shared(array, borrow=True)
    array[0] = 1
    assert s.get_value()[0] == 0 and borrowed.get_value()[0] == 1
    got = s.get_value()
    got[1] = 5
    assert s.get_value()[1] == 0
    sc.scan(lambda: {s: s + 1}, n_steps=2)
    before = s.get_value(borrow=True)
    sc.scan(lambda: {s: s + 1}, n_steps=1)
    np.testing.assert_array_equal(before, [2, 2, 2])  # updates replace, they never change an array


def test_errors():
    s = sc.shared(np.zeros(3, "f4"), "s")
    with pytest.raises(TypeError, match="keeps its dtype"):
        sc.scan(lambda: {s: s + np.zeros(3)}, n_steps=1)
    with pytest.raises(ValueError, match="keeps its shape"):
        sc.scan(lambda: {s: s[:2]}, n_steps=1)
    with pytest.raises(ValueError, match="updates a shared variable twice"):
        sc.scan(lambda: [(s, s), (s, s)], n_steps=1)
    with pytest.raises(ValueError, match="strict=True"):
        sc.scan(lambda v: v + s[0], np.ones(2), strict=True)
    with pytest.raises(TypeError, match="axes"):
        s.set_value(1.0)
    with pytest.raises(TypeError, match="the new value float64"):
        s.set_value(np.zeros(3))
    with pytest.raises(NotImplementedError, match="a branch of sc.cond updates"):
        sc.scan(lambda v: sc.cond(v > 0, lambda: sc.scan(lambda: (v, {s: s + 1}), n_steps=1)[0], lambda: v), np.ones(2))


def test_pickle():
    s = pickle.loads(pickle.dumps(sc.shared(np.arange(3), "s")))
    assert s.name == "s" and s.get_value().tolist() == [0, 1, 2]


def test_eight_threads_lose_no_update():
    s = sc.shared(0)
    step = sc.scan_compile(lambda: {s: s + 1})
    threads = [threading.Thread(target=lambda: [step(n_steps=3) for _ in range(40)]) for _ in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert s.get_value() == 8 * 40 * 3
