"""Draws with state: steps and functions advance a stream as a loop of single draws would."""

import pickle
import threading

import numpy as np
import pytest

import scancc as sc
import scancc.theano.tensor as T
from scancc import theano
from scancc.theano.tensor.shared_randomstreams import RandomStreams


def test_a_scan_goes_on_where_the_last_one_stopped():
    stream, single = sc.random.RandomStream(5), sc.random.RandomStream(5)
    noise = np.array([single.normal() for _ in range(30)])

    def step(y):
        return 0.5 * y + stream.normal()

    compiled = sc.scan_compile(step)
    parts, y = [], 0.0
    for mode, n in (("compiled", 7), ("interpret", 3), ("compiled", 0), ("compiled", 20)):
        ys = compiled(None, y, n_steps=n, mode=mode)
        parts.append(ys)
        y = ys[-1] if n else y
    want, y = [], 0.0
    for e in noise:
        y = 0.5 * y + e
        want.append(y)
    np.testing.assert_allclose(np.concatenate(parts), want, rtol=1e-13)
    assert stream.count.get_value() == 30
    stream.count.set_value(np.uint64(7))
    np.testing.assert_allclose(compiled(None, want[6], n_steps=3), want[7:10], rtol=1e-13)


def test_several_draws_in_one_step_and_one_function():
    stream, single = sc.random.RandomStream(1, "threefry4x32"), sc.random.RandomStream(1, "threefry4x32")

    @sc.jit
    def f(x):
        before = stream.uniform((2,))
        ys = sc.scan(lambda x, y: x * stream.poisson(mean=4.0) + y + stream.integers(high=10), x, 0.0)
        return before, ys, stream.bernoulli((3,))

    have = f(np.arange(4.0))
    before, y, ys = single.uniform((2,)), 0.0, []
    for x in range(4):
        y = x * single.poisson(mean=4.0) + y + single.integers(high=10)
        ys.append(y)
    for a, b in zip(have, (before, ys, single.bernoulli((3,))), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-14)
    assert stream.count.get_value() == single.count.get_value() == 10
    assert np.all(f(np.arange(4.0))[0] != have[0])


def test_nested_scans_share_a_stream():
    stream, single = sc.random.RandomStream(9), sc.random.RandomStream(9)

    def outer(x):
        return sc.scan(lambda y: y + stream.uniform(), None, x, n_steps=3)[-1] + stream.uniform()

    have = sc.scan(outer, np.zeros(4))
    want = [sum(single.uniform() for _ in range(3)) + single.uniform() for _ in range(4)]
    np.testing.assert_allclose(have, want, rtol=1e-14)


def test_threads_never_draw_the_same():
    stream = sc.random.RandomStream(0)
    draw = sc.jit(lambda: stream.bits((4,)))
    draw()
    found = []

    def work():
        for _ in range(50):
            found.append(draw())

    threads = [threading.Thread(target=work) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(np.unique(np.concatenate(found))) == 4 * 200
    assert stream.count.get_value() == 201


def test_seed_and_pickle():
    stream = sc.random.RandomStream(3)
    first = stream.normal((4,))
    copy = pickle.loads(pickle.dumps(stream))
    np.testing.assert_array_equal(copy.normal((4,)), stream.normal((4,)))
    stream.seed(3)
    np.testing.assert_array_equal(stream.normal((4,)), first)


def test_theano_random_streams():
    """The example of Theano's documentation: "Using Random Numbers"."""
    streams = RandomStreams(seed=234)
    rv_u, rv_n = streams.uniform((2, 2)), streams.normal((2, 2))
    f = theano.function([], rv_u)
    g = theano.function([], rv_n, no_default_updates=True)
    nearly_zeros = theano.function([], rv_u + rv_u - 2 * rv_u)
    assert np.all(f() != f())
    np.testing.assert_array_equal(g(), g())
    np.testing.assert_array_equal(nearly_zeros(), np.zeros((2, 2)))
    copy = pickle.loads(pickle.dumps(f))
    np.testing.assert_array_equal(copy(), f())


def test_gibbs_sampling_in_a_theano_scan():
    """The shape of the deep-learning tutorials: the states of the draws inside of scan come out as updates."""
    streams, w = RandomStreams(7), np.random.default_rng(0).normal(size=(4, 3))
    weights, v0 = theano.shared(w), T.vector("v")

    def step(v):
        hidden = T.nnet.sigmoid(T.dot(v, weights))
        h = streams.binomial(size=hidden.shape, n=1, p=hidden).astype("float64")
        visible = T.nnet.sigmoid(T.dot(h, weights.T))
        return streams.binomial(size=visible.shape, n=1, p=visible).astype("float64")

    chain, updates = theano.scan(step, outputs_info=v0, n_steps=6)
    assert list(updates) == [streams.count]
    run = theano.function([v0], chain, updates=updates)
    first, second = run(np.ones(4)), run(np.ones(4))
    assert first.shape == (6, 4) and set(np.unique(first)) <= {0.0, 1.0} and not np.array_equal(first, second)
    assert streams.count.get_value() == 24


@pytest.mark.parametrize(
    ("draw", "shape", "values"),
    [
        (lambda s: s.random_integers((500,), 1, 3), (500,), {1, 2, 3}),
        (lambda s: s.choice((500,), 3), (500,), {0, 1, 2}),
        (lambda s: s.permutation((2,), 3), (2, 3), {0, 1, 2}),
        (lambda s: s.multinomial((5,), 1, [0.5, 0.5]), (5, 2), {0, 1}),
        (lambda s: s.shuffle_row_elements(T.zeros((2,)) + np.array([4.0, 5.0])), (2,), {4.0, 5.0}),
        (lambda s: s.poisson((3,), 0.0), (3,), {0}),
    ],
)
def test_theano_draws(draw, shape, values):
    have = theano.function([], draw(RandomStreams(1)))()
    assert have.shape == shape and set(have.ravel()) == values
