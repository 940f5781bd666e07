"""Python's numbers as arguments take the dtype of the arrays that they meet, as in NumPy."""

import operator

import numpy as np
import pytest

import scancc as sc

DTYPES = ("bool", "int8", "uint8", "int32", "int64", "float32", "float64", "complex64", "complex128")
OPERATORS = (operator.add, operator.mul, operator.truediv, operator.pow, operator.lt, operator.eq)


@pytest.mark.parametrize("number", [2, 2.5, 1.5 - 1j, True], ids=lambda n: type(n).__name__)
@pytest.mark.parametrize("dtype", DTYPES)
def test_operators_promote_as_numpy_does(dtype, number):
    x = np.array([1, 0, 1], dtype)

    def f(x, c):
        results = []
        for op in OPERATORS:
            if op is operator.pow and dtype == "bool":
                continue  # NumPy squares truth values as int8
            for pair in ((x, c), (c, x)):
                try:
                    results.append(op(*pair))
                except TypeError:
                    continue
        return results

    with np.errstate(all="ignore"):
        try:
            expected = f(x, number)
        except ValueError:
            pytest.skip("integers to negative powers")
    for found, right in zip(sc.jit(f)(x, number), expected, strict=True):
        assert found.dtype == (np.float32 if right.dtype == np.float16 else right.dtype)
        np.testing.assert_allclose(found, right, rtol=2e-3 if right.dtype == np.float16 else 1e-5)


def test_numbers_in_other_functions_and_calls_one_after_the_other():
    x = np.ones(3, "f4")
    f = sc.jit(lambda x, c: x * c)
    for _ in range(3):
        assert f(x, 0.5).dtype == "f4" and f(x, np.float64(0.5)).dtype == "f8" and f(x, 2).dtype == "f4"
    assert f(0.5, 2).dtype == "f8" and f(3, 2).dtype == "i8"
    assert sc.jit(lambda x, c: x * (2 * c + 1))(x, 2).dtype == "f4"
    assert sc.vmap(lambda x, c: x * c, in_axes=(0, None))(x, 0.5).dtype == "f4"
    assert sc.grad(lambda x, c: (x * c).sum())(x, 0.5).dtype == "f4"
    assert sc.value_and_grad(lambda c, x: (x * c).sum())(0.5, x)[0].dtype == "f4"


def test_integers_that_do_not_fit():
    f = sc.jit(lambda x, c: x + c)
    x = np.ones(2, "u1")
    assert f(x, 3).dtype == "u1" and f(x, 200).tolist() == [201, 201]
    for _ in range(2):
        with pytest.raises(OverflowError):
            f(x, 300)
        with pytest.raises(OverflowError):
            f(x, -1)
    assert sc.jit(lambda x, c: x < c)(x, 300).all()
