"""Random programs: reverse against forward mode, both against finite differences, kernels against the interpreter."""

from __future__ import annotations

import numpy as np
from hypothesis import HealthCheck, given, settings
from programs import Program, programs

import scancc as sc

SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]


def loss(program: Program, **options):
    """A smooth number of all outputs, as a function of the program's floating-point arrays."""
    xs, initial, ws = program.arrays()
    carried = [i for i in initial if i is not None]

    def run(*arrays):
        x, rest = list(arrays[: len(xs)]), list(arrays[len(xs) :])
        starts = iter(rest[: len(carried)])
        sequences, info = program.arguments(x, [None if i is None else next(starts) for i in initial])
        made = sc.scan(program.step, sequences, info, rest[len(carried) :], go_backwards=program.backwards,
                       return_list=True, **options)
        return sum(np.sin(y.astype("float64")).sum() for y in made)

    return run, tuple(np.asarray(a, "float64") for a in (*xs, *carried, *ws))


def directional(program: Program, mode: str, **options) -> tuple[float, float, float]:
    """The derivative along a random direction by reverse mode, forward mode, and central differences."""
    f, args = loss(program, **options)
    r = np.random.default_rng(len(args))
    direction = tuple(r.normal(size=a.shape) for a in args)

    def reverse(*args):
        g = sc.vjp(f, *args)[1](1.0)
        return sum((p * d).sum() for p, d in zip(g, direction, strict=True))

    def forward(*args):
        return sc.jvp(f, args, direction)[1]

    with np.errstate(all="ignore"):
        rv, fw = (float(sc.jit(g)(*args, mode=mode)) for g in (reverse, forward))
        h = 1e-6
        run = sc.jit(f)
        moved = ([a + s * h * d for a, d in zip(args, direction, strict=True)] for s in (1, -1))
        up, down = (run(*m, mode="interpret") for m in moved)
    return rv, fw, float((up - down) / (2 * h))


def close(a: float, b: float, tolerance: float) -> bool:
    return not (np.isfinite(a) and np.isfinite(b)) or abs(a - b) <= tolerance * max(1.0, abs(a), abs(b))


@settings(max_examples=36, deadline=None, suppress_health_check=SLOW, derandomize=True)
@given(programs())
def test_modes_agree_on_the_interpreter(program):
    if program.dtype != "float64":
        return
    rv, fw, numeric = directional(program, "interpret")
    assert close(rv, fw, 1e-9)
    # Kinks (extremes, absolute values) within the step of the difference are rare, but they are there.
    assert close(rv, numeric, 1e-4)


@settings(max_examples=8, deadline=None, suppress_health_check=SLOW, derandomize=True)
@given(programs())
def test_kernels_agree(program):
    if program.dtype != "float64":
        return
    rv, fw, _ = directional(program, "compiled")
    assert close(rv, fw, 1e-8)
    assert close(rv, directional(program, "interpret")[0], 1e-8)


@settings(max_examples=20, deadline=None, suppress_health_check=SLOW, derandomize=True)
@given(programs())
def test_checkpoints_agree(program):
    if program.dtype != "float64":
        return
    whole = directional(program, "interpret")[0]
    for checkpoint in (2, "sqrt"):
        assert close(directional(program, "interpret", checkpoint=checkpoint)[0], whole, 1e-9)
