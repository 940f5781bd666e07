"""Products beside loops, as launches of their own."""

import numpy as np
import pytest

import scancc as sc
from scancc.backends.cuda.toolkit import TRAFFIC

R = np.random.default_rng(0)


def stages(f, *args):
    return [s.strategy for s in f.lower(*args).compilation.stages]


def rnn(x, h, w, u):
    return sc.scan(lambda x, h, w, u: np.tanh(x @ u + h @ w), x, h, [w, u])


def before(x, h, w, u):
    return sc.scan(lambda z, h, w: np.tanh(z + h @ w), x @ u, h, [w])


def flipped(x, h, w, u):
    return before(x, h, w, u.T)


@pytest.mark.parametrize(
    ("f", "batch", "dtype"),
    [(rnn, 3, "float32"), (before, 3, "float64"), (flipped, 3, "float32"), (rnn, None, "float64"),
     (before, None, "float32")],
)  # fmt: skip
def test_a_projection_of_a_sequence(f, batch, dtype):
    """Written before the loop or in its step, of rows and of matrices, it is one launch before it."""
    steps, terms, columns = (70, 33, 37) if batch is None else (30, 33, 37)
    rows = () if batch is None else (batch,)
    x, h = R.normal(size=(steps, *rows, terms)).astype(dtype), R.normal(size=(*rows, columns)).astype(dtype)
    w = (R.normal(size=(columns, columns)) / 9).astype(dtype)
    u = (R.normal(size=(columns, terms) if f is flipped else (terms, columns)) / 6).astype(dtype)
    g = sc.jit(f, target="cuda")
    assert stages(g, x, h, w, u) == ["product", "block"]
    launches = TRAFFIC["launch"]
    have = g(x, h, w, u)
    assert TRAFFIC["launch"] == launches + 2
    np.testing.assert_allclose(have, g(x, h, w, u, mode="interpret"),
                               rtol=1e-5 if dtype == "float32" else 1e-11, atol=1e-6)  # fmt: skip


@pytest.mark.parametrize("rows", [0, 1, 16, 67])
def test_any_number_of_rows(rows):
    """Also those that do not fill a tile, and none."""
    x, u = R.normal(size=(rows, 34)), R.normal(size=(34, 32))
    g = sc.jit(lambda x, u: x @ u, target="cuda")
    assert g.lower(np.ones((100, 34)), u).compilation.strategy == "product"
    np.testing.assert_allclose(g(x, u), x @ u, rtol=1e-12, atol=1e-12)


def test_of_what_a_loop_made():
    """Its operand is computed by the stage before; the product's result goes on to the next one."""
    x, u = R.normal(size=(40, 2, 32)), R.normal(size=(32, 33))

    def f(x, u):
        ys = sc.scan(lambda x, y: 0.5 * y + x, x, np.zeros((2, 32)))
        return sc.scan(lambda z, s: s * 0.5 + z, np.tanh(ys @ u), np.zeros((2, 33)))[-1]

    g = sc.jit(f, target="cuda")
    assert "product" in stages(g, x, u)
    np.testing.assert_allclose(g(x, u), g(x, u, mode="interpret"), rtol=1e-10)


def test_nans_stay_in_their_rows():
    x, u = R.normal(size=(70, 40)), R.normal(size=(40, 32))
    x[3, 5], x[8, 0], u[2, 7] = np.nan, np.inf, -np.inf
    g = sc.jit(lambda x, u: x @ u, target="cuda")
    with np.errstate(all="ignore"):
        np.testing.assert_allclose(g(x, u), x @ u, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("how", [{"strict_fp": True}, {"optimize": False}, {"strategy": "block"}])
def test_where_nobody_asked_for_it(how):
    x, h, w, u = R.normal(size=(5, 33)), R.normal(size=36), R.normal(size=(36, 36)) / 9, R.normal(size=(33, 36))
    g = sc.jit(before, target="cuda", **how)
    assert "product" not in stages(g, x, h, w, u)
    np.testing.assert_allclose(g(x, h, w, u), sc.jit(before)(x, h, w, u), rtol=1e-9)


def test_small_or_other_products_stay_where_they_are():
    for shape, dtype in (((70, 31), "f8"), ((3, 40), "f8"), ((70, 40), "i8")):
        x, u = np.ones(shape, dtype), np.ones((shape[1], 40), dtype)
        g = sc.jit(lambda x, u: x @ u, target="cuda")
        program = g.lower(x, u)
        assert program.compilation.strategy != "product", program.ir()
        np.testing.assert_array_equal(g(x, u), x @ u)
