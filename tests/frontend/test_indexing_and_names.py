"""Slices of fixed length at traced places, updates, comparisons of uint64, and names that the IR keeps for itself."""

from __future__ import annotations

import numba
import numpy as np
import pytest
import scipy.special

import scancc as sc

X = np.arange(12.0).reshape(4, 3)


@pytest.mark.parametrize("mode", ["interpret", "compiled"])
def test_slices_of_fixed_length(mode):
    x, i = np.arange(8.0), np.array([0, 2, 5, -4])
    have = sc.scan(lambda i, x: (x[i : i + 3], x[i + 1 : i + 3], x[2 * i + 1 - i : i + 3 : 2]), i, non_sequences=x,
                   mode=mode)  # fmt: skip
    for got, want in zip(have, ([x[k : k + 3] for k in i], [x[k + 1 : k + 3] for k in i],
                                [x[k + 1 : k + 3 : 2] for k in i]), strict=True):  # fmt: skip
        np.testing.assert_array_equal(got, want)
    have = sc.scan(lambda i, x: x[1:, i : i + 2], np.array([0, 1]), non_sequences=X, mode=mode)
    np.testing.assert_array_equal(have, [X[1:, :2], X[1:, 1:3]])


@pytest.mark.parametrize("at", [6, -9, -2])
def test_slices_that_the_array_does_not_have(at):
    """NumPy gives fewer rows, which a step cannot."""
    x = np.arange(8.0)
    with pytest.raises(IndexError, match="out of bounds(.|\n)*test_indexing_and_names"):
        sc.scan(lambda i, x: x[i : i + 3], np.array([at]), non_sequences=x)


def test_slices_of_changing_length_are_refused():
    x = np.arange(8.0)
    for step in (lambda i, x: x[i:], lambda i, x: x[i : 2 * i], lambda i, x: x[i : i + 3 : -1]):
        with pytest.raises(NotImplementedError, match="slice"):
            sc.scan(step, np.array([1]), non_sequences=x)


@pytest.mark.parametrize("mode", ["interpret", "compiled"])
def test_ways_of_updating(mode):
    x, i = X + 1, np.array([2, 0])

    def step(i):
        at = sc.take(x, 0, axis=0).at[i]  # an array of three, traced or not
        y = at.x
        return (
            at.divide(2.0), at.power(3.0), at.subtract(1.0), at.mul(5.0), at.apply(np.sqrt),
            y.at[i + 2].set(9.0, mode="drop"), y.at[i + 2].set(9.0, mode="clip"), y.at[i + 2].get(mode="clip"),
            y.at[i + 2].get(mode="fill", fill_value=-1.0),
            y.at[i].set(1.0, indices_are_sorted=True, unique_indices=True),
        )  # fmt: skip

    have = sc.scan(step, i, mode=mode)
    for r, k in enumerate(i):
        y = x[0].copy()

        def changed(value, k=k, y=y):
            out = y.copy()
            out[k] = value
            return out

        dropped, clipped = y.copy(), y.copy()
        dropped[k + 2 :][:1] = 9.0
        clipped[min(k + 2, 2)] = 9.0
        want = [changed(y[k] / 2), changed(y[k] ** 3), changed(y[k] - 1), changed(y[k] * 5), changed(np.sqrt(y[k])),
                dropped, clipped, y[min(k + 2, 2)], y[k + 2] if k + 2 < 3 else -1.0, changed(1.0)]  # fmt: skip
        for got, expected in zip(have, want, strict=True):
            np.testing.assert_allclose(got[r], expected)


def test_ways_of_updating_that_are_refused():
    with pytest.raises(ValueError, match='"clip", "drop", "fill"'):
        sc.jit(lambda x: x.at[0].set(1.0, mode="other"))(X)
    with pytest.raises(TypeError, match="cannot take quotients"):
        sc.jit(lambda x: x.at[0].divide(2))(np.arange(3))
    with pytest.raises(ValueError, match="cannot be broadcast"):
        sc.jit(lambda x: x.at[:2].set(np.ones(2)))(X)


UPDATES = {
    "rows": lambda y: y.at[1:].set(0.0), "columns": lambda y: y.at[:, 0].set(0.0), "all": lambda y: y.at[:].set(7.0),
    "backwards": lambda y: y.at[::-1].add(y), "ellipsis": lambda y: y.at[..., 1].multiply(2.0),
    "row": lambda y: y.at[1:, :].set(np.arange(3.0)), "last": lambda y: y.at[-1].set(5.0),
}  # fmt: skip


@pytest.mark.parametrize("name", UPDATES)
def test_updates_of_arrays_of_any_length(name):
    f = sc.jit(lambda x: UPDATES[name](sc.scan(lambda u: u * 2.0, x)))
    for rows in (5, 2, 1):
        x = np.random.default_rng(rows).normal(size=(rows, 3))
        np.testing.assert_allclose(f(x), f(x, mode="interpret"))
        np.testing.assert_allclose(f(x), sc.jit(UPDATES[name])(x * 2.0, mode="interpret"))


COMPARISONS = [np.less, np.less_equal, np.greater, np.greater_equal, np.equal, np.not_equal]


@pytest.mark.parametrize("mode", ["interpret", "compiled"])
@pytest.mark.parametrize("signed", ["i1", "i2", "i4", "i8"])
def test_uint64_is_compared_by_value(signed, mode):
    a = np.array([-1, 0, 5, -128, 127], signed)[:, None]
    b = np.array([0, 5, 2**63 - 1, 2**63, 2**64 - 1], np.uint64)
    have = sc.jit(lambda a, b: [f(*p) for f in COMPARISONS for p in ((a, b), (b, a), (a[0, 0], b), (b[3], a))])(
        a, b, mode=mode
    )
    want = [f(*p) for f in COMPARISONS for p in ((a, b), (b, a), (a[0, 0], b), (b[3], a))]
    for got, expected in zip(have, want, strict=True):
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("name", ["until", "every", "kernel_f", "empty_2", "stride", "np", "result0_out"])
def test_any_name_will_do(name):
    scope = {"sc": sc}
    exec(
        f"def sequence({name}, h): return h * 0.5 + {name}\n"
        f"def tap(u, {name}): return u + 0.5 * {name}\n"
        f"def constant(u, h, {name}): return h * 0.5 + u * {name}\n"
        f"def function({name}): return sc.scan(tap, {name}, 0.0)\n",
        scope,
    )
    x = np.arange(5.0)
    want = sc.scan(lambda u, h: h * 0.5 + u, x, 0.0)
    np.testing.assert_allclose(sc.scan(scope["sequence"], x, 0.0), want)
    np.testing.assert_allclose(sc.scan(scope["tap"], x, 0.0), want)
    np.testing.assert_allclose(sc.scan(scope["constant"], x, 0.0, non_sequences=[1.0]), want)
    np.testing.assert_allclose(sc.jit(scope["function"])(x), want)
    np.testing.assert_allclose(sc.scan(lambda u: {name: u, "other": -u}, x)[name], x)
    slope = sc.grad(lambda c: sc.scan(scope["constant"], x, 0.0, non_sequences=[c], checkpoint=2)[-1])
    np.testing.assert_allclose(slope(1.0), want[-1])


def test_states_that_are_one_value():
    have = sc.scan(lambda u, h: h.at[0].set(h[0]) + u, np.ones(3), np.zeros(2))
    np.testing.assert_array_equal(have, [[1, 1], [2, 2], [3, 3]])


EDGES = np.array([-3.5, -3, -0.5, 0, 0.1, 0.5, 0.9, 1, 2.5, 30, 170.5, -13, -40, 1e-10, np.inf, -np.inf, np.nan])


@pytest.mark.parametrize("mode", ["interpret", "compiled"])
def test_functions_of_scipy(mode):
    names = "gamma gammasgn psi ndtr ndtri erfinv erfcinv log_ndtr log_expit logit entr".split()
    functions = [getattr(scipy.special, n) for n in names]
    for x, rtol in ((EDGES, 1e-12), (EDGES.astype("f4"), 3e-5)):
        have = sc.jit(lambda x: [f(x) for f in functions])(x, mode=mode)
        for name, f, got in zip(names, functions, have, strict=True):
            with np.errstate(all="ignore"):
                want = f(x)
            assert got.dtype == want.dtype
            np.testing.assert_allclose(got, want, rtol=rtol, atol=1e-30, err_msg=name)
    a, b = (v.ravel() for v in np.meshgrid([-1.0, 0, 0.5, 1, 3, np.nan, np.inf], [-1.0, 0, 0.5, 2, np.nan, np.inf]))
    for f in (scipy.special.xlogy, scipy.special.xlog1py, scipy.special.rel_entr, scipy.special.kl_div):
        np.testing.assert_allclose(sc.jit(lambda a, b, f=f: f(a, b))(a, b, mode=mode), f(a, b), rtol=1e-12)
    a, b = np.array([0.5, 1.0, 3.0, 20.0]), np.array([2.0, 0.1, 3.0, 7.5])
    for f in (scipy.special.beta, scipy.special.betaln):
        np.testing.assert_allclose(sc.jit(lambda a, b, f=f: f(a, b))(a, b, mode=mode), f(a, b), rtol=1e-12)


def test_functions_of_others_are_refused_at_the_line():
    here = "(.|\n)*test_indexing_and_names"
    with pytest.raises(NotImplementedError, match="neither NumPy's nor of scipy.special" + here):
        sc.jit(np.frompyfunc(abs, 1, 1))(X)
    with pytest.raises(TypeError, match=f"NumPy array{here}(.|\n)*use sc.softmax"):
        sc.jit(lambda x: scipy.special.softmax(x))(X)
    with pytest.raises(TypeError, match="dtype object(.|\n)*astype"):
        sc.scan(lambda u, h: h + u, np.array([1, 2], object), 0)


def test_functions_of_numba_are_refused_at_the_line():
    one = numba.njit(lambda x: x + 1)
    with pytest.raises(NotImplementedError, match="njit(.|\n)*test_indexing_and_names(.|\n)*py_func"):
        sc.jit(lambda x: one(x))(X)

    @numba.vectorize(["f8(f8)"])
    def exp(x):
        return x + 1

    with pytest.raises(NotImplementedError, match="the ufunc 'exp' is neither"):
        sc.jit(lambda x: exp(x))(X)
