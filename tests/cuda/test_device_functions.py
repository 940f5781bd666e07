"""The functions of the device's run-time library, compiled for the CPU, against NumPy at every kind of number."""

from __future__ import annotations

import inspect

import numba
import numpy as np
import pytest
import scipy.special
from kernels import elementwise
from scancc_runtime.device import counters, integers, reals, scalar, transcendental

FLOATS = np.array([0.0, -0.0, 0.4, -0.4, 0.5, -0.5, 1.0, 1.5, -1.5, 2.5, -2.5, 3.7, -8.0, 27.0, 1e-300, -1e-300, 1e10,
                   4.5e15, 1e300, -1e300, np.inf, -np.inf, np.nan])  # fmt: skip
UNARY = {
    scalar.sign: np.sign, scalar.absolute: np.abs, reals.floor: np.floor, reals.ceil: np.ceil, reals.trunc: np.trunc,
    reals.rint: np.rint, reals.signbit: np.signbit, reals.exp2: np.exp2, reals.cbrt: np.cbrt,
    reals.gammaln: scipy.special.gammaln, transcendental.exp: np.exp, transcendental.expm1: np.expm1,
    transcendental.log: np.log, transcendental.log1p: np.log1p, transcendental.tanh: np.tanh,
    transcendental.sin: np.sin, transcendental.cos: np.cos, transcendental.erf: scipy.special.erf,
    transcendental.expit: scipy.special.expit,
}  # fmt: skip
BINARY = {
    scalar.minimum: np.minimum, scalar.maximum: np.maximum, scalar.fmin: np.fmin, scalar.fmax: np.fmax,
    reals.copysign: np.copysign, reals.power: np.power, reals.hypot: np.hypot, reals.arctan2: np.arctan2,
    reals.fmod: np.fmod, reals.remainder: np.remainder, reals.floor_divide: np.floor_divide,
    reals.logaddexp: np.logaddexp, scalar.zero_product: lambda x, y: x if x == 0 else x * y,
    scalar.either_zero_product: lambda x, y: x if x == 0 else y if y == 0 else x * y,
}  # fmt: skip
WHOLE = {integers.floor_divide: np.floor_divide, integers.remainder: np.remainder, integers.fmod: np.fmod,
         integers.left_shift: np.left_shift, integers.right_shift: np.right_shift}  # fmt: skip


def compiled(function):
    """`math.fmod` is there on devices, but not where numba compiles for the CPU: Python runs what calls it."""
    if "fmod" in function.__code__.co_names:
        return function
    return numba.njit(error_model="numpy")(function)


@pytest.mark.parametrize("function", UNARY, ids=lambda f: f.__name__)
@pytest.mark.filterwarnings("ignore")
def test_of_one_number(function):
    run = compiled(function)
    for x in FLOATS:
        want = UNARY[function](x)
        if function is reals.gammaln and (x <= 0 or abs(x) > 1e299):
            continue  # poles, where libraries differ in the sign of infinity
        assert np.allclose(run(x), want, rtol=1e-14, atol=0, equal_nan=True), x
        if function not in (transcendental.sin, transcendental.cos, reals.gammaln):
            assert np.signbit(run(x)) == np.signbit(want) or want != want, x


@pytest.mark.parametrize("function", BINARY, ids=lambda f: f.__name__)
@pytest.mark.filterwarnings("ignore")
def test_of_two_numbers(function):
    run = compiled(function)
    for x in FLOATS:
        for y in FLOATS:
            if function is reals.power and (x, y) == (-np.inf, 0.5):
                continue  # C says infinity, NumPy takes a square root
            want = BINARY[function](x, y)
            assert np.allclose(run(x, y), want, rtol=1e-13, atol=0, equal_nan=True), (x, y)


@pytest.mark.parametrize("function", WHOLE, ids=lambda f: f.__name__)
@pytest.mark.filterwarnings("ignore")
def test_of_integers(function):
    run = compiled(function)
    for x in (-9, -1, 0, 1, 2, 7, 2**40, -(2**40)):
        for y in (-3, -1, 0, 1, 2, 5, 63, 64, 100):
            if "shift" in function.__name__ and y < 0:
                continue
            assert run(x, y) == WHOLE[function](np.int64(x), np.int64(y)), (x, y)


def test_powers_of_integers():
    run = compiled(integers.power)
    for x in (-3, 0, 1, 2, 10):
        for p in (0, 1, 2, 5, 13):
            assert run(x, p) == x**p


GENERATORS = (counters.philox4x32, counters.philox4x64, counters.threefry4x32)


@pytest.mark.parametrize("function", GENERATORS, ids=lambda f: f.__name__)
def test_words_of_the_generators(function):
    device = compiled(function)
    given = np.random.default_rng(0).integers(0, 2**63, size=(3, 200), dtype=np.uint64)
    words = np.zeros(200, np.uint64)
    assert elementwise(function.__name__, given.dtype).call(*given, 200, words) == 0
    assert [device(key, index, stream) for key, index, stream in given.T] == words.tolist()


def test_every_function_is_tested():
    tested = {*UNARY, *BINARY, *WHOLE, integers.power, *GENERATORS, scalar.select, integers.truncate}
    modules = (counters, integers, reals, scalar, transcendental)
    there = {f for m in modules for f in vars(m).values() if inspect.isfunction(f)}
    assert there <= tested
