"""Vector math against values computed in a wider format: error in units in the last place, and special values."""

import numpy as np
import pytest
import scipy.special
from numba import njit
from scancc_runtime import transcendental

REFERENCE = {"exp": np.exp, "tanh": np.tanh, "expit": scipy.special.expit}


def apply(name, x):
    f = getattr(transcendental, name)

    @njit(error_model="numpy")
    def loop(x, out):
        for i in range(len(x)):
            out[i] = f(x[i])

    out = np.empty_like(x)
    loop(x, out)
    return out, loop


def arguments(dtype):
    r = np.random.default_rng(0)
    edge = 105 if dtype == np.float32 else 750
    tiny = 10.0 ** r.uniform(-30, 0, 20000) * r.choice([-1, 1], 20000)
    return np.concatenate([r.uniform(-edge, edge, 40000), r.uniform(-3, 3, 40000), tiny]).astype(dtype)


@pytest.mark.parametrize("name", REFERENCE)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_error_in_ulps(name, dtype):
    x = arguments(dtype)
    got, _ = apply(name, x)
    with np.errstate(all="ignore"):
        # NumPy's long double has 64 bits of mantissa here: 11 more than the widest format tested.
        wide = x.astype(np.longdouble)
        want = 1 / (1 + np.exp(-wide)) if name == "expit" else REFERENCE[name](wide)
        unit = np.spacing(np.abs(want).astype(dtype))
        error = np.abs(got.astype(np.longdouble) - want) / unit
        narrow = want.astype(dtype)
    finite = np.isfinite(narrow)
    np.testing.assert_array_equal(got[~finite], narrow[~finite])
    assert error[finite].max() <= 2.5


@pytest.mark.parametrize("name", REFERENCE)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_special_values(name, dtype):
    info = np.finfo(dtype)
    x = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, info.max, -info.max, info.smallest_subnormal], dtype)
    got, _ = apply(name, x)
    with np.errstate(all="ignore"):
        want = REFERENCE[name](x)
    np.testing.assert_array_equal(got, want)
    np.testing.assert_array_equal(np.signbit(got[1:]), np.signbit(want[1:]))


@pytest.mark.parametrize("name", REFERENCE)
def test_loops_are_vectorised_without_calls(name):
    x = np.linspace(-1, 1, 64)
    _, loop = apply(name, x)
    asm = "\n".join(loop.inspect_asm().values())
    assert "vfmadd" in asm and ("ymm" in asm or "zmm" in asm)
    for symbol in ("tanh", "expf", "exp@"):
        assert f"call\t{symbol}" not in asm and f"callq\t*{symbol}" not in asm
