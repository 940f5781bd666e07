"""Whole calls as machine code: what they take, what they leave to the general way, and what they hold."""

from __future__ import annotations

import contextvars
import gc
import sys
import threading
import tracemalloc
from types import BuiltinFunctionType

import numpy as np
import pytest

import scancc as sc
from scancc.backends.guards import MISS
from scancc.driver import NANS, RecentCalls
from scancc.frontend.scope import UNUSUAL

X = np.random.default_rng(3).normal(size=9)
F32, C128 = np.float32, np.complex128


class Sub(np.ndarray):
    pass


class Float(float):
    pass


class Int(int):
    pass


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    monkeypatch.setattr(RecentCalls, "OFTEN", 2)


def native(f, *args, **options):
    """A compiled function and its whole call, which is machine code, behind a look at what the function captured."""
    f = sc.jit(f, **options)
    for _ in range(3):
        f(*args)
    (call,) = f._recent.calls
    assert is_native(call)
    return f, call


def is_native(call):
    return type(call) is BuiltinFunctionType or type(call.__globals__.get("native_")) is BuiltinFunctionType


def ar1(x, y0, a):
    return sc.scan(lambda x, y: x + a * y, sequences=x, outputs_info=y0)


def rows(x, n):
    return sc.scan(lambda x: x + 1, outputs_info=x, n_steps=n)


def last(x, n):
    return rows(x, n)[-1]


def tail(x, n):
    return rows(x, n)[-2:], rows(2 * x, n)[-1]


def flags_of(x, **flags):
    x = x.copy()
    x.setflags(**flags)
    return x


def unaligned(x):
    found = np.zeros(x.nbytes + 1, np.uint8)[1:].view(x.dtype)
    found[...] = x
    return found


VECTORS = {
    "subclass": X.view(Sub),
    "masked": np.ma.masked_array(X),
    "read-only": flags_of(X, write=False),
    "reversed": X[::-1],
    "strided": np.repeat(X, 2)[::2],
    "unaligned": unaligned(X),
    "swapped": X.astype(X.dtype.newbyteorder()),
    "annotated": X.astype(np.dtype(X.dtype, metadata={"unit": "m"})),
    "float32": X.astype(F32),
    "int64": X.astype(np.int64),
    "complex": X.astype(C128),
    "object": X.astype(object),
    "records": np.zeros(9, [("a", float)]),
    "dates": np.zeros(9, "M8[s]"),
    "matrix": X.reshape(3, 3),
    "no axes": np.array(1.0),
    "scalar": X[0],
    "number": 1.5,
    "integer": 1,
    "none": None,
    "list": X.tolist(),
    "tuple": tuple(X),
    "text": "x",
    "bytes": bytes(72),
    "memory": memoryview(X),
    "type": np.ndarray,
    "class": object(),
}


@pytest.mark.parametrize("kind", VECTORS)
def test_arrays_that_are_left_alone(kind):
    f, call = native(ar1, X, 0.5, 0.9)
    assert call((VECTORS[kind], 0.5, 0.9)) is MISS
    np.testing.assert_array_equal(call((X, 0.5, 0.9)), f(X, 0.5, 0.9))


@pytest.mark.parametrize("length", [0, 1, 9, 1000])
def test_any_length_of_an_open_axis_and_only_the_length_of_a_fixed_one(length):
    _, call = native(lambda x, w: sc.scan(lambda x: w * x, sequences=x), np.ones((4, 3)), np.ones(3))
    x = np.random.default_rng(0).normal(size=(length, 3))
    np.testing.assert_array_equal(call((x, np.full(3, 2.0))), 2 * x)
    assert call((np.ones((length, 2)), np.ones(3))) is MISS
    assert call((x, np.ones(1))) is MISS


NUMBERS = {
    float: (1.5, [1, True, 1j, None, "1", Float(1), F32(1), np.float16(1), np.longdouble(1), np.array(1.0), [1.0]]),
    int: (3, [1.0, True, Int(3), 2**63, -(2**63) - 1, 10**30, np.int32(1), np.uint64(1), np.uint8(1), np.bool_(1)]),
    bool: (True, [1, 0, 1.0, None, np.int8(1), "", ()]),
    complex: (1 + 2j, [1, 1.0, np.complex64(1), None]),
    F32: (F32(1.5), [1.5, 1, np.float64(1.5), np.float16(1)]),
    np.int32: (np.int32(3), [3, np.int64(3), np.int16(3), True]),
}


@pytest.mark.parametrize("kind", NUMBERS, ids=lambda k: k.__name__)
def test_numbers_that_are_taken_and_those_that_are_not(kind):
    value, others = NUMBERS[kind]
    _, call = native(lambda x, k: x * k, np.ones(3, F32), value)
    if kind in (float, int, complex):  # of NumPy it is of a dtype, and of another program
        others = [*others, np.asarray(value)[()]]
    for number in (value, -value if kind is not bool else False, kind(0)):
        got = call((np.full(3, 2, F32), number))
        np.testing.assert_array_equal(got, np.full(3, 2, F32) * number, strict=True)
    for other in others:
        assert call((np.ones(3, F32), other)) is MISS, repr(other)


@pytest.mark.parametrize("number", [2**63 - 1, -(2**63), -1, 0, 2**31])
def test_integers_of_64_bits(number):
    _, call = native(lambda x, k: x + k, np.zeros(2, np.int64), 3)
    np.testing.assert_array_equal(call((np.zeros(2, np.int64), number)), [number, number])


@pytest.mark.parametrize("args", [(), (X,), (X, 0.5), (X, 0.5, 0.9, 1.0)], ids=len)
def test_another_number_of_arguments(args):
    _, call = native(ar1, X, 0.5, 0.9)
    assert call(args) is MISS


def test_results_of_every_kind():
    def several(x, b):
        ys = sc.scan(lambda x, s: x + s, sequences=x, outputs_info=np.float64(0))
        return ys, ys[-1], x > 0, x * 1j, x.astype(F32), x.astype(np.float16), b & (x > 0), x[:0]

    _, call = native(several, X, True)
    for got, want in zip(call((X, True)), sc.jit(several)(X, True), strict=True):
        assert type(got) is np.ndarray
        assert (got.dtype, got.shape, got.strides) == (want.dtype, want.shape, want.strides)
        assert got.flags.carray and got.flags.owndata
        np.testing.assert_array_equal(got, want)


def test_lengths_are_those_of_numpy():
    def lengths(x, n, k):
        return rows(x, n // k), rows(x, n % k)[-2:], rows(x, n * k - 1), rows(x, np.minimum(n, k) + 1)[:3]

    f, call = native(lengths, np.ones(2), 7, 2)
    for n, k in [(7, 2), (2, 7), (9, 3), (8, 5), (1, 1)]:
        for got, want in zip(call((X[:2], n, k)), f(X[:2], n, k, mode="interpret"), strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-14)
    for n, k in [(7, 0), (7, -2), (2**62, 4), (-1, 3)]:  # divisions by what is not positive, and beyond 64 bits
        assert call((X[:2], n, k)) is MISS


def test_steps_that_sequences_do_not_have():
    f, call = native(lambda x, n: sc.scan(lambda x, s: s + x, sequences=x, outputs_info=0.0, n_steps=n), X, 4)
    for n in (0, 1, 9):
        np.testing.assert_allclose(call((X, n)), np.cumsum(X)[:n], rtol=1e-14)
    for n in (-1, 10, 2**40, 2**62):
        assert call((X, n)) is MISS
        with pytest.raises(ValueError, match="number of steps is -1" if n < 0 else f"{n} steps need {n} rows"):
            f(X, n)


def test_memory_that_is_not_there():
    f, call = native(rows, np.ones(2), 4)
    g, gradient = native(sc.grad(lambda x, n: (rows(x, n)[1:] ** 2).sum(), 0), np.ones(2), 4)
    for n in (2**50, 2**58, 2**59, 2**60, 2**62, 2**63 - 1):
        assert call((np.ones(2), n)) is MISS
        with pytest.raises((MemoryError, ValueError)):
            f(np.ones(2), n)
        assert gradient((np.ones(2), n)) is MISS
    np.testing.assert_array_equal(f(np.ones(2), 2), [[2, 2], [3, 3]])


def test_a_kernel_that_fails_is_left_to_the_general_way():
    f, call = native(lambda x: sc.scan(lambda x, s: x + s, sequences=x, outputs_info=0.0)[-7], X)
    assert call((X[:6],)) is MISS
    with pytest.raises(IndexError, match="made fewer steps"):
        f(X[:6])
    np.testing.assert_array_equal(f(X[:7]), X[0])


def test_what_prints_is_not_run_twice(capfd):
    def step(x, s):
        sc.debug_print("at {}", x)
        sc.check(x < 3, "too large")
        return x + s

    f = sc.jit(lambda x: sc.scan(step, sequences=x, outputs_info=0.0))
    for _ in range(4):
        f(np.ones(1))
    assert not any(map(is_native, f._recent.calls))
    capfd.readouterr()
    with pytest.raises(sc.errors.CheckError):
        f(np.full(1, 4.0))
    assert capfd.readouterr().out.count("at ") == 1


def test_a_captured_array_is_looked_at_anew():
    w, k = np.ones(3), np.array(2.0)
    f, call = native(lambda x: sc.scan(lambda x: w * x * k, sequences=x), np.ones((2, 3)))
    x = np.ones((2, 3))
    w[1], k[()] = 5, 3
    np.testing.assert_array_equal(call((x,)), [[3, 15, 3]] * 2)
    for change, back in [(dict(shape=(1, 3)), dict(shape=(3,))), (dict(dtype=np.int64), dict(dtype=float)),
                         (dict(dtype=w.dtype.newbyteorder()), dict(dtype=float))]:  # fmt: skip
        [setattr(w, *item) for item in change.items()]
        assert call((x,)) is MISS
        [setattr(w, *item) for item in back.items()]
        assert call((x,)) is not MISS
    w.flags.writeable = False
    assert call((x,)) is MISS
    np.testing.assert_array_equal(f(x), [[3, 15, 3]] * 2)
    w.flags.writeable = True
    w.resize(1, refcheck=False)
    assert call((x,)) is MISS
    k.dtype = np.int64
    assert call((x,)) is MISS


def test_no_reference_is_taken_or_lost():
    pairs, pair = native(tail, np.ones(2), 5)
    whole, one = native(rows, np.ones(2), 5)
    seventh, failing = native(lambda x: sc.scan(lambda x, s: x + s, sequences=x, outputs_info=0.0)[-7], X)
    x, n, number = np.ones(2), 2**59 + 1, 12345.5
    held = (x, n, number, X, MISS, np.dtype(float), np.dtype(np.uint8), np.ndarray, float)
    before = [sys.getrefcount(o) for o in held]
    for _ in range(1000):
        pair((x, 5))
        one((x, 5))
        assert one((x, n)) is MISS  # no memory
        assert one((x, number)) is MISS
        assert one((x, 2**70)) is MISS
        assert failing((X[:6],)) is MISS
    assert [sys.getrefcount(o) for o in held] == before
    results = pair((x, 5))
    fresh = (np.ones(2), np.ones(2))
    assert [sys.getrefcount(a) for a in results] == [sys.getrefcount(a) for a in fresh]
    assert sys.getrefcount(results) == sys.getrefcount(fresh)
    assert sys.getrefcount(one((x, 5))) == sys.getrefcount(np.ones(2))


def test_nothing_is_left_of_many_calls():
    f, call = native(sc.grad(lambda x, n: (rows(x, n)[1:] ** 2).sum(), 0), np.ones(2), 5)
    x = np.ones(2)

    def calls():
        for _ in range(100_000):
            f(x, 40)
            call((x, 2**62))

    tracemalloc.start()
    try:
        f(x, 40)
        before = tracemalloc.get_traced_memory()[0]
        calls()
        assert tracemalloc.get_traced_memory()[0] - before < 2000
    finally:
        tracemalloc.stop()


def test_it_holds_what_it_needs_and_lets_go_of_it():
    w = np.ones(3)
    before = sys.getrefcount(w)
    f, call = native(lambda x: sc.scan(lambda x: w + x, sequences=x), np.ones((2, 3)))
    result = call((np.ones((2, 3)),))
    del f
    gc.collect()
    np.testing.assert_array_equal(call((np.ones((2, 3)),)), result)
    del call
    gc.collect()
    assert sys.getrefcount(w) == before
    np.testing.assert_array_equal(result, np.full((2, 3), 2.0))


def test_threads_share_a_call():
    f, call = native(tail, np.ones(2), 5)
    wrong = []

    def work(seed):
        for i in range(2000):
            x, n = np.array([seed, i], float), 2 + (seed + i) % 50
            two, one = f(x, n)
            if not (np.array_equal(two, [x + n - 1, x + n]) and np.array_equal(one, 2 * x + n)):
                wrong.append((seed, i))

    threads = [threading.Thread(target=work, args=(seed,), daemon=True) for seed in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(timeout=300)
    assert not any(t.is_alive() for t in threads)
    assert not wrong


def test_while_others_trace_calls_are_still_right():
    f, _ = native(last, np.ones(2), 5)
    stop, wrong = threading.Event(), []

    def work():
        while not stop.is_set():
            if not np.array_equal(f(np.zeros(2), 3), [3, 3]):
                wrong.append(1)

    thread = threading.Thread(target=work)
    thread.start()
    for k in range(5):
        sc.jit(lambda x, k=k: f(x * k, 4) + k)(np.ones(2))
    stop.set()
    thread.join()
    assert not wrong


def test_nobody_is_asked_where_nobody_traces():
    def wrong(x):
        raise KeyError("x")

    for f in (last, wrong, lambda x, n: sc.scan(wrong, sequences=x)):
        try:
            sc.jit(f)(np.ones(2), 5)
        except (KeyError, TypeError):
            pass
    assert [x for x in UNUSUAL if x is not NANS] == []


def test_a_context_outlives_the_block_that_it_was_copied_in():
    f, _ = native(lambda x: sc.scan(lambda x, s: np.log(x) + s, sequences=x, outputs_info=0.0), np.ones(4))
    with sc.debug_nans():
        context = contextvars.copy_context()
    assert np.isnan(f(-np.ones(4))[-1])
    with pytest.raises(ArithmeticError):
        context.run(f, -np.ones(4))


def test_containers_are_left_to_python():
    f = sc.jit(lambda x: {"a": sc.scan(lambda x, s: s + x, sequences=x, outputs_info=0.0), "b": [x * 2]})
    g = sc.scan_compile(lambda x, s, k: s + k * x)
    for _ in range(4):
        first, second = f(X), g([X], [0.5], [2.0])
    np.testing.assert_allclose(first["a"], np.cumsum(X), rtol=1e-14)
    np.testing.assert_array_equal(first["b"][0], 2 * X)
    np.testing.assert_allclose(second, 0.5 + np.cumsum(2 * X), rtol=1e-13)
    for call, args in ((f._recent.calls[0], (X[::2],)), (f._recent.calls[0], (X, X))):
        assert call(args) is MISS
    (call,) = g._recent.calls
    usual = ([X], [0.5], [2.0], None, False, False, False)
    np.testing.assert_array_equal(call(usual), second)
    for i, other in enumerate(([X[::2]], [None], (2.0,), 3, True, True, True)):
        assert call((*usual[:i], other, *usual[i + 1 :])) is MISS
