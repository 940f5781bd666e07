"""Linear algebra and products: unrolled in registers, run-time functions and BLAS against NumPy."""

from __future__ import annotations

import numpy as np
import pytest

import scancc as sc

R = np.random.default_rng(7)
DTYPES = ["f4", "f8", "c8", "c16"]


def matrices(n: int, dtype: str) -> np.ndarray:
    a = R.normal(size=(3, n, n)) + 2 * np.eye(n)
    if dtype[0] == "c":
        a = a + 1j * R.normal(size=a.shape)
    return a.astype(dtype)


def close(have, want, dtype):
    assert have.dtype == want.dtype
    np.testing.assert_allclose(have, want, rtol=2e-3 if dtype in ("f4", "c8") else 1e-9,
                               atol=1e-4 if dtype in ("f4", "c8") else 1e-11)  # fmt: skip


SMALL = [(n, dtype) for n in (1, 2) for dtype in DTYPES]


@pytest.mark.parametrize(("n", "dtype"), [*SMALL, (4, "f8"), (4, "c8"), (7, "f4"), (7, "c16")])
def test_against_numpy(n, dtype):
    a, b, m = matrices(n, dtype), matrices(n, dtype)[:, 0], matrices(n, dtype)[:, :, : max(1, n // 2)]

    def step(a, b, m):
        positive = a @ np.conj(a).T
        return (
            np.linalg.solve(a, b), np.linalg.solve(a, m), np.linalg.inv(a), np.linalg.det(a),
            *np.linalg.slogdet(a), np.linalg.cholesky(positive),
        )  # fmt: skip

    have = sc.scan(step, [a, b, m])
    for got, want in zip(have, zip(*map(step, a, b, m), strict=True), strict=True):
        close(got, np.array(want), dtype)


@pytest.mark.parametrize("n", [1, 2, 4, 6])
def test_singular_matrices(n):
    """A loop does not stop in the middle: NaN for what does not exist, as the interpreter defines it."""
    a = np.zeros((2, n, n))
    a[1] = np.ones((n, n))
    b = np.ones((2, n))

    def step(a, b):
        return (
            np.linalg.solve(a, b), np.linalg.inv(a), np.linalg.det(a), np.linalg.slogdet(a)[0],
            np.linalg.slogdet(a)[1], np.linalg.cholesky(-a),
        )  # fmt: skip

    compiled, interpreted = (sc.scan(step, [a, b], mode=m) for m in ("compiled", "interpret"))
    for got, want in zip(compiled, interpreted, strict=True):
        if n == 1:  # [[1]] is not singular
            got, want = got[:1], want[:1]
        np.testing.assert_array_equal(np.isnan(got), np.isnan(want))
        np.testing.assert_array_equal(got[~np.isnan(want)], want[~np.isnan(want)])


def test_nothing_is_changed():
    a, b = matrices(6, "f8"), R.normal(size=(3, 6))
    before = a.copy(), b.copy()
    sc.scan(lambda a, b: np.linalg.solve(a, b), [a, b])
    np.testing.assert_array_equal(a, before[0])
    np.testing.assert_array_equal(b, before[1])


@pytest.mark.parametrize("dtype", ["f4", "f8", "c16", "i4", "?"])
@pytest.mark.parametrize("shapes", [((3,), (3,)), ((2, 3), (3, 2)), ((40,), (40, 30)),
                                    ((60, 50), (50, 70)), ((5, 200), (200, 3)),
                                    ((0,), (0,)), ((2, 0), (0, 3)), ((0, 2), (2, 3)), ((2,), (2, 0))])  # fmt: skip
def test_products(shapes, dtype):
    x, y = (R.normal(size=(3, *s)) for s in shapes)
    if dtype[0] == "c":
        x = x + 1j * R.normal(size=x.shape)
    x, y = ((v * 3).astype(dtype) for v in (x, y))
    have = sc.scan(lambda x, y: x @ y, [x, y])
    want = np.array([a @ b for a, b in zip(x, y, strict=True)])
    assert have.dtype == want.dtype
    tolerance = {"f4": 1e-3, "c8": 1e-3}.get(dtype, 1e-10)
    np.testing.assert_allclose(have, want, rtol=tolerance, atol=tolerance)


def test_transposed_operands_of_blas():
    a, b = R.normal(size=(2, 60, 50)), R.normal(size=(2, 70, 50))
    have = sc.scan(lambda a, b: ((a @ b.T), (b @ a.T).T, a.T @ (a @ b.T)), [a, b])
    np.testing.assert_allclose(have[0], a @ b.swapaxes(1, 2), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(have[1], a @ b.swapaxes(1, 2), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(have[2], a.swapaxes(1, 2) @ a @ b.swapaxes(1, 2), rtol=1e-11, atol=1e-10)


@pytest.mark.parametrize("function", [
    np.linalg.inv, np.linalg.det, np.linalg.cholesky, lambda a: np.linalg.slogdet(a)[0],
    lambda a: np.linalg.slogdet(a)[1], lambda a: np.linalg.solve(a, a[0] if len(a) else np.zeros(0)),
    lambda a: np.linalg.solve(a, np.zeros((0, 3))),
])  # fmt: skip
@pytest.mark.parametrize("dtype", ["f4", "c16"])
def test_matrices_without_elements(function, dtype):
    a = np.zeros((3, 0, 0), dtype)
    have, want = sc.scan(function, a), np.array([function(x) for x in a])
    assert have.dtype == want.dtype
    np.testing.assert_array_equal(have, want)


@pytest.mark.parametrize("mode", ["interpret", "compiled"])
@pytest.mark.parametrize("n", [0, 2, 7])
@pytest.mark.parametrize("right", [(3,), (3, 2)])
def test_right_hand_sides_of_another_length(n, right, mode):
    with pytest.raises(sc.errors.ShapeError, match="as many rows as the matrix"):
        sc.scan(lambda a: np.linalg.solve(a, np.zeros(right)), np.zeros((2, n, n)), mode=mode)
