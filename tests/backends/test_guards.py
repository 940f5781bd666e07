"""Calls that one generated function tests and runs give what the general way gives: results, errors, all of it."""

from __future__ import annotations

import sys
import threading
from collections import namedtuple

import numpy as np
import pytest

import scancc as sc
from scancc.driver import RecentCalls

X = np.random.default_rng(0).normal(size=12)
Pair = namedtuple("Pair", "first last")


class Sub(np.ndarray):
    pass


def ar2(x, y0, a):
    return sc.scan(lambda x, y2, y1: x + a * y1 - 0.3 * y2, sequences=x, outputs_info=[dict(initial=y0, taps=[-2, -1])])


def last_rows(x, k):
    return sc.scan(lambda x, s: x + s, sequences=x, outputs_info=np.zeros(3))[-1] * k


def counted(x, n):
    return sc.scan(lambda x: x + 1, outputs_info=x, n_steps=n)[-2:]


def divided(x, n, k):
    return sc.scan(lambda x: x + 1, outputs_info=x, n_steps=n // k)


def fewer(x, n):
    return sc.scan(lambda x, s: s + x, sequences=x, outputs_info=0.0, n_steps=n)


def until(x, most):
    return sc.scan(lambda x, s: (s + x, sc.until(s + x > most)), sequences=x, outputs_info=0.0)


def seventh(x):
    return sc.scan(lambda x, s: s + x, sequences=x, outputs_info=0.0)[-7]


def contained(x):
    ys = sc.scan(lambda x, s: s + x, sequences=x, outputs_info=0.0)
    return {"all": ys, 2: (ys[-1], [Pair(ys[:3], None)])}


def plain(x, n):
    return np.float32(2) * x * n


FUNCTIONS = {
    ar2: (X, np.ones(2), 0.5), last_rows: (np.ones((5, 3)), 2), counted: (np.ones(2), 4), divided: (np.ones(2), 9, 2),
    fewer: (X, 7),
    until: (np.ones(9), 3.5), seventh: (X,), contained: (X,), plain: (np.ones(3, np.float32), True),
}  # fmt: skip


def step(x, y2, y1, a):
    return x + a * y1 - 0.3 * y2


def pair(x, s, w):
    return {"s": s + x, "w": w * x}


CALLS = {
    "plain": (lambda x, s: s + x, (X, 0.0)),
    "list": (lambda x, s: s + x, ([X], [0.0])),
    "taps": (step, ([X], [dict(initial=np.ones(2), taps=[-2, -1])], [0.5])),
    "tuple of taps": (step, ((X,), dict(initial=np.ones(2), taps=(-2, -1)), 0.5)),
    "taps of a sequence": (lambda a, b: a - b, (dict(input=X, taps=[0, 2]), None)),
    "steps of a sequence": (lambda x, s: s - x, (X, 1.0, None, 5)),
    "steps": (lambda s: 2 * s, (None, 1.0, None, 7)),
    "dict": (pair, ([X], [1.0, None], [np.float64(2)])),
    "map": (lambda x: (x, -x), (X, [None, None])),
}


USUAL = FUNCTIONS | {f: args for f, args in CALLS.values()}  # calls that come first


def unaligned(a):
    memory = np.zeros(a.nbytes + 1, np.uint8)
    b = memory[1:].view(a.dtype).reshape(a.shape)
    b[...] = a
    return b


def readonly(a):
    a = a.copy()
    a.flags.writeable = False
    return a


ARRAYS = {
    "itself": lambda a: a,
    **{dtype: lambda a, dtype=dtype: a.astype(dtype)
       for dtype in ("float32", "int64", "int8", "bool", "complex", "float16", "object", "str", "longlong")},
    "swapped": lambda a: a.astype(a.dtype.newbyteorder()),
    "longer": lambda a: np.concatenate([a, a]),
    "shorter": lambda a: a[1:],
    "one": lambda a: a[:1],
    "empty": lambda a: a[:0],
    "no rows": lambda a: np.zeros((0, 3)),
    "reversed": lambda a: a[::-1],
    "strided": lambda a: np.repeat(a, 2, axis=0)[::2],
    "fortran": np.asfortranarray,
    "transposed": lambda a: a.T,
    "more axes": lambda a: a[None],
    "0-d": lambda a: np.array(a.flat[0]),
    "scalar": lambda a: a.flat[0],
    "number": lambda a: a.flat[0].item(),
    "list": lambda a: a.tolist(),
    "none": lambda a: None,
    "string": lambda a: "x",
    "read-only": readonly,
    "unaligned": unaligned,
    "subclass": lambda a: a.view(Sub),
    "masked": np.ma.masked_array,
}  # fmt: skip
NUMBERS = [
    0, 1, 3, -1, 2**31, -(2**63), 2**63 - 1, 2**63, 2**70, True, 0.5, 2.0, float("nan"), 1j, None, "3", [2],
    np.float64(2), np.float32(2), np.int64(2), np.int32(2), np.uint8(2), np.bool_(True), np.complex64(1j),
    np.float16(2), np.array(2), np.array(2.0), np.array([2.0]), np.longlong(2),
]  # fmt: skip
SMALL = [n for n in NUMBERS if not (isinstance(n, int) and abs(n) >= 2**31)]


def outcome(call):
    """The result, or the error with its text."""
    try:
        with np.errstate(all="ignore"):
            return call()
    except Exception as e:
        return type(e), str(e)


def assert_same(a, b):
    assert type(a) is type(b)
    if isinstance(a, dict):
        assert list(a) == list(b)
        a, b = tuple(a.values()), tuple(b.values())
    if isinstance(a, (list, tuple)):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            assert_same(x, y)
        return
    if not isinstance(a, np.ndarray):
        assert a == b
        return
    assert (a.dtype, a.shape, a.strides) == (b.dtype, b.shape, b.strides)
    assert a.flags.writeable == b.flags.writeable
    np.testing.assert_array_equal(a, b)


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    """Calls are guarded when they come a second time."""
    monkeypatch.setattr(RecentCalls, "OFTEN", 2)


def settled(compiled, *args, **kwargs):
    """After these calls, calls like them are guarded."""
    for _ in range(3):
        compiled(*args, **kwargs)
    assert compiled._recent.calls
    return compiled


@pytest.fixture
def general(monkeypatch):
    """What a function gives without any guard, after the same first call; it is compiled anew for this."""
    made = {}

    def run(f, decorator, *args, **kwargs):
        with monkeypatch.context() as m:
            m.setattr(RecentCalls, "note", lambda self, call: None)
            compiled = made.get((f, decorator))
            if compiled is None:
                compiled = made[f, decorator] = decorator(f)
                compiled(*USUAL[f])
            found = outcome(lambda: compiled(*args, **kwargs))
        assert not compiled._recent.calls
        return found

    return run


@pytest.mark.parametrize("f", FUNCTIONS, ids=lambda f: f.__name__)
def test_the_general_way_is_not_needed(f, monkeypatch):
    compiled = settled(sc.jit(f), *FUNCTIONS[f])
    want = compiled(*FUNCTIONS[f])
    monkeypatch.setattr(type(compiled), "_program", None)
    assert_same(compiled(*FUNCTIONS[f]), want)


@pytest.mark.parametrize("kind", ARRAYS)
@pytest.mark.parametrize("f", FUNCTIONS, ids=lambda f: f.__name__)
def test_arrays_of_every_kind(f, kind, general):
    args = FUNCTIONS[f]
    compiled = settled(sc.jit(f), *args)
    for i in range(sum(isinstance(a, np.ndarray) for a in args)):
        given = (*args[:i], ARRAYS[kind](args[i]), *args[i + 1 :])
        for _ in range(3):  # the first traces, later ones may be guarded
            assert_same(outcome(lambda: compiled(*given)), general(f, sc.jit, *given))  # noqa: B023
        assert_same(compiled(*args), general(f, sc.jit, *args))


@pytest.mark.parametrize("f", [ar2, counted, divided, fewer, plain], ids=lambda f: f.__name__)
def test_numbers_of_every_kind(f, general):
    args = FUNCTIONS[f]
    compiled = settled(sc.jit(f), *args)
    for number in SMALL if f in (counted, divided, fewer) else NUMBERS:
        given = (*args[:-1], number)
        for _ in range(3):
            assert_same(outcome(lambda: compiled(*given)), general(f, sc.jit, *given))  # noqa: B023


@pytest.mark.parametrize("count", range(5))
def test_another_number_of_arguments(count, general):
    compiled = settled(sc.jit(ar2), *FUNCTIONS[ar2])
    given = (*FUNCTIONS[ar2], 1.0, 2.0)[:count]
    assert_same(outcome(lambda: compiled(*given)), general(ar2, sc.jit, *given))


def variants(args):
    """Other calls of the same step: what guards must not take for the same."""
    seqs, outs, non, n = (*args, None, None, None)[:4]
    yield args
    yield seqs, outs, non, 3
    yield seqs, outs, non, -1
    yield seqs, outs, non, np.int64(3)
    yield seqs, outs, non, 10**4
    yield seqs, outs, non, True
    yield (seqs if isinstance(seqs, (list, tuple)) else [seqs]), outs, non, n
    yield seqs, (list(outs) if isinstance(outs, (list, tuple)) else [outs]), non, n
    yield seqs, outs, non if isinstance(non, list) else [non], n
    yield seqs, None, non, n
    yield None, outs, non, n
    yield seqs, {}, non, n
    yield seqs, [dict(initial=np.ones(2), taps=[-1])], non, n
    yield seqs, [dict(initial=np.ones(3), taps=[-3, -1])], non, n
    yield seqs, [dict(initial=np.ones(2), taps=(-2, -1), more=1)], non, n
    yield seqs, [dict(taps=[-2, -1])], non, n
    yield dict(input=X, taps=[1, 2]), outs, non, n
    yield [X[::2]], outs, non, n
    yield X.astype(np.float32), outs, non, n
    yield [X, X], outs, non, n
    yield X, np.ones(1), non, n


@pytest.mark.parametrize("name", CALLS)
def test_calls_of_scans(name, general):
    f, args = CALLS[name]
    compiled = settled(sc.scan_compile(f), *args)
    for given in variants(args):
        for options in ({}, {"go_backwards": True}, {"return_list": True}):
            for _ in range(3):
                got = outcome(lambda: compiled(*given, **options))  # noqa: B023
                assert_same(got, general(f, sc.scan_compile, *given, **options))


@pytest.mark.parametrize("name", CALLS)
def test_scans_need_not_be_taken_apart_again(name, monkeypatch):
    f, args = CALLS[name]
    compiled = settled(sc.scan_compile(f), *args)
    want = compiled(*args)
    monkeypatch.setattr("scancc.api.flatten", None)
    assert_same(compiled(*args), want)


@pytest.mark.parametrize("f", FUNCTIONS, ids=lambda f: f.__name__)
def test_results_are_new_arrays_and_arguments_are_left_alone(f):
    args = FUNCTIONS[f]
    compiled = settled(sc.jit(f), *args)
    before = [np.copy(a) for a in args]

    def leaves(value):
        if isinstance(value, (dict, list, tuple)):
            return [x for v in (value.values() if isinstance(value, dict) else value) for x in leaves(v)]
        return [] if value is None else [value]

    one, two = leaves(compiled(*args)), leaves(compiled(*args))
    assert all(type(a) is np.ndarray for a in one)
    for a in one:
        assert not any(np.may_share_memory(a, b) for b in (*two, *args) if isinstance(b, np.ndarray))
        a[...] = 7
    for a, b, c in zip(leaves(compiled(*args)), two, two, strict=True):
        assert_same(a, b)
        assert c.flags.writeable
    for a, b in zip(args, before, strict=True):
        np.testing.assert_array_equal(a, b)


def test_no_reference_is_taken_or_lost():
    args = FUNCTIONS[ar2]
    compiled = settled(sc.jit(ar2), *args)
    before = [sys.getrefcount(a) for a in args]
    for _ in range(1000):
        compiled(*args)
        outcome(lambda: compiled(args[0], args[1], 2**70))
    assert [sys.getrefcount(a) for a in args] == before


def test_arguments_that_share_memory(general):
    compiled = settled(sc.jit(ar2), *FUNCTIONS[ar2])
    memory = np.arange(12.0)
    for given in ((memory, memory[:2], 0.5), (memory, memory[4:6], 0.5), (memory[:2], memory[:2], 0.5)):
        assert_same(compiled(*given), general(ar2, sc.jit, *given))


def test_an_argument_that_changes_in_place(general):
    x = X.reshape(3, 4).copy()
    f = sc.jit(lambda x: sc.scan(lambda x, s: s + x.sum(), sequences=x, outputs_info=0.0))
    settled(f, x)
    for change in (lambda: setattr(x, "shape", (4, 3)), lambda: setattr(x, "shape", (12, 1)),
                   lambda: x.setflags(write=False)):  # fmt: skip
        change()
        np.testing.assert_allclose(f(x), np.cumsum(x.sum(1)), rtol=1e-14)


def test_a_captured_array_that_changes_in_place():
    w = np.ones((2, 2))
    f = settled(sc.jit(lambda x: sc.scan(lambda x: w @ x, sequences=x)), np.ones((5, 2)))
    x = np.ones((5, 2))
    w[0] = 3
    np.testing.assert_array_equal(f(x), np.tile([6, 2], (5, 1)))
    w.flags.writeable = False
    np.testing.assert_array_equal(f(x), np.tile([6, 2], (5, 1)))
    w.flags.writeable = True
    w.dtype = np.int64
    np.testing.assert_array_equal(f(x), x @ w.T)
    w.dtype = np.float64
    w.shape = (4,)
    with pytest.raises(ValueError, match="inner lengths 4 and 2"):
        f(x)
    w.shape = (2, 2)
    np.testing.assert_array_equal(f(x), np.tile([6, 2], (5, 1)))


def test_errors_of_the_kernel_name_the_line():
    f = settled(sc.jit(seventh), X)
    with pytest.raises(IndexError, match="made fewer steps"):
        f(X[:6])
    np.testing.assert_array_equal(f(X[:7]), X[0])


def test_checks_report_their_values():
    def checked(x, s):
        sc.check(x < 3, "too large", x)
        return s + x

    f = sc.jit(lambda x: sc.scan(checked, sequences=x, outputs_info=0.0)[-1])
    for _ in range(3):
        assert f(np.ones(3)) == 3
    with pytest.raises(sc.errors.CheckError, match="too large"):
        f(np.arange(5.0))


def test_debug_nans_sees_calls_that_were_guarded():
    f = settled(sc.jit(lambda x: sc.scan(lambda x, s: np.log(x) + s, sequences=x, outputs_info=0.0)), np.ones(4))
    bad = np.array([1.0, -1.0, 1.0, 1.0])
    assert np.isnan(f(bad)[-1])
    with sc.debug_nans(), pytest.raises(ArithmeticError):
        f(bad)
    assert np.isnan(f(bad)[-1])


def test_inside_of_a_trace_the_function_is_part_of_it():
    inner = settled(sc.jit(lambda x: sc.scan(lambda x, s: s + x, sequences=x, outputs_info=0.0)), X)
    outer = sc.jit(lambda y: y + inner(X))
    np.testing.assert_allclose(outer(1.0), 1 + np.cumsum(X), rtol=1e-13)
    assert "scan" in outer.lower(1.0).ir("trace")


def test_modes_and_streams_go_the_general_way():
    f = settled(sc.jit(seventh), X)
    assert_same(f(X, mode="interpret"), np.asarray(X[:6].sum()))
    with pytest.raises(ValueError, match="mode is"):
        f(X, mode="quickly")
    with pytest.raises(ValueError, match="stream"):
        f(X, stream=object())


def test_few_calls_are_kept_and_the_last_is_the_first():
    f = sc.jit(lambda x: sc.scan(lambda x: x * 2, sequences=x))
    for width in range(1, 10):
        settled(f, np.ones((3, width)))
        first = f._recent.calls[0]
        assert len(f._recent.calls) == min(width, RecentCalls.KEPT)
        f(np.ones((3, width)))
        assert f._recent.calls[0] is first
    kept = f._recent.calls
    for width in [*range(1, 10)] * 3:
        np.testing.assert_array_equal(f(np.ones((3, width))), np.full((3, width), 2.0))
    assert f._recent.calls == kept  # nothing is gained by guards for many signatures in turn


def test_threads_with_calls_of_their_own():
    f, scan = sc.jit(ar2), sc.scan_compile(lambda x, s: s + x)
    wrong = []

    def work(seed):
        r = np.random.default_rng(seed)
        for _ in range(300):
            x = r.normal(size=r.integers(0, 40)).astype(r.choice([np.float32, np.float64]))
            y0, a = r.normal(size=2).astype(x.dtype), x.dtype.type(0.5)
            y = [*y0]
            for v in x:
                y.append(v + a * y[-1] - x.dtype.type(0.3) * y[-2])
            fine = np.allclose(f(x, y0, a), y[2:], rtol=1e-4, atol=1e-5)
            fine &= np.allclose(scan(x, x.dtype.type(0)), np.cumsum(x), rtol=1e-4, atol=1e-5)
            if not fine:
                wrong.append(seed)

    threads = [threading.Thread(target=work, args=(seed,), daemon=True) for seed in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(timeout=300)
    assert not any(t.is_alive() for t in threads)
    assert not wrong


def test_small_scratch_memory_lies_on_the_stack():
    f = sc.jit(ar2)
    made = f.lower(*FUNCTIONS[ar2]).compiled
    scratch = [b.name for b in made.lowered.allocated if b.name != "y_rows"]
    assert scratch and [*made.code.stack] == scratch
    head = next(line for line in made.code.llvm().splitlines() if line.startswith("define") and "@scancc_ar2(" in line)
    assert "%y_rows" in head and not any(f"%{name}" in head for name in scratch)
    deep = sc.jit(lambda x, y0: sc.scan(lambda x, y: x + 0.5 * y, x, [dict(initial=y0, taps=[-5000])])[-1])
    assert not deep.lower(X, np.ones(5000)).compiled.code.stack
