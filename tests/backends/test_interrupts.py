"""Signals while a kernel runs: its results are dropped where a handler raises, and it goes on where none does."""

from __future__ import annotations

import faulthandler
import os
import signal
import threading
import time
from contextlib import contextmanager

import numpy as np
import pytest

import scancc as sc

LONG = 10**13  # steps: hours
pytestmark = pytest.mark.skipif(os.environ.get("SCANCC_TARGET") == "cuda", reason="kernels of the CPU")


@pytest.fixture(autouse=True)
def not_for_ever():
    """A kernel that does not end takes the process with it."""
    faulthandler.dump_traceback_later(90, exit=True)
    yield
    faulthandler.cancel_dump_traceback_later()


@contextmanager
def signals(number=signal.SIGINT, after=0.12, times=1):
    def send():
        for _ in range(times):
            if not over.wait(after):
                os.kill(os.getpid(), number)

    over = threading.Event()
    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def long_loop(n):
    return sc.lax.while_loop(lambda s: s[0] < n, lambda s: (s[0] + 1, s[1] * 0.999 + 1.0), (0, 0.0))


def whole_call():
    f = sc.jit(long_loop)
    for _ in range(40):
        f(3)
    return lambda n: f(n)


def first_call():
    return lambda n: sc.jit(long_loop)(n)


def listed():
    f = sc.jit(lambda xs: long_loop(xs[0])[1] + xs[1])
    return lambda n: f([n, 1.0])


def slow_step(s, n):
    return s + sc.lax.fori_loop(0, n, lambda i, t: t * 0.5 + i, s)


def eager():
    return lambda n: sc.scan(slow_step, None, 0.0, non_sequences=[n], n_steps=3)


def compiled_scan():
    f = sc.scan_compile(slow_step)
    return lambda n: f(None, 0.0, non_sequences=[n], n_steps=3)


def lax():
    return lambda n: sc.lax.fori_loop(0, n, lambda i, s: s * 0.999 + i, 0.0)


def gradient():
    g = sc.value_and_grad(lambda x, n: x * x * slow_step(0.0, n))
    return lambda n: g(1.0, np.int64(n))


def batch():
    f = sc.vmap(lambda x, n: long_loop(n)[1] * x)
    return lambda n: f(np.ones(2), np.array([3, n]))


def nested():
    f = sc.jit(lambda n: sc.lax.fori_loop(0, 9, lambda i, s: slow_step(s, n), 0.0))
    return lambda n: f(n)


def growing():
    """The kernel allocates its results itself."""
    f = sc.jit(lambda n: sc.scan(lambda s: (np.where(s < 50, s + 1.0, s), sc.until(s < -n)), None, 0.0, n_steps=n)[-1])
    return lambda n: f(n)


def products():
    """In BLAS most of the time."""
    a = np.eye(160) * 0.5
    f = sc.jit(lambda n: sc.lax.fori_loop(0, n, lambda i, s: s @ a + 1.0, np.ones((160, 160)))[0, 0])
    return lambda n: f(n)


def inverses():
    f = sc.jit(lambda n: sc.lax.fori_loop(0, n, lambda i, s: np.linalg.inv(s) + 0.0 * i, np.eye(24) * 2.0)[0, 0])
    return lambda n: f(n)


def draws():
    key = sc.random.key(1)
    step = lambda i, s: s + sc.random.gamma(sc.random.fold_in(key, i), a=0.7)  # noqa: E731
    f = sc.jit(lambda n: sc.lax.fori_loop(0, n, step, 0.0))
    return lambda n: f(n)


PATHS = [whole_call, first_call, listed, eager, compiled_scan, lax, gradient, batch, nested, growing, products,
         inverses, draws]  # fmt: skip


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.__name__)
def test_an_interrupt_ends_the_kernel_and_later_calls_work(path):
    call = path()
    before = call(5)
    with pytest.raises(KeyboardInterrupt), signals():
        call(LONG)
    for one, other in zip(np.atleast_1d(call(5)), np.atleast_1d(before), strict=True):
        np.testing.assert_array_equal(one, other)


def test_an_interrupt_ends_a_theano_function():
    import scancc.theano as theano
    import scancc.theano.tensor as T

    n = T.lscalar()
    values, _ = theano.scan(lambda s: s * 0.5 + 1.0, outputs_info=T.constant(0.0), n_steps=n)
    f = theano.function([n], values[-1])
    f(5)
    with pytest.raises(KeyboardInterrupt), signals():
        f(LONG)
    assert f(2) == 1.5


def test_a_handler_that_does_not_raise_lets_the_kernel_go_on():
    seen = []
    f = sc.jit(lambda n: sc.lax.while_loop(lambda i: i < n, lambda i: np.where(i % 3 == 0, i + 2, i + 1), 0))
    f(5)
    start = time.perf_counter()
    f(10**8)
    n = max(10**8, int(10**8 / (time.perf_counter() - start)))  # about a second
    expected = f(n)
    old = signal.signal(signal.SIGINT, lambda *_: seen.append(f(9)))  # it may call kernels itself
    try:
        with signals(after=0.2, times=3):
            assert f(n) == expected
    finally:
        signal.signal(signal.SIGINT, old)
    assert len(seen) >= 1 and all(s == f(9) for s in seen)


def test_any_signal_with_a_handler_of_python_ends_it():
    def late(*_):
        raise TimeoutError("late")

    f = sc.jit(long_loop)
    f(5)
    old = signal.signal(signal.SIGALRM, late)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.25)
        with pytest.raises(TimeoutError, match="late"):
            f(LONG)
    finally:
        signal.signal(signal.SIGALRM, old)
    assert f(1)[1] == 1.0


def test_kernels_of_other_threads_go_on():
    f = sc.jit(lambda n: sc.lax.while_loop(lambda i: i < n, lambda i: np.where(i % 3 == 0, i + 2, i + 1), 0))
    expected, found = f(3 * 10**8), []
    thread = threading.Thread(target=lambda: found.append(f(3 * 10**8)))
    thread.start()
    with pytest.raises(KeyboardInterrupt), signals(after=0.1):
        sc.jit(long_loop)(LONG)
    thread.join()
    assert found == [expected]


def test_prints_are_not_left_in_the_middle(capfd):
    def body(i, s):
        sc.debug_print("step {} of many", i)
        return s * 0.5 + i

    f = sc.jit(lambda n: sc.lax.fori_loop(0, n, body, 0.0))
    f(2)
    with pytest.raises(KeyboardInterrupt), signals():
        f(LONG)
    lines = capfd.readouterr().out.splitlines()
    assert len(lines) > 2 and all(line.startswith("step ") for line in lines)


def test_memory_of_a_kernel_is_given_back():
    """Rows that the kernel keeps until it knows how many there are."""
    resident = lambda: int(open("/proc/self/statm").read().split()[1]) * 4096  # noqa: E731, SIM115

    f = sc.jit(lambda n: sc.scan(lambda s: (s * 0.5 + 1.0, sc.until(s[0] < -n)), None, np.zeros(64), n_steps=n).sum())
    assert f(3) > 0
    used = []
    for _ in range(4):
        with pytest.raises((KeyboardInterrupt, MemoryError)), signals(after=0.15):
            f(LONG)
        used.append(resident())
    assert used[-1] < used[0] + 64 * 2**20


def test_a_child_that_was_forked_is_interrupted_too():
    f = sc.jit(long_loop)
    f(5)
    with signals(signal.SIGURG, after=0.01):
        f(10**7)
    pid = os.fork()
    if not pid:
        try:
            signal.setitimer(signal.ITIMER_REAL, 60)
            with signals():
                f(LONG)
        except KeyboardInterrupt:
            os._exit(3)
        os._exit(4)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 3
