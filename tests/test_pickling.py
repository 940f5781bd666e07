"""Compiled functions pickle and copy as Python's functions do: by name, so that other processes can run them."""

from __future__ import annotations

import copy
import multiprocessing
import pickle
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import numpy as np
import pytest

import scancc as sc
from scancc.errors import ScanError

X = np.arange(4.0)


@sc.scan_compile
def total(x, y):
    return x + y


@sc.jit
def last(x):
    return total.fn(x[-1], x[0]) + sc.scan(lambda x, y: x * y, x, 1.0)[-1]


def step(x, y, a):
    return x + a * y


def whole(x, a):
    return sc.scan(step, x, 0.0, [a])


class Model:
    @sc.jit
    def loss(x):
        return sc.scan(lambda x, y: x + y, x, 0.0).sum()


strict = sc.scan_compile(step, strict_fp=True, name="strict", checkpoint=3)
unoptimised = sc.jit(whole, optimize=False, control_flow=False)
nameless = sc.jit(lambda x: x + 1)


@pytest.mark.parametrize("f", [total, last, Model.loss], ids=["scan", "jit", "of a class"])
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_what_a_module_has_is_itself(f, protocol):
    assert pickle.loads(pickle.dumps(f, protocol)) is f


def test_a_function_wrapped_under_another_name():
    f = pickle.loads(pickle.dumps(strict))
    assert (f.options, f.name, f.backward, f.control_flow) == (strict.options, "strict", strict.backward, True)
    np.testing.assert_array_equal(f(X, 0.0, [0.5]), strict(X, 0.0, [0.5]))
    g = pickle.loads(pickle.dumps(unoptimised))
    assert (g.options, g.name, g.control_flow) == (unoptimised.options, "whole", False)
    np.testing.assert_array_equal(g(X, 0.5), whole(X, 0.5))
    h = pickle.loads(pickle.dumps(sc.jit(partial(whole, a=0.5))))
    np.testing.assert_array_equal(h(X), whole(X, 0.5))


def test_other_processes():
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        np.testing.assert_allclose(pool.submit(total, X, 0.0).result(), np.cumsum(X))
        np.testing.assert_allclose(list(pool.map(unoptimised, [X, X], [0.5, 2.0]))[1], whole(X, 2.0))


def local():
    def inner(x):
        return x

    return inner


@pytest.mark.parametrize("f", [nameless, sc.jit(local()), sc.scan_compile(lambda x: x)])
def test_functions_without_a_name(f):
    with pytest.raises(TypeError, match="cannot be pickled") as e:
        pickle.dumps(f)
    assert isinstance(e.value, ScanError)
    assert "test_pickling.py" in str(e.value) and "top level of a module" in str(e.value)
    assert copy.copy(f) is f and copy.deepcopy([f]) == [f]  # as of Python's functions
