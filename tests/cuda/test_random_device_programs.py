"""Random programs on the simulator: one sequence, and a batch of them, against a plain Python loop."""

from __future__ import annotations

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from programs import programs
from schedules import permuted
from test_random_programs import agree, expected, reading

import scancc as sc
from scancc.backends.cuda.toolkit import simulated

PART = 1 if simulated() else 4  # a device compiles each of them for seconds
SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]


@settings(max_examples=44 // PART, deadline=None, suppress_health_check=SLOW, derandomize=True)
@given(programs())
def test_one_sequence(program):
    run, arrays = reading(program)
    have = sc.jit(run, target="cuda")(*arrays)
    agree(have, expected(program), program.dtype)


@settings(max_examples=16 // PART, deadline=None, suppress_health_check=SLOW, derandomize=True)
@given(programs())
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


@settings(max_examples=28 // PART, deadline=None, suppress_health_check=SLOW, derandomize=True)
@given(programs(), st.sampled_from(["block", "grid"]), st.integers(0, 1000))
def test_teams(program, strategy, seed):
    """Under a random schedule; all loops are shared out, however short they are."""
    run, arrays = reading(program)
    with permuted(seed):
        have = sc.jit(run, target="cuda", strategy=strategy)(*arrays)
    agree(have, expected(program), program.dtype)
