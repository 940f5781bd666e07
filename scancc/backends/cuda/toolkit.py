"""numba.cuda, imported when a program is first compiled for a device."""

from __future__ import annotations

import linecache
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Any

from scancc.backends.cuda import library
from scancc.errors import DeviceError
from scancc.ir.loop import Kernel
from scancc.passes.devices.device import ANY, Device

# Launches and transfers of this process, for tests and measurements: "launch", "to device", "to host".
TRAFFIC: Counter[str] = Counter()

SIMULATED_THREADS = 4  # of a block

_stream: ContextVar[Any] = ContextVar("stream", default=0)


def stream() -> Any:
    """numba's stream that launches and transfers go to; 0 is the default one."""
    return _stream.get()


@contextmanager
def on_stream(given: Any) -> Iterator[None]:
    """Run what follows on a stream: of numba, of CuPy (`.ptr`), of PyTorch (`.cuda_stream`), or its address.

    A call whose arguments are device arrays returns before the device is done, unless its program can fail.
    """
    address = next((getattr(given, a) for a in ("ptr", "cuda_stream") if hasattr(given, a)), given)
    token = _stream.set(cuda().external_stream(address) if isinstance(address, int) and not simulated() else address)
    try:
        yield
    finally:
        _stream.reset(token)


@cache
def simulated() -> bool:
    """Whether numba runs kernels in Python, as NUMBA_ENABLE_CUDASIM=1 asks."""
    from numba.core import config

    return bool(config.ENABLE_CUDASIM)


@cache
def cuda() -> Any:
    """numba.cuda, where there is a device or the simulator. Raises DeviceError otherwise."""
    from numba import cuda as found

    if simulated():
        return found
    try:
        there = found.is_available()
        reason = "no CUDA device, or no driver"
    except Exception as e:  # whatever a driver that is half there raises
        there, reason = False, str(e).strip().splitlines()[0]
    if not there:
        raise DeviceError(
            f"target='cuda' has nothing to run on: {reason}",
            rule="kernels for devices need an NVIDIA GPU, its driver, and the extra 'cuda'",
            fix="pip install 'scancc[cuda]' on a machine with a GPU; NUMBA_ENABLE_CUDASIM=1 runs kernels in Python",
        )
    return found


@cache
def limits() -> Device:
    """Those of the device that is there; of any where there is none, which matters to who only looks at a kernel."""
    if simulated():
        return Device(SIMULATED_THREADS, SIMULATED_THREADS, SIMULATED_THREADS)
    try:
        found = cuda().get_current_device()
    except DeviceError:
        return ANY
    return Device(registers=found.MAX_REGISTERS_PER_BLOCK, shared=found.MAX_SHARED_MEMORY_PER_BLOCK_OPTIN)


def kernel_function(source: str, kernel: Kernel, module: Any, fastmath: bool) -> Any:
    """The Python function of a kernel, for numba.cuda to compile."""
    filename = f"<scancc cuda kernel {kernel.name}>"
    linecache.cache[filename] = (len(source), None, source.splitlines(True), filename)
    scope = library.simulated(module) if simulated() else library.on_device(module, _named(source), fastmath)
    exec(compile(source, filename, "exec"), scope)
    return scope[kernel.name]


def _named(source: str) -> frozenset[str]:
    """What a source calls of the run-time library."""
    return frozenset(re.findall(r"\b(?:" + "|".join(library.RUNTIME) + r")\.\w+", source))
