"""Derivatives through scans, of every form that a scan can take."""

from __future__ import annotations

import numpy as np
import pytest
from derivatives import check_derivatives

import scancc as sc

RNG = np.random.default_rng(0)
X = RNG.normal(size=9)
W = RNG.normal(size=(3, 3)) * 0.5


def test_two_taps() -> None:
    def f(x, y0, a, b):
        ys = sc.scan(lambda x, y2, y1, a, b: x + a * y1 + b * y2, x, [dict(initial=y0, taps=[-2, -1])], [a, b])
        return (ys**2).sum()

    check_derivatives(f, X, [0.1, 0.2], 0.5, -0.3, compiled=True)


def test_deep_taps_without_the_last_row() -> None:
    def f(x, y0, w):
        ys = sc.scan(lambda x, y4, y2, w: np.sin(x + w * y4) * y2, x, [dict(initial=y0, taps=[-4, -2])], [w])
        return (ys * np.arange(9)).sum() + ys[-1] * ys[-3] + ys[2]

    check_derivatives(f, X, RNG.normal(size=4) + 1, 0.7)


def test_more_initial_rows_than_needed() -> None:
    def f(x, y0):
        return sc.scan(lambda x, y2: x * y2, x, [dict(initial=y0, taps=[-2])])[-1]

    check_derivatives(f, X, RNG.normal(size=4))


def test_sequence_taps_of_past_and_future() -> None:
    """C33: several sequences, sequence taps [-1, 0, 1], state taps [-1, -3] and a map output, forward and backwards."""
    for backwards in (False, True):
        def f(u, v, x0, w, backwards=backwards):
            def step(u_m1, u, u_p1, v, x3, x1, w):
                x = 0.3 * x1 - 0.2 * x3 * w + u_m1 * u + np.tanh(u_p1) + v
                return x, u * x + w

            x, o = sc.scan(step, [dict(input=u, taps=[-1, 0, 1]), v], [dict(initial=x0, taps=[-3, -1]), None], [w],
                           go_backwards=backwards)
            return (x**2).sum() + (o * o).sum()

        check_derivatives(f, X, X[:7] + 0.1, [0.3, -0.2, 0.4], 0.6)


def test_last_values_of_deep_taps() -> None:
    """C33: x_t = w + x[-1], taps [-4, -1], loss sum(x_last ** 2)."""
    def f(w, x0):
        return (sc.scan(lambda x4, x1, w: w + x1 * x4, None, [dict(initial=x0, taps=[-4, -1])], [w], 6)[-1] ** 2).sum()

    check_derivatives(f, RNG.normal(size=3), RNG.normal(size=(4, 3)))


def test_a_recurrent_network() -> None:
    def f(x, h0, W, U, b):
        hs = sc.scan(lambda x, h, W, U, b: np.tanh(x @ U + h @ W + b), x, h0, [W, U, b])
        return (hs[-1] ** 2).sum() + hs.sum()

    check_derivatives(f, RNG.normal(size=(6, 4)), RNG.normal(size=3), W, RNG.normal(size=(4, 3)), RNG.normal(size=3),
                      compiled=True)


def test_a_recurrent_network_on_a_batch() -> None:
    def f(x, h0, W):
        return (sc.scan(lambda x, h, W: np.tanh(x + h @ W), x, h0, [W])[-1] ** 2).sum()

    check_derivatives(f, RNG.normal(size=(3, 2, 20)), RNG.normal(size=(2, 20)), RNG.normal(size=(20, 20)) * 0.2)


def test_several_states_and_a_dead_one() -> None:
    def f(x, a0, b0, w):
        a, b, _ = sc.scan(lambda x, a, b, c, w: (a * b + x, np.sin(a) * w, c + a), x, [a0, b0, 0.0], [w])
        return a[-1] + b.sum()

    check_derivatives(f, X, 0.4, 0.7, 1.3)


@pytest.mark.parametrize("rows", [1, 3, 9])
def test_views(rows: int) -> None:
    def f(x, h0):
        ys = sc.scan(lambda x, h: np.sin(h) + x * h, x, h0)
        return (ys[-rows:] ** 2).sum() + ys[-rows] * ys[0] + ys[:4].sum() + ys[1::3].prod() + ys.max()

    check_derivatives(f, X, 0.4)


def test_fewer_steps_than_rows() -> None:
    def f(x, h0):
        return (sc.scan(lambda x, h: np.sin(h) + x * h, x, h0, n_steps=4) ** 2).sum()

    check_derivatives(f, X, 0.4)


def test_nested_scans() -> None:
    def f(x, h0, w):
        def outer(x, h, w):
            inner = sc.scan(lambda g, x, w: np.sin(g * w) + x, None, h, [x, w], 3)
            return inner[-1] + inner.sum() * 0.1

        return (sc.scan(outer, x, h0, [w]) ** 2).sum()

    check_derivatives(f, X, 0.4, 0.8)


def test_a_scan_over_a_scan() -> None:
    def f(x, w):
        first = sc.scan(lambda x, h, w: np.tanh(x + w * h), x, 0.0, [w])
        return sc.scan(lambda y, g, w: g * w + y * y, first, 0.0, [w])[-1]

    check_derivatives(f, X, 0.8)


def test_conditionals() -> None:
    def f(x, h0, w):
        def step(x, h, w):
            return sc.cond(x > 0, lambda: np.sin(h) * w + x, lambda: h * h * 0.3)

        return (sc.scan(step, x, h0, [w]) ** 2).sum()

    check_derivatives(f, X, 0.4, 0.8)


def test_python_control_flow() -> None:
    def f(x, h0, w):
        def step(x, h, w):
            if x > 0:
                h = np.sin(h) * w + x
            else:
                h = h * h * 0.3
            return h

        return (sc.scan(step, x, h0, [w]) ** 2).sum()

    check_derivatives(f, X, 0.4, 0.8)


def test_until() -> None:
    """The executed length is known at run time only; rows that were not read have derivative 0."""
    def f(x, h0, w):
        def step(x, h, w):
            h = h * w + x * x
            return h, sc.until(h > 3)

        ys = sc.scan(step, x, h0, [w])
        return (ys**2).sum() + ys[-1]

    check_derivatives(f, X, 0.4, 1.3)
    g = sc.grad(f)(X, 0.4, 1.3)
    assert (g != 0).any()
    assert g[-1] == 0


@pytest.mark.parametrize("rows", [0, 1])
def test_few_steps(rows: int) -> None:
    """C09: the gradient of a sum over no steps is zeros of the right shapes, until included."""
    def f(x, y0, a):
        def step(x, y2, y1, a):
            y = x + a * y1 * y2
            return y, sc.until(y > 1e9)

        return sc.scan(step, x, [dict(initial=y0, taps=[-2, -1])], [a]).sum() + sc.scan(
            lambda x, h, a: x + h * a, x, y0[0], [a]).sum()

    check_derivatives(f, X[:rows], [0.3, 0.4], 0.5)


def test_final_value_of_no_steps_is_the_initial_one() -> None:
    def f(h0, x):
        return sc.lax.scan(lambda h, x: (h * x, None), h0, x)[0] * 3

    g = sc.grad(f, (0, 1))(0.4, np.zeros(0))
    assert (g[0], g[1].shape) == (3, (0,))
    check_derivatives(f, 0.4, X)


def test_noise_times_a_parameter() -> None:
    """Draws are made again on the way back, from their counters."""
    def f(s, h0):
        def step(t, h, s):
            return h * 0.9 + s * sc.random.normal(sc.random.fold_in(sc.random.key(3), t))

        return (sc.scan(step, np.arange(5), h0, [s]) ** 2).sum()

    check_derivatives(f, 0.4, 0.2)


def test_shared_state() -> None:
    total = sc.shared(np.array(1.5))

    def f(x, w):
        def step(x, w):
            return x * w * total, {total: total + w * x}

        return sc.scan(step, x, None, [w]).sum()

    start = total.get_value()

    def fresh(x, w):
        return f(x, w)

    def plain(x, w):
        t, s = 1.5, 0.0
        for v in x:
            s, t = s + v * w * t, t + w * v
        return s

    g = sc.grad(fresh, (0, 1))(X, np.array(0.7))
    assert total.get_value() != start
    h = 1e-6
    assert np.isclose(g[1], (plain(X, 0.7 + h) - plain(X, 0.7 - h)) / (2 * h), rtol=1e-7)


def test_gathers_and_updates_in_the_step() -> None:
    def f(table, h0, w):
        def step(i, h, table, w):
            row = sc.take(table, i, axis=0)
            return sc.at_add(h, i, w * row.sum()) * 0.9

        return (sc.scan(step, np.array([0, 2, 1, 2]), h0, [table, w])[-1] ** 2).sum()

    check_derivatives(f, RNG.normal(size=(3, 2)), RNG.normal(size=3), 0.7)


def test_linear_algebra_in_the_step() -> None:
    def f(A, P0):
        def step(P, A):
            S = A @ P @ A.T + np.eye(2)
            return P - P @ np.linalg.solve(S, P)

        return np.linalg.det(sc.scan(step, None, P0, [A], 4)[-1])

    check_derivatives(f, RNG.normal(size=(2, 2)), np.eye(2) * 2 + 0.1)


def test_until_with_a_loop_around() -> None:
    def f(x, w):
        def outer(x, h, w):
            ys = sc.scan(lambda g, w: (g * 1.5 * w, sc.until(g > 2)), None, x * x + 0.5, [w], 20)
            return h * 0.5 + ys[-1] * w + ys.sum()

        return sc.scan(outer, x, 0.1, [w]).sum()

    check_derivatives(f, X[:4], 0.9, compiled=True)


def test_a_loop_of_the_lax_kind() -> None:
    def f(params, x):
        def step(carry, x):
            h, c = carry["h"], carry["c"]
            h = np.tanh(params["w"] * h + x)
            return {"h": h, "c": c + h * h}, h * c

        last, ys = sc.lax.scan(step, {"h": 0.1, "c": 0.0}, x, reverse=True)
        return last["c"] + ys.sum()

    g = sc.grad(f)({"w": 0.7, "unused": np.zeros(2)}, X)
    h = 1e-6
    assert np.isclose(g["w"], (f({"w": 0.7 + h}, X) - f({"w": 0.7 - h}, X)) / (2 * h), rtol=1e-7)
    assert (g["unused"] == 0).all()


@pytest.mark.parametrize(("taps", "how"), [([0, 1], {}), ([-2, 0, 3], {}), ([-2, 0, 3], {"checkpoint": "sqrt"}),
                                           ([-3, -1], {"checkpoint": 2}), ([0, 1], {"truncate_gradient": 2})], ids=str)
def test_sequences_shorter_than_their_taps_reach(taps, how):
    """No step is made, and nothing beyond their end is read or written."""
    def f(x):
        def step(*rows):
            *rows, h = rows
            return h * 0.5 + np.prod(np.stack(rows), axis=0)

        return (sc.scan(step, dict(input=x, taps=taps), [np.zeros(3)], **how) ** 2).sum()

    reach = max(0, *taps) - min(0, *taps)
    # Segments of a length that the run decides are nothing that a device could allocate.
    gradient = sc.jit(sc.grad(f), target="cpu" if "checkpoint" in how else None)
    for n in range(reach + 3):
        x = RNG.normal(size=(n, 3))
        got, want = gradient(x), gradient(x, mode="interpret")
        assert got.shape == want.shape == (n, 3)
        assert np.allclose(got, want, rtol=1e-12)
        assert bool(got.any()) == (n > reach)


@pytest.mark.parametrize("backwards", [False, True])
def test_sequences_that_are_longer_than_the_loop(backwards):
    """By a number of rows that is known: the last ones are read by no step, on the way there and on the way back."""

    def loss(v, w):
        rows = np.concatenate([v, w])
        ys = sc.scan(lambda x, later, z, y: x**2 * z + later * 0.3 + 0.5 * y, [dict(input=rows, taps=[0, 1]), v], 0.1,
                     n_steps=3, go_backwards=backwards)  # fmt: skip
        return (ys**2).sum()

    v, w = np.array([0.5, 1.0, 2.0, 3.0]), np.array([0.7, 0.2])
    found = sc.grad(loss, (0, 1))(v, w)
    for k, given in enumerate((v, w)):
        for i in range(len(given)):
            step = np.zeros(len(given))
            step[i] = 1e-6
            up, down = ([a + s * step if j == k else a for j, a in enumerate((v, w))] for s in (1, -1))
            numeric = (loss(*up) - loss(*down)) / 2e-6
            np.testing.assert_allclose(found[k][i], numeric, rtol=1e-6, atol=1e-7)
