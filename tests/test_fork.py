"""A child of a fork compiles and runs, whatever other threads of its parent were doing."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading

import numpy as np
import pytest

import scancc as sc
from scancc import locks

pytestmark = pytest.mark.skipif(
    not hasattr(os, "fork") or os.environ.get("SCANCC_TARGET") == "cuda", reason="a device has one process"
)


@pytest.fixture(autouse=True)
def nothing_on_disk(monkeypatch):
    monkeypatch.setenv("SCANCC_CACHE_DIR", "")


def compile_and_run(k: float) -> float:
    f = sc.jit(lambda x: sc.scan(lambda u, h: np.tanh(h * u + k) + sum(np.sin(h * j) for j in range(5)), x, 0.0)[-1])
    return float(f(np.ones(3)))


def in_a_child(work) -> int:
    """The child's exit status; -SIGALRM where it does not end."""
    pid = os.fork()
    if not pid:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(40)
        try:
            work()
        except BaseException:
            os._exit(9)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_while_another_thread_compiles():
    def work():
        k = 0
        while not over.is_set():
            k += 1
            compile_and_run(k * 0.37)

    over = threading.Event()
    expected = compile_and_run(-0.5)
    thread = threading.Thread(target=work)
    thread.start()
    try:
        for _ in range(4):
            over.wait(0.11)
            assert in_a_child(lambda: compile_and_run(-0.5) == expected and compile_and_run(np.random.rand())) == 0
    finally:
        over.set()
        thread.join()


def test_while_another_thread_runs_with_a_shared_variable():
    total = sc.shared(0)
    f = sc.jit(lambda n: sc.scan(lambda: {total: total + sc.lax.fori_loop(0, n, lambda i, s: s ^ i, 0)}, n_steps=1))
    f(5)
    before, thread = total.get_value(), threading.Thread(target=lambda: f(2 * 10**9))
    thread.start()
    try:
        while total._lock.acquire(blocking=False):
            total._lock.release()
        assert in_a_child(lambda: (total.set_value(before + 1), f(3))) == 0
    finally:
        thread.join()


def test_a_lock_of_the_thread_that_forks_stays_its_own():
    kept = locks.lock()
    with kept, locks.COMPILING:
        assert in_a_child(lambda: (kept.release(), locks.COMPILING.release(), compile_and_run(0.25))) == 0


def test_a_lock_of_another_thread_is_free_in_the_child():
    kept, has, over = locks.lock(), threading.Event(), threading.Event()

    def hold():
        with kept:
            has.set()
            over.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    has.wait()
    try:
        assert in_a_child(lambda: kept.acquire() and kept.release()) == 0
        assert not kept.acquire(blocking=False)
    finally:
        over.set()
        thread.join()


@pytest.mark.parametrize("method", ["fork", "forkserver"])
def test_pools_of_processes(method):
    with multiprocessing.get_context(method).Pool(2) as pool:
        assert pool.map_async(compile_and_run, [0.125, 0.5]).get(timeout=90) == list(map(compile_and_run, [0.125, 0.5]))
