"""Parameters of draws out of their ranges, and draws at the borders of their dtypes."""

import numpy as np
import pytest

import scancc as sc
from scancc import random as r

KEY = r.key(3)
INTEGERS = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64")


@pytest.mark.parametrize(
    "fn, given",
    [
        (r.normal, {"scale": -1.0}),
        (r.normal, {"scale": np.array([1.0, -1.0])}),
        (r.exponential, {"scale": -1.0}),
        (r.gumbel, {"scale": -1.0}),
        (r.gamma, {"a": -1.0}),
        (r.gamma, {"a": 1.0, "scale": -1.0}),
        (r.beta, {"a": 0.0, "b": 1.0}),
        (r.beta, {"a": 1.0, "b": -1.0}),
        (r.bernoulli, {"p": 1.5}),
        (r.bernoulli, {"p": np.nan}),
        (r.poisson, {"mean": -1.0}),
        (r.poisson, {"mean": np.nan}),
        (r.poisson, {"mean": 1e19}),
        (r.poisson, {"mean": 1000.0, "dtype": "u1"}),
        (r.binomial, {"n": -1}),
        (r.binomial, {"n": 3, "p": -0.5}),
        (r.binomial, {"n": 300, "dtype": "i1"}),
        (r.choice, {"a": 2, "p": np.array([0.5, -0.5])}),
        (r.choice, {"a": 2, "p": np.array([np.nan, 0.5])}),
        (r.choice, {"a": 2, "p": np.zeros(2)}),
        (r.choice, {"a": 2, "p": np.array([1.0, 0.0]), "replace": False}),
        (r.integers, {"high": 0}),
    ],
)
def test_parameters_that_no_distribution_takes(fn, given):
    with pytest.raises(ValueError):
        fn(KEY, shape=(2,), **given)
    with pytest.raises(ValueError):
        sc.jit(lambda k: fn(k, shape=(2,), **given))(KEY)


@pytest.mark.parametrize("dtype", INTEGERS)
def test_integers_fill_their_dtype_and_no_more(dtype):
    info = np.iinfo(dtype)
    drawn = r.integers(KEY, (500,), low=info.min, high=info.max + 1, dtype=dtype)
    middle = (info.min + info.max) / 2
    assert drawn.dtype == dtype and 150 < np.sum(drawn > middle) < 350
    near = r.integers(KEY, (50,), low=info.max - 1, high=info.max + 1, dtype=dtype)
    assert set(near.tolist()) == {info.max - 1, info.max}
    for given in ({"high": info.max + 2}, {"low": info.min - 1, "high": 0}, {"low": [info.min - 1, 0], "high": 1}):
        if all(-(2**63) <= v < 2**64 for x in given.values() for v in np.atleast_1d(x).tolist()):
            with pytest.raises(ValueError, match="out of bounds"):
                r.integers(KEY, (2,), dtype=dtype, **{k: np.asarray(v) for k, v in given.items()})


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_uniform_over_the_whole_range_is_finite(dtype):
    most = np.finfo(dtype).max
    drawn = r.uniform(KEY, (200,), low=-most, high=most, dtype=dtype)
    assert np.isfinite(drawn).all() and 60 < np.sum(drawn > 0) < 140
    with pytest.raises(OverflowError):
        r.uniform(KEY, (2,), high=np.inf, dtype=dtype)


def test_counts_stay_at_the_largest_number_of_their_dtype():
    drawn = sc.jit(lambda k, m: r.poisson(k, (50,), mean=m, dtype="uint8"))(KEY, 300.0)
    assert set(drawn.tolist()) == {255}
