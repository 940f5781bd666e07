"""Names in the user's code that mean something else in the generated kernel."""

from __future__ import annotations

import numpy as np
import pytest
from plain import NAMESPACE

import scancc as sc
from scancc.passes.lower.context import RESERVED

X = np.arange(5.0)


@pytest.mark.parametrize("name", ["np", "math", "range", "scalar", "float", "abs", "t", "v", "products", "kernel", "i"])
@pytest.mark.parametrize("role", ["sequence", "carry", "nonseq"])
def test_parameters(name, role):
    names = ["x", "y", "w"]
    names[["sequence", "carry", "nonseq"].index(role)] = name
    step = eval(f"lambda {', '.join(names)}: {names[0]} * {names[2]} + abs({names[1]})" if name != "abs" else
                f"lambda {', '.join(names)}: {names[0]} * {names[2]} + {names[1]}")  # fmt: skip
    want, y = [], 1.0
    for x in X:
        y = x * 0.5 + y
        want.append(y)
    np.testing.assert_allclose(sc.scan(step, X, 1.0, 0.5), want)


@pytest.mark.parametrize("name", ["math", "np", "range", "products", "t"])
def test_step_functions(name):
    scope: dict = {"numpy": np}
    exec(f"def {name}(x, y):\n    return numpy.tan(x) + y", scope)
    np.testing.assert_allclose(sc.scan(scope[name], X, 0.0), np.cumsum(np.tan(X)))


def test_constants_do_not_hide_variables():
    step = eval("lambda c0_float64, s: sc.where(s > float('inf'), s, c0_float64)", {"sc": sc})
    np.testing.assert_array_equal(sc.scan(step, X, 1.0), X)


def test_what_kernels_know_of_is_reserved():
    assert NAMESPACE.keys() <= RESERVED


def test_names_of_the_library():
    """Sums of rows and small inverses call modules of these names."""
    a = np.array([[2.0, 0.5], [0.25, 1.0]])
    np.testing.assert_allclose(sc.jit(lambda sums: (sums * 2).sum())(np.ones(1000)), 2000)
    np.testing.assert_allclose(sc.jit(lambda matrices: sc.scan(lambda m: np.linalg.inv(m), matrices))(a[None])[0],
                               np.linalg.inv(a))  # fmt: skip
