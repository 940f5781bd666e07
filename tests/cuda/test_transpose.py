"""Arrays whose lanes come first are transposed on the device, in tiles, by one launch."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from schedules import run_permuted

import scancc as sc
from scancc.backends.cuda.arrays import DeviceArray, device_put
from scancc.backends.cuda.toolkit import TRAFFIC
from scancc.backends.cuda.transpose import moved, source

R = np.random.default_rng(0)
DTYPES = ["bool", "int8", "float16", "uint16", "float32", "int64", "complex64", "complex128"]


@settings(deadline=None, max_examples=15, derandomize=True)
@given(st.lists(st.integers(1, 6), min_size=2, max_size=4), st.data(), st.sampled_from(DTYPES))
def test_any_axis_of_any_shape(shape, data, dtype):
    axis = data.draw(st.integers(0, len(shape) - 1))
    a = R.normal(size=shape).astype(dtype)
    for first in (False, True):
        have = moved(device_put(a), axis, first)
        assert have.is_contiguous
        assert np.array_equal(have.copy_to_host(), np.moveaxis(a, axis, 0 if first else -1))


def test_under_every_schedule():
    a = R.normal(size=(2, 9, 13))
    rng = np.random.default_rng(0)
    kernel, blocks = source("float64", 4, 2), 2 * 3 * 4

    def run(text):
        target = np.zeros(a.size)
        run_permuted(text, "transpose", [a.ravel(), target, 9, 13], blocks, 8, "", rng)
        return target.reshape(2, 13, 9)

    for _ in range(4):
        assert np.array_equal(run(kernel), a.transpose(0, 2, 1))
    with_a_race = run(kernel.replace("cuda.syncthreads()", "pass"))
    assert not np.array_equal(with_a_race, a.transpose(0, 2, 1))


def test_nothing_moves_where_the_lanes_lie_last_in_memory():
    a = device_put(R.normal(size=(20, 7)))
    view = DeviceArray(a.memory, lambda m: m.T)
    TRAFFIC.clear()
    assert moved(view, 0).contiguous() is a.memory
    assert not TRAFFIC["launch"]


def f(x, y0):
    return sc.scan(lambda x, y: 0.5 * y + x.sum(), x, y0)


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [((40, 30, 2), "float64"), ((3, 17, 5), "float64"), ((3, 17, 5), "float32"), ((40, 1, 30), "float32"),
     ((40, 30, 2), "float16"), ((40, 1, 30), "float16")],
)  # fmt: skip
def test_programs(shape, dtype):
    g = sc.jit(sc.vmap(f), target="cuda")
    args = R.normal(size=shape).astype(dtype), R.normal(size=shape[0])
    TRAFFIC.clear()
    have = g(*args)
    assert np.allclose(have, g(*args, mode="interpret"), rtol=1e-5, atol=1e-5)  # sums near zero
    assert TRAFFIC["launch"] == 2
    assert "transposed first" in g.lower(*args).explain()


def test_what_one_program_made_is_not_transposed_for_the_next():
    g = sc.jit(sc.vmap(lambda x, y0: sc.scan(lambda x, y: 0.5 * y + x, x, y0)), target="cuda")
    y = g(sc.device_put(R.normal(size=(8, 20))), np.zeros(8))
    TRAFFIC.clear()
    g(y, np.zeros(8))
    assert TRAFFIC["launch"] == 1


def test_short_rows_are_read_where_they_are():
    g = sc.jit(sc.vmap(lambda p: sc.scan(lambda y: y * p[0] + p[1], None, 0.0, n_steps=5)), target="cuda")
    p = R.normal(size=(40, 2))
    TRAFFIC.clear()
    assert np.allclose(g(p), g(p, mode="interpret"))
    assert TRAFFIC["launch"] == 1
