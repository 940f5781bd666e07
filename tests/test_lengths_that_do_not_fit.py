"""Lengths that do not fit, on the first call and on later ones: what NumPy does with the same arrays."""

from __future__ import annotations

import numpy as np
import pytest

import scancc as sc
from scancc.errors import LengthError, ScanError, ShapeError

R = np.random.default_rng(0)
LENGTHS = ((6, 6), (3, 6), (6, 3), (1, 6), (6, 1), (0, 6), (5, 5))

PAIRS = {
    "add": lambda x, y: x + y, "maximum": np.maximum, "less": lambda x, y: x < y, "hypot": np.hypot,
    "where": lambda x, y: np.where(x > 0, x, y), "clip": lambda x, y: np.clip(x, y, y + 1),
    "select": lambda x, y: np.select([x > 0], [x], y), "matmul": lambda x, y: x @ y, "dot": np.dot, "inner": np.inner,
    "vdot": np.vdot, "tensordot": lambda x, y: np.tensordot(x, y, 1), "outer": np.outer,
    "einsum": lambda x, y: np.einsum("i,i->", x, y), "einsum rows": lambda x, y: np.einsum("i,i->i", x, y),
    "matrix": lambda x, y: (np.ones((2, 1)) * x[None]) @ y, "cumsum": lambda x, y: np.cumsum(x) @ y,
    "stack": lambda x, y: np.stack([x, y]), "vstack": lambda x, y: np.vstack([x, y]),
    "column_stack": lambda x, y: np.column_stack([x, y]), "rows": lambda x, y: np.concatenate([x[None], y[None]]),
    "reshape": lambda x, y: x.reshape(y.shape),
    "broadcast_to": lambda x, y: np.broadcast_to(x, y.shape), "flip": lambda x, y: np.flip(x) - y,
    "diff": lambda x, y: np.diff(x) * y[1:], "slices": lambda x, y: x[:4] * y[:4],
    "at_set": lambda x, y: sc.at_set(x, slice(None), y), "at_add": lambda x, y: sc.at_add(x, slice(0, 3), y),
    "trapezoid": lambda x, y: np.trapezoid(x, y),
}  # fmt: skip


def total(x):
    return sc.scan(lambda u, h: h + u, x, 0.0).sum()


OPEN = {"first": lambda f: lambda x, y: (total(x), f(x, y)), "second": lambda f: lambda x, y: (total(y), f(x, y)),
        "both": lambda f: lambda x, y: (total(x) + total(y), f(x, y))}  # fmt: skip


def outcome(f, *args):
    try:
        return f(*args)
    except ValueError as e:
        return e


@pytest.mark.parametrize("which", OPEN)
@pytest.mark.parametrize("name", PAIRS)
def test_two_vectors(name, which):
    """One program for all lengths of an open argument, and NumPy's answer for each pair."""
    made = sc.jit(OPEN[which](PAIRS[name]))
    for m, n in LENGTHS:
        x, y = R.normal(size=m), R.normal(size=n)
        want, have = outcome(PAIRS[name], x, y), outcome(made, x, y)
        if isinstance(want, Exception):
            assert isinstance(have, ShapeError), (m, n, have)
            assert "test_lengths_that_do_not_fit.py" in str(have)
        else:
            assert not isinstance(have, Exception), (m, n, have)
            assert np.shape(have[1]) == np.shape(want)
            np.testing.assert_allclose(have[1], want, rtol=1e-12)


def test_an_error_of_a_later_call_names_the_line():
    f = sc.jit(lambda x, w: total(x) + x @ w)
    f(np.ones(6), np.ones(6))
    for _ in range(40):  # by every way that a call takes
        f(np.ones(6), np.ones(6))
    with pytest.raises(ShapeError, match=r"\(3,\) @ \(6,\)(.|\n)*x @ w"):
        f(np.ones(3), np.ones(6))
    assert f(np.ones(6), np.ones(6)) == 27


NARROW = ("uint8", "int8", "uint16", "int32", "uint32", "int64", "uint64")


@pytest.mark.parametrize("dtype", NARROW)
def test_steps_of_a_narrow_type(dtype):
    """As many rows are there as the kernel writes."""
    f = sc.jit(lambda n: sc.scan(lambda y: y + 1.0, None, 0.0, n_steps=n.astype(dtype)))
    for n in (3, -1, 0, 127, 128, 260, 3 - 2**40):
        with np.errstate(all="ignore"):
            steps = int(np.int64(n).astype(dtype))
        if steps < 0:
            with pytest.raises(ValueError):
                f(np.int64(n))
        elif steps < 2**20:
            np.testing.assert_array_equal(f(np.int64(n)), np.arange(1.0, steps + 1))


@pytest.mark.parametrize(
    "count",
    [lambda n: n + 2**62 + 2**62, lambda n: n * (2**62 + 1), lambda n: 12 // n, lambda n: 13 % n,
     lambda n: (n * 0.3 + 0.7).astype("int64"), lambda n: (n / 3).astype("int64"), lambda n: np.minimum(n * 2**62, 3),
     lambda n: (n.astype("uint64") + np.uint64(2)).astype("int64"), lambda n: np.where(n > 2, n - 1, 7),
     lambda n: np.maximum(-n, n - 2**62)],
)  # fmt: skip
def test_computed_steps(count):
    f = sc.jit(lambda n: sc.scan(lambda y: y + 1.0, None, 0.0, n_steps=count(n)))
    for n in (3, 4, 0, 1, 20, -2):
        with np.errstate(all="ignore"):
            steps = int(count(np.array([n]))[0])
        have = outcome(f, np.int64(n))
        if steps < 0:
            assert isinstance(have, ScanError), (n, have)
        elif steps < 10**4:
            np.testing.assert_array_equal(have, np.arange(1.0, steps + 1))


@pytest.mark.parametrize("dtype", ["int64", "uint64"])
def test_bounds_of_slices(dtype):
    f = sc.jit(lambda v, a, b: (total(v), v[a:b]))
    v = np.arange(10.0)
    for a, b in ((2, 5), (0, 2**64 - 1), (2**63, 2**63 + 5), (5, 2), (-3, 20), (2**62, -(2**62))):
        if np.iinfo(dtype).min <= min(a, b) and max(a, b) <= np.iinfo(dtype).max:
            bounds = (np.array(a, dtype)[()], np.array(b, dtype)[()])
            np.testing.assert_array_equal(f(v, *bounds)[1], v[a:b])


def test_an_index_beyond_int64():
    f = sc.jit(lambda v, i: sc.take(v, i))
    assert f(np.arange(3.0), np.uint64(2)) == 2
    with pytest.raises(IndexError):
        f(np.arange(3.0), np.uint64(2**64 - 1))


def test_traced_slices_that_do_not_fit():
    f = sc.jit(lambda x, y, a: x @ y[:a])
    assert f(np.ones(6), np.ones(8), 6) == 6
    with pytest.raises(LengthError):
        f(np.ones(6), np.ones(8), 3)
    g = sc.jit(lambda x, y, a: x[:a] + y)
    with pytest.raises(ValueError):
        g(np.ones(9), np.ones(9), 4)


def test_rows_of_an_initial_value():
    """More than the deepest tap reaches back are allowed, fewer are not."""
    def f(x, start):
        y = sc.scan(lambda u, y1, y3: u + y1 + y3, x, [dict(initial=start, taps=[-1, -3])])
        return y, total(start)

    made = sc.jit(f)
    for rows in (3, 5):
        np.testing.assert_array_equal(made(np.ones(3), np.ones(rows))[0], [3, 5, 7])
    for rows in (2, 0):
        with pytest.raises(ValueError, match=f"{rows} row"):
            made(np.ones(3), np.ones(rows))


def test_cotangents_have_the_shape_of_the_value():
    for x in (np.ones(6), np.ones(4)):
        value, pull = sc.vjp(lambda x: sc.scan(lambda u, h: h + u, x, 0.0), x)
        np.testing.assert_array_equal(pull(np.ones(len(x)))[0], np.arange(len(x), 0.0, -1))
        for wrong in (900, 5, 1):
            with pytest.raises(ShapeError):
                pull(np.ones(wrong))


def test_derivatives_that_a_rule_returns():
    @sc.custom_vjp
    def energy(x):
        return (x * x).sum()

    energy.defvjp(lambda x: ((x * x).sum(), x), lambda x, d: (np.concatenate([2 * x * d, x]),))
    with pytest.raises(ShapeError):
        sc.grad(lambda x: energy(x) + 0 * total(x))(np.ones(3))


def test_batches_of_other_lengths():
    f = sc.jit(lambda x, y: sc.vmap(lambda a, b: a + b)(x, y) + sc.scan(lambda u, h: h + u.sum(), x, 0.0)[-1])
    for m, n in ((3, 3), (4, 4), (4, 3), (3, 4), (2, 2)):
        have = outcome(f, np.ones((m, 2)), np.ones((n, 2)))
        assert isinstance(have, ShapeError) if m != n else have.shape == (m, 2)


@pytest.mark.parametrize("made", [sc.jit, sc.scan_compile])
def test_captured_arrays_that_change_their_shape(made):
    w = np.arange(6.0)
    if made is sc.jit:
        f = sc.jit(lambda x: x + sc.take(w, 1).sum())
        call = lambda: f(np.zeros(2))[0]  # noqa: E731
    else:
        step = sc.scan_compile(lambda u: u + sc.take(w, 1, axis=0).sum())
        call = lambda: step(np.zeros(2))[0]  # noqa: E731
    for _ in range(40):
        assert call() == 1
    w.shape = (3, 2)
    assert call() == (w.ravel()[1] if made is sc.jit else 5)
    w.resize((2,), refcheck=False)
    assert call() == 1


def test_a_captured_array_that_shrinks():
    w = np.ones(1000)
    f = sc.jit(lambda x: x + w)
    for _ in range(40):
        f(np.ones(1000))
    w.resize((3,), refcheck=False)
    with pytest.raises(ShapeError):
        f(np.ones(1000))
    np.testing.assert_array_equal(f(np.ones(3)), [2, 2, 2])


@pytest.mark.parametrize("part", [lambda x: x[2], lambda x: x[2:5], lambda x: x[-1], lambda x: x[3:4, 2:40]])
@pytest.mark.parametrize("shape", [(40, 60), (2400,), (30, 2, 40)])
def test_parts_of_a_reshaped_array_lie_where_they_are(part, shape):
    x = R.normal(size=shape)
    w = R.normal(size=part(x.reshape(60, 40)).shape[-1])
    have = sc.jit(lambda x, w: part(x.reshape(60, 40)) @ w)(x, w)
    np.testing.assert_allclose(have, part(x.reshape(60, 40)) @ w, rtol=1e-12)
