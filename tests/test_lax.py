"""Loops in the style of jax.lax, against plain Python loops (and JAX itself where it is installed)."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import numpy as np
import pytest

import scancc as sc
from scancc.driver import COMPILED
from scancc.frontend.pytrees import flatten, unflatten

X = np.random.default_rng(0).normal(size=(7, 3))


class Pair(NamedTuple):
    a: Any
    b: Any


@dataclasses.dataclass
class State:
    position: Any
    speed: Any


@pytest.mark.parametrize(
    "tree",
    [
        None, 1.0, (), [], {}, {"b": 1.0, "a": (2.0, [3.0, None])}, Pair(1.0, {"x": Pair(2.0, None)}),
        State(1.0, (2.0,)), [State(1.0, None), {}],
    ],
)  # fmt: skip
def test_pytrees_round_trip(tree):
    leaves, structure = flatten(tree)
    assert unflatten(structure, leaves) == tree
    hash(structure)


def step(carry, x):
    h = np.tanh(carry["h"] * 0.5 + x)
    return {"h": h, "n": carry["n"] + 1}, Pair(h * 2, None)


def test_scan_of_containers():
    carry, ys = sc.lax.scan(step, {"h": np.zeros(3), "n": 0}, X)
    expected, n = {"h": np.zeros(3), "n": 0}, []
    for x in X:
        expected, y = step(expected, x)
        n.append(y.a)
    np.testing.assert_allclose(carry["h"], expected["h"], rtol=1e-14)
    assert carry["n"] == 7 and isinstance(ys, Pair) and ys.b is None
    np.testing.assert_allclose(ys.a, n, rtol=1e-14)


def test_the_length_compiles_nothing():
    sc.lax.scan(step, {"h": np.zeros(3), "n": 0}, X)
    before = len(COMPILED)
    sc.lax.scan(step, {"h": np.zeros(3), "n": 0}, X[:4])
    assert len(COMPILED) == before


@pytest.mark.parametrize("n", [0, 1, 5])
def test_reverse_and_length(n):
    carry, ys = sc.lax.scan(lambda c, x: (c + x, c), 0.0, np.arange(float(n)), reverse=True)
    c, want = 0.0, []
    for x in reversed(range(n)):
        want.append(c)
        c += x
    assert carry == c
    np.testing.assert_array_equal(ys, want[::-1])
    carry, ys = sc.lax.scan(lambda c, _: (c * 2, c), 1.0, None, length=n)
    assert carry == 2.0**n and ys.shape == (n,)


def test_dataclass_carry_inside_of_jit():
    @sc.jit
    def fall(x0, v0, dts):
        end, _ = sc.lax.scan(
            lambda s, dt: (State(s.position + s.speed * dt, s.speed - 9.81 * dt), None), State(x0, v0), dts
        )
        return end.position, end.speed

    x, v = 10.0, 0.0
    for dt in np.full(20, 0.05):
        x, v = x + v * dt, v - 9.81 * dt
    np.testing.assert_allclose(fall(10.0, 0.0, np.full(20, 0.05)), (x, v))
    assert "trace" not in fall.lower(10.0, 0.0, np.full(20, 0.05)).explain()


def test_while_and_fori():
    assert sc.lax.while_loop(lambda v: v < 100, lambda v: v * 2, 1) == 128
    assert sc.lax.while_loop(lambda v: v < 0, lambda v: v * 2, 1) == 1
    n, total = sc.lax.while_loop(lambda v: v[0] > 0, lambda v: (v[0] - 1, v[1] + v[0]), (5, np.zeros(2)))
    assert n == 0 and total.tolist() == [15, 15]
    assert sc.lax.fori_loop(2, 6, lambda i, v: v + i, 0) == 14
    assert sc.lax.fori_loop(6, 2, lambda i, v: v + i, 3) == 3


def collatz(n):
    return sc.lax.while_loop(
        lambda s: s[0] != 1, lambda s: (np.where(s[0] % 2 == 0, s[0] // 2, 3 * s[0] + 1), s[1] + 1), (n, 0)
    )[1]


def test_while_inside_of_map():
    steps = sc.lax.map(collatz, np.arange(1, 30))
    assert steps.tolist()[:10] == [0, 1, 7, 2, 5, 8, 16, 3, 19, 6]


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("reverse", [False, True])
def test_cumulative(axis, reverse):
    for mine, numpy in ((sc.lax.cumsum, np.add), (sc.lax.cumprod, np.multiply), (sc.lax.cummax, np.maximum),
                        (sc.lax.cummin, np.minimum), (sc.lax.cumlogsumexp, np.logaddexp)):  # fmt: skip
        want = numpy.accumulate(np.flip(X, axis) if reverse else X, axis=axis)
        np.testing.assert_allclose(mine(X, axis=axis, reverse=reverse), np.flip(want, axis) if reverse else want,
                                   rtol=1e-12)  # fmt: skip


def test_associative_scan_of_affine_maps():
    a, b = X[:, 0], X[:, 1]
    ca, cb = sc.associative_scan(lambda p, q: (p[0] * q[0], q[0] * p[1] + q[1]), (a, b))
    y, want = 0.0, []
    for i in range(len(a)):
        y = a[i] * y + b[i]
        want.append(y)
    np.testing.assert_allclose(cb, want)
    np.testing.assert_allclose(ca, np.cumprod(a))
    assert sc.associative_scan(np.add, np.zeros((0, 2))).shape == (0, 2)


def test_errors():
    with pytest.raises(TypeError, match=r"the carry is array, but the function returns \(array, array\)"):
        sc.lax.scan(lambda c, x: ((c, c), x), 0.0, np.ones(3))
    with pytest.raises(TypeError, match="returns a pair"):
        sc.lax.scan(lambda c, x: c, 0.0, np.ones(3))
    with pytest.raises(ValueError, match=r"carry 'carry_h' has shape \(3,\) but the step returns shape \(1,\)"):
        sc.lax.scan(lambda c, x: ({"h": c["h"][:1]}, x), {"h": np.ones(3)}, np.ones(3))
    with pytest.raises(TypeError, match="carry 'carry' is float64 but the step returns complex128|float"):
        sc.lax.scan(lambda c, x: ((c * 1.5).astype("f4"), x), np.int64(1), np.ones(3))
    with pytest.raises(ValueError, match="the lengths 3 and 4 of xs differ"):
        sc.lax.scan(lambda c, x: (c, x), 0.0, (np.ones(3), np.ones(4)))
    with pytest.raises(ValueError, match="a leaf of xs is a scalar"):
        sc.lax.map(lambda x: x, 1.0)
    with pytest.raises(ValueError, match="number of steps is unknown"):
        sc.lax.scan(lambda c, x: (c, x), 0.0)
    with pytest.raises(TypeError, match="the condition of while_loop has 1 axes"):
        sc.lax.while_loop(lambda v: v > 0, lambda v: v, np.ones(3))


def test_against_jax():
    jax = pytest.importorskip("jax")

    def f(np_):
        return lambda c, x: ({"h": np_.tanh(c["h"] + x), "s": c["s"] * 0.5 + x.sum()}, (c["h"].sum(), x))

    x = X.astype("f4")
    mine = sc.lax.scan(f(np), {"h": np.zeros(3, "f4"), "s": np.float32(0)}, x, reverse=True)
    theirs = jax.lax.scan(f(jax.numpy), {"h": np.zeros(3, "f4"), "s": np.float32(0)}, x, reverse=True)
    for a, b in zip(flatten(mine)[0], flatten(theirs)[0], strict=True):
        np.testing.assert_allclose(a, np.asarray(b), rtol=2e-5, atol=1e-6)


def test_cond_and_switch():
    branches = (lambda x: x, lambda x: x * 2 if x > 1 else x, lambda x: x + 10)
    f = sc.jit(lambda i, x: sc.lax.switch(i, branches, x))
    assert [float(f(i, 3.0)) for i in (-5, 0, 1, 2, 9)] == [3, 3, 6, 13, 13]
    assert sc.lax.switch(1, branches, 3.0) == 6 and sc.lax.switch(7, branches[:1], 3.0) == 3
    assert float(sc.jit(lambda x: sc.lax.cond(x > 1, lambda y: y, lambda y: -y, x))(0.5)) == -0.5
    np.testing.assert_array_equal(sc.scan(lambda i: sc.lax.switch(i, branches, 3.0), np.arange(3)), [3, 6, 13])
    for bad in ((1.5, branches), (np.arange(2), branches), (0, ())):
        with pytest.raises((TypeError, ValueError), match="switch"):
            sc.lax.switch(*bad, 3.0)
@pytest.mark.parametrize("dtype", ["int8", "uint16", "int32", "int64", "bool"])
def test_cumlogsumexp_of_integers_is_of_floats(dtype):
    x = np.array([1, 0, 3], dtype)
    found = sc.lax.cumlogsumexp(x)
    np.testing.assert_allclose(found, np.logaddexp.accumulate(x.astype("f8")), rtol=1e-2 if dtype == "int8" else 1e-3)
    assert found.dtype.kind == "f"


@pytest.mark.parametrize(
    "fn, elems, error",
    [
        (lambda a, b: a * 0.5 + b, np.arange(4), TypeError),
        (lambda a, b: (a + b).astype("f8"), np.ones(3, "f4"), TypeError),
        (lambda a, b: (a, b), np.ones(3), TypeError),
        (lambda a, b: a[0] + b[0], (np.ones(3), np.ones(3)), TypeError),
        (lambda a, b: (a + b).sum(), np.ones((3, 2)), ValueError),
        (lambda a, b: (a + b)[None], np.ones(3), ValueError),
        (lambda a, b: (a[0] + b[0], a[1] + b[1]), (np.ones(3), np.ones(4)), ValueError),
        (np.add, np.float64(1.0), ValueError),
        (np.add, (), ValueError),
    ],
)
def test_associative_scans_check_what_they_are_given(fn, elems, error):
    with pytest.raises(error):
        sc.lax.associative_scan(fn, elems)
    with pytest.raises(error):
        sc.jit(lambda x: sc.lax.associative_scan(fn, elems))(1.0)


def test_associative_scans_of_lengths_that_a_run_shows():
    f = sc.jit(lambda x, y: sc.lax.associative_scan(lambda a, b: (a[0] + b[0], a[1] * b[1]), (x, y)))
    np.testing.assert_allclose(f(np.ones(3), np.full(3, 2.0))[1], [2.0, 4.0, 8.0])
    for n, m in ((3, 4), (5, 3)):
        with pytest.raises(ValueError):
            f(np.ones(n), np.ones(m))
