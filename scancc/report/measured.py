"""How long a call takes, beside the calibration kernels: in one process, in turns, so that both see the same clock."""

from __future__ import annotations

import gc
from collections.abc import Callable
from time import perf_counter
from typing import Any

import numpy as np

from scancc import calibration
from scancc.report.limits import Machine, Measured

ROUNDS = 15
LONGEST_S = 5.0  # of all rounds together; three are made whatever they take
LEAST_S = 2e-4  # of one sample, beside which the clock's own cost vanishes


def machine() -> Machine:
    """What the calibration kernels say of this machine now."""
    return Machine(calibration.cycle_ns(), calibration.bandwidth_bytes_per_s(), _multiply_adds_per_s(),
                   calibration.last_cache_bytes())  # fmt: skip


def _multiply_adds_per_s() -> float:
    """Of float64 elements in the first cache, the least of a few runs."""
    x, rounds = np.linspace(0.1, 0.2, calibration.ELEMENTS), 50
    calibration.polynomials(rounds, x, 0.25, 0.125)
    seconds = min(_seconds(lambda: calibration.polynomials(rounds, x, 0.25, 0.125), 1) for _ in range(20))
    return rounds * x.size * calibration.MULTIPLY_ADDS / seconds


def measure(call: Callable[[], Any], steps: int | None, found: Machine) -> Measured:
    """The median of several samples of `call`, each beside one of the latency kernel.

    Cycles are those of the clock at which `found` was measured: a slow moment of the machine slows the kernel too.
    """
    call()
    chain = calibration.KERNELS["latency"]()
    usual = min(_seconds(chain, 1) for _ in range(10))
    loops = max(1, int(LEAST_S / max(_seconds(call, 1), 1e-9)))
    times, cycles = [], []
    deadline = perf_counter() + LONGEST_S
    collecting = gc.isenabled()
    gc.disable()
    try:
        for k in range(ROUNDS):
            if k >= 3 and perf_counter() > deadline:
                break
            beside = _seconds(chain, 1)
            seconds = _seconds(call, loops)
            times.append(seconds)
            cycles.append(seconds * usual / min(beside, _seconds(chain, 1)) / (found.cycle_ns * 1e-9))
    finally:
        if collecting:
            gc.enable()
    call_s = float(np.median(times))
    if not steps:
        return Measured(call_s, None, None, None)
    return Measured(call_s, steps, call_s / steps * 1e9, float(np.median(cycles)) / steps)


def _seconds(call: Callable[[], Any], loops: int) -> float:
    start = perf_counter()
    for _ in range(loops):
        call()
    return (perf_counter() - start) / loops
