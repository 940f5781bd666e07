"""Behaviours that users of scan rely on, each on the compiled kernel and on the reference interpreter."""

import numpy as np
import pytest

import scancc as sc


@pytest.fixture(params=["compiled", "interpret"])
def scan(request):
    def run(fn, *args, **kwargs):
        compiled = sc.scan_compile(fn)
        return compiled(*args, mode=request.param, **kwargs)

    return run


@pytest.mark.parametrize("info", [None, [], [None], [{}]])
def test_map(scan, info):
    u = np.arange(5.0)
    np.testing.assert_array_equal(scan(lambda x: x + 3, u, info), u + 3)


def test_rnn_scalar_weights_as_arguments_and_captured(scan):
    u, wi, w = np.array([0.1, -0.2, 0.3, 0.7]), 1.5, 0.6
    expected, x = [], 0.4
    for v in u:
        x = v * wi + x * w
        expected.append(x)
    captured = np.array([w])
    for got in (
        scan(lambda v, x, wi, w: v * wi + x * w, u, 0.4, [wi, w]),
        scan(lambda v, x: v * wi + x * captured[0], u, 0.4),
        scan(lambda v, x: v * wi + x * (captured * 2 / 2)[0], u, 0.4),
    ):
        np.testing.assert_allclose(got, expected, rtol=1e-12)


def test_backwards(scan):
    got = scan(lambda x: x, np.arange(5), n_steps=3, go_backwards=True)
    np.testing.assert_array_equal(got, [4, 3, 2])
    np.testing.assert_array_equal(scan(lambda a: 2 * a, np.arange(5), n_steps=1, go_backwards=True), [8])


@pytest.mark.parametrize(
    ("taps", "n", "first"),
    [([-1], 7, [0]), ([2], 6, [2]), ([-2, -1], 6, [0, 1]), ([-2, 2], 4, [0, 4]), ([0, 3], 5, [0, 3]),
     ([-4, 0], 4, [0, 4]), ([-3, 2, -1], 3, [0, 5, 2])],
)  # fmt: skip
def test_sequence_taps(scan, taps, n, first):
    got = scan(lambda *xs: np.stack(xs), dict(input=np.arange(8), taps=taps))
    assert len(got) == n
    np.testing.assert_array_equal(got[0], first)


def test_reversed_sequence_taps(scan):
    got = scan(lambda a, b: np.stack([a, b]), dict(input=np.arange(5), taps=[-1, 1]), go_backwards=True)
    np.testing.assert_array_equal(got, [[2, 4], [1, 3], [0, 2]])


def test_state_taps(scan):
    got = scan(lambda u, x1, x2: u * 2 + 0.3 * x1 + x2, dict(input=np.arange(1.0, 5), taps=[-2]),
               [dict(initial=np.array([0.5, 0.25]), taps=[-1, -2])])  # fmt: skip
    np.testing.assert_allclose(got, [2.575, 5.0225])
    got = scan(lambda u, v, x1, x2: (u + v) * 2 + 0.3 * x1 + x2, dict(input=np.arange(1.0, 7), taps=[-2, 2]),
               [dict(initial=np.array([0.5, 0.25]), taps=[-1, -2])])  # fmt: skip
    np.testing.assert_allclose(got, [12.575, 20.0225])


def test_lengths(scan):
    np.testing.assert_array_equal(scan(lambda a, b: a + b, [np.arange(5), np.arange(3)]), [0, 2, 4])
    assert len(scan(lambda a: a, np.arange(30), n_steps=20)) == 20
    with pytest.raises(ValueError, match=r"9 .*sequence 'a'.* 5"):
        scan(lambda a: a, np.arange(5), n_steps=9)


def test_zero_steps(scan):
    assert scan(lambda s: s * 2, None, np.ones(3, "f4"), n_steps=0).shape == (0, 3)
    rows = scan(lambda r: r * 2, np.empty((0, 5), "f4"))
    assert rows.shape == (0, 5) and rows.dtype == np.float32
    with pytest.raises(IndexError):
        rows[-1]
    step = sc.scan_compile(lambda s: s * 2)
    assert step(outputs_info=np.ones(3), n_steps=0).shape == (0, 3)
    np.testing.assert_array_equal(step(outputs_info=np.ones(3), n_steps=1), [[2, 2, 2]])
    assert len(step.programs) == 1


def test_state_only_and_return_list(scan):
    s = np.array([1.0, 2.0])
    np.testing.assert_array_equal(scan(lambda s: s * 2, None, s, n_steps=5)[-1], s * 32)
    assert isinstance(scan(lambda s: s * 2, None, s, n_steps=5, return_list=True), list)


def test_until(scan):
    x = np.zeros(50)
    x[23] = 4
    assert len(scan(lambda x: (x, sc.until(x > 3)), x)) == 24
    got = scan(lambda s: (s * 2, sc.until(s * 2 > 45)), None, 1.0, n_steps=1024)
    np.testing.assert_array_equal(got, [2, 4, 8, 16, 32, 64])
    assert len(scan(lambda s: (s, sc.until(s > 0)), None, 1.0, n_steps=9)) == 1


def test_scan_over_scan(scan):
    first = scan(lambda s: s + 1, None, 0, n_steps=10)
    np.testing.assert_array_equal(scan(lambda x: x + 1, first), np.arange(2, 12))


def test_nested(scan):
    x = np.arange(12.0).reshape(3, 4)

    def outer(row, total):
        inner = sc.scan(lambda v, s: v * s + 1, sequences=row, outputs_info=1.0)
        return total + np.sum(inner)

    expected, total = [], 0.0
    for row in x:
        s = 1.0
        for v in row:
            s = v * s + 1
            total += s
        expected.append(total)
    np.testing.assert_allclose(scan(outer, x, 0.0), expected)


def test_long_tap_and_large_rows(scan):
    u = np.random.default_rng(0).normal(size=3000)
    y0 = np.random.default_rng(1).normal(size=1000)
    expected = [*y0]
    for t, v in enumerate(u):
        expected.append(v + 0.5 * expected[t])
    got = scan(lambda v, y: v + 0.5 * y, u, [dict(initial=y0, taps=[-1000])])
    np.testing.assert_allclose(got, expected[1000:], rtol=1e-12)
    h0 = np.random.default_rng(2).normal(size=(3, 40))
    history = [*h0]
    for _ in range(6):
        history.append(np.tanh(history[-1] - 0.3 * history[-3]))
    got = scan(lambda a, b: np.tanh(a - 0.3 * b), None, [dict(initial=h0, taps=[-1, -3])], n_steps=6)
    np.testing.assert_allclose(got, history[3:], rtol=1e-12)


def test_rnn_with_matrices(scan):
    r = np.random.default_rng(3)
    x, u, w, b = (r.normal(size=s) * 0.2 for s in ((20, 7), (7, 40), (40, 40), 40))
    h, expected = np.zeros(40), []
    for row in x:
        h = np.tanh(row @ u + h @ w + b)
        expected.append(h)
    got = scan(lambda x, h, u, w, b: np.tanh(x @ u + h @ w + b), x, np.zeros(40), [u, w, b])
    np.testing.assert_allclose(got, expected, rtol=1e-10, atol=1e-12)
    got = scan(lambda x, h, u, w, b: np.tanh(x @ u + w.T @ h + b), x, np.zeros(40), [u, w.T.copy(), b])
    expected_t, h = [], np.zeros(40)
    for row in x:
        h = np.tanh(row @ u + w @ h + b)
        expected_t.append(h)
    np.testing.assert_allclose(got, expected_t, rtol=1e-10, atol=1e-12)


def test_kalman_filter(scan):
    r = np.random.default_rng(4)
    f = np.eye(4) + 0.1 * np.eye(4, k=2)
    h, q, noise = np.eye(2, 4), np.eye(4) * 0.1, np.eye(2)
    z = r.normal(size=(30, 2))

    def step(z, m, p, f, h, q, noise):
        m = f @ m
        p = f @ p @ f.T + q
        s = h @ p @ h.T + noise
        k = p @ h.T @ np.linalg.inv(s)
        v = z - h @ m
        return m + k @ v, p - k @ h @ p, -0.5 * (v @ np.linalg.solve(s, v) + np.log(np.linalg.det(s)))

    got = scan(step, z, [np.zeros(4), np.eye(4), None], [f, h, q, noise])
    m, p = np.zeros(4), np.eye(4)
    for t, row in enumerate(z):
        m, p, ll = step(row, m, p, f, h, q, noise)
        for have, want in zip((got[0][t], got[1][t], got[2][t]), (m, p, ll), strict=True):
            np.testing.assert_allclose(have, want, rtol=1e-9, atol=1e-12)


def test_outputs_in_a_dict(scan):
    got = scan(lambda x, s: {"sum": s + x, "square": x * x}, np.arange(4.0), [0.0, None])
    np.testing.assert_array_equal(got["sum"], [0, 1, 3, 6])
    np.testing.assert_array_equal(got["square"], [0, 1, 4, 9])


def test_until_with_several_outputs_and_reads_of_them():
    def step(x, y):
        return (y + x, -x), sc.until(y > 3)

    for mode in ("compiled", "interpret"):
        ys, zs = sc.scan(step, np.arange(9.0), [0.0, None], mode=mode)
        np.testing.assert_array_equal(ys, [0, 1, 3, 6, 10])
        np.testing.assert_array_equal(zs, [0, -1, -2, -3, -4])

    @sc.jit
    def f(xs):
        ys, zs = sc.scan(step, xs, [0.0, None])
        return ys, zs, (ys + zs).sum(), zs[-2:], ys.shape[0]

    for mode in ("compiled", "interpret"):
        found = f(np.arange(9.0), mode=mode)
        np.testing.assert_array_equal(found[2], 10)
        np.testing.assert_array_equal(found[3], [-3, -4])
        assert found[4] == 5 and len(found[0]) == len(found[1]) == 5
