"""`theano.grad` and its kin."""

from __future__ import annotations

import numpy as np
import pytest

import scancc.theano.tensor as T
from scancc import theano

R = np.random.default_rng(0)


def test_jacobian_by_a_loop_over_the_components():
    """Theano's own example: the step differentiates one non-sequence with respect to another."""
    x = T.dvector("x")
    y = x**2
    rows, updates = theano.scan(lambda i, y, x: T.grad(y[i], x), sequences=T.arange(y.shape[0]), non_sequences=[y, x])
    f = theano.function([x], rows, updates=updates)
    assert np.allclose(f([4, 4]), [[8, 0], [0, 8]])
    gy = T.grad((y**2).sum(), x)
    rows, _ = theano.scan(lambda i, gy, x: T.grad(gy[i], x), sequences=T.arange(gy.shape[0]), non_sequences=[gy, x])
    assert np.allclose(theano.function([x], rows)([1, 2, 3]), np.diag([12, 48, 108]))


def test_jacobian_and_hessian():
    x = T.dvector("x")
    assert np.allclose(theano.function([x], T.jacobian(x**2, x))([4, 5, 6]), np.diag([8, 10, 12]))
    assert np.allclose(theano.function([x], T.hessian((x**4).sum(), x))([1, 2]), np.diag([12, 48]))


def test_products_with_a_jacobian():
    W, V, x = T.dmatrix("W"), T.dmatrix("V"), T.dvector("x")
    y = T.dot(x, W)
    assert np.allclose(theano.function([V, x], T.Rop(y, W, V))([[2, 2], [2, 2]], [0, 1]), [2, 2])
    v = T.dvector("v")
    got = theano.function([v, x], T.Lop(y, W, v))([2, 2], [0, 1])
    assert np.allclose(got, [[0, 0], [2, 2]])


def test_training_a_network_by_updates_of_shared_weights():
    W = theano.shared(R.normal(size=(3, 3)) * 0.3, "W")
    u, h0 = T.dmatrix("u"), T.dvector("h0")
    h, _ = theano.scan(lambda u, h: T.tanh(u + T.dot(h, W)), sequences=u, outputs_info=h0)
    cost = ((h[-1] - 0.5) ** 2).sum()
    gW, gu = theano.grad(cost, [W, u])
    train = theano.function([u, h0], [cost, gu], updates=[(W, W - 0.2 * gW)])
    data = R.normal(size=(5, 3))
    costs = [float(train(data, np.zeros(3))[0]) for _ in range(30)]
    assert costs[-1] < costs[0] / 2
    assert train(data, np.zeros(3))[1].shape == (5, 3)


def test_the_step_count_is_a_graph_value():
    """d(a ** k)/da, with k given at the call."""
    a, k = T.dscalar("a"), T.iscalar("k")
    powers, _ = theano.scan(lambda p, a: p * a, outputs_info=T.ones_like(a), non_sequences=a, n_steps=k)
    f = theano.function([a, k], T.grad(powers[-1], a))
    assert [float(f(2.0, n)) for n in (1, 3, 5)] == [1, 12, 80]


def test_truncated_gradient():
    a, x0, u = T.dscalar("a"), T.dscalar("x0"), T.dvector("u")
    x, _ = theano.scan(lambda u, x, a: a * x + u, u, x0, a, truncate_gradient=2)
    ga, gx, gu = theano.function([u, x0, a], T.grad(x.sum(), [a, x0, u]))(np.ones(5), 1.0, 0.5)
    assert (ga, gx) == (4.75, 0)
    assert np.allclose(gu, [0, 0, 0, 1.5, 1])


def test_constants_and_known_gradients():
    x = T.dvector("x")
    y = x * x
    f = theano.function([x], T.grad((x * y).sum(), x, consider_constant=[y]))
    assert np.allclose(f([2.0]), [4.0])
    assert np.allclose(theano.function([x], T.grad(None, x, known_grads={y: T.ones_like(y)}))([3.0]), [6.0])
    cost = theano.gradient.disconnected_grad(y).sum() + x.sum()
    assert np.allclose(theano.function([x], T.grad(cost, x))([3.0]), [1])


def test_noise_times_a_parameter():
    """C31: the gradient of a sum of noisy states with respect to the first is the number of rows."""
    from scancc.theano.tensor.shared_randomstreams import RandomStreams

    stream = RandomStreams(3)
    x0 = T.dscalar("x0")
    x, updates = theano.scan(lambda x: x + stream.normal(), outputs_info=x0, n_steps=4)
    f = theano.function([x0], [x, T.grad(x.sum(), x0)], updates=updates)
    rows, g = f(0.5)
    assert len(rows) == g == 4


@pytest.mark.parametrize(
    ("build", "error", "text"),
    [
        (lambda x, n: T.grad(x, x), TypeError, "the cost has 1 axes"),
        (lambda x, n: T.grad((n * 1.0).sum(), n), TypeError, "'n' is asked for, which is int64"),
        (lambda x, n: T.grad(n.sum() * 1.0, x), ValueError, "does not depend on 'x'"),
        (lambda x, n: T.hessian((x.dimshuffle("x", 0) ** 2).sum(), x.dimshuffle("x", 0)), TypeError, "wrt has 2 axes"),
    ],
)
def test_errors(build, error, text):
    with pytest.raises(error, match=text):
        build(T.dvector("x"), T.lvector("n"))


def test_what_is_not_connected_may_be_ignored():
    x, z = T.dvector("x"), T.dvector("z")
    g = T.grad(x.sum(), [x, z], disconnected_inputs="ignore")
    found = theano.function([x, z], g)([1.0, 2.0], [1.0, 1.0, 1.0])
    assert np.allclose(found[1], np.zeros(3))
