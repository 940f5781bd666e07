"""Random programs: a plain Python loop, the interpreter after every pass, and the compiled kernel give the same."""

from __future__ import annotations

import numpy as np
from hypothesis import HealthCheck, given, settings
from programs import READINGS, Program, programs

import scancc as sc
from scancc import interpreter
from scancc.passes.pipeline import Options, optimise

SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]


def reading(program: Program):
    """A function of the arrays that reads each output in its way: a whole program for sc.jit."""
    xs, initial, ws = program.arrays()
    carried = [i for i in initial if i is not None]

    def run(*arrays):
        x, rest = list(arrays[: len(xs)]), list(arrays[len(xs) :])
        starts = iter(rest[: len(carried)])
        sequences, info = program.arguments(x, [None if i is None else next(starts) for i in initial])
        made = sc.scan(
            program.step, sequences, info, rest[len(carried) :], go_backwards=program.backwards, return_list=True
        )
        return tuple(READINGS[how](y) for how, y in zip(program.readings, made, strict=True))

    return run, (*xs, *carried, *ws)


def expected(program: Program) -> list[np.ndarray]:
    with np.errstate(all="ignore"):
        return [READINGS[how](y) for how, y in zip(program.readings, program.loop(), strict=True)]


def agree(have, want, dtype: str) -> None:
    tolerance = 2e-4 if dtype == "float32" else 1e-9
    for a, b in zip(have, want, strict=True):
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


@settings(max_examples=60, deadline=None, suppress_health_check=SLOW, derandomize=True)
@given(programs())
def test_interpreter_after_every_pass(program):
    run, arrays = reading(program)
    traced = sc.jit(run).trace(*arrays)
    want = expected(program)
    agree(interpreter.run(traced.graph, traced.bound(arrays)).values(), want, program.dtype)
    for applied in optimise(traced.graph, Options()):
        got = interpreter.run(applied.graph, traced.bound(arrays))
        agree(got.values(), want, program.dtype)


@settings(max_examples=16, deadline=None, suppress_health_check=SLOW, derandomize=True)
@given(programs())
def test_compiled(program):
    run, arrays = reading(program)
    agree(sc.jit(run)(*arrays), expected(program), program.dtype)


def agree_with_the_loop(program, **options):
    xs, initial, ws = program.arrays()
    sequences, info = program.arguments(xs, initial)
    step = sc.scan_compile(program.step, **options)
    have = step(sequences, info, ws, go_backwards=program.backwards, return_list=True)
    with np.errstate(all="ignore"):
        agree(have, program.loop(), program.dtype)


@settings(max_examples=8, deadline=None, suppress_health_check=SLOW, derandomize=True)
@given(programs())
def test_compiled_without_passes(program):
    agree_with_the_loop(program, optimize=False)


@settings(max_examples=8, deadline=None, suppress_health_check=SLOW, derandomize=True)
@given(programs())
def test_strict_fp(program):
    if program.dtype != "float64":
        return
    agree_with_the_loop(program, strict_fp=True)


def test_thousands_of_ops_deep():
    """A step of thousands of ops does not recurse."""
    r = np.random.default_rng(0)
    signs = r.choice([-1.0, 1.0], 1200)

    def step(x, y):
        for s in signs:
            y = y * 0.999 + s * x
        return y

    x = r.normal(size=4)
    want, y = [], 0.0
    for v in x:
        y = step(v, y)
        want.append(y)
    np.testing.assert_allclose(sc.scan(step, x, 0.0, mode="interpret"), want, rtol=1e-9)
