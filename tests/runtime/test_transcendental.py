"""Vector math against mpmath: error in units in the last place over the whole range, and special values."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
import scipy.special
from kernels import elementwise

from scancc.passes.pipeline import Options

ULPS = 2.0
FUNCTIONS = {
    "exp": (np.exp, mpmath.exp), "expm1": (np.expm1, mpmath.expm1), "log": (np.log, mpmath.log),
    "log1p": (np.log1p, lambda x: mpmath.log1p(x)), "sin": (np.sin, mpmath.sin), "cos": (np.cos, mpmath.cos),
    "tanh": (np.tanh, mpmath.tanh), "erf": (scipy.special.erf, mpmath.erf),
    "expit": (scipy.special.expit, lambda x: 1 / (1 + mpmath.exp(-x))),
}  # fmt: skip
# Doubles next to multiples of pi/2, the worst of them known (Muller, Elementary Functions, 11.3.2).
NEAR_MULTIPLES = [6381956970095103.0 * 2.0**797, 5.3e15, 1e22, 1.5707963267948966, 3.141592653589793, 11.0, 355.0]


def apply(name, x, **options):
    out = np.empty_like(x)
    assert elementwise(name, x.dtype, Options(**options)).call(x, len(x), out) == 0
    return out


def arguments(name, dtype, count):
    """Every binade of the format, the range where the result varies, and the hard places."""
    r = np.random.default_rng(0)
    info = np.finfo(dtype)
    binades = np.ldexp(r.uniform(1, 2, count), r.integers(info.minexp - 20, info.maxexp, count))
    edge = {"exp": 750, "expm1": 750, "expit": 750, "tanh": 25, "erf": 7}.get(name, 100)
    edge = min(edge, 105) if dtype == np.float32 else edge
    parts = [binades, r.uniform(0, edge, count), r.uniform(0, 2, count), 1 + r.normal(size=count) * 1e-3]
    if name in ("sin", "cos"):
        parts += [np.arange(1, count) * (np.pi / 2), np.array(NEAR_MULTIPLES)]
    with np.errstate(over="ignore"):
        x = np.concatenate([*parts, *(-p for p in parts)]).astype(dtype)
    x = x[np.isfinite(x)]
    return x[x > 0] if name == "log" else x[x > -1] if name == "log1p" else x


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_error_in_ulps(name, dtype):
    x = arguments(name, dtype, 700)
    got = apply(name, x)
    info = np.finfo(dtype)
    worst, at = 0.0, None
    with mpmath.workprec(200):
        exact = FUNCTIONS[name][1]
        for a, y in zip(x.tolist(), got.tolist(), strict=True):
            if name in ("sin", "cos") and abs(a) > 1e15:
                with mpmath.workprec(1300):
                    want = exact(mpmath.mpf(a))
            else:
                want = exact(mpmath.mpf(a))
            if abs(want) >= mpmath.mpf(float(info.max)) * (1 + mpmath.mpf(2) ** (-info.nmant - 2)):
                assert y == np.copysign(np.inf, float(mpmath.sign(want)))
                continue
            exponent = mpmath.frexp(want)[1] if want else info.minexp
            unit = mpmath.ldexp(1, max(int(exponent) - 1, info.minexp) - info.nmant)
            error = float(abs(mpmath.mpf(y) - want) / unit)
            if error > worst:
                worst, at = error, a
    assert worst <= ULPS, f"{worst} ulp at {at!r}"


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_flags_of_the_kernel_leave_the_algorithms_alone(name, dtype):
    """Under `fastmath` a sum may be taken apart, but not those that round a number to an integer."""
    x = arguments(name, dtype, 100)
    with np.errstate(over="ignore"):
        fast = apply(name, x, fastmath=True)
        np.testing.assert_allclose(fast, apply(name, x), rtol=4 * np.finfo(dtype).eps, atol=0)


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_special_values(name, dtype):
    info = np.finfo(dtype)
    tiny = info.smallest_subnormal
    x = np.array([np.inf, -np.inf, 0.0, -0.0, tiny, -tiny, 1.0, -1.0, -2.0, -info.max, np.nan], dtype)
    got = apply(name, x)
    with np.errstate(all="ignore"):
        want = FUNCTIONS[name][0](x)
    np.testing.assert_array_equal(np.isnan(got), np.isnan(want))
    special = ~np.isfinite(want) | (want == 0) | (np.abs(want) == 1)
    np.testing.assert_array_equal(got[special], want[special])
    known = ~np.isnan(want)
    np.testing.assert_array_equal(np.signbit(got[known]), np.signbit(want[known]))


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_loops_are_vectorised_without_calls(name, dtype):
    asm = elementwise(name, np.dtype(dtype)).asm()
    start = asm.index("scancc_k:")
    body = asm[start : asm.index(".Lfunc_end", start)]
    assert "vfmadd" in body and ("ymm" in body or "zmm" in body)
    assert any(f"vfmadd{form}{'pd' if dtype == np.float64 else 'p'}" in body for form in ("213", "231", "132"))
    assert "call" not in body
