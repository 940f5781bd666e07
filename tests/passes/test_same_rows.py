"""Sequences that repeat one row are read as the row that they repeat."""

from __future__ import annotations

import numpy as np
import pytest

import scancc as sc
from scancc.ir.parser import parse
from scancc.ir.printer import show
from scancc.passes.graph.same_rows import same_rows

R = np.random.default_rng(0)

BEFORE = """program main
  %0: f64[n, 600] = input x
  %1: f64[600] = input row
  %2: i64[] = dim %0 axis=0
  %3: f64[1, 600] = reshape %1
  %4: f64[n, 600] = broadcast_to %3
  %5: f64[n, 600] = flip %4 axes=[0]
  %6 = scan s steps %2
    sequence x taps [0] = %0
    sequence d taps [0] = %5
    carry h taps [-1] = %1
    body
      %0: f64[600] = tap h[-1]
      %1: f64[600] = tap d[0]
      %2: f64[600] = multiply %0 %1
      %3: f64[600] = tap x[0]
      %4: f64[600] = add %2 %3
      return h = %4
  %7: f64[600] = get %6 h final
  return out = %7
"""


def test_a_repeated_row_is_a_nonsequence():
    after = show(same_rows(parse(BEFORE)))
    assert "nonseq d = %1" in after
    assert "read d" in after
    assert "broadcast_to" not in after


def test_a_sequence_that_may_be_too_short_stays():
    graph = parse(BEFORE.replace("%4: f64[n, 600] = broadcast_to", "%4: f64[7, 600] = broadcast_to").replace(
        "%5: f64[n, 600]", "%5: f64[7, 600]"))  # fmt: skip
    assert same_rows(graph) is graph


@pytest.mark.parametrize("lanes", [1, 40, 600])
def test_derivatives_of_means(lanes):
    def loss(x, h):
        ys = sc.scan(lambda x, h: np.tanh(0.5 * h + x), x, h)
        return (ys.sum(axis=0) ** 2).sum()

    f = sc.jit(sc.grad(loss, (0, 1)))
    for steps in (0, 1, 7):
        x, h = R.normal(size=(steps, lanes)), R.normal(size=lanes)
        for have, want in zip(f(x, h), f(x, h, mode="interpret"), strict=True):
            assert np.allclose(have, want, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("shape", [(1, 5), (5,), ()])
def test_broadcasts_that_a_user_writes(shape):
    def program(x, row, h):
        return sc.scan(lambda x, d, h: h * d + x, [x, np.broadcast_to(row, x.shape)], h)

    x, row, h = R.normal(size=(6, 5)), R.normal(size=shape), R.normal(size=5)
    f = sc.jit(program)
    assert np.allclose(f(x, row, h), f(x, row, h, mode="interpret"), rtol=1e-13)
