"""Element-wise work on short rows as one loop: the same numbers bit for bit, with vectors and without gathers."""

from __future__ import annotations

import numpy as np
import pytest

import scancc as sc

R = np.random.default_rng(0)


def hoisted(x, y):
    """The exponentials of all rows are taken before the loop."""
    return sc.scan(lambda x, y: np.exp(x) * 0.1 + 0.5 * y, x, y)


def later(x, y):
    return np.tanh(sc.scan(lambda x, y: x + 0.5 * y, x, y))


def shifted(x, y):
    return np.exp(x[1:]) + np.sin(x[:-1])


def reversed_rows(x, y):
    return np.exp(x[::-1])


def part(x, y):
    return np.exp(x[:, :4])


def with_a_row(x, y):
    return np.exp(x * y)


FLAT = [hoisted, later, shifted]


def name(f):
    return f.__name__


@pytest.mark.parametrize("f", [*FLAT, reversed_rows, part, with_a_row], ids=name)
@pytest.mark.parametrize("width", [5, 8])
def test_numbers(f, width):
    program, plain = sc.jit(f, strict_fp=True), sc.jit(f, strict_fp=True, optimize=False)
    for rows in (1, 2, 23):
        x, y = R.normal(size=(rows, width)), R.normal(size=width)
        np.testing.assert_array_equal(program(x, y), plain(x, y))
        np.testing.assert_allclose(program(x, y), program(x, y, mode="interpret"), rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize("f", FLAT, ids=name)
def test_which_loops_are_flat(f):
    x = R.normal(size=(23, 8))
    assert "right_shift" in sc.jit(f).lower(x, x[0]).loop_ir()
    assert "right_shift" not in sc.jit(f).lower(x[:, :5], x[0, :5]).loop_ir()


def test_no_gathers():
    asm = sc.jit(hoisted).lower(R.normal(size=(23, 8)), np.ones(8)).asm()
    assert "gather" not in asm and "scatter" not in asm


def test_no_rows():
    assert sc.jit(hoisted)(np.ones((0, 8)), np.ones(8)).shape == (0, 8)
