"""Random programs on the simulator: one sequence, and a batch of them, against a plain Python loop."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from programs import programs
from test_random_programs import agree, expected, reading

import scancc as sc
from scancc.errors import UnsupportedError

SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]


def without_products(program):
    """Products of matrices beyond a few elements are not there on a device yet, which the program says."""
    return not any(name == "matmul" for name, _, _ in program.code)


@settings(max_examples=150, deadline=None, suppress_health_check=SLOW, derandomize=True)
@given(programs())
def test_one_sequence(program):
    run, arrays = reading(program)
    try:
        have = sc.jit(run, target="cuda")(*arrays)
    except UnsupportedError as e:
        assert "not there on a device yet" in str(e)
        assert not without_products(program)
        return
    agree(have, expected(program), program.dtype)


@settings(max_examples=100, deadline=None, suppress_health_check=SLOW, derandomize=True)
@given(programs().filter(without_products))
def test_a_batch(program):
    run, arrays = reading(program)
    count = len(program.sequences)
    lanes = 3
    batch = [np.stack([x * (1 + 0.1 * k) for k in range(lanes)]) for x in arrays[:count]]
    mapped = sc.vmap(run, in_axes=(0,) * count + (None,) * (len(arrays) - count))
    have = sc.jit(mapped, target="cuda")(*batch, *arrays[count:])
    for k in range(lanes):
        want = sc.jit(run)(*[b[k] for b in batch], *arrays[count:], mode="interpret")
        agree([np.asarray(h)[k] for h in have], want, program.dtype)


def test_products_are_an_error_that_says_so():
    w = np.eye(20)
    with pytest.raises(NotImplementedError, match="not there on a device yet"):
        sc.jit(lambda x: sc.scan(lambda x, h: h @ w + x, x, np.zeros(20)), target="cuda")(np.ones(3))
