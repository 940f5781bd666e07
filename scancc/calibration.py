"""Calibration kernels: what this machine gives at this moment, in three plain loops.

    latency      a chain of fused multiply-adds, each of which waits for the one before
    throughput   polynomials of independent float64 elements in the first cache: vector multiply-adds, as many as fit
    bandwidth    a scaled copy of arrays that the caches do not hold, a stretch of them a call

A scan is bound by one of them, so the ratio of its time to theirs moves far less than its time when the clock
changes or another process takes the memory. `KERNELS` has factories: each returns a closure that runs for about a
millisecond and does the same work at every call. Times of a cycle and of a byte come from the same loops.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from functools import cache
from itertools import cycle
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

Closure = Callable[[], object]

# The work of a call is the same wherever and whenever it runs, so that times by it can be compared.
LINKS = 1 << 20  # of the chain: a millisecond at 4 cycles a link and 4 GHz
MULTIPLY_ADDS = 16  # to an element of the throughput kernel, between one load and one store
ELEMENTS = 1024  # of the throughput kernel: 8 KiB, in any first-level cache
ROUNDS = 3000  # over these elements in a call
STRETCH = 1 << 20  # elements that one call of the bandwidth kernel copies: 8 MiB read, 8 MiB written
LARGEST_BYTES = 1 << 28  # of one copied array, whatever the cache is said to be
USUAL_CACHE_BYTES = 32 << 20  # where the system does not say


class _Loop:
    """A loop for numba, compiled when it is first called, and kept by numba's own cache.

    Compiled by plain numba, not by this package's back end: what slows all kernels of the package down must not slow
    down what they are measured by.
    """

    def __init__(self, function: Callable, signature: tuple[str, ...], flags: dict[str, Any]) -> None:
        self.function, self.signature, self.flags = function, signature, flags
        functools.update_wrapper(self, function)

    def __call__(self, *arguments: Any) -> Any:
        return self.dispatcher(*arguments)

    @functools.cached_property
    def dispatcher(self) -> Any:
        from numba import njit

        made = njit(nogil=True, cache=True, **self.flags)(self.function)
        made.compile(f"({', '.join(self.signature)})")
        return made

    def asm(self) -> str:
        """The machine code; compiles anew, because code from the cache has no text any more."""
        from numba import njit

        made = njit(nogil=True, **self.flags)(self.function)
        made.compile(f"({', '.join(self.signature)})")
        (text,) = made.inspect_asm().values()
        return str(text)


def _compiled(*signature: str, **flags: Any) -> Callable[[Callable], _Loop]:
    return lambda function: _Loop(function, signature, flags)


@_compiled("int64", "float64", "float64", "float64", fastmath={"contract"})
def chain(steps: int, x: float, a: float, b: float) -> float:
    """x = a x + b, `steps` times: one fused multiply-add a step on the critical path."""
    for _ in range(steps):
        x = x * a + b
    return x


@_compiled("int64", "int64", "int64")
def alternate(steps: int, x: int, y: int) -> int:
    """An addition and an exclusive or a step, each waiting for the one before: two cycles on any processor of today."""
    for _ in range(steps):
        x = (x + y) ^ x
    return x


@_compiled("int64", "float64[::1]", "float64", "float64", fastmath={"contract"}, error_model="numpy")
def polynomials(rounds: int, x: np.ndarray, a: float, b: float) -> None:
    """`rounds` times, every element of x: float64[n] in place: x = p(x) with p of degree MULTIPLY_ADDS by Horner."""
    for _ in range(rounds):
        for i in range(x.shape[0]):
            v = x[i]
            p = a
            for _ in range(MULTIPLY_ADDS):
                p = p * v + b
            x[i] = p


@_compiled("float64[::1]", "float64[::1]", "float64", error_model="numpy")
def scaled_copy(out: np.ndarray, x: np.ndarray, a: float) -> None:
    """out[i] = a x[i], both float64[n]; scaled, so that no copy routine takes the loop's place."""
    for i in range(x.shape[0]):
        out[i] = a * x[i]


def _latency() -> Closure:
    chain(1, 1.0, 0.5, 0.5)  # compiles it
    return lambda: chain(LINKS, 1.0, 0.5, 0.5)


def _throughput() -> Closure:
    x = np.linspace(0.1, 0.2, ELEMENTS)
    polynomials(1, x, 0.25, 0.125)
    return lambda: polynomials(ROUNDS, x, 0.25, 0.125)


def _bandwidth() -> Closure:
    x, out = (np.ones(min(last_cache_bytes(), LARGEST_BYTES) // 8) for _ in range(2))  # together twice the cache
    scaled_copy(out, x, 1.5)
    starts = cycle(range(0, x.size - STRETCH + 1, STRETCH))

    def copy() -> None:
        start = next(starts)
        scaled_copy(out[start : start + STRETCH], x[start : start + STRETCH], 1.5)

    return copy


KERNELS: dict[str, Callable[[], Closure]] = {
    "latency": _latency,
    "throughput": _throughput,
    "bandwidth": _bandwidth,
}


def _least(call: Closure, repeats: int) -> float:
    """Seconds of the fastest of several calls: the one that was not interrupted."""
    best = float("inf")
    for _ in range(repeats):
        start = perf_counter()
        call()
        best = min(best, perf_counter() - start)
    return best


def last_cache_bytes() -> int:
    """Size of the largest cache of the first processor, as Linux tells it; elsewhere a usual one."""
    found = []
    for file in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size"):
        text = file.read_text(encoding="ascii").strip()
        if text[:-1].isdigit() and text[-1:] in ("K", "M"):
            found.append(int(text[:-1]) << (10 if text[-1] == "K" else 20))
    return max(found, default=USUAL_CACHE_BYTES)


@cache
def cycle_ns() -> float:
    """Length of a clock cycle in nanoseconds, as the processor runs now.

    The time of one link of the multiply-add chain by its latency in cycles. The latency (4 on most processors, 5 on
    some; uops.info) is itself the whole number of cycles nearest to what the integer chain says, whose operations
    take one cycle on all of them.
    """
    steps = 40_000  # some 40 µs: short enough that one of many repeats is left alone
    fma, integers = chain, alternate
    link = _least(lambda: fma(steps, 1.0, 0.5, 0.5), 40) / steps
    half = _least(lambda: integers(steps, 1, 3), 40) / (2 * steps)
    return link / max(1, round(link / half)) * 1e9


@cache
def bandwidth_bytes_per_s() -> float:
    """Bytes that one thread reads and writes in a second, copying what no cache holds.

    Counted as in STREAM (McCalpin 1995): a byte read and a byte written are two, what the cache fetches in order to
    overwrite it is not counted.
    """
    copy = KERNELS["bandwidth"]()
    return 2 * 8 * STRETCH / _least(copy, 60)


def assembly() -> dict[str, str]:
    """The machine code of the loops by the name of the kernel, for whoever wants to see that they are what they say."""
    loops = {"latency": chain, "throughput": polynomials, "bandwidth": scaled_copy}
    return {name: loop.asm() for name, loop in loops.items()}
