"""Reductions over time: accumulated in the loop, equal to those of the whole output, in memory that does not grow."""

import numpy as np
import pytest

import scancc as sc

X = np.array([3.0, -2.0, 1.0, np.nan, -7.5])


@pytest.mark.parametrize("xs", [X[:3], X, X[3:], -X[:1], np.full(3, np.inf), np.full(2, -np.inf)])
@pytest.mark.parametrize("dtype", ["float64", "float32", "int32", "uint8", "bool"])
def test_every_reduction(xs, dtype):
    xs = np.nan_to_num(xs, posinf=90, neginf=-90).astype(dtype) if dtype[0] not in "f" else xs.astype(dtype)

    @sc.jit
    def f(xs):
        ys = sc.scan(lambda x: x, xs)
        return ys.max(), ys.min(), ys.sum(), ys.prod(), (ys > 0).any(), (ys > 0).all()

    with np.errstate(all="ignore"):
        want = xs.max(), xs.min(), xs.sum(), xs.prod(), (xs > 0).any(), (xs > 0).all()
    for mode in ("compiled", "interpret"):
        for have, w in zip(f(xs, mode=mode), want, strict=True):
            np.testing.assert_allclose(have, w, rtol=1e-6)


@pytest.mark.parametrize("xs", [X[:3], X, X[3:], X * 300, np.full(3, np.inf), np.full(2, -np.inf), np.zeros(0)])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_sums_of_exponentials(xs, dtype):
    import scipy.special

    xs = xs.astype(dtype)
    over_time = sc.jit(lambda xs: sc.logsumexp(sc.scan(lambda x: np.stack([x, -x]), xs), axis=0))
    plain = sc.jit(lambda xs: sc.logsumexp(np.stack([xs, -xs]), axis=1))
    with np.errstate(all="ignore"):
        want = [scipy.special.logsumexp(v) if len(v) else -np.inf for v in (xs, -xs)]
    for mode in ("compiled", "interpret"):
        for f in (over_time, plain):
            np.testing.assert_allclose(f(xs, mode=mode), want, rtol=1e-5 if dtype == "float32" else 1e-12)
    assert "y_rows" not in over_time.lower(xs).source()
    assert "trace" not in over_time.lower(xs).explain()


@pytest.mark.parametrize("mode", ["compiled", "interpret"])
def test_extremes_of_no_rows(mode):
    f = sc.jit(lambda xs: sc.scan(lambda x, y: x + y, xs, 0.0).max())
    assert f(np.ones(3), mode=mode) == 3
    with pytest.raises(ValueError, match="zero-size array"):
        f(np.zeros(0), mode=mode)
    inner = sc.jit(lambda xs, n: sc.scan(lambda x: sc.scan(lambda y: y * 0.5, None, x, n_steps=n).min(), xs))
    np.testing.assert_allclose(inner(np.array([1.0, -1.0]), 2, mode=mode), [0.25, -0.5])
    assert inner(np.zeros(0), 0, mode=mode).shape == (0,)
    with pytest.raises(ValueError, match="zero-size array"):
        inner(np.ones(2), 0, mode=mode)


def test_no_trace_is_kept():
    @sc.jit
    def f(xs):
        ys = sc.scan(lambda x, y: 0.5 * y + x, xs, np.zeros(40))
        zs = sc.scan(lambda y: (y + 1.0, sc.until(y > 50)), None, 0.0, n_steps=10**15)
        return ys.max(axis=0), ys.min(), ys.mean(axis=0), zs.max(), zs.sum(), zs[-1]

    rows = np.random.default_rng(0).normal(size=(300, 40))
    found = f.lower(rows)
    assert not any("n_xs" in repr(b) or b.role == "local" for b in found.compiled.lowered.allocated)
    assert "alloc" not in found.loop_ir()
    for have, want in zip(f(rows), f(rows, mode="interpret"), strict=True):
        np.testing.assert_allclose(have, want, rtol=1e-12)


def test_explain_states_both_sizes():
    f = sc.jit(lambda xs: sc.scan(lambda x, y: 0.5 * y + x, xs, 0.0).max())
    assert "memory: 8.0 MB with every state and output kept, as written; 8 B as compiled" in (
        f.lower(np.ones(1_000_000)).explain()
    )
