"""Distributions: a million draws each against SciPy's, and the compiled samplers against their definition in NumPy."""

import numpy as np
import pytest
import scipy.stats as st

import scancc as sc

N = 1_000_000
KEY = sc.random.key(20110215)
UNLIKELY = 1e-4  # the keys are fixed: a test that passes once passes always

CONTINUOUS = {
    "uniform": (lambda k, s: sc.random.uniform(k, s, low=-2.0, high=5.0), st.uniform(-2, 7)),
    "normal": (lambda k, s: sc.random.normal(k, s), st.norm),
    "normal of NumPy's generator": (lambda k, s: sc.random.normal(k, s, generator="philox4x64"), st.norm),
    "normal of Threefry": (
        lambda k, s: sc.random.normal(k, s, loc=1.0, scale=3.0, generator="threefry4x32"), st.norm(1, 3)),
    "exponential": (lambda k, s: sc.random.exponential(k, s, scale=2.0), st.expon(scale=2)),
    "gumbel": (lambda k, s: sc.random.gumbel(k, s), st.gumbel_r),
    "gamma below 1": (lambda k, s: sc.random.gamma(k, s, a=0.3), st.gamma(0.3)),
    "gamma": (lambda k, s: sc.random.gamma(k, s, a=4.5, scale=2.0), st.gamma(4.5, scale=2)),
    "beta": (lambda k, s: sc.random.beta(k, s, a=2.0, b=3.5), st.beta(2, 3.5)),
    "beta at the ends": (lambda k, s: sc.random.beta(k, s, a=0.5, b=0.5), st.beta(0.5, 0.5)),
}  # fmt: skip

DISCRETE = {
    "integers": (lambda k, s: sc.random.integers(k, s, low=-3, high=8), st.randint(-3, 8)),
    "bernoulli": (lambda k, s: sc.random.bernoulli(k, s, p=0.3), st.bernoulli(0.3)),
    "poisson": (lambda k, s: sc.random.poisson(k, s, mean=3.0), st.poisson(3)),
    "poisson by rejection": (lambda k, s: sc.random.poisson(k, s, mean=57.5), st.poisson(57.5)),
    "binomial": (lambda k, s: sc.random.binomial(k, s, n=20, p=0.3), st.binom(20, 0.3)),
    "binomial by rejection": (lambda k, s: sc.random.binomial(k, s, n=300, p=0.2), st.binom(300, 0.2)),
    "binomial of the frequent": (lambda k, s: sc.random.binomial(k, s, n=100, p=0.9), st.binom(100, 0.9)),
    "categorical": (
        lambda k, s: sc.random.categorical(k, s, logits=np.log([0.5, 0.2, 0.3])),
        st.rv_discrete(values=([0, 1, 2], [0.5, 0.2, 0.3]))),
    "choice": (
        lambda k, s: sc.random.choice(k, 4, s, p=np.array([1.0, 2.0, 0.0, 5.0])),
        st.rv_discrete(values=([0, 1, 3], [1 / 8, 2 / 8, 5 / 8]))),
}  # fmt: skip


@pytest.mark.parametrize("name", CONTINUOUS)
def test_kolmogorov_smirnov(name):
    draw, distribution = CONTINUOUS[name]
    sample = draw(KEY, (N,))
    assert sample.shape == (N,) and sample.dtype == np.float64
    assert st.kstest(sample, distribution.cdf).pvalue > UNLIKELY
    assert st.kstest(sample[1:] - sample[:-1], sample[2::2] - sample[:-2:2]).statistic < 0.01
    assert abs(np.corrcoef(sample[1:], sample[:-1])[0, 1]) < 5 / np.sqrt(N)


@pytest.mark.parametrize("name", DISCRETE)
def test_chi_square(name):
    draw, distribution = DISCRETE[name]
    sample = draw(KEY, (N,)).astype(int)
    low, high = sample.min(), sample.max()
    seen = np.bincount(sample - low).astype(float)
    expected = distribution.pmf(np.arange(low, high + 1)) * N
    often = expected >= 20
    assert np.all(seen[expected == 0] == 0)
    seen, expected = (np.append(v[often], v[~often].sum()) for v in (seen, expected))
    expected[-1] += N - expected.sum()
    if expected[-1] < 5:
        seen, expected = np.append(seen[:-2], seen[-2:].sum()), np.append(expected[:-2], expected[-2:].sum())
    assert st.chisquare(seen, expected).pvalue > UNLIKELY
    assert abs(np.corrcoef(sample[1:], sample[:-1])[0, 1]) < 5 / np.sqrt(N)


def test_the_bits_of_words_are_fair_and_independent():
    words = sc.random.bits(KEY, (N // 8,))
    bits = ((words[:, None] >> np.arange(64, dtype=np.uint64)) & np.uint64(1)).astype(float)
    ones = bits.sum(axis=0)
    assert st.chisquare(np.stack([ones, len(bits) - ones], 1).ravel()).pvalue > UNLIKELY
    other = np.corrcoef(bits.T)[np.triu_indices(64, 1)]
    assert np.abs(other).max() < 5.5 / np.sqrt(len(bits))


SAMPLERS = [
    ("gamma", {"a": np.array([0.0, 1e-3, 0.1, 0.999, 1.0, 2.5, 40.0, 1e8, 1e300, np.inf, -1.0, np.nan])}),
    ("poisson", {"mean": np.array([0.0, 1e-9, 0.5, 9.999, 10.0, 35.2, 1e4, 1e9, 2.0**62, 1e30, -1.0, np.nan, np.inf])}),
    ("binomial", {"n": np.array([0, 1, 5, 40, 40, 1000, 10**6, 10**12, 7, 7, 7, 7, -1]),
                  "p": np.array([0.5, 0.5, 0.0, 0.1, 0.5, 0.7, 1e-9, 0.25, 1.0, 1.5, -0.5, np.nan, 0.5])}),
    ("beta", {"a": np.array([1e-3, 0.5, 1.0, 30.0, 1e6, 0.0, -1.0]),
              "b": np.array([1e-3, 2.0, 1.0, 0.1, 1e6, 1.0, 1.0])}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "parameters"), SAMPLERS, ids=[n for n, _ in SAMPLERS])
@pytest.mark.filterwarnings("ignore")
def test_samplers_are_their_definition(name, parameters):
    arrays = [v[:, None] for v in parameters.values()]
    shape = (len(arrays[0]), 200)
    f = sc.jit(lambda k, *a: getattr(sc.random, name)(k, shape, **dict(zip(parameters, a, strict=True))))
    have, want = f(KEY, *arrays), f(KEY, *arrays, mode="interpret")
    np.testing.assert_allclose(have, want, rtol=1e-9)
    # Means, where they are defined and the variance is that of the distribution.
    if name == "poisson":
        mean = parameters["mean"][:8]
        np.testing.assert_allclose(have[:8].mean(1), mean, atol=5 * np.sqrt(mean.max() / 200))
        assert np.all(have[[9, 10, 11, 12]] == -1)
    if name == "binomial":
        assert np.all(have[[0, 2]] == 0) and np.all(have[8] == 7) and np.all(have[9:] == -1)
    if name == "gamma":
        assert np.all(have[0] == 0) and np.all(np.isnan(have[-2:])) and np.all(have[1:9] >= 0)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_reals_of_both_precisions(dtype):
    u = sc.random.uniform(KEY, (N,), dtype=dtype)
    assert u.dtype == dtype and u.min() >= 0 and u.max() < 1
    z = sc.random.normal(KEY, (N,), dtype=dtype)
    assert z.dtype == dtype and np.isfinite(z).all() and st.kstest(z, st.norm.cdf).pvalue > UNLIKELY


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32", "uint32", "int64"])
def test_integers_reach_both_ends(dtype):
    info = np.iinfo(dtype)
    low, high = max(int(info.min), -(2**62)), min(int(info.max), 2**62)
    sample = sc.random.integers(KEY, (100_000,), low=low, high=high, dtype=dtype)
    assert sample.dtype == dtype and sample.min() >= low and sample.max() < high
    assert st.kstest((sample.astype(float) - low) / (float(high) - low), st.uniform.cdf).statistic < 0.01


def test_permutations_and_choices():
    keys = sc.random.split(KEY, 60_000)
    orders = sc.map(lambda k: sc.random.permutation(k, 4), keys)
    assert np.all(np.sort(orders, axis=1) == np.arange(4))
    counts = np.unique(orders @ np.array([64, 16, 4, 1]), return_counts=True)[1]
    assert len(counts) == 24 and st.chisquare(counts).pvalue > UNLIKELY
    items = np.array([10.0, 20.0, 30.0, 40.0])
    pairs = sc.map(lambda k: sc.random.choice(k, items, (2,), replace=False, p=np.array([0.1, 0.2, 0.3, 0.4])), keys)
    assert np.all(pairs[:, 0] != pairs[:, 1])
    first = np.array([(pairs[:, 0] == i).sum() for i in items])
    assert st.chisquare(first, 60_000 * np.array([0.1, 0.2, 0.3, 0.4])).pvalue > UNLIKELY
    second = ((pairs[:, 0] == 40) & (pairs[:, 1] == 30)).sum() / first[3]  # 0.3 of the 0.6 that are left
    assert abs(second - 0.5) < 0.02
    rows = np.arange(12.0).reshape(4, 3)
    shuffled = sc.random.permutation(KEY, rows, axis=1)
    assert sorted(map(tuple, shuffled.T)) == sorted(map(tuple, rows.T))
    assert sc.random.choice(KEY, rows, (5,)).shape == (5, 3) and sc.random.permutation(KEY, 0).shape == (0,)


def test_parameters_broadcast():
    loc = np.array([-100.0, 0.0, 100.0])
    assert np.all(np.abs(sc.random.normal(KEY, loc=loc) - loc) < 10)
    assert sc.random.normal(KEY, (5, 3), loc=loc).shape == (5, 3)
    assert sc.random.categorical(KEY, logits=np.zeros((4, 7, 3)), axis=1).shape == (4, 3)
    assert sc.random.categorical(KEY, (6, 4), logits=np.zeros((4, 7))).shape == (6, 4)
    z = sc.random.normal(KEY, (3,))
    np.testing.assert_allclose(sc.random.normal(KEY, (3,), loc=loc, scale=2.0), loc + 2 * z, rtol=1e-14)
