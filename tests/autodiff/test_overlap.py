"""Derivatives by sequences of which several steps read the same rows: added up in the loop back, whatever the form."""

from __future__ import annotations

import numpy as np
import pytest

import scancc as sc
from scancc.autodiff.overlap import LEAST

R = np.random.default_rng(0)
WIDTH = LEAST + 1
H = np.zeros(WIDTH)
W = R.normal(size=(WIDTH, WIDTH)) / 10


def step(*rows):
    *rows, h = rows
    found = 0.5 * h
    for k, row in enumerate(rows):
        found = found + row * rows[-1] * (k + 1.0)
    return found


def scanned(*sequences, **how):
    return sc.scan(step, list(sequences), [H], **how)


def ended(x):
    return sc.scan(lambda a, b, h: (0.5 * h + a * b, sc.until((a * b).sum() > 3.0)), [x[1:], x[:-1]], [H])


def products(x):
    """One share is a product, which is better made for all steps at once."""
    return sc.scan(lambda a, b, h: np.tanh(a @ W + b * h), [x[1:], x[:-1]], [H])


def table(x):
    """In a loop within another."""
    return sc.scan(lambda t: scanned(x[1:] * t, x[:-1] * t)[-1], np.arange(3.0))


PROGRAMS = {
    "taps": lambda x: scanned(dict(input=x, taps=[0, 1])),
    "far taps": lambda x: scanned(dict(input=x, taps=[-2, 0, 3])),
    "no row of its own": lambda x: scanned(dict(input=x, taps=[1, 2])),
    "past": lambda x: scanned(dict(input=x, taps=[-3, -1])),
    "parts": lambda x: scanned(x[1:], x[:-1]),
    "three parts": lambda x: scanned(x[2:], x[1:-1], x[:-2]),
    "the whole and a part": lambda x: scanned(x, x[1:]),
    "the same twice": lambda x: scanned(x[1:], x[1:] * 1.0, x[1:]),
    "parts of parts": lambda x: scanned(x[1:][1:], x[1:-1], x[:-1][:-1]),
    "parts with taps": lambda x: scanned(dict(input=x[1:], taps=[-1, 0]), dict(input=x[:-1], taps=[0, 1])),
    "backwards": lambda x: scanned(x[1:], x[:-1], go_backwards=True),
    "turned": lambda x: scanned(x[::-1][1:], x[:-1][::-1], x[::-1][:-1]),
    "one turned": lambda x: scanned(x[1:], x[:-1], x[::-1][1:]),
    "from the end": lambda x: scanned(x[-4:], x[:4]),
    "every second": lambda x: scanned(x[::2], x[1::2]),
    "columns": lambda x: scanned(x[1:, ::-1], x[:-1, ::-1]),
    "of a value": lambda x: (lambda y: scanned(y[1:], y[:-1]) + y[1:])(x * x),
    "fewer steps": lambda x: scanned(x[1:], x[:-1], n_steps=2),
    "truncated": lambda x: scanned(x[1:], x[:-1], truncate_gradient=2),
    "checkpoints": lambda x: scanned(dict(input=x, taps=[0, 2]), x[1:], checkpoint=2),
    "last row": lambda x: scanned(x[1:], x[:-1])[-1],
    "ended": ended,
    "products": products,
    "table": table,
}
LONG = ("from the end", "fewer steps", "last row", "table")  # they are errors where there are few rows


def loss(name):
    return lambda x: (PROGRAMS[name](x) ** 2).sum()


@pytest.mark.parametrize("name", PROGRAMS)
def test_equals_the_interpreter(name):
    gradient = sc.jit(sc.grad(loss(name)))
    for rows in (9,) if name in LONG else (0, 1, 2, 3, 4, 5, 9):
        x = R.normal(size=(rows, WIDTH))
        have, want = gradient(x), gradient(x, mode="interpret")
        assert have.shape == want.shape == x.shape
        np.testing.assert_allclose(have, want, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", ["far taps", "past", "the whole and a part", "parts with taps", "backwards", "turned",
                                  "one turned", "columns", "of a value", "ended"])  # fmt: skip
def test_equals_forward_mode(name):
    x, d = R.normal(size=(2, 9, WIDTH))
    both = sc.jit(lambda x, d: (sc.jvp(loss(name), (x,), (d,))[1], (sc.grad(loss(name))(x) * d).sum()))
    np.testing.assert_allclose(*both(x, d), rtol=1e-10)


@pytest.mark.parametrize("name", ["parts", "far taps"])
def test_batches_and_second_derivatives(name):
    x, d = R.normal(size=(2, 3, 6, WIDTH))
    f = sc.jit(sc.grad(loss(name)))
    np.testing.assert_allclose(sc.jit(sc.vmap(sc.grad(loss(name))))(x), [f(v) for v in x], rtol=1e-11)
    second = sc.jit(lambda x, d: sc.hvp(loss(name), (x,), (d,)))
    np.testing.assert_allclose((second(x[0], d[0]) * d[1]).sum(), (second(x[0], d[1]) * d[0]).sum(), rtol=1e-9)


def test_one_array_is_made():
    x = R.normal(size=(9, WIDTH))

    def f(x):
        return (sc.scan(lambda a, b, h: np.tanh(0.5 * h + a * b), [x[1:], x[:-1]], [H]) ** 2).sum()

    made = sc.jit(sc.grad(f)).lower(x).compiled
    long = [b for b in made.lowered.allocated if b.shape and not hasattr(b.shape[0], "value") and len(b.shape) == 2]
    assert len(long) == 2  # the history and the result


def test_short_rows_and_products_are_left_apart():
    def carries(f, x):
        spec = next(n for n in sc.jit(sc.grad(f)).trace(x).graph.nodes()
                    if n.op == "scan" and n.attrs["spec"].name.endswith("_back")).attrs["spec"]
        return len(spec.carries), len(spec.outputs)

    x = R.normal(size=(9, WIDTH))
    assert carries(loss("parts"), x) == (2, 1)
    assert carries(loss("products"), x)[1] == 2
    short = lambda x: sc.scan(lambda a, b, h: 0.5 * h + a * b, [x[1:], x[:-1]], [np.zeros(3)]).sum()  # noqa: E731
    assert carries(short, x[:, :3]) == (1, 2)
