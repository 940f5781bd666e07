"""Programs on the simulator of CUDA devices: the interpreter's numbers, one launch, one transfer each way an array."""

from __future__ import annotations

import numpy as np
import pytest

import scancc as sc
from scancc.backends.cuda.toolkit import TRAFFIC
from scancc.batching.lanes import lanes_of

R = np.random.default_rng(0)
STEPS, LANES = 6, 5


def kalman(z, m, a):
    def step(z, m, p):
        f = np.array([[1.0, 1.0], [0.0, 1.0]])
        m, p = f @ m, f @ p @ f.T + 0.01 * np.eye(2)
        k = p[:, 0] / (p[0, 0] + 1.0)
        return m + k * (z - m[0]), p - np.outer(k, p[0])

    return sc.scan(step, z, [m, np.eye(2)])[0] * a


def ar2(x, y0, a):
    return sc.scan(lambda x, y2, y1, a: x + a * y1 - 0.3 * y2, x, [dict(initial=y0, taps=[-2, -1])], [a])


def long_tap(x, y0, a):
    return sc.scan(lambda x, y20, y1, a: x + a * y1 - 0.3 * y20, x, [dict(initial=START * a, taps=[-20, -1])], [a])[-1]


START = R.normal(size=20)
X, Y0, A = R.normal(size=(LANES, STEPS)), R.normal(size=(LANES, 2)), R.normal(size=LANES) * 0.4
PROGRAMS = {
    "whole": lambda x, y0, a: ar2(x, y0, a),
    "last": lambda x, y0, a: ar2(x, y0, a)[-1],
    "third": lambda x, y0, a: ar2(x, y0, a)[-3],
    "loss": lambda x, y0, a: (ar2(x, y0, a) ** 2).mean(),
    "several": lambda x, y0, a: (ar2(x, y0, a).sum(), np.tanh(ar2(x, y0, a))[::-1]),
    "ring": long_tap,
    "kalman": kalman,
    "pairs": lambda x, y0, a: sc.scan(lambda x, p, a: np.stack([p[1] * a, p[0] + x]), x, y0, [a]),
    "vectors": lambda x, y0, a: sc.scan(lambda x, p: np.flip(p) * 0.5 + x, x, np.zeros(20))[-1] * a,
    "backwards": lambda x, y0, a: sc.scan(lambda x, h: h * a + x, x, 0.0, go_backwards=True),
    "count": lambda x, y0, a: sc.scan(lambda t, h: h * a + t, np.arange(STEPS), 1.0),
    "branch": lambda x, y0, a: sc.scan(lambda x, h: np.where(x > h, x, h - 1), x, 0.0),
    "floor": lambda x, y0, a: sc.scan(lambda x, h: np.floor(x * 3 + h) % 5 + np.rint(x), x, 0.0),
    "integers": lambda x, y0, a: sc.scan(lambda x, h: (h * 7 + np.floor(x * 9).astype(np.int64)) // 3 % 11, x, 5),
}


def tupled(x):
    return x if isinstance(x, tuple) else (x,)


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("axis", [0, 1])
def test_batches(name, axis):
    f = sc.jit(sc.vmap(PROGRAMS[name], in_axes=(axis, 0, 0)), target="cuda")
    args = (X if axis == 0 else X.T.copy(), Y0, A)
    assert f.lower(*args).compilation.lanes is not None
    TRAFFIC.clear()
    have, want = f(*args), f(*args, mode="interpret")
    for h, w in zip(tupled(have), tupled(want), strict=True):
        assert h.shape == w.shape
        assert h.dtype == w.dtype
        assert np.allclose(h, w, rtol=1e-12)
    made = f.lower(*args).compilation
    moved, first = made.lanes.moved, made.graph.inputs[0].attrs["name"]
    assert list(moved) == ([first] if axis == 0 and name != "count" else [])  # which reads no row
    assert TRAFFIC["launch"] == 1 + len(moved)
    assert TRAFFIC["to device"] <= len(f.lower(*args).compiled.inputs)  # arrays, and what is captured


def test_traffic_does_not_depend_on_the_steps():
    f = sc.jit(sc.vmap(PROGRAMS["whole"]), target="cuda")
    counts = []
    for steps in (3, 50):
        f(R.normal(size=(4, steps)), Y0[:4], A[:4])
        TRAFFIC.clear()
        f(R.normal(size=(4, steps)), Y0[:4], A[:4])
        counts.append(dict(TRAFFIC))
    assert counts[0] == counts[1] == {"launch": 2, "to device": 3, "to host": 1}  # x is transposed first


@pytest.mark.parametrize("wrt", [0, 1, 2])
def test_gradients_of_batches(wrt):
    f = sc.vmap(sc.grad(PROGRAMS["loss"], wrt))
    have = sc.jit(f, target="cuda")(X, Y0, A)
    assert np.allclose(have, f(X, Y0, A), rtol=1e-11)


def test_one_sequence_is_one_thread():
    f = sc.jit(lambda x: sc.scan(lambda x, h: np.sin(h) + x, x, 0.0), target="cuda")
    x = R.normal(size=20)
    assert np.allclose(f(x), f(x, mode="interpret"))
    assert "one thread" in f.lower(x).source()
    assert "strategy: thread" in f.lower(x).explain()


def test_lanes_that_meet_are_one_thread():
    f = sc.jit(lambda x: sc.scan(lambda x, h: h - h.mean() + x, x, np.zeros(LANES)), target="cuda")
    x = R.normal(size=(STEPS, LANES))
    assert f.lower(x).compilation.lanes is None
    assert np.allclose(f(x), f(x, mode="interpret"))


def test_step_functions():
    @sc.scan_compile(target="cuda")
    def smooth(x, y):
        return 0.9 * y + 0.1 * x

    x = R.normal(size=(STEPS, 40))
    want = sc.scan(lambda x, y: 0.9 * y + 0.1 * x, x, np.zeros(40))
    assert np.allclose(smooth(x, np.zeros(40)), want)


def test_draws_are_the_same():
    def walk(key):
        return sc.scan(lambda t, h: h + sc.random.normal(sc.random.fold_in(key, t)), np.arange(STEPS), 0.0)

    keys = np.arange(LANES, dtype=np.uint64)
    f = sc.jit(sc.vmap(walk), target="cuda")
    assert np.allclose(f(keys), sc.jit(sc.vmap(walk))(keys), rtol=1e-13)


def test_loops_that_a_condition_ends():
    f = sc.jit(lambda x: sc.scan(lambda x, h: (h + x * x, sc.until(h > 3)), x, 0.0), target="cuda")
    x = R.normal(size=50)
    assert np.allclose(f(x), f(x, mode="interpret"))


@pytest.mark.parametrize("n", [0, 1, 2])
def test_steps_and_lanes_that_are_few(n):
    f = sc.jit(sc.vmap(PROGRAMS["whole"], in_axes=(1, 0, 0)), target="cuda")
    assert f(np.ones((n, 3)), Y0[:3], A[:3]).shape == (3, n)


def test_errors():
    f = sc.jit(sc.vmap(PROGRAMS["third"]), target="cuda")
    with pytest.raises(IndexError):
        f(X[:, :2], Y0, A)
    with pytest.raises(NotImplementedError, match="debug_print is not supported on a device"):
        sc.jit(lambda x: sc.scan(lambda x, h: (sc.debug_print("{}", h), h + x)[1], x, 0.0), target="cuda")(X[0])
    with pytest.raises(ValueError, match="target is 'gpu'"):
        sc.jit(lambda x: x, target="gpu")


def test_a_lane_alone():
    """`lanes_of` gives the program of one lane: run by the interpreter, it makes that lane of the whole."""
    from scancc import interpreter

    f = sc.jit(sc.vmap(PROGRAMS["whole"]))
    program = f.lower(X, Y0, A)
    graph = program.compilation.graph
    lanes = lanes_of(graph)
    inputs = dict(zip(program.traced.inputs, (X, Y0, A), strict=True)) | {
        k: np.asarray(v) for k, v in program.traced.captured.items()
    }
    whole = interpreter.run(graph, inputs)
    for lane in range(LANES):
        own = {k: v if lanes.inputs[k] is None else np.take(v, lane, axis=lanes.inputs[k]) for k, v in inputs.items()}
        for k, v in interpreter.run(lanes.graph, own).items():
            assert np.allclose(v, np.take(whole[k], lane, axis=lanes.results[k]))


@pytest.mark.parametrize(("taps", "near"), [(9, True), (16, True), (17, False), (40, False)])
def test_short_rings_are_in_shared_memory(taps, near):
    """128 bytes of each thread: a column of its block's memory. Longer ones are in global memory, lanes last."""
    x = R.normal(size=(60, 7))

    def season(x):
        return sc.scan(lambda x, s, level: (0.1 * (x - level) + 0.9 * s, 0.5 * level + 0.5 * (x - s)), x,
                       [dict(initial=np.zeros(taps), taps=[-taps]), 0.0])[1]  # fmt: skip

    f = sc.jit(sc.vmap(season, in_axes=1, out_axes=1), target="cuda", strategy="lane")
    program = f.lower(x)
    assert program.compilation.strategy == "lane"
    assert (f"s_ring = cuda.shared.array(({taps}, " in program.source()) == near
    assert (f"s_ring         float64[{taps}, lanes]" in program.explain()) != near
    np.testing.assert_allclose(f(x), f(x, mode="interpret"), rtol=1e-12)
