"""Python's numbers that a dtype does not hold: what NumPy computes with them, and errors that name the line."""

from __future__ import annotations

import numpy as np
import pytest

import scancc as sc
from scancc.errors import ScanError

BEYOND = {
    "add": lambda x: x + 300,
    "multiply from the left": lambda x: 2**70 * x,
    "where": lambda x: np.where(x > 1, x, 300),
    "minimum": lambda x: np.minimum(x, -129),
    "at": lambda x: x.at[0].set(300),
    "full_like": lambda x: np.full_like(x, 300),
    "initial": lambda x: np.sum(x, dtype="i1", initial=300),
    "clip": lambda x: np.clip(x, 300, 400),
    "result": lambda x: 2**70,
    "float": lambda x: x * 1.0 * 10**400,
}


@pytest.mark.parametrize("name", BEYOND)
def test_numbers_beyond_a_dtype(name):
    line = r"test_numbers_beyond_dtypes.py:\d+, in .*\n.*\n.*\^+\n  Python's numbers|integers have 64 bits"
    with pytest.raises(OverflowError, match=line) as e:
        sc.scan(BEYOND[name], np.ones((2, 3), "i1"))
    assert isinstance(e.value, ScanError)


@pytest.mark.parametrize("dtype", ["i1", "u1", "u8"])
@pytest.mark.parametrize("compare", [np.less, np.less_equal, np.greater, np.greater_equal, np.equal, np.not_equal])
def test_comparisons_with_numbers_beyond_a_dtype(compare, dtype):
    x = np.array([[0, 1, 127]], dtype)
    for number in (-(2**70), -129, -1, 300, 2**70):
        for f in (lambda x, n=number: compare(x, n), lambda x, n=number: compare(n, x)):
            have, want = sc.scan(f, x)[0], f(x[0])
            np.testing.assert_array_equal(have, want)
            assert have.dtype == want.dtype == bool
    np.testing.assert_array_equal(sc.scan(lambda x: np.clip(x, -(2**70), 2**70), x), x)


def test_numbers_are_constants_not_inputs():
    made = sc.jit(lambda x: np.full_like(x, 3) + np.ones_like(x) + (x < 2**40) + np.isnan(x)).lower(np.ones(5, "i4"))
    assert [n.attrs["name"] for n in made.traced.graph.inputs] == ["x"]


def test_integers_beyond_64_bits_are_no_objects():
    for call, what in (
        (lambda: sc.jit(lambda x: x + 1)(2**70), "argument 0 of function is 1180591620717411303424\n"),
        (lambda: sc.jit(lambda x: x + 1)([1, -(2**64)]), "has the element -18446744073709551616\n"),
        (lambda: sc.grad(lambda x: x * x)(2**200), "is an integer of 201 bits\n"),
        (lambda: sc.scan(lambda y, k: y * k, None, 1, [2**70], 3), r"non_sequences\[0\] is 1180591620717411303424\n"),
    ):
        with pytest.raises(OverflowError, match=f"{what}.* 64 bits"):
            call()
    assert sc.jit(lambda x: x + 1)(2**63) == 2**63 + 1
