"""Derivatives of loops that end by a condition of their own, within steps, against finite differences of Python."""

import numpy as np
import pytest

import scancc as sc

X = np.array([0.5, 0.9, 0.2])


def while_in_step(x, s):
    k = 0 * (x > 5)
    while k < 3:
        s = np.tanh(s) * 0.9
        k = k + 1
    return s + x


def while_in_if(x, s):
    if x > 0.3:
        while s > 0.4:
            s = s * 0.7 + x * 0.01
    return s + x


def while_in_while(x, s):
    k = 0 * (x > 5)
    while k < 3:
        k = k + 1
        j = 0 * (x > 5)
        while j < k:
            s = np.sin(s) + 0.1 * x
            j = j + 1
    return s


def until_in_step(x, s):
    ys = sc.scan(lambda y: (np.sin(y) + 0.1 * x, sc.until(y < 0.5)), None, s + 1, n_steps=40) if sc_runs(x) else None
    if ys is not None:
        return ys[-1]
    y = s + 1
    for _ in range(40):
        stop = y < 0.5
        y = np.sin(y) + 0.1 * x
        if stop:
            break
    return y


def sc_runs(x):
    return not isinstance(x, np.generic)


def many_rounds(x, s):
    k = 0
    while k < 20000 * (x > 0):  # more than are kept at first
        s = s * (1 - 1e-4 * x)
        k = k + 1
    return s + x


@pytest.mark.parametrize(
    "step", [while_in_step, while_in_if, while_in_while, until_in_step, many_rounds], ids=lambda f: f.__name__
)
def test_gradient(step):
    def plain(a):
        for x in X:
            a = step(x, a)
        return a

    def loss(a):
        return sc.scan(step, X, a)[-1]

    a, h = 0.7, 1e-6
    want = (plain(np.float64(a + h)) - plain(np.float64(a - h))) / (2 * h)
    value, have = sc.value_and_grad(loss)(a)
    np.testing.assert_allclose(value, plain(np.float64(a)), rtol=1e-12)
    np.testing.assert_allclose(have, want, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(sc.jvp(loss, (a,), (1.0,))[1], have, rtol=1e-9, atol=1e-12)
