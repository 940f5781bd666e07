"""Forward mode equals reverse mode, and both equal finite differences where those exist, at values where ops have
infinite derivatives, none, or several: zeros, infinities, NaN, ties, singular matrices, negative bases."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import scancc as sc

INF, NAN = np.inf, np.nan
SPECIAL = np.array([0.0, -0.0, 1.0, -1.0, 0.5, -2.5, 3.0, INF, -INF, NAN])
pytestmark = pytest.mark.filterwarnings("ignore")

ONE: dict[str, Callable[[Any], Any]] = {
    **{name: getattr(np, name) for name in "sqrt cbrt exp exp2 expm1 log log2 log10 log1p sin cos tan arcsin arccos "
       "arctan sinh cosh tanh arcsinh arccosh arctanh abs sign floor ceil rint trunc negative square "
       "reciprocal".split()},
    **{name: getattr(sc, name) for name in ("erf", "erfc", "expit", "gammaln") if hasattr(sc, name)},
    "x ** 0": lambda x: x**0.0,
    "x ** 1": lambda x: x**1.0,
    "x ** 2": lambda x: x**2,
    "x ** 3": lambda x: x**3.0,
    "x ** -1": lambda x: x**-1.0,
    "x ** 0.5": lambda x: x**0.5,
    "2 ** x": lambda x: 2.0**x,
    "x * x": lambda x: x * x,
    "sqrt(x * x)": lambda x: np.sqrt(x * x),
    "sqrt(x ** 2)": lambda x: np.sqrt(x**2),
    "sqrt(abs(x))": lambda x: np.sqrt(np.abs(x)),
    "sqrt(maximum(x, 0))": lambda x: np.sqrt(np.maximum(x, 0.0)),
    "sqrt(clip(x))": lambda x: np.sqrt(np.clip(x, 0.0, 2.0)),
    "log(maximum(x, 1))": lambda x: np.log(np.maximum(x, 1.0)),
    "maximum(log(x), 0)": lambda x: np.maximum(np.log(x), 0.0),
    "where log": lambda x: np.where(x > 0, x * np.log(x), 0.0),
    "where sqrt": lambda x: np.where(x > 0, np.sqrt(x), 0.0),
    "where square": lambda x: np.where(np.isfinite(x), (x - 0.7) ** 2, 0.0),
    "where product": lambda x: np.where(np.isfinite(x), x * x * x, 1.0),
    "where quotient": lambda x: np.where(x != 0, 1.0 / x, 0.0),
    "where sine": lambda x: np.where(np.isfinite(x), np.sin(x) * np.cos(x), 0.0),
    "where power": lambda x: np.where(x > 0, x**0.3, 0.0),
    "fmax": lambda x: np.fmax(x, 0.2),
    "fmin": lambda x: np.fmin(0.2, x),
    "1 / (1 + exp(-800 x))": lambda x: 1.0 / (1.0 + np.exp(-800.0 * x)),
    "tanh(exp(800 x))": lambda x: np.tanh(np.exp(800.0 * x)),
    "exp(-1 / x ** 2)": lambda x: np.exp(-1.0 / (x * x)),
    "where nan": lambda x: np.where(np.isnan(x), 0.0, (x - 0.3) ** 2),
}  # fmt: skip

TWO: dict[str, Callable[[Any, Any], Any]] = {
    **{name: getattr(np, name) for name in "add subtract multiply divide power maximum minimum fmax fmin arctan2 hypot "
       "logaddexp fmod remainder floor_divide copysign".split()},
    "sqrt(x y)": lambda x, y: np.sqrt(x * y),
    "x sqrt(y)": lambda x, y: x * np.sqrt(y),
    "x log(y)": lambda x, y: x * np.log(y),
    "sqrt(x x + y y)": lambda x, y: np.sqrt(x * x + y * y),
    "sqrt(maximum(x, y))": lambda x, y: np.sqrt(np.maximum(x, y)),
    "where(x > 0, y, 0)": lambda x, y: np.where(x > 0, y * np.log(x), 0.0),
    "where(isnan(x), 0, (x - y) ** 2)": lambda x, y: np.where(np.isnan(x), 0.0, (x - y) ** 2),
}  # fmt: skip


def reverse(f: Callable, *args: np.ndarray) -> list[np.ndarray]:
    numbers = tuple(range(len(args)))
    return [np.asarray(g) for g in sc.grad(lambda *a: f(*a).sum(), numbers)(*args)]


def forward(f: Callable, *args: np.ndarray) -> list[np.ndarray]:
    def one(k: int) -> np.ndarray:
        ts = tuple(np.ones_like(a) if j == k else np.zeros_like(a) for j, a in enumerate(args))
        return np.asarray(sc.jvp(f, args, ts)[1])

    return [one(k) for k in range(len(args))]


def numeric(f: Callable, k: int, *args: np.ndarray) -> np.ndarray:
    """Central differences of what NumPy computes, where two steps and both sides agree; elsewhere NaN."""
    run = sc.jit(f)

    def moved(h: float) -> np.ndarray:
        return np.asarray(run(*(a + h if j == k else a for j, a in enumerate(args))))

    here = moved(0.0)
    sides = np.array([(moved(s * h) - here) / (s * h) for h in (1e-5, 1e-6) for s in (1, -1)])
    spread = sides.max(axis=0) - sides.min(axis=0)
    return np.where(spread < 1e-3 * (1 + np.abs(sides).max(axis=0)), sides.mean(axis=0), NAN)


def agree(f: Callable, *args: np.ndarray, everywhere: bool, besides: Callable | None = None) -> None:
    """`everywhere` asks for equal derivatives in both modes even where the value is infinite or NaN."""
    back, ahead = reverse(f, *args), forward(f, *args)
    compared = np.ones(args[0].shape, bool) if everywhere else np.isfinite(np.asarray(sc.jit(f)(*args)))
    for k, (r, t) in enumerate(zip(back, ahead, strict=True)):
        same = np.isclose(r, t, equal_nan=True, rtol=1e-5) | ~compared
        assert same.all(), [(k, *row) for row in zip(*(a[~same] for a in (*args, r, t)), strict=True)]
        if args[0].dtype == np.float64:
            d = numeric(f, k, *args)
            right = np.isclose(r, d, rtol=1e-4, atol=1e-4) | ~np.isfinite(d)
            if besides is not None:
                right |= besides(*args)
            assert right.all(), [(k, *row) for row in zip(*(a[~right] for a in (*args, r, d)), strict=True)]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", ONE)
def test_functions_of_one_number(name: str, dtype: str) -> None:
    agree(ONE[name], SPECIAL.astype(dtype), everywhere=hasattr(np, name) or hasattr(sc, name))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", TWO)
def test_functions_of_two_numbers(name: str, dtype: str) -> None:
    x, y = (a.ravel().astype(dtype) for a in np.meshgrid(SPECIAL, SPECIAL))
    # A negative number to the power of an infinity is said to be what that of its size is.
    besides = (lambda x, y: (x < 0) & np.isinf(y)) if name == "power" else None
    agree(TWO[name], x, y, everywhere=hasattr(np, name), besides=besides)


# Functions of an array: reductions, products, linear algebra.
ARRAYS: dict[str, tuple[Callable[[Any], Any], list]] = {
    "norm": (lambda x: np.linalg.norm(x), [[0.0, 0.0], [3.0, 4.0]]),
    "sqrt of a dot product": (lambda x: np.sqrt(x @ x), [[0.0, 0.0]]),
    "sqrt of einsum": (lambda x: np.sqrt(np.einsum("i,i->", x, x)), [[0.0, 0.0]]),
    "sqrt of a sum": (lambda x: np.sqrt((x**2).sum()), [[0.0, 0.0]]),
    "logsumexp": (lambda x: sc.logsumexp(x), [[INF, 0.0], [-INF, 0.0], [0.0, 0.0], [1000.0, -1000.0]]),
    "max": (lambda x: x.max(), [[1.0, 1.0, 0.0], [INF, 0.0, 1.0]]),
    "min": (lambda x: x.min(), [[1.0, 1.0, 3.0], [-INF, 0.0, 1.0]]),
    "sqrt of max": (lambda x: np.sqrt(x.max()), [[0.0, -1.0, -2.0]]),
    "max of log": (lambda x: np.log(x).max(), [[0.0, 2.0]]),
    "prod": (lambda x: x.prod(), [[0.0, 2.0, 3.0], [0.0, 0.0, 3.0]]),
    "sqrt of prod": (lambda x: np.sqrt(x.prod()), [[0.0, 0.0, 1.0]]),
    "cumprod": (lambda x: np.where(np.isnan(x), 0.0, np.cumprod(x)).sum(), [[2.0, 0.0, NAN]]),
    "nansum": (lambda x: np.nansum((x - 0.5) ** 2), [[1.0, NAN, 2.0]]),
    "nanmean": (lambda x: np.where(np.isnan(x), 0.0, x * x).mean(), [[1.0, NAN, 2.0]]),
    "std": (lambda x: x.std(), [[1.0, 2.0, 4.0]]),
    "clip": (lambda x: np.sqrt(np.clip(x, 0.0, None)).sum(), [[-1.0, 4.0, -INF]]),
    "softmax": (lambda x: (sc.softmax(x) * np.arange(2.0)).sum(), [[1000.0, -1000.0], [0.0, 0.0]]),
    "masked rows": (lambda x: np.where(np.isnan(x[:2] @ x[2:4]), 0.0, x[:2] @ x[2:4]), [[1.0, NAN, 2.0, 3.0]]),
    "det": (lambda x: np.linalg.det(x), [[[1.0, 2.0], [2.0, 4.0]], np.zeros((3, 3)), np.ones((2, 2)),
                                         [[1.0, 2.0, 3.0], [2.0, 4.0, 6.0], [1.0, 0.0, 1.0]],
                                         np.arange(25.0).reshape(5, 5) % 7 * np.array([1.0, 0, 1, 1, 1]),
                                         np.diag([1.0, 2.0, 0.0, 3.0, 4.0, 5.0])]),
    "cholesky": (lambda x: (np.linalg.cholesky(x) * np.arange(4.0).reshape(2, 2).T).sum(),
                 [[[2.0, 0.0], [0.5, 1.0]], [[2.0, 0.5], [0.5, 1.0]], [[2.0, NAN], [0.5, 1.0]]]),
}  # fmt: skip


def elementwise_differences(f: Callable, x: np.ndarray) -> np.ndarray:
    """NaN where the two sides differ, as at a tie."""
    found = np.full(x.shape, NAN)
    here = float(f(x))
    for i in np.ndindex(x.shape):
        step = np.zeros_like(x)
        step[i] = 1e-6
        up, down = (float(f(x + step)) - here) / 1e-6, (here - float(f(x - step))) / 1e-6
        if abs(up - down) < 1e-3 * (1 + abs(up)):
            found[i] = (up + down) / 2
    return found


@pytest.mark.parametrize("name", ARRAYS)
def test_functions_of_an_array(name: str) -> None:
    f, values = ARRAYS[name]
    run, gradient, ahead = sc.jit(f), sc.grad(f), sc.jacfwd(f)
    for x in map(np.array, values):
        x = x.astype("float64")
        g = gradient(x)
        assert np.allclose(g, ahead(x), equal_nan=True, atol=1e-12), (x, g, ahead(x))
        d = elementwise_differences(run, x)
        right = np.isclose(g, d, rtol=1e-4, atol=1e-4) | ~np.isfinite(d)
        assert right.all(), (x, g, d)


def test_infinite_elements_of_logsumexp_take_all() -> None:
    assert np.array_equal(sc.grad(lambda x: sc.logsumexp(x))(np.array([INF, 0.0])), [1.0, 0.0])


def test_an_inverse_that_was_not_chosen() -> None:
    f = sc.grad(lambda x: np.where(np.abs(np.linalg.det(x)) > 0, np.linalg.inv(x).sum(), 0.0))
    assert np.array_equal(f(np.array([[1.0, 2.0], [2.0, 4.0]])), np.zeros((2, 2)))


def test_complex_cholesky() -> None:
    rng = np.random.default_rng(0)
    b, w, t = (rng.normal(size=(3, 3)) + 1j * rng.normal(size=(3, 3)) for _ in range(3))
    h = b @ b.conj().T + np.eye(3)

    def f(a: Any) -> Any:
        return (np.linalg.cholesky(a) * w).real.sum()

    g = sc.grad(f)(h)
    d = (f(h + 1e-6 * t) - f(h - 1e-6 * t)) / 2e-6
    assert np.allclose((g * t).sum().real, d, rtol=1e-6)
    assert np.allclose(sc.jvp(f, (h,), (t,))[1], d, rtol=1e-6)


def test_second_derivatives() -> None:
    assert sc.grad(sc.grad(lambda x: x**1.0))(0.0) == 0.0
    assert sc.grad(sc.grad(lambda x: x**2.0))(0.0) == 2.0
    h = sc.hessian(lambda x: x[0] * np.sqrt(x[1]))(np.array([0.0, 1.0]))
    assert np.allclose(h, [[0.0, 0.5], [0.5, 0.0]])
    h = sc.hessian(lambda x: np.linalg.det(x.reshape(2, 2)))(np.array([1.0, 2.0, 2.0, 4.0]))
    assert np.allclose(h, np.fliplr(np.diag([1.0, -1.0, -1.0, 1.0])))


# What is chosen within a step, and what is chosen of what a scan made.
STEPS: dict[str, Callable[[Any, Any], Any]] = {
    "missing observations": lambda a, x: sc.scan(lambda x, s, a: s + np.where(np.isnan(x), 0.0, (x - a) ** 2), x, 0.0,
                                                 [a])[-1],
    "missing, as a state": lambda a, x: sc.scan(lambda x, s, a: np.where(np.isnan(x), s, a * s + x * a), x, 0.0,
                                                [a])[-1],
    "chosen afterwards": lambda a, x: np.where(np.isnan(x), 0.0, sc.scan(lambda x, a: a * a * x, x, None, [a])).sum(),
    "a product": lambda a, x: sc.scan(lambda x, s, a: s + np.where(np.isnan(x), 0.0,
                                                                   np.stack([x, 2 * x]) @ np.stack([a, a * a])), x, 0.0,
                                      [a])[-1],
    "a root": lambda a, x: sc.scan(lambda x, s, a: s + np.sqrt(np.maximum(np.where(np.isnan(x), -1.0, x) * a - 1, 0.0)),
                                   x, 0.0, [a])[-1],
    "some rows": lambda a, x: sc.scan(lambda x, a: a * x * x, x, None, [a])[2:].sum(),
}  # fmt: skip


@pytest.mark.parametrize("target", ["cpu", "cuda"])
@pytest.mark.parametrize("name", STEPS)
def test_steps(name: str, target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    f = STEPS[name]
    x = np.array([1.0, NAN, 2.0, 0.5])
    value = lambda a: float(sc.jit(f)(a, x))  # noqa: E731
    want = (value(0.7 + 1e-6) - value(0.7 - 1e-6)) / 2e-6
    if target == "cuda":
        monkeypatch.setenv("SCANCC_TARGET", "cuda")
    assert np.isclose(sc.grad(f)(0.7, x), want, rtol=1e-6)
    assert np.isclose(sc.jvp(lambda a: f(a, x), (0.7,), (1.0,))[1], want, rtol=1e-6)
