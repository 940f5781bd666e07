"""`sc.vmap` is a Python loop over the rows, of every kind of function."""

from __future__ import annotations

import numpy as np
import pytest

import scancc as sc
from scancc.frontend.pytrees import flatten

RNG = np.random.default_rng(0)


def check(f, *args, in_axes=0, out_axes=0):
    axes = in_axes if isinstance(in_axes, tuple) else (in_axes,) * len(args)
    rows = next(a.shape[x] for a, x in zip(args, axes, strict=True) if x is not None)
    got = flatten(sc.vmap(f, in_axes, out_axes)(*args))[0]
    run = sc.jit(f)
    each = [flatten(run(*(a if x is None else np.take(a, i, axis=x) for a, x in zip(args, axes, strict=True))))[0]
            for i in range(rows)]
    for k, result in enumerate(got):
        want = np.stack([e[k] for e in each], axis=out_axes)
        assert result.shape == want.shape
        assert np.allclose(result, want, rtol=1e-12, atol=1e-13), k


def ar2(x, y0, a):
    return sc.scan(lambda x, y2, y1, a: x + a * y1 + 0.1 * y2, x, [dict(initial=y0, taps=[-2, -1])], [a])


def rnn(x, h0, W):
    return sc.scan(lambda x, h, W: np.tanh(x + h @ W), x, h0, [W])


def normal(*shape):
    return RNG.normal(size=shape)


@pytest.mark.parametrize("axes", [(0, 0, 0), (0, 0, None), (None, 0, None), (None, None, 0), (1, 1, 0)])
def test_recurrences(axes):
    shapes = [(9,), (2,), ()]
    args = [normal(*s) if x is None else np.moveaxis(normal(5, *s), 0, x) for s, x in zip(shapes, axes, strict=True)]
    check(ar2, *args, in_axes=axes)


@pytest.mark.parametrize("axes", [(0, 0, None), (0, 0, 0), (None, None, 0)])
def test_networks(axes):
    shapes = [(6, 3), (3,), (3, 3)]
    check(rnn, *(normal(*s) if x is None else normal(4, *s) for s, x in zip(shapes, axes, strict=True)), in_axes=axes)


@pytest.mark.parametrize("axes", [(0, 0, None), (0, 0, 0)])
def test_gradients_of_rows(axes):
    def g(x, h0, W):
        return sc.grad(lambda *a: (rnn(*a) ** 2).sum(), (0, 1, 2))(x, h0, W)

    shapes = [(6, 3), (3,), (3, 3)]
    check(g, *(normal(*s) if x is None else normal(4, *s) for s, x in zip(shapes, axes, strict=True)), in_axes=axes)


def test_the_gradient_of_a_batch_is_the_sum_of_those_of_its_rows():
    x, h0, W = normal(4, 6, 3), normal(4, 3), normal(3, 3)
    loss = lambda *a: (rnn(*a) ** 2).sum()  # noqa: E731
    batched = sc.grad(lambda W: sc.vmap(loss, (0, 0, None))(x, h0, W).sum())(W)
    assert np.allclose(batched, sum(sc.grad(loss, 2)(x[i], h0[i], W) for i in range(4)), rtol=1e-12)


def test_out_axes():
    check(ar2, normal(5, 9), normal(5, 2), normal(5), out_axes=1)
    check(ar2, normal(5, 9), normal(5, 2), normal(5), out_axes=-1)


def test_nested_batches():
    f = sc.vmap(sc.vmap(lambda x, a: sc.scan(lambda x, h, a: h * a + x, x, 0.0, [a]), (0, None)), (0, 0))
    x, a = normal(3, 4, 6), normal(3)
    got = f(x, a)
    want = [[sc.scan(lambda x, h, a: h * a + x, x[i, j], 0.0, [a[i]]) for j in range(4)] for i in range(3)]
    assert np.allclose(got, want)


def test_pytrees():
    def f(p, x):
        return {"y": p["w"] * x["a"] + p["b"]}

    got = sc.vmap(f, ({"w": None, "b": 0}, 0))({"w": 2.0, "b": np.arange(3.0)}, {"a": np.ones(3)})
    assert np.allclose(got["y"], [2, 3, 4])


@pytest.mark.parametrize(
    "f",
    [
        lambda x: x.sum(axis=0) + x.max() + np.argmax(x, axis=0),
        lambda x: np.cumsum(x, axis=0) @ x.T,
        lambda x: np.concatenate([x, x[:1]], axis=0)[::-1, 1:],
        lambda x: np.einsum("ij,kj->ik", x, x),
        lambda x: np.linalg.solve(x @ x.T + np.eye(3), x[:, 0]) + np.linalg.det(x @ x.T),
        lambda x: np.linalg.cholesky(x @ x.T + np.eye(3)),
        lambda x: x.reshape(12)[3:].reshape(3, 3).T,
        lambda x: sc.cond(x.sum() > 0, lambda: x * 2, lambda: -x),
        lambda x: sc.cond(np.ones(()) > 0, lambda: x * 2, lambda: -x),
        lambda x: np.where(x[:, :1] > 0, x, 1.0),
        lambda x: np.broadcast_to(x[0], (2, 4)) * np.arange(2.0)[:, None],
    ],
)  # fmt: skip
def test_operations(f):
    check(f, normal(5, 3, 4))


def test_gathers_and_updates():
    t, i, v = normal(4, 6, 2), RNG.integers(0, 6, (4, 3)), normal(4, 3, 2)
    f = lambda t, i, v: (sc.take(t, i, axis=0), sc.at_add(t, i, v), sc.at_set(t, i, v))  # noqa: E731
    check(f, t, i, v)
    check(f, t, i[0], v, in_axes=(0, None, 0))
    check(f, t[0], i, v, in_axes=(None, 0, 0))
    check(f, t, i[0], v[0], in_axes=(0, None, None))


def test_branches_in_steps():
    def f(x, h):
        return sc.scan(lambda x, h: sc.cond(x > 0, lambda: h * x, lambda: h - x), x, h)

    check(f, normal(4, 6), normal(4))


def until(x, h):
    return sc.scan(lambda x, h: (h + x, sc.until(h + x > 2)), x, h)


def test_rows_leave_a_loop_at_different_steps():
    def f(x, h):
        ys = until(x, h)
        return ys.sum(), ys[-1], ys.shape[0], np.exp(ys).sum(), ys.max(), ys.mean()

    x, h = np.abs(normal(6, 9)), normal(6)
    check(f, x, h)
    padded, lengths = sc.vmap(lambda x, h: (until(x, h), until(x, h).shape[0]))(x, h)
    assert padded.shape == (6, lengths.max())
    for row, n, a, b in zip(padded, lengths, x, h, strict=True):
        assert np.allclose(row[:n], until(a, b))
        assert (row[n:] == 0).all()


def test_gradients_through_a_batch_of_loops_that_end_apart():
    x, h = np.abs(normal(5, 9)), normal(5)
    g = sc.grad(lambda x: sc.vmap(lambda x, h: (until(x, h) ** 2).sum())(x, h).sum())(x)
    for row, a, b in zip(g, x, h, strict=True):
        assert np.allclose(row, sc.grad(lambda a, b=b: (until(a, b) ** 2).sum())(a))


def test_ragged_sequences_by_their_lengths():
    x, n = normal(4, 7), np.array([7, 0, 3, 5])
    f = lambda x, n: sc.lax.fori_loop(0, n, lambda i, h: h * 0.5 + sc.take(x, i, axis=0), 0.1)  # noqa: E731
    check(f, x, n)
    padded = sc.vmap(lambda x, n: sc.scan(lambda x, h: h * 0.5 + x, x, 0.1, n_steps=n))(x, n)
    for row, a, k in zip(padded, x, n, strict=True):
        assert np.allclose(row[:k], sc.scan(lambda x, h: h * 0.5 + x, a, 0.1, n_steps=int(k)))
        assert (row[k:] == 0).all()


def test_rows_too_short_for_what_is_read():
    x, h = np.array([[1.0, 1.0, 1.0], [3.0, 1.0, 1.0]]), np.zeros(2)
    second_to_last = sc.jit(sc.vmap(lambda x, h: until(x, h)[-2]))
    np.testing.assert_array_equal(second_to_last(x[:1], h[:1]), [2.0])
    for mode in ("compiled", "interpret"):
        with pytest.raises(IndexError):  # as the second row alone, which makes one step
            second_to_last(x, h, mode=mode)


def test_batches_of_batches_of_loops_that_end_apart():
    x = np.abs(normal(2, 3, 4))
    found = sc.vmap(sc.vmap(lambda x: (until(x, 0.0)[-1], until(x, 0.0).prod())))(x)
    for i, j in np.ndindex(2, 3):
        rows = until(x[i, j], 0.0)
        np.testing.assert_allclose([found[0][i, j], found[1][i, j]], [rows[-1], rows.prod()])


def test_zeros_after_the_end_are_not_counted():
    x, h = np.abs(normal(3, 4)), normal(3)
    check(lambda x, h: (until(x, h).prod(), np.cumsum(until(x, h))[-1], until(x, h).argmax()), x, h)


DERIVATIVES = {
    "grad": sc.grad(lambda x, h: (until(x, h) ** 2).sum()),
    "hessian": sc.hessian(lambda x, h: (until(x, h) ** 2).sum()),
    "jacfwd": sc.jacfwd(lambda x, h: until(x, h)[-1]),
    "jit of grad": sc.jit(sc.grad(lambda x, h: until(x, h)[-1])),
}


@pytest.mark.parametrize("name", DERIVATIVES)
def test_derivatives_of_rows_that_end_apart(name):
    x, h = np.abs(normal(3, 4)), normal(3)
    check(DERIVATIVES[name], x, h)
    rows = sc.grad(lambda x: sc.vmap(lambda x, h: (until(x, h) ** 2).sum())(x, h).sum())(x)
    np.testing.assert_allclose(rows, [DERIVATIVES["grad"](a, b) for a, b in zip(x, h, strict=True)])


def test_draws_are_those_of_their_keys():
    keys = sc.random.split(sc.random.key(1), 4)
    check(lambda k: sc.random.normal(k, (3,)), keys)
    shared = sc.vmap(lambda x: x + sc.random.normal(sc.random.key(0)))(np.zeros(3))
    assert len(set(shared)) == 1


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: sc.vmap(lambda x: x)(1.0), ValueError, "axis of the batch is 0, but argument 0 has shape"),
        (lambda: sc.vmap(lambda x, y: x, None)(1.0, 2.0), ValueError, "no argument has an axis"),
        (lambda: sc.vmap(lambda x, y: x + y)(np.ones(3), np.ones(4)), ValueError, "argument 1 has 4 rows"),
        (lambda: sc.vmap(lambda x: x, (0, 0))(np.ones(3)), ValueError, "in_axes has 2 entries for 1 argument"),
        (lambda: sc.vmap(lambda x: x, 0, None)(np.ones(3)), ValueError, "out_axes is None for a result that differs"),
        (lambda: sc.vmap(lambda x: sc.check(x > 0, "negative") or x)(np.array([1.0, -2.0])), AssertionError, "-2.0"),
    ],
)
def test_errors(call, error, text):
    with pytest.raises(error, match=text):
        call()


TABLE = np.arange(1.0, 4.0)


def branches(i):
    """Each row looks at what is its own: the others have no such element, no end, no finite value."""
    picked = sc.cond(i < 3, lambda: sc.take(TABLE, i), lambda: -1.0)
    doubled = sc.cond(i > 0, lambda: sc.lax.while_loop(lambda k: k < 100, lambda k: k * 2, i), lambda: i)
    root = sc.cond(i < 2, lambda: np.sqrt(2.0 - i), lambda: 0.0 * i)
    return picked, doubled, root


def test_a_row_that_does_not_take_a_branch_has_no_effect():
    check(branches, np.array([0, 5, 2, 1, -1]))
    with pytest.raises(IndexError):
        sc.vmap(lambda i: sc.take(TABLE, i))(np.array([0, 5]))


def test_derivatives_through_branches_of_rows():
    def f(x):
        steps = sc.cond(x > 1, lambda: sc.lax.while_loop(lambda s: s < 50.0, lambda s: s * x, x), lambda: x)
        return steps + sc.cond(x > 0, lambda: np.log(x) * x, lambda: 0.0 * x)

    x = np.array([0.0, 1.5, 3.0, -1.0])
    check(sc.grad(f), x)
    check(sc.hessian(f), x)
    np.testing.assert_allclose(sc.grad(lambda x: sc.vmap(f)(x).sum())(x), [sc.grad(f)(v) for v in x])
    _, tangent = sc.jvp(lambda x: sc.vmap(f)(x), (x,), (np.ones(4),))
    np.testing.assert_allclose(tangent, [sc.grad(f)(v) for v in x])


def test_prints_are_those_of_the_rows(capfd):
    sc.vmap(lambda x: (sc.debug_print("x {x}", x=x), x)[1])(np.array([1.0, 2.0]))
    assert capfd.readouterr().out.split() == ["x", "1.0", "x", "2.0"]


@pytest.mark.parametrize("rows", [0, 1, 3])
def test_results_of_unequal_lengths(rows):
    x, h = np.abs(normal(rows, 9)), np.abs(normal(rows))
    have = sc.vmap(lambda x, h: (until(x, h)[1:] * 2, until(x, h)))(x, h)
    for i in range(rows):
        for got, want in zip(have, (until(x[i], h[i])[1:] * 2, until(x[i], h[i])), strict=True):
            np.testing.assert_allclose(got[i][: len(want)], want)
            assert not got[i][len(want) :].any()


@pytest.mark.parametrize("axis", [0, 1])
def test_the_number_of_steps_of_a_batch_never_compiles(axis):
    f = sc.jit(sc.vmap(lambda x: sc.scan(lambda x, h: np.tanh(h) + x, x, 0.0), in_axes=axis))
    for steps in (4, 9, 1, 0):
        x = np.ones((3, steps) if axis == 0 else (steps, 3))
        assert f(x).shape == (3, steps)
    assert len(f.programs) == 1


@pytest.mark.parametrize("mode", ["compiled", "interpret"])
def test_gradient_of_the_last_rows_of_lanes_that_end_at_different_steps(mode):
    """Zeros like a lane's rows are made in a loop that reads none of them."""

    def one(x, h):
        return sc.scan(lambda x, h: (np.tanh(x + 0.5 * h), sc.until(h > 0.7)), x, h)[-1]

    rng = np.random.default_rng(0)
    x, h = np.abs(rng.normal(size=(4, 6))), rng.normal(size=4)
    found = sc.jit(sc.grad(lambda x, h: sc.vmap(one)(x, h).sum(), (0, 1)))(x, h, mode=mode)
    alone = sc.jit(sc.grad(one, (0, 1)))
    for lane in range(4):
        for d, e in zip(found, alone(x[lane], h[lane], mode="interpret"), strict=True):
            np.testing.assert_allclose(d[lane], e, rtol=1e-12, atol=1e-14)
