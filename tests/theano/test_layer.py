"""The Theano layer: the seed's examples, every return form of a step, functions, updates, pickling."""

from __future__ import annotations

import importlib.util
import pickle
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import scancc.theano.tensor as T
from scancc import theano
from scancc.driver import COMPILED

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def seed():
    spec = importlib.util.spec_from_file_location("seed", ROOT / "examples" / "seed.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_seed_power(seed):
    f = seed.power()
    np.testing.assert_array_equal(f(range(10), 2), [0, 1, 4, 9, 16, 25, 36, 49, 64, 81])
    np.testing.assert_array_equal(f(range(10), 4), np.arange(10.0) ** 4)
    before = len(COMPILED)
    for k in (1, 3, 7, 100):
        np.testing.assert_allclose(f(range(10), k), np.arange(10.0) ** k)
    assert len(COMPILED) == before, "the step count compiles nothing"
    assert "last(1)" in f.lower(range(10), 2).explain()


def test_seed_rows(seed):
    x, w, b = np.eye(2), np.ones((2, 2)), np.array([1.0, 2.0])
    np.testing.assert_allclose(seed.rows()(x, w, b)[0], [[0.96402758, 0.99505475], [0.96402758, 0.99505475]], atol=1e-8)


def test_seed_general(seed):
    y, p = np.arange(1.0, 6), np.arange(5.0, 0, -1)
    history = [1.0, 2.0]
    for a, b in zip(y, p[::-1], strict=True):
        history.append(a + b + history[-2] + history[-1] + 0.5)
    np.testing.assert_allclose(seed.general()([1.0, 2.0], 0.5, y, p), history[2:])


def test_seed_prints():
    done = subprocess.run([sys.executable, ROOT / "examples" / "seed.py"], capture_output=True, text=True, cwd=ROOT,
                          env={"PYTHONPATH": f"{ROOT}:{ROOT}/runtime", "PATH": "", "HOME": str(Path.home())})
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("[ 0.  1.  4.  9. 16. 25. 36. 49. 64. 81.]\n")


# -- return forms -------------------------------------------------------------------------------------------------


def test_only_updates():
    total = theano.shared(1.0, "total")
    outputs, updates = theano.scan(lambda: {total: total + 1}, n_steps=10)
    assert outputs is None and list(updates) == [total]
    assert total.get_value() == 1
    theano.function([], [], updates=updates)()
    assert total.get_value() == 11


def test_updates_are_simultaneous():
    x, y = theano.shared(1), theano.shared(1)
    _, updates = theano.scan(lambda: [(x, x + 1), (y, x)], n_steps=10)
    theano.function([], [], updates=updates)()
    assert (x.get_value(), y.get_value()) == (11, 10)
    x.set_value(50)
    assert y.get_value() == 10


def test_outputs_updates_until():
    s = theano.shared(0)
    out, updates = theano.scan(lambda: (s + 1, {s: s + 1}, theano.scan_module.until(s + 1 >= 4)), n_steps=100)
    np.testing.assert_array_equal(theano.function([], out, updates=updates)(), [1, 2, 3, 4])
    assert s.get_value() == 4


def test_states_outputs_and_updates_together():
    w1, w2 = theano.shared(1.0, "w1"), theano.shared(2.0, "w2")
    u = T.vector("u")
    (a, b, c), updates = theano.scan(
        lambda u_t, a3, a2, a1, b1: ([u_t * w1 + a3 - a2 + 0.5 * a1, b1 * w2, u_t + b1], {w1: w1 + 0.1, w2: w2 + 0.05}),
        sequences=u,
        outputs_info=[dict(initial=np.array([1.0, 2.0, 3.0]), taps=[-3, -2, -1]), 0.5, None],
    )
    got = theano.function([u], [a, b, c], updates=updates)(np.arange(5.0))
    p, q, aa, bb, cc = 1.0, 2.0, [1.0, 2.0, 3.0], [0.5], []
    for v in np.arange(5.0):
        cc.append(v + bb[-1])
        aa.append(v * p + aa[-3] - aa[-2] + 0.5 * aa[-1])
        bb.append(bb[-1] * q)
        p, q = p + 0.1, q + 0.05
    for g, e in zip(got, (aa[3:], bb[1:], cc), strict=True):
        np.testing.assert_allclose(g, e)
    assert w1.get_value() == pytest.approx(1.5) and w2.get_value() == pytest.approx(2.25)


def test_captured_expression_of_shared():
    w = theano.shared(2.0)
    u = T.vector("u")
    out, _ = theano.scan(lambda u_t, x: u_t * w + x * (w / 4), sequences=u, outputs_info=0.5)
    f = theano.function([u], out)
    x, expected = 0.5, []
    for v in np.arange(4.0):
        x = v * 2 + x * 0.5
        expected.append(x)
    np.testing.assert_allclose(f(np.arange(4.0)), expected)
    w.set_value(0.0)
    np.testing.assert_allclose(f(np.arange(4.0)), 0.0)


@pytest.mark.parametrize("form", ["bare", "list"])
def test_scan_returns_lists(form):
    u = T.vector("u")
    one, _ = theano.scan(lambda v: v + 3, sequences=u, return_list=form == "list")
    assert isinstance(one, list) == (form == "list")
    two, _ = theano.scan(lambda v: (v, v * 2), sequences=u)
    assert isinstance(two, list) and len(two) == 2


def test_nested_and_chained():
    x = T.tensor3("x")
    inner, _ = theano.scan(lambda m: theano.scan(lambda v: T.sum(v), sequences=m)[0], sequences=x)
    data = np.random.default_rng(0).normal(size=(2, 3, 4))
    np.testing.assert_allclose(theano.function([x], inner)(data), data.sum(2))
    first, _ = theano.scan(lambda p: p + 1, outputs_info=0, n_steps=10)
    second, _ = theano.scan(lambda v: v + 1, sequences=first)
    np.testing.assert_array_equal(theano.function([], second)(), np.arange(2, 12))


def test_map_reduce_fold():
    u = T.vector("u")
    doubled, _ = theano.map(lambda v: v * 2, u)
    total, _ = theano.reduce(lambda v, a: a + v, u, 0.0)
    left, _ = theano.foldl(lambda v, a: a / 2 + v, u, 0.0)
    right, _ = theano.foldr(lambda v, a: a / 2 + v, u, 0.0)
    d, t, fl, fr = theano.function([u], [doubled, total, left, right])([1.0, 2.0, 4.0])
    np.testing.assert_array_equal(d, [2, 4, 8])
    assert (t, fl, fr) == (7.0, 5.25, 3.0)


# -- functions ----------------------------------------------------------------------------------------------------


def test_givens_defaults_and_forms():
    a, b = T.vector("a"), T.scalar("b")
    assert theano.function([a], T.sum(a) * b, givens={b: 3.0})([1.0, 2.0]) == 9
    f = theano.function([a, theano.In(b, value=2.0)], {"double": a * b, "sum": a.sum()})
    assert f([1.0, 2.0])["double"].tolist() == [2, 4]
    assert f([1.0, 2.0], b=5.0)["double"].tolist() == [5, 10]
    assert isinstance(theano.function([a], [a + 1])([1.0]), list)


def test_function_updates_use_old_values():
    s, k = theano.shared(1), T.iscalar("k")
    step = theano.function([k], s * 10, updates=[(s, s + k)])
    assert step(3) == 10 and step(3) == 40 and s.get_value() == 7


def test_errors():
    a, b, i = T.vector("a"), T.vector("b"), T.ivector("i")
    with pytest.raises(theano.MissingInputError, match="the outputs need 'b'"):
        theano.function([a], a + b)
    with pytest.raises(theano.UnusedInputError, match="do not need the input 'b'"):
        theano.function([a, b], a * 2)
    theano.function([a, b], a * 2, on_unused_input="ignore")
    f = theano.function([a, b], a + b)
    with pytest.raises(ValueError, match="lengths"):
        f([1.0, 2.0], [1.0, 2.0, 3.0])
    with pytest.raises(TypeError, match="has 2 axes, the variable 1"):
        f(np.ones((2, 2)), [1.0])
    with pytest.raises(TypeError, match="is missing"):
        f([1.0])
    g = theano.function([i], i * 2)
    with pytest.raises(TypeError, match="a conversion must lose nothing"):
        g(np.array([1.5]))
    assert theano.function([i], i * 2, allow_input_downcast=True)(np.array([1.5])).tolist() == [2]
    with pytest.raises(TypeError, match="updates are of shared variables"):
        theano.function([a], a, updates=[(a, a)])


def test_pickle_keeps_the_function_and_its_state():
    s, a = theano.shared(np.array([1.0, 2.0]), "s"), T.vector("a")
    f = theano.function([a], (a * s).sum(), updates=[(s, s + 1)])
    f([1.0, 1.0])
    g = pickle.loads(pickle.dumps(f))
    assert g([1.0, 1.0]) == f([1.0, 1.0]) == 5
    (copy,) = g.get_shared()
    assert copy is not s and copy.get_value().tolist() == [3, 4]


def test_clone():
    a, b = T.scalar("a"), T.scalar("b")
    c = theano.clone(a * 2 + b, {a: b + 1})
    assert theano.function([b], c)(3.0) == 11


def test_float_x():
    try:
        theano.config.floatX = "float32"
        assert T.vector().dtype == np.float32
    finally:
        theano.config.floatX = "float64"
    with pytest.raises(ValueError):
        theano.config.floatX = "float16"
    for prefix, dtype in dict(i="i4", l="i8", f="f4", d="f8", b="i1", z="c16").items():
        assert getattr(T, prefix + "matrix")().dtype == np.dtype(dtype)


A = np.arange(6.0).reshape(2, 3) / 7


@pytest.mark.parametrize(
    "build, expected",
    [
        (lambda a: a.mean(axis=0), A.mean(0)),
        (lambda a: a.dimshuffle(1, "x", 0), A.T[:, None, :]),
        (lambda a: T.nnet.softmax(a).sum(axis=1), np.ones(2)),
        (lambda a: T.nnet.sigmoid(a), 1 / (1 + np.exp(-A))),
        (lambda a: T.concatenate([a, a * 2], axis=0), np.concatenate([A, 2 * A])),
        (lambda a: T.join(1, a, a), np.concatenate([A, A], 1)),
        (lambda a: T.set_subtensor(a[1], 7.0), np.array([A[0], [7, 7, 7]])),
        (lambda a: T.inc_subtensor(a[0, 2], 1.0), A + [[0, 0, 1], [0, 0, 0]]),
        (lambda a: T.dot(a.T, a), A.T @ A),
        (lambda a: T.arange(a.shape[1]) * 2, [0, 2, 4]),
        (lambda a: T.arange(1, a.shape[1] + 4, 2), [1, 3, 5]),
        (lambda a: T.zeros((a.shape[0], 2)) + 1, np.ones((2, 2))),
        (lambda a: a.reshape((-1,)), A.ravel()),
        (lambda a: T.flatten(a), A.ravel()),
        (lambda a: T.switch(T.gt(a, 0.3), a, -a), np.where(A > 0.3, A, -A)),
        (lambda a: T.sqr(a).sum(), (A * A).sum()),
        (lambda a: a[1:, ::-1], A[1:, ::-1]),
        (lambda a: T.batched_dot(a, a), (A * A).sum(1)),
        (lambda a: T.shape_padleft(a).sum(axis=0), A),
        (lambda a: a.norm(2), np.sqrt((A * A).sum())),
        (lambda a: T.stack([a, a]).max(axis=0), A),
        (lambda a: T.cast(a, "int32"), A.astype("i4")),
    ],
)
def test_tensor_functions(build, expected):
    a = T.matrix("a")
    np.testing.assert_allclose(theano.function([a], build(a))(A), expected, rtol=1e-12)


# -- threads ------------------------------------------------------------------------------------------------------


def test_no_update_is_lost():
    s = theano.shared(0)
    f = theano.function([], s, updates=[(s, s + 1)])
    seen: list[int] = []
    threads = [threading.Thread(target=lambda: [seen.append(int(f())) for _ in range(50)]) for _ in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert s.get_value() == 400 and sorted(seen) == list(range(400))
