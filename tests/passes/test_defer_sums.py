"""Sums over lanes are taken after the loop where nothing else is between the lanes."""

from __future__ import annotations

from itertools import takewhile

import numpy as np
import pytest

import scancc as sc
from scancc import interpreter
from scancc.ir.parser import parse
from scancc.ir.printer import show
from scancc.ir.verify import verify
from scancc.passes.graph.defer_sums import defer_sums

R = np.random.default_rng(0)


def totals(x, h, a, b):
    """Two sums over all lanes and steps, one with factors that a step does not change."""

    def step(x, h, a, b):
        new = a * h + x
        whole, squares = new.sum(), (new * new).sum()
        return new, whole, b * whole - squares / a

    _, s, t = sc.scan(step, x, [h, None, None], [a, b])
    return s.sum(), t.sum()


@pytest.mark.parametrize("lanes", [0, 1, 17, 257, 1000])
def test_totals(lanes):
    f = sc.jit(totals)
    for steps in (0, 1, 6, 13):
        x, h = R.normal(size=(steps, lanes)), R.normal(size=lanes)
        for have, want in zip(f(x, h, 0.5, 2.0), f(x, h, 0.5, 2.0, mode="interpret"), strict=True):
            assert np.allclose(have, want, rtol=1e-11, atol=1e-11)


def test_lanes_are_apart():
    x, h = R.normal(size=(9, 1000)), R.normal(size=1000)
    source = sc.jit(totals).lower(x, h, 0.5, 2.0).source()
    assert source.count("lanes of") == 1
    after = source.split("lanes of")[1].splitlines()[1:]
    tiles = list(takewhile(lambda line: line.startswith(" " * 8), after))
    assert tiles and not any("partial" in line for line in tiles)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_special_values(bad):
    x, h = R.normal(size=(6, 600)), R.normal(size=600)
    f = sc.jit(totals)
    x[2, 300] = bad
    for a, b in ((0.5, 2.0), (0.5, bad), (bad, 2.0)):
        for steps in (0, 6):
            with np.errstate(invalid="ignore"):
                want = f(x[:steps], h, a, b, mode="interpret")
            np.testing.assert_allclose(f(x[:steps], h, a, b), want, rtol=1e-11)


@pytest.mark.parametrize("dtype", ["float16", "float32", "complex64", "int16", "bool"])
def test_dtypes(dtype):
    def both(x, h, s, a):
        def step(x, h, s, t, a):
            new = a * h + x
            whole = new.sum(dtype=new.dtype)
            return new, (s + whole).astype(s.dtype), (t + a * whole).astype(s.dtype)

        _, s, t = sc.scan(step, x, [h, s, s], a)
        return s[-1], t[-1]

    x, h = ((2 * R.normal(size=s)).astype(dtype) for s in ((5, 600), (600,)))
    one = np.dtype(dtype).type(1)
    f = sc.jit(both)
    for have, want in zip(f(x, h, one, one), f(x, h, one, one, mode="interpret"), strict=True):
        assert have.dtype == want.dtype  # steps compute float16 in float32
        assert np.allclose(have, want, rtol=1e-4, atol=1e-3)


DEVICE = """program main
  %0: f64[n, 4] = input x
  %1: f64[] = input start
  %2: i64[] = dim %0 axis=0
  %3 = scan s steps %2
    sequence x taps [0] = %0
    carry total taps [-1] = %1
    carry level taps [-1] = %1
    body
      %0: f64[4] = tap x[0]
      %1: f64[] = tap total[-1]
      %2: f64[] = tap level[-1]
      %3: f64[4] = multiply %0 %2
      %4: f64[] = reduce_sum %3 axes=[0]
      %5: f64[] = add %1 %4
      %6: f64[] = reduce_sum %0 axes=[0]
      %7: f64[] = add %2 %6
      return total = %5, level = %7
  %4: f64[] = get %3 total final
  %5: f64[] = get %3 level final
  return total = %4, level = %5
"""


def test_a_device_takes_all_sums_that_no_step_reads():
    graph = parse(DEVICE)
    assert defer_sums(graph, apart=True) is graph
    after = defer_sums(graph)
    verify(after)
    assert show(after).count("f64[4] = tap total[-1]") == 1
    assert show(after).count("f64[] = tap level[-1]") == 1
    x = R.normal(size=(5, 4))
    for key, want in interpreter.run(graph, {"x": x, "start": np.float64(2.0)}).items():
        assert np.allclose(interpreter.run(after, {"x": x, "start": np.float64(2.0)})[key], want, rtol=1e-13)


def test_strict_sums_stay_in_the_loop():
    x, h = R.normal(size=(9, 1000)), R.normal(size=1000)
    assert "lanes of" not in sc.jit(totals, strict_fp=True).lower(x, h, 0.5, 2.0).source()


@pytest.mark.parametrize(
    "step",
    [
        lambda x, h, s: (h + x - h.mean(), s + h.sum()),  # lanes meet in any case
        lambda x, h, s: (h + x, s + x[0] * h.sum()),  # a factor of the step
        lambda x, h, s: (h + x * s, s + h.sum()),  # a total that the next step reads
        lambda x, h, s: (h + x, 0.5 * s + h.sum()),
        lambda x, h, s: (h + x, s + np.maximum(h.sum(), 0.0)),
    ],
)
def test_other_totals_stay(step):
    f = sc.jit(lambda x, h: sc.scan(step, x, [h, 0.0])[1][-1])
    x, h = R.normal(size=(5, 1000)), R.normal(size=1000)
    assert "lanes of" not in f.lower(x, h).source()
    assert np.allclose(f(x, h), f(x, h, mode="interpret"), rtol=1e-10)


def test_gradients_of_what_all_lanes_share():
    def loss(a, x):
        ys = sc.scan(lambda x, h, a: np.tanh(a * h + x), x, np.zeros(x.shape[1]), [a])
        return (ys**2).mean()

    x = R.normal(size=(20, 700))
    f = sc.jit(sc.grad(loss))
    assert np.allclose(f(0.7, x), f(0.7, x, mode="interpret"), rtol=1e-10)
    assert "lanes of" in f.lower(0.7, x).source()


def test_strict_sums_of_products_stay_in_the_loop():
    """One matrix product after the loop adds in another order."""
    rng = np.random.default_rng(3)
    left, right = rng.normal(size=(40, 40)), rng.normal(size=(40, 70))
    f = sc.jit(lambda a, b: sc.scan(lambda a, b, w: w + a[:, None] * b[None, :], [a, b], np.zeros((40, 70)))[-1],
               strict_fp=True)  # fmt: skip
    total = np.zeros((40, 70))
    for a, b in zip(left, right, strict=True):
        total += a[:, None] * b[None, :]
    np.testing.assert_array_equal(f(left, right), total)
