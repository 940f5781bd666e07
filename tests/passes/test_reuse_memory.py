"""Results in the place of operands: the same numbers, and only where nobody reads the operand any more."""

from __future__ import annotations

import numpy as np
import pytest

import scancc as sc

ROWS, WIDTH = 7, 40
R = np.random.default_rng(0)
X, Y = R.normal(size=(ROWS, WIDTH)), R.normal(size=WIDTH)


def trace(x, y):
    return sc.scan(lambda x, y: np.tanh(y) + x, x, y)


def twice(x, y):
    return trace(x, y) * 2.0


def squared(x, y):
    ys = trace(x, y)
    return ys * ys + ys


def two_results(x, y):
    ys = trace(x, y)
    return ys * 2.0, ys + 1.0


def a_sum_within(x, y):
    ys = trace(x, y)
    return ys * 2.0, (ys**3).sum()


def read_later(x, y):
    ys = trace(x, y)
    return ys * 2.0, ys.T * 3.0


def transposed(x, y):
    return trace(x, y).T * 2.0


def shifted(x, y):
    ys = trace(x, y)
    return ys[1:] * ys[:-1]


def reversed_too(x, y):
    ys = trace(x, y)
    return ys - ys[::-1]


def neighbours(x, y):
    ys = trace(x, y)
    return ys + np.roll(ys, 1, axis=1)


def other_dtype(x, y):
    return (trace(x, y) * 2.0).astype(np.float32)


def compared(x, y):
    return trace(x, y) > 0.5


def both(x, y):
    """The operand is a result itself."""
    ys = trace(x, y)
    return ys, ys * 2.0


def of_two(x, y):
    a, b = sc.scan(lambda x, a, b: (np.sin(a) + x, b * 0.5 + a), x, [y, y])
    return a * b


def an_input(x, y):
    """What the caller owns is not changed."""
    return x * 2.0 + trace(x, y)


def after_a_condition(x, y):
    ys = sc.scan(lambda x, y: (np.tanh(y) + x, sc.until((x > 2.0).any())), x, y)
    return ys * 2.0


REUSE = {twice, squared, two_results, of_two, an_input, neighbours, a_sum_within}
REST = {read_later, transposed, shifted, reversed_too, other_dtype, compared, both, after_a_condition}


def name(f):
    return f.__name__


@pytest.mark.parametrize("f", sorted(REUSE | REST, key=name), ids=name)
def test_numbers(f):
    program = sc.jit(f)
    for rows in (0, 1, ROWS, ROWS):
        x = np.resize(X, (rows, WIDTH))
        x.flags.writeable = False
        have, want = program(x, Y), program(x, Y, mode="interpret")
        for a, b in zip(*((r,) if not isinstance(r, tuple) else r for r in (have, want)), strict=True):
            assert a.dtype == b.dtype
            np.testing.assert_allclose(a, b, rtol=1e-6 if a.dtype == np.float32 else 1e-13, atol=1e-13)


@pytest.mark.parametrize("f", sorted(REUSE, key=name), ids=name)
def test_memory_is_used_again(f):
    assert rows_made(f, "reuse_memory") < rows_made(f, "shrink_scratch")


@pytest.mark.parametrize("f", sorted(REST, key=name), ids=name)
def test_memory_is_not_used_again(f):
    assert rows_made(f, "reuse_memory") == rows_made(f, "shrink_scratch")


def rows_made(f, after):
    """Arrays of as many elements as the trace, or more, that the program makes, after a pass."""
    program = sc.jit(f).lower(X, Y)
    head = program.loop_ir(after).splitlines()[0]
    return head.count("_rows:") + head.count("_out:")


def test_gradients():
    def loss(x, y):
        return (twice(x, y) ** 2).sum()

    f = sc.jit(sc.grad(loss, (0, 1)))
    for a, b in zip(f(X, Y), f(X, Y, mode="interpret"), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-13)
