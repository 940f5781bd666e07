"""The functions of the public interface: what they take, return and refuse."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest

import scancc as sc

X = np.array([0.3, -0.7, 1.2])


def decay(x, h0, a):
    return sc.scan(lambda x, h, a: a * h + x, x, h0, [a])


def test_value_gradient_and_auxiliary_values():
    def f(a, x):
        ys = decay(x, 0.1, a)
        return (ys**2).sum(), {"last": ys[-1], "n": 3}

    (value, aux), g = sc.value_and_grad(f, has_aux=True)(0.5, X)
    assert aux["last"] == pytest.approx(decay(X, 0.1, 0.5)[-1])
    assert value == pytest.approx((decay(X, 0.1, 0.5) ** 2).sum())
    assert sc.grad(f, has_aux=True)(0.5, X)[0] == g


def test_pytrees_of_every_kind():
    class Pair(NamedTuple):
        w: np.ndarray
        b: float

    def f(p, x):
        return (x * p["layer"].w).sum() * p["layer"].b + p["list"][0] ** 2

    g = sc.grad(f)({"layer": Pair(X, 2.0), "list": [3.0, None]}, X)
    assert isinstance(g["layer"], Pair)
    assert np.allclose(g["layer"].w, 2 * X)
    assert g["layer"].b == pytest.approx((X * X).sum())
    assert g["list"] == [6.0, None]


@pytest.mark.parametrize("argnums", [1, (1,), (0, 2), -1])
def test_argnums(argnums):
    g = sc.grad(lambda a, b, c: a * b + c * c, argnums)(2.0, 3.0, 4.0)
    want = {1: 2.0, (1,): (2.0,), (0, 2): (3.0, 8.0), -1: 8.0}[argnums]
    assert g == want


def test_float32_stays_float32():
    g = sc.grad(lambda x: (decay(x, np.float32(0), np.float32(0.5)) ** 2).sum())(X.astype("float32"))
    assert g.dtype == np.float32


def test_higher_orders_in_closed_form():
    """d^k/dx^k of exp(2x) and of a scan that computes x ** 5, to order 4."""
    f = g = lambda x: np.exp(2 * x)
    power = h = lambda x: sc.scan(lambda p, x: p * x, None, 1.0, [x], 5)[-1]
    for k in range(1, 5):
        g, h = sc.grad(g), sc.grad(h)
        assert g(0.3) == pytest.approx(2**k * f(0.3), rel=1e-13)
        assert h(1.3) == pytest.approx(np.prod(range(5, 5 - k, -1)) * 1.3 ** (5 - k), rel=1e-13)
    assert power(1.3) == pytest.approx(1.3**5)


def test_jacobians_and_hessians():
    """C38: J.v of a tanh RNN by forward mode equals the rows of reverse mode; Hessians, one inside of a loop."""
    r = np.random.default_rng(0)
    args = (r.normal(size=(20, 5)) * 0.3, r.normal(size=5), r.normal(size=(5, 5)) * 0.4)

    def rnn(u, h0, W):
        return sc.scan(lambda u, h, W: np.tanh(u + h @ W), u, h0, [W])[-1]

    for k in range(3):
        forward, reverse = sc.jacfwd(rnn, k)(*args), sc.jacrev(rnn, k)(*args)
        assert forward.shape == (5, *args[k].shape)
        assert np.allclose(forward, reverse, rtol=1e-12)
        direction = r.normal(size=args[k].shape)
        t = sc.jvp(lambda v, k=k: rnn(*(v if i == k else a for i, a in enumerate(args))), (args[k],), (direction,))[1]
        assert np.allclose(t, np.tensordot(forward, direction, direction.ndim))
    quadratic = lambda x: 1.8 * x[0] ** 2 + 1.8 * x[0] * x[1] + 0.45 * x[1] ** 2  # noqa: E731
    assert np.allclose(sc.hessian(quadratic)(X[:2]), [[3.6, 1.8], [1.8, 0.9]])
    inside = sc.scan(lambda t, x: sc.hessian(quadratic)(x * t), np.arange(2.0), None, [X[:2]])
    assert np.allclose(inside, [[[3.6, 1.8], [1.8, 0.9]]] * 2)
    nested = lambda x: sc.scan(lambda v, s: s + v * v, x, 0.0)[-1]  # noqa: E731
    assert np.allclose(sc.hessian(nested)(r.normal(size=8)), 2 * np.eye(8))
    assert np.allclose(sc.hvp(nested, (X,), (X,)), 2 * X)


def test_hessian_of_several_arguments():
    h = sc.hessian(lambda a, b: (a * a * b).sum(), (0, 1))(X, 2 * X)
    assert np.allclose(h[0][0], np.diag(4 * X))
    assert np.allclose(h[0][1], np.diag(2 * X))
    assert np.allclose(h[1][1], 0)


def test_pullbacks_and_linear_maps():
    value, pull = sc.vjp(decay, X, 0.1, 0.5)
    assert np.allclose(value, decay(X, 0.1, 0.5))
    gx, gh, ga = pull(np.array([0.0, 0.0, 1.0]))
    assert np.allclose(gx, [0.25, 0.5, 1])
    assert gh == pytest.approx(0.125)
    value, push = sc.linearize(decay, X, 0.1, 0.5)
    assert np.allclose(push(np.zeros(3), 1.0, 0.0), [0.5, 0.25, 0.125])


def test_inside_of_compiled_functions_and_steps():
    """Gradient descent as a scan whose step takes a gradient."""
    target = np.array([1.0, -2.0])

    @sc.jit
    def descend(w):
        loss = sc.grad(lambda w: ((w - target) ** 2).sum())
        return sc.scan(lambda w: w - 0.1 * loss(w), None, w, n_steps=100)[-1]

    assert np.allclose(descend(np.zeros(2)), target, atol=1e-8)


def test_what_is_outside_is_constant():
    """No perturbation of an outer derivative leaks into an inner one."""
    f = lambda x: x * sc.grad(lambda y: x * y)(2.0)  # noqa: E731
    assert sc.grad(f)(3.0) == 6.0


def test_step_functions_by_name():
    @sc.scan_compile
    def ar2(x, y_tm2, y_tm1, a, b):
        return x + a * y_tm1 + b * y_tm2

    start = dict(initial=np.array([0.1, 0.2]), taps=[-2, -1])
    call = dict(sequences=X, outputs_info=[start], non_sequences=[0.5, -0.3])
    value, (ga, gy) = ar2.value_and_grad(loss=lambda y: (y**2).sum(), wrt=["a", "y"])(**call)
    h = 1e-6
    up, down = ((ar2(**{**call, "non_sequences": [0.5 + s * h, -0.3]}) ** 2).sum() for s in (1, -1))
    assert value == pytest.approx((ar2(**call) ** 2).sum())
    assert ga == pytest.approx((up - down) / (2 * h), rel=1e-7)
    assert gy.shape == (2,)
    assert ar2.grad(lambda y: (y**2).sum(), "a")(**call) == ga
    with pytest.raises(ValueError, match=r"'alpha' is no argument of the step.*\n.*\n.*\n.*\n.*x, y, a, b"):
        ar2.grad(lambda y: y.sum(), "alpha")(**call)


def test_nothing_flows_where_stopped():
    def f(x):
        y = sc.stop_gradient(x * x)
        return (x * y).sum()

    assert np.allclose(sc.grad(f)(X), X**2)
    assert sc.stop_gradient({"a": 1.0}) == {"a": 1.0}


def test_a_rule_for_reverse_mode():
    @sc.custom_vjp
    def clipped(x):
        return x

    clipped.defvjp(lambda x: (x, None), lambda kept, d: (np.clip(d, -1, 1),))

    def f(x, a):
        return (sc.scan(lambda x, h, a: clipped(h * a) + x, x, 1.0, [a]) ** 2).sum()

    def by_hand(x, a):
        hs = [1.0]
        for v in x:
            hs.append(hs[-1] * a + v)
        d, ga = 0.0, 0.0
        for t in range(len(x), 0, -1):
            inner = np.clip(d + 2 * hs[t], -1, 1)
            ga += inner * hs[t - 1]
            d = inner * a
        return ga

    assert sc.grad(f, 1)(X, 1.5) == pytest.approx(by_hand(X, 1.5))
    assert np.allclose(clipped(X), X)
    with pytest.raises(NotImplementedError, match="forward mode of clipped"):
        sc.jvp(clipped, (1.0,), (1.0,))


def test_a_rule_for_both_modes():
    @sc.custom_jvp
    def softplus(x):
        return np.log1p(np.exp(x))

    softplus.defjvp(lambda p, t: (softplus(*p), t[0] * sc.expit(*p)))
    s = sc.expit(0.3)
    assert sc.grad(softplus)(0.3) == pytest.approx(s)
    assert sc.jvp(softplus, (0.3,), (2.0,))[1] == pytest.approx(2 * s)
    assert sc.grad(sc.grad(softplus))(0.3) == pytest.approx(s * (1 - s))
    # The plain derivative overflows where the rule does not.
    assert sc.grad(softplus)(800.0) == 1.0
    assert np.allclose(sc.vmap(sc.grad(softplus))(X), sc.expit(X))
    assert np.allclose(sc.grad(lambda x: sc.vmap(softplus)(x).sum())(X), sc.expit(X))


# -- conventions -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("f", "at", "want"),
    [
        (lambda x: np.where(x > 0, np.sqrt(x), 0.0), 0.0, 0.0),
        (lambda x: np.where(x > 0, np.log(x), 0.0), -1.0, 0.0),
        (lambda x: np.where(x == 0, 1.0, np.sin(x) / x), 0.0, 0.0),
        (lambda x: np.where(x > 0, x**-0.5, x), 0.0, 1.0),
        (lambda x: np.maximum(x, 2.0), 2.0, 0.5),
        (lambda x: np.abs(x), 0.0, 0.0),
        (lambda x: np.floor(x) + (x > 1) * x, 1.5, 1.0),
        (lambda x: np.clip(x, 0.0, 1.0), 2.0, 0.0),
        (lambda x: np.max(np.stack([x, x])), 2.0, 1.0),
        (lambda x: np.prod(np.stack([x, 0.0 * x, 3.0])), 2.0, 0.0),
    ],
)
def test_conventions(f, at, want):
    assert sc.grad(f)(at) == want
    assert sc.jvp(f, (at,), (1.0,))[1] == want


def test_complex_numbers():
    z = 0.3 + 0.7j
    assert sc.grad(lambda z: np.exp(z) * z, holomorphic=True)(z) == pytest.approx(np.exp(z) * (z + 1))
    # Of a real value: the derivative by the real part minus i times that by the imaginary part.
    assert sc.grad(lambda z: np.abs(z) ** 2)(z) == pytest.approx(2 * z.conjugate())
    assert sc.grad(lambda z: (z * (2 - 1j)).real)(z) == pytest.approx(2 - 1j)
    assert sc.grad(lambda z: np.imag(z) * 3)(z) == pytest.approx(-3j)


# -- errors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: sc.grad(lambda n: n * 2.0)(3), TypeError, "argument 0 of <lambda> is asked for, which is int64"),
        (lambda: sc.grad(lambda x: x)(X), ValueError, r"returned an array of shape \(3,\)"),
        (lambda: sc.grad(lambda x: (x > 0).sum())(X), TypeError, "returned int64"),
        (lambda: sc.grad(lambda x, y: x * 2, 1)(1.0, 2.0), ValueError, "does not depend on argument 1"),
        (lambda: sc.grad(lambda x: x, 2)(1.0), ValueError, "argnums is 2, but .* called with 1 argument"),
        (lambda: sc.grad(lambda x: (x, x))(1.0), TypeError, "returned"),
        (lambda: sc.grad(lambda z: z * z)(1j), TypeError, "holomorphic=True"),
        (lambda: sc.jvp(lambda x: x, (1.0,), ()), ValueError, "1 primals and 0 tangents"),
        (lambda: sc.scan(lambda x: x, X, truncate_gradient=0), ValueError, "truncate_gradient is 0"),
        (lambda: sc.scan(lambda x: x, X, checkpoint="log"), ValueError, "checkpoint is 'log'"),
        (lambda: sc.scan(lambda x: x, X, memory_budget="64 parsecs"), ValueError, "memory_budget is"),
        (lambda: sc.scan(lambda x: x, X, tbptt=2, checkpoint=3), ValueError, "tbptt is given together"),
    ],
)
def test_errors(call, error, text):
    with pytest.raises(error, match=text):
        call()
