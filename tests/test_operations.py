"""Every element-wise op, reduction and product: the compiled kernel against the reference interpreter and NumPy."""

import numpy as np
import pytest
import scipy.special

import scancc as sc
from scancc.interpreter import EVALUATE
from scancc.ir.ops import OPS
from scancc.passes.lower.table import LOWER

R = np.random.default_rng(0)
POSITIVE = R.uniform(0.1, 0.9, (6, 3))
REAL = R.normal(size=(6, 3)) * 3
UNARY = (
    "negative sign floor ceil rint trunc absolute sqrt cbrt exp exp2 expm1 log log2 log10 log1p sin cos tan arcsin "
    "arccos "
    "arctan sinh cosh tanh arcsinh arctanh isnan isinf isfinite logical_not square reciprocal radians degrees"
).split()
BINARY = (
    "add subtract multiply divide minimum maximum copysign fmod power arctan2 hypot logaddexp less less_equal greater "
    "greater_equal equal not_equal"
).split()


def check(fn, *sequences, **tolerance):
    compiled = sc.scan(fn, list(sequences))
    interpreted = sc.scan(fn, list(sequences), mode="interpret")
    want = np.array([fn(*row) for row in zip(*sequences, strict=True)])
    for got in (compiled, interpreted):
        assert got.dtype == want.dtype
        np.testing.assert_allclose(got, want, **({"rtol": 1e-12, "atol": 1e-15} | tolerance))


@pytest.mark.parametrize("name", UNARY)
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_unary(name, dtype):
    ufunc = getattr(np, name)
    check(lambda x: ufunc(x), POSITIVE.astype(dtype), rtol=1e-6 if dtype == "f4" else 1e-12)


@pytest.mark.parametrize("name", ["erf", "erfc", "gammaln", "expit"])
def test_special(name):
    ufunc = getattr(scipy.special, name)
    check(lambda x: ufunc(x), REAL)


@pytest.mark.parametrize("name", BINARY)
@pytest.mark.parametrize("width", [3, 40])
def test_binary(name, width):
    ufunc = getattr(np, name)
    a, b = R.uniform(0.1, 2, (2, 5, width))
    check(lambda x, y: ufunc(x, y), a, b)


@pytest.mark.parametrize("name", ["bitwise_and", "bitwise_or", "bitwise_xor", "add", "multiply", "subtract"])
@pytest.mark.parametrize("dtype", ["i1", "i4", "i8", "u1", "u8"])
def test_integers(name, dtype):
    a, b = R.integers(0, 100, (2, 5, 3)).astype(dtype)
    ufunc = getattr(np, name)
    check(lambda x, y: ufunc(x, y), a, b)


@pytest.mark.parametrize("name", ["reciprocal", "rint", "fabs", "square", "float_power", "logaddexp2"])
@pytest.mark.parametrize("dtype", ["i4", "i8", "f4"])
def test_dtypes_and_signs_of_numpy(name, dtype):
    """Reciprocals of integers round towards zero; of the others the dtype is that of NumPy's loop."""
    ufunc = getattr(np, name)
    x = np.array([-2, -1, 1, 2, 5], dtype)
    operands = (x,) if ufunc.nin == 1 else (np.abs(x), x) if dtype == "f4" else (np.abs(x), np.abs(x))
    check(lambda *v: ufunc(*v), *operands, rtol=1e-6 if dtype == "f4" else 1e-12)


def test_nan_to_num_of_complex_numbers():
    z = np.array([complex(np.nan, 1), complex(-np.inf, np.nan), complex(2, np.inf), complex(1, -2)])
    check(lambda v: np.nan_to_num(v), z)
    check(lambda v: np.nan_to_num(v, nan=3.0, posinf=1.0), z)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 0.0, -0.0, 1e308, 5e-324])
@pytest.mark.parametrize("name", ["minimum", "maximum", "exp", "tanh", "sqrt", "isnan", "sign", "absolute"])
def test_special_values(name, value):
    ufunc = getattr(np, name)
    x = np.array([value, 1.0])
    with np.errstate(all="ignore"):
        if ufunc.nin == 2:
            check(lambda a, b: ufunc(a, b), x, x[::-1].copy())
        else:
            check(lambda a: ufunc(a), x)


@pytest.mark.parametrize("name", ["sum", "prod", "mean", "var", "std", "min", "max", "any", "all"])
@pytest.mark.parametrize("axis", [None, 0, 1, -1, (0, 1)])
@pytest.mark.parametrize("shape", [(2, 3), (5, 7)])
def test_reductions(name, axis, shape):
    function = getattr(np, name)
    check(lambda x: function(x, axis=axis), R.uniform(0.5, 1.5, (4, *shape)))


@pytest.mark.parametrize(
    ("a", "b"),
    [((3,), (3,)), ((3,), (3, 4)), ((4, 3), (3,)), ((2, 3), (3, 4)), ((40,), (40,)), ((40,), (40, 30)),
     ((30, 40), (40,)),
     ((20, 30), (30, 40)), ((3,), (3, 50)), ((50, 3), (3,)), ((50, 3), (3, 2)), ((1, 40), (40, 1))],
)  # fmt: skip
@pytest.mark.parametrize("dtype", ["f8", "i8", "f4"])
def test_matmul(a, b, dtype):
    x, y = ((R.normal(size=(4, *s)) * 5).astype(dtype) for s in (a, b))
    check(lambda x, y: x @ y, x, y, rtol=1e-4 if dtype == "f4" else 1e-10, atol=1e-4 if dtype == "f4" else 1e-10)


def test_transposed_operands():
    x, y = R.normal(size=(3, 20, 30)), R.normal(size=(3, 40, 30))
    check(lambda x, y: x @ y.T, x, y, atol=1e-12)
    check(lambda x, y: (y @ x.T).T, x, y, atol=1e-12)
    check(lambda x, y: y[0] @ x.T, x, y, atol=1e-12)
    check(lambda x, y: x @ y[0], x, y, atol=1e-12)


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_linear_algebra(n):
    a = R.normal(size=(5, n, n)) + n * np.eye(n)
    b = R.normal(size=(5, n))
    check(lambda a, b: np.linalg.solve(a, b), a, b, rtol=1e-9, atol=1e-12)
    check(lambda a: np.linalg.inv(a), a, rtol=1e-9, atol=1e-12)
    check(lambda a: np.linalg.det(a), a, rtol=1e-9)
    check(lambda a: np.linalg.cholesky(a @ a.T), a, rtol=1e-9, atol=1e-12)
    check(lambda a: np.linalg.slogdet(a)[1], a, rtol=1e-9, atol=1e-12)
    check(lambda a: np.linalg.slogdet(a)[0], a)


@pytest.mark.parametrize("width", [4, 40])
def test_shapes_and_indices(width):
    x = R.normal(size=(5, width, 3))
    i = R.integers(-width, width, 5)
    for fn in (
        lambda x: x.T, lambda x: x[1], lambda x: x[:, 1], lambda x: x[::-1, ::2], lambda x: x[None, ..., -1],
        lambda x: x.reshape(3, -1), lambda x: x.ravel(), lambda x: np.concatenate([x, x * 2], axis=1),
        lambda x: np.stack([x, -x]), lambda x: np.where(x > 0, x, 0.0), lambda x: np.clip(x, -0.5, 0.5),
        lambda x: np.outer(x[0], x[1]), lambda x: np.expand_dims(x, 0), lambda x: x + np.zeros_like(x[0]),
    ):  # fmt: skip
        check(fn, x)
    check(lambda x, i: x[i], x, i)
    check(lambda x, i: x[i, 1], x, i)


def test_an_index_outside_its_axis_is_an_error():
    x, i = np.arange(5.0), np.array([0, 7])
    with pytest.raises(IndexError, match="out of bounds"):
        sc.scan(lambda i, x: x[i], i, None, x)


def test_every_op_is_interpreted_and_lowered():
    leaves = {"input", "const", "tap", "read", "step", "iota", "scan", "cond", "custom", "get", "check", "print"}
    assert set(OPS) == set(EVALUATE) | leaves
    assert set(OPS) == set(LOWER) | {"input", "tap", "read"}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("n", range(1, 17))
def test_sums_of_short_rows_are_numpys_to_the_bit(n, dtype):
    """Eight partial sums from eight elements on, put together by pairs, as NumPy adds what lies side by side."""
    rng = np.random.default_rng(n)
    x = (rng.normal(size=(50, n)) * 10.0 ** rng.integers(-3, 3, size=(50, n))).astype(dtype)
    f = sc.jit(lambda x: sc.scan(lambda x: (x * 1).sum(), x), strict_fp=True)
    np.testing.assert_array_equal(f(x), [row.sum() for row in x])
