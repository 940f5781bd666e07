"""The cyclic collector rests while programs are traced and compiled, and works as before afterwards."""

from __future__ import annotations

import gc
import os
import threading

import numpy as np
import pytest

import scancc as sc
from scancc.collector import PAUSED


@pytest.fixture(params=[True, False], ids=["enabled", "disabled"])
def enabled(request):
    """Whether the user has the collector work."""
    before = gc.isenabled()
    (gc.enable if request.param else gc.disable)()
    yield request.param
    (gc.enable if before else gc.disable)()


def long_step(k: float):
    def step(u, h):
        for j in range(300):
            h = np.sin(h * (k + j)) + u
        return h

    return step


def test_the_collector_rests_in_a_first_call(enabled):
    seen = []

    def note(phase, info):
        seen.append(phase)

    threshold = gc.get_threshold()
    gc.callbacks.append(note)
    gc.set_threshold(50)
    try:
        sc.scan(long_step(0.25), np.ones(3), 0.0)
    finally:
        gc.set_threshold(*threshold)
        gc.callbacks.remove(note)
    assert len(seen) < 3000  # those of modules that are loaded, arguments and results; of 300 operations: over 10,000
    assert gc.isenabled() is enabled


def test_an_error_while_tracing(enabled):
    with pytest.raises(ZeroDivisionError):
        sc.jit(lambda x: x + 1 / 0)(np.ones(3))
    assert gc.isenabled() is enabled


def test_blocks_within_blocks(enabled):
    with PAUSED:
        with PAUSED:
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled() is enabled


def test_blocks_of_several_threads():
    assert gc.isenabled()
    entered, leave = threading.Event(), threading.Event()

    def other():
        with PAUSED:
            entered.set()
            leave.wait(10)

    thread = threading.Thread(target=other)
    thread.start()
    assert entered.wait(10)
    with PAUSED:
        pass
    assert not gc.isenabled()
    leave.set()
    thread.join()
    assert gc.isenabled()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_of_a_fork_collects_again():
    entered, leave = threading.Event(), threading.Event()

    def other():
        with PAUSED:
            entered.set()
            leave.wait(10)

    thread = threading.Thread(target=other)
    thread.start()
    assert entered.wait(10)
    pid = os.fork()
    if not pid:
        os._exit(0 if gc.isenabled() else 1)
    status = os.waitpid(pid, 0)[1]
    leave.set()
    thread.join()
    assert status == 0
