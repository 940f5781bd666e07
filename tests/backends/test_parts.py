"""Loops of a kernel as functions of their own: they compute what they do within it."""

from __future__ import annotations

import numpy as np
import pytest

import scancc as sc
from scancc import interpreter
from scancc.backends.llvm import parts


@pytest.fixture
def everywhere(monkeypatch):
    """Every outermost loop is a function; kernels of other tests have other keys."""
    monkeypatch.setenv("SCANCC_CACHE_DIR", "")
    for name, value in (("LARGE", 0), ("LONG", 0), ("MANY", 1)):
        monkeypatch.setattr(parts, name, value)


def kinds(x, a):
    """States in registers, in rings and in rows; sums, indices, conditions, a loop in a loop; all after one another."""
    ys = sc.scan(lambda u, y1, y3: np.tanh(0.5 * y1 - a * y3) + u, x, [dict(initial=np.zeros(3), taps=[-1, -3])])
    total = sc.scan(lambda y, s: s + y * (1 + 2j), ys, 0j)[-1]
    picked = sc.scan(lambda i, c: c + sc.take(ys, i % 4), np.arange(5), 0.0)
    inner = sc.map(lambda u: sc.scan(lambda v, h: np.where(h > u, h - v, h + u), ys, u)[-1], x)
    short = sc.scan(lambda h: (h * 1.5, sc.until(h > a * 30)), None, 1.0, n_steps=40)
    return ys, total.real, total.imag, picked, inner, short, (ys[:, None] * picked).sum(0)


def test_every_kind_of_loop(everywhere):
    x = np.linspace(-1, 2, 17)
    made = sc.jit(lambda x, a: kinds(x, a))
    assert "part1" in made.lower(x, 0.3).compiled.code.llvm()
    for length in (17, 4):  # the kernel is the same
        with_parts = made(x[:length], 0.3)
        traced = sc.jit(lambda x, a: kinds(x, a)).trace(x[:length], 0.3)
        expected = interpreter.run(traced.graph, traced.bound((x[:length], 0.3))).values()
        for have, want in zip(with_parts, expected, strict=True):
            np.testing.assert_allclose(have, want, rtol=1e-12, atol=1e-12)


def test_gradients(everywhere):
    x = np.linspace(-1, 2, 9)

    def loss(x):
        return sum(np.sum(y) for y in kinds(x, 0.2)[:5])

    def slope(x, step=1e-6):
        moves = np.eye(len(x)) * step
        return np.array([(float(loss(x + m)) - float(loss(x - m))) / (2 * step) for m in moves])

    np.testing.assert_allclose(sc.grad(loss)(x), slope(x), rtol=1e-5, atol=1e-6)


def test_failures_end_the_kernel(everywhere):
    f = sc.jit(lambda t, i: (sc.map(lambda k: sc.take(t, k), i), sc.map(lambda k: k * 2, i)))
    t = np.arange(3.0)
    np.testing.assert_array_equal(f(t, np.array([2, 0]))[0], [2.0, 0.0])
    with pytest.raises(IndexError):
        f(t, np.array([2, 5]))


def products(count):
    def f(a, b):
        for _ in range(count):
            a = a @ b
        return a

    return f


def test_equal_loops_are_one_function():
    a, b = np.random.default_rng(0).normal(size=(2, 4, 4)) / 2
    made = sc.jit(products(60))
    code = made.lower(a, b).compiled.code.llvm()
    assert 1 <= code.count("define internal") < 6
    np.testing.assert_allclose(made(a, b), products(60)(a, b), rtol=1e-10)


def test_lines_of_the_user_are_kept_in_parts(everywhere):
    x = np.ones(9)
    lowered = sc.jit(lambda x: kinds(x, 0.1)).lower(x)
    assert "!DISubprogram(" in lowered.compiled.code.llvm()
    assert ".loc" in lowered.compiled.code.asm_with_lines()
