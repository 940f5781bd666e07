"""NumPy functions in a step give what they give outside: values, shapes and dtypes, interpreted and compiled."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.special

import scancc as sc

R = np.random.default_rng(3)
X = R.normal(size=(3, 4, 5))
M = R.normal(size=(3, 3, 3))
V = R.normal(size=(3, 6))
K = R.integers(-4, 4, (3, 4))

REDUCTIONS = {
    f"{f.__name__}({axis}, keepdims={keep})": (lambda x, f=f, axis=axis, keep=keep: f(x, axis=axis, keepdims=keep))
    for f in (np.sum, np.prod, np.mean, np.var, np.std, np.min, np.max, np.any, np.all, np.ptp, np.nansum, np.nanmax)
    for axis, keep in ((None, False), (0, True), (-1, False), ((0, 1), False))
}
ON_MATRIX = {
    "argmin": lambda x: np.argmin(x),
    "argmax axis": lambda x: np.argmax(x, axis=1),
    "method": lambda x: x.argmax(0),
    "argmax keepdims": lambda x: np.argmax(x, axis=1, keepdims=True),
    "cumsum": lambda x: np.cumsum(x),
    "cumsum axis": lambda x: x.cumsum(1),
    "cumprod": lambda x: np.cumprod(x, 0),
    "average": lambda x: np.average(x, axis=0, weights=np.arange(1.0, 5)),
    "count_nonzero": lambda x: np.count_nonzero(x > 0, axis=0),
    "nanmean": lambda x: np.nanmean(np.where(x > 1, np.nan, x)),
    "nanmin": lambda x: np.nanmin(np.where(x > 1, np.nan, x), axis=0),
    "sum where": lambda x: np.sum(x, axis=0, where=x > 0),
    "max initial": lambda x: np.max(x, axis=0, initial=0.5),
    "diff": lambda x: np.diff(x, axis=0),
    "diff twice": lambda x: np.diff(x, 2),
    "trapezoid": lambda x: np.trapezoid(x, dx=0.5),
    "norm": lambda x: np.linalg.norm(x),
    "norm axis": lambda x: np.linalg.norm(x, axis=1),
    "norm 1": lambda x: np.linalg.norm(x, 1),
    "norm inf": lambda x: np.linalg.norm(x[0], np.inf),
    "norm 3": lambda x: np.linalg.norm(x[0], 3),
    "ddof": lambda x: x.var(ddof=1),
    "reshape": lambda x: np.reshape(x, (2, -1)),
    "ravel": lambda x: x.ravel(),
    "flatten": lambda x: x.flatten(),
    "transpose": lambda x: x.T,
    "moveaxis": lambda x: np.moveaxis(x[None], 0, -1),
    "swapaxes": lambda x: x.swapaxes(0, 1),
    "squeeze": lambda x: np.squeeze(x[None, :, None]),
    "expand_dims": lambda x: np.expand_dims(x, (0, 2)),
    "broadcast_to": lambda x: np.broadcast_to(x[0], (2, 5)),
    "broadcast_arrays": lambda x: np.broadcast_arrays(x[0], x)[0],
    "concatenate none": lambda x: np.concatenate([x, x[0:2]], axis=None),
    "stack": lambda x: np.stack([x, -x], -1),
    "hstack": lambda x: np.hstack([x, x]),
    "vstack": lambda x: np.vstack([x, x[0]]),
    "dstack": lambda x: np.dstack([x, x]),
    "column_stack": lambda x: np.column_stack([x[:, 0], x]),
    "split": lambda x: np.split(x, 2)[1],
    "array_split": lambda x: np.array_split(x, 3, axis=1)[1],
    "hsplit": lambda x: np.hsplit(x, [2, 3])[1],
    "flip": lambda x: np.flip(x),
    "fliplr": lambda x: np.fliplr(x),
    "flipud": lambda x: np.flipud(x),
    "roll": lambda x: np.roll(x, 2),
    "roll axis": lambda x: np.roll(x, -1, axis=1),
    "roll axes": lambda x: np.roll(x, (1, 2), axis=(0, 1)),
    "repeat": lambda x: np.repeat(x, 2),
    "repeat axis": lambda x: x.repeat(3, axis=1),
    "tile": lambda x: np.tile(x, (2, 1)),
    "pad": lambda x: np.pad(x, ((1, 0), (2, 1)), constant_values=1.5),
    "diagonal": lambda x: x.diagonal(1),
    "diag of matrix": lambda x: np.diag(x),
    "diag of vector": lambda x: np.diag(x[0], k=-1),
    "trace": lambda x: np.trace(x),
    "tril": lambda x: np.tril(x, 1),
    "triu": lambda x: np.triu(x),
    "take": lambda x: np.take(x, [3, -1, 0]),
    "take axis": lambda x: x.take([1, 0], axis=1),
    "take clip": lambda x: np.take(x, [7, -1], axis=0, mode="clip"),
    "take_along_axis": lambda x: np.take_along_axis(x, np.argsort(np.ones((4, 2)), 1), axis=1),
    "zeros_like": lambda x: np.zeros_like(x) + 1,
    "full_like": lambda x: np.full_like(x, 2, dtype="i8"),
    "atleast_2d": lambda x: np.atleast_2d(x[0]),
    "select": lambda x: np.select([x > 1, x > 0], [x, -x], 0.5),
    "clip": lambda x: np.clip(x, None, 0.5),
    "clip method": lambda x: x.clip(-1, x[0]),
    "round": lambda x: np.round(x, 2),
    "round method": lambda x: x.round(),
    "fix": lambda x: np.fix(x),
    "isclose": lambda x: np.isclose(x, x + 1e-9),
    "allclose": lambda x: np.allclose(x, x),
    "nan_to_num": lambda x: np.nan_to_num(np.log(x)),
    "sinc": lambda x: np.sinc(x),
    "angle": lambda x: np.angle(x + 1j),
    "array_equal": lambda x: np.array_equal(x, x),
    "polyval": lambda x: np.polyval([1.0, 2.0, 3.0], x),
    "einsum": lambda x: np.einsum("ij,kj->ik", x, x),
    "einsum implicit": lambda x: np.einsum("ij,jk", x, x.T),
    "einsum diagonal": lambda x: np.einsum("ii->i", x[:4, :4]),
    "einsum ellipsis": lambda x: np.einsum("...i,...j->...ij", x, x[:, :2]),
    "einsum ellipsis implicit": lambda x: np.einsum("b...a,ac", np.stack([x, x + 1]), x.T),
    "einsum ellipsis at the end": lambda x: np.einsum("ij...,jk...->ik...", np.stack([x, x], 2), x.T[:, :, None]),
    "einsum ellipses of unlike ranks": lambda x: np.einsum("...,...i->i...", x, np.stack([x, x], 2)),
    "einsum ellipsis broadcast": lambda x: np.einsum("...,...", x[:, :1], x[0]),
    "einsum ellipsis of no axis": lambda x: np.einsum("...ij,ji->...", x, x.T),
    "einsum diagonal ellipsis": lambda x: np.einsum("i...i->...i", np.stack([x[:3, :3]] * 3)),
    "einsum lists": lambda x: np.einsum(x, [0, 1], x, [2, 1], [2, 0]),
    "einsum lists implicit": lambda x: np.einsum(x, [30, 1], x, [Ellipsis, 1]),
    "einsum three": lambda x: np.einsum("i,ij,j->", x[:, 0], x, x[0]),
    "tensordot": lambda x: np.tensordot(x, x, ([0, 1], [0, 1])),
    "tensordot 1": lambda x: np.tensordot(x, x.T, 1),
    "inner": lambda x: np.inner(x, x),
    "outer": lambda x: np.outer(x, x[0]),
    "vdot": lambda x: np.vdot(x, x),
    "kron": lambda x: np.kron(x[:2, :2], x),
    "cross": lambda x: np.cross(x[:, :3], x[0, :3]),
    "matmul batched": lambda x: np.matmul(np.stack([x, x]), x.T),
    "dot method": lambda x: x.dot(x[0]),
    "copy": lambda x: np.copy(x),
    "size": lambda x: x * np.size(x),
    "eye": lambda x: x[:4, :4] @ np.eye(4),
    "arange": lambda x: x + np.arange(5),
    "multiply.outer": lambda x: np.multiply.outer(x[0], x[1]),
    "add.reduce": lambda x: np.add.reduce(x),
    "maximum.reduce": lambda x: np.maximum.reduce(x, axis=1),
    "divmod": lambda x: divmod(x, 0.7)[1],
    "modf": lambda x: np.modf(x)[0],
    "mask": lambda x: x[:, np.array([True, False, True, True, False])],
    "list": lambda x: x[[0, 2, 2]],
    "two arrays": lambda x: x[[0, 1], [2, -1]],
    "arrays broadcast": lambda x: x[np.array([[0], [1]]), [2, 3, 4]],
    "array and int": lambda x: x[None][0, :, [1, 2]],
    "array and slice": lambda x: x[[0, 1], 1:3],
    "negative step": lambda x: x[::-2, 4:0:-1],
    "newaxis": lambda x: x[:, None, ..., None],
    "item": lambda x: x[-1, -1],
    "whole mask": lambda x: x[np.eye(4, 5, dtype=bool)],
}
ON_SQUARE = {
    "solve": lambda m: np.linalg.solve(m, m[0]),
    "inv": lambda m: np.linalg.inv(m),
    "det": lambda m: np.linalg.det(m),
    "slogdet": lambda m: np.linalg.slogdet(m).logabsdet,
    "matrix_power": lambda m: np.linalg.matrix_power(m, 5),
    "cholesky": lambda m: np.linalg.cholesky(m @ m.T + np.eye(3)),
    "power 0": lambda m: m @ np.linalg.matrix_power(m, 0),
}


def check(fn, x, mode):
    with np.errstate(all="ignore"):
        want = np.array([np.asarray(fn(row)) for row in x])
    have = sc.scan(fn, x, mode=mode)
    assert (have.dtype, have.shape) == (want.dtype, want.shape)
    np.testing.assert_allclose(have, want, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", [*REDUCTIONS, *ON_MATRIX])
def test_interpreted(name):
    check((REDUCTIONS | ON_MATRIX)[name], X, "interpret")


@pytest.mark.parametrize("group", range(6))
def test_compiled(group):
    """Many functions in one step: one compilation each group."""
    chosen = list((REDUCTIONS | ON_MATRIX).items())[group::6]
    have = sc.scan(lambda x: [fn(x) for _, fn in chosen], X, return_list=True)
    for (name, fn), got in zip(chosen, have, strict=True):
        with np.errstate(all="ignore"):
            want = np.array([np.asarray(fn(row)) for row in X])
        assert (got.dtype, got.shape) == (want.dtype, want.shape), name
        np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("mode", ["interpret", "compiled"])
@pytest.mark.parametrize("name", ON_SQUARE)
def test_square(name, mode):
    check(ON_SQUARE[name], M, mode)


@pytest.mark.parametrize("mode", ["interpret", "compiled"])
def test_special(mode):
    check(lambda v: sc.logsumexp(v), V, mode)
    check(lambda v: sc.softmax(v), V, mode)
    a = np.array([[0.0, -np.inf], [-np.inf, -np.inf], [np.inf, 1]])
    have = sc.scan(lambda v: sc.logsumexp(v), a, mode=mode)
    np.testing.assert_array_equal(have, [0, -np.inf, np.inf])
    np.testing.assert_allclose(sc.logsumexp(V, axis=1), scipy.special.logsumexp(V, axis=1))


@pytest.mark.parametrize("mode", ["interpret", "compiled"])
def test_integer_reductions_widen(mode):
    for dtype in ("i1", "u2", "?"):
        check(lambda k: (k.sum() + k.prod()) * np.cumsum(k)[-1], (K % 3).astype(dtype), mode)


@pytest.mark.parametrize("mode", ["interpret", "compiled"])
@pytest.mark.parametrize("rows", [0, 1, 4])
def test_extremes_of_what_may_be_empty(rows, mode):
    x = np.random.default_rng(rows).normal(size=(rows, 2)) * 3

    def f(x):
        x = sc.scan(lambda x: x * 1.5, x)
        return x.max(initial=1.0), x.min(axis=0, initial=-1.0), np.max(x, axis=1, initial=2.0)

    y = x * 1.5
    for have, want in zip(sc.jit(f)(x, mode=mode), (y.max(initial=1.0), y.min(axis=0, initial=-1.0),
                                                    np.max(y, axis=1, initial=2.0)), strict=True):  # fmt: skip
        np.testing.assert_array_equal(have, want)


@pytest.mark.parametrize("mode", ["interpret", "compiled"])
def test_traced_indices(mode):
    i = R.integers(-5, 5, (3, 2))
    have = sc.scan(lambda x, i: (x[:, i], x[i[0] % 4, i], x[i % 4, 1:], x[i[0] % 4][i[1]]), [X, i], mode=mode)
    want = [[x[:, j], x[j[0] % 4, j], x[j % 4, 1:], x[j[0] % 4][j[1]]] for x, j in zip(X, i, strict=True)]
    for got, expected in zip(have, zip(*want, strict=True), strict=True):
        np.testing.assert_array_equal(got, np.array(expected))


UPDATES = {
    "scalar": (2, 1.5),
    "negative": (-1, np.arange(5.0)),
    "slice": (slice(1, 3), 0.25),
    "two": ((0, slice(None, None, 2)), -1.0),
    "array": ([0, 2, 2], 3.0),
    "arrays": (([0, 1], [2, 2]), np.array([7.0, 8.0])),
    "mask": (np.eye(4, 5, dtype=bool), 9.0),
    "ellipsis": ((..., 1), np.arange(4.0)),
}


@pytest.mark.parametrize("mode", ["interpret", "compiled"])
@pytest.mark.parametrize("name", UPDATES)
def test_updates(name, mode):
    index, value = UPDATES[name]

    def step(x):
        at = x.at[index]
        return (
            at.set(value),
            at.add(value),
            at.multiply(value),
            at.min(value),
            at.max(value),
            sc.at_set(x, index, value),
            x,
        )

    have = sc.scan(step, X, mode=mode)
    combine = (None, np.add, np.multiply, np.minimum, np.maximum, None)
    for got, function in zip(have, combine, strict=False):
        for row, x in zip(got, X, strict=True):
            want = x.copy()
            if function is None:
                want[index] = value
            else:
                function.at(want, index, value)
            np.testing.assert_allclose(row, want)
    np.testing.assert_array_equal(have[-1], X)


@pytest.mark.parametrize("mode", ["interpret", "compiled"])
def test_updates_at_traced_positions(mode):
    counts = sc.scan(lambda i, c: c.at[i].add(1), K, np.zeros(4, int), mode=mode)
    np.testing.assert_array_equal(counts[-1], np.bincount(K.ravel() % 4, minlength=4))
    with pytest.raises(IndexError, match="out of bounds"):
        sc.scan(lambda i, c: c.at[i].set(1), np.array([7]), np.zeros(4, int), mode=mode)


def test_updates_outside_of_a_step():
    x = np.zeros(3)
    np.testing.assert_array_equal(sc.at_add(x, [0, 0], 1), [2, 0, 0])
    np.testing.assert_array_equal(x, 0)


@pytest.mark.parametrize("run", [lambda f: f, sc.jit], ids=["outside", "compiled"])
def test_values_of_updates_fit_the_array(run):
    """Python's numbers have no dtype of their own; what an array cannot hold is no number cut short."""
    fitting = (("u1", 7), ("f4", 1.5), ("c8", 2.5), ("?", True), ("u4", np.uint8(3)), ("f4", np.float64(0.5)))
    for dtype, value in fitting:
        found = run(lambda x, value=value: sc.at_set(x, 1, value))(np.zeros(3, dtype))
        assert found.dtype == dtype and found[1] == value
    for dtype, value in (("i8", 1.5), ("?", 2), ("f8", 1j), ("u1", np.int64(7)), ("i8", np.ones(1))):
        with pytest.raises(TypeError, match="cannot take values"):
            run(lambda x, value=value: sc.at_add(x, 1, value))(np.zeros(3, dtype))
    with pytest.raises(OverflowError):
        run(lambda x: sc.at_set(x, 1, 300))(np.zeros(3, "u1"))


@pytest.mark.parametrize("mode", ["interpret", "compiled"])
def test_cond(mode):
    x = np.array([1.0, -2.0, 3.0])
    w = np.arange(20.0)

    def step(v, y):
        grown, kept = sc.cond(v > 0, lambda a: (a * 2, w * a), lambda a: (y, w), v)
        return grown + y, kept.sum()

    have = sc.scan(step, x, [0.5, None], mode=mode)
    y, want = 0.5, []
    for v in x:
        grown, kept = (v * 2, w * v) if v > 0 else (y, w)
        y = grown + y
        want.append((y, kept.sum()))
    np.testing.assert_allclose(np.stack(have, 1), want)


def test_cond_takes_one_branch_only():
    table, i = np.arange(3.0), np.array([0, 5, 2])
    have = sc.scan(lambda i: sc.cond(i < 3, lambda: sc.take(table, i), lambda: 0.0), i)
    np.testing.assert_array_equal(have, [0, 0, 2])


def test_cond_outside_of_a_step_is_an_if():
    assert sc.cond(True, lambda: 1, lambda: 1 / 0) == 1


def test_filter():
    np.testing.assert_array_equal(sc.filter(lambda x, a: x > a, np.arange(5), 2), [3, 4])


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (lambda x: np.unique(x), r"np.unique is not supported in a step\n.*test_numpy_functions.py:\d+(.|\n)*\^"),
        (lambda x: np.linalg.eig(x), "np.linalg.eig is not supported"),
        (lambda x: np.sum(x, out=np.zeros(3)), "np.sum with 'out' is not supported"),
        (lambda x: x[x > 0], r"indexing with a traced mask(.|\n)*np.where\(mask, x, 0\)"),
        (lambda x: x[: x[0, 0].astype(int)], "slices with traced bounds"),
        (lambda x: np.where(x > 0), "np.where with a condition only"),
        (lambda x: np.einsum("...i->i", x), "the result 'i' has no ellipsis for 1 axes of the operands"),
        (lambda x: np.ma.array(x), "np.stack"),
    ],
)
def test_errors_name_a_way_out(step, message):
    with pytest.raises(Exception, match=message):
        sc.scan(step, X)


@pytest.mark.parametrize(
    ("step", "error", "message"),
    [
        (lambda x: sc.cond(x[0, 0] > 0, lambda: 1.0, lambda: (1.0, 2.0)), ValueError, "one array, the other 2 arrays"),
        (lambda x: sc.cond(x[0, 0] > 0, lambda: x, lambda: x[0]), ValueError, "same shapes"),
        (lambda x: sc.cond(x > 0, lambda: x, lambda: x), TypeError, "one truth value"),
        (lambda x: x.at[0].set(1j), TypeError, "cannot take values of complex128"),
        (lambda x: x.at[9].set(1), IndexError, "out of bounds"),
        (lambda x: x[9], IndexError, "index 9 is out of bounds for axis 0 of length 4"),
        (lambda x: x[0, 0, 0], IndexError, "too many indices"),
        (lambda x: x.reshape(7, 3), ValueError, "cannot reshape"),
        (lambda x: np.split(x, 3), ValueError, "equal division"),
        (lambda x: np.min(x[:0]), ValueError, "no identity"),
        (lambda x: np.linalg.inv(x), NotImplementedError, "square matrix"),
        (lambda x: np.einsum("i......", x), ValueError, "einsum: 'i...' does not consist"),
        (lambda x: np.einsum("...ijk", x), ValueError, "'ijk' names 3 axes of an operand that has 2"),
        (lambda x: np.einsum("i.", x), ValueError, "letters"),
        (lambda x: np.einsum("ij,jk", x, x), ValueError, "axis 'j' has lengths 5 and 4"),
        (lambda x: np.einsum(x, 5), TypeError, "5 are no axes"),
        (lambda x: np.einsum(x, [0, 52]), TypeError, "below 52"),
        (lambda x: np.squeeze(x, 0), ValueError, "not equal to one"),
        (lambda x: np.sum(x, axis=5), IndexError, "axis 5 is out of bounds"),
    ],
)
def test_mistakes(step, error, message):
    with pytest.raises(error, match=message):
        sc.scan(step, X)
