"""float16 and bfloat16: stored with 16 bits, computed with 32."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

import scancc as sc
from scancc.errors import ScanTypeError
from scancc.ir.loop import Const

R = np.random.default_rng(0)
HALVES = [np.dtype(np.float16), np.dtype(ml_dtypes.bfloat16)]
EDGES = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 65504, 65519.99, 65520, 1e38, 3.39e38, 6e-8, 2.9e-8, 1e-40,
                  1 + 2**-11, 1 + 3 * 2**-11, 1 + 2**-8, 1 + 3 * 2**-8], np.float32)  # fmt: skip
KINDS = [d.name for d in HALVES]
half = pytest.mark.parametrize("dtype", HALVES, ids=lambda d: d.name)
on = pytest.mark.parametrize("target", ["cpu", "cuda"])


def bits(a):
    """NaNs count as one number."""
    return np.where(np.isnan(a.astype(np.float32)), 0xFFFF, a.view(np.uint16))


@half
@on
def test_every_number_is_read(dtype, target):
    every = np.arange(1 << 16, dtype=np.uint16)
    every = every if target == "cpu" else every[::257]
    x = every.view(dtype)
    have = sc.jit(lambda x: sc.scan(lambda x: x, x), target=target)(x)
    want = x.astype(np.float32)
    assert have.dtype == np.float32
    assert np.array_equal(have, want, equal_nan=True)


@half
@on
@pytest.mark.filterwarnings("ignore:overflow")
def test_what_is_stored_is_rounded_to_nearest_even(dtype, target):
    count = 200_000 if target == "cpu" else 300
    x = np.concatenate([EDGES, R.integers(0, 1 << 32, count, np.uint32).view(np.float32),
                        R.normal(size=count).astype(np.float32)])  # fmt: skip
    with np.errstate(over="ignore", invalid="ignore"):
        want = x.astype(dtype)
        have = sc.jit(lambda x: sc.scan(lambda x: x.astype(dtype), x), target=target)(x)
    assert have.dtype == dtype
    assert np.array_equal(bits(have), bits(want))


def state_in_float32(dtype):
    return lambda x: sc.scan(lambda x, y: 0.5 * y + x, x, np.float32(0)).astype(dtype)


def rows_of_a_step(dtype):
    def f(x, h, w):
        rows, rounded = sc.scan(lambda x, h, w: ((h := np.tanh(x + h @ w)), (h * 2).astype(dtype)), x, [h, None], [w])
        return rows[-1], rounded, rounded.sum(), rounded[3], rounded[-2:]

    return f


def loss(dtype):
    return lambda w, x, h: (sc.scan(lambda x, h, w: np.tanh(x + h @ w), x, h, [w]).astype(dtype) ** 2).sum()


def nested(dtype):
    def step(x, h):
        inner = sc.scan(lambda v, g: v * 0.5 + g, x, np.float32(0)).astype(dtype)
        return h * 0.5 + inner.mean(), inner

    return lambda x: sc.scan(step, x, [np.float32(0), None])


X, H, W = R.normal(size=(13, 6)), np.zeros(6), R.normal(size=(6, 6)) / 3
PROGRAMS = {
    "state": (state_in_float32, X[:, 0]),
    "rows": (rows_of_a_step, X, H, W),
    "loss": (loss, W, X, H),
    "gradient": (lambda d: sc.grad(loss(d)), W, X, H),
    "lanes": (lambda d: sc.vmap(state_in_float32(d)), X.T),
    "lanes over steps": (lambda d: sc.vmap(rows_of_a_step(d), (0, 0, None)), np.stack([X, -X]), np.stack([H, H]), W),
    "nested": (nested, X),
    "taps": (lambda d: lambda x: sc.scan(lambda a, b, y: y * 0.5 + a * b, dict(input=x, taps=[-1, 1]), np.float64(0)),
             X[:, 0]),
    "until": (lambda d: lambda x: sc.scan(lambda x, y: (y + x * x, sc.until(y > 3)), x, np.float32(0)).astype(d),
              X[:, 0]),
    "captured": (lambda d: lambda x: sc.scan(lambda h: h * 0.5 + x, None, np.zeros(6, d), n_steps=3), X[0]),
    "branches": (lambda d: lambda x: sc.scan(lambda x, y: sc.cond(x > 0, lambda y: y + x, lambda y: y.astype(d), y),
                                              x, 1.0), X[:, 0]),
    "functions": (lambda d: lambda x: (np.concatenate([x, x]).sum(), x.mean(), np.where(x > 0, x, 1),
                                       x.astype(int).max(), np.cumsum(x)[::-1], x[2:5].astype(d),
                                       np.zeros_like(x) + 1), X[:, 0]),
}  # fmt: skip


def everything(programs):
    """Each on the CPU with both dtypes and on the simulator with one of them: what tells them apart is tested above."""
    for k, name in enumerate(programs):
        yield from ((name, kind, "cpu") for kind in KINDS)
        yield name, KINDS[k % 2], "cuda"


@pytest.mark.parametrize(("name", "kind", "target"), list(everything(PROGRAMS)))
def test_programs(name, kind, target):
    dtype = HALVES[KINDS.index(kind)]
    make, *args = PROGRAMS[name]
    f = sc.jit(make(dtype), target=target)
    args = [a.astype(dtype) for a in args]
    have, want = f(*args), f(*args, mode="interpret")
    have, want = (v if isinstance(v, tuple) else (v,) for v in (have, want))
    for h, w in zip(have, want, strict=True):
        assert h.dtype == w.dtype
        assert h.shape == w.shape
        rounds = "float16" in h.dtype.name or name in ("loss", "gradient", "rows", "nested", "branches")
        rounding = 2e-2 if rounds else 1e-5
        assert np.allclose(h.astype(np.float64), w.astype(np.float64), rtol=rounding, atol=rounding / 10)


@half
def test_accumulation_has_32_bits(dtype):
    """A sum of ones goes past what 16 bits can count to."""
    assert sc.jit(lambda x: x.sum())(np.ones(70_001, dtype)) == 70_001
    assert sc.jit(lambda x: sc.scan(lambda x, s: s + x, x, dtype.type(0))[-1])(np.ones(70_001, dtype)) == 70_001


@half
def test_gradients_are_float32(dtype):
    x = R.normal(size=9).astype(dtype)
    g = sc.grad(lambda x: (state_in_float32(dtype)(x) ** 2).sum())(x)
    wide = sc.grad(lambda x: (sc.scan(lambda x, y: 0.5 * y + x, x, np.float32(0)) ** 2).sum())(x.astype(np.float32))
    assert g.dtype == np.float32
    assert np.allclose(g, wide, rtol=2e-2)
    value, tangent = sc.jvp(state_in_float32(dtype), (x,), (np.ones(9, np.float32),))
    assert (value.dtype, tangent.dtype) == (dtype, np.float32)


@half
def test_no_array_of_32_bits_is_made(dtype):
    program = sc.jit(state_in_float32(dtype)).lower(np.zeros(1000, dtype))
    assert "narrow_storage" in program.explain()
    # What is as long as the sequence; chunks of some hundred steps have 32 bits.
    whole = [b for b in program.compiled.lowered.allocated if not isinstance(b.shape[0], Const)]
    assert [b.dtype for b in whole] == [dtype]


@half
def test_kernels_for_devices_read_16_bits(dtype):
    """Compiled without a device: loads and stores of 16 bits, conversions by the device's instructions."""
    source = sc.jit(state_in_float32(dtype), target="cuda", parallel="never").lower(np.zeros(100, dtype)).source()
    assert ("np.float16(" if dtype == np.float16 else "halves.to_bfloat16(") in source


def test_doubles_are_rounded_to_float32_first():
    x = np.array([1 + 2**-11 + 2**-30])  # in one go it would be rounded up
    assert sc.jit(lambda x: x.astype(np.float16))(x)[0] == 1.0
    assert sc.jit(lambda x: x.astype(np.float16))(x, mode="interpret")[0] == 1.0


@half
def test_shared_variables_do_not_hold_them(dtype):
    with pytest.raises(ScanTypeError, match="cannot hold"):
        sc.shared(np.zeros(3, dtype))


@half
def test_decorated_steps(dtype):
    @sc.scan_compile
    def step(x, y):
        return y * 0.5 + x, (y * 2).astype(dtype)

    x = R.normal(size=12).astype(dtype)
    y, z = step(x, [dtype.type(1), None])
    assert (y.dtype, z.dtype) == (np.float32, dtype)
    w, v = step(x, [dtype.type(1), None], mode="interpret")
    assert np.allclose(y, w)
    assert np.array_equal(z, v)
