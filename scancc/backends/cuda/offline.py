"""Kernels compiled without a device: PTX by numba.cuda, machine code and its resources by nvJitLink."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numba

from scancc.backends.cuda.source import HALVES
from scancc.backends.cuda.toolkit import kernel_function, simulated
from scancc.errors import DeviceError
from scancc.ir.loop import Buffer, Kernel
from scancc.ir.types import in_memory


@dataclass(frozen=True)
class Resources:
    """What a thread of a kernel needs, as the assembler reports it. Bytes but for `registers` and `barriers`."""

    registers: int
    stack: int
    spill_stores: int
    spill_loads: int
    shared: int
    barriers: int


def ptx(source: str, kernel: Kernel, fastmath: bool, cc: tuple[int, int]) -> str:
    """PTX for compute capability `cc`. Raises DeviceError without the extra 'cuda', and under the simulator."""
    return ptx_of(lambda cuda: kernel_function(source, kernel, cuda, fastmath), signature_of(kernel), fastmath, cc)


def ptx_of(function: Callable[[Any], Any], signature: tuple, fastmath: bool, cc: tuple[int, int]) -> str:
    """The same of a kernel in Python, which `function` makes for numba's module."""
    if simulated():
        raise DeviceError("the simulator compiles nothing", fix="unset NUMBA_ENABLE_CUDASIM")
    try:
        importlib.import_module("numba_cuda")  # the numba.cuda inside of numba knows no device that is current
    except ImportError as e:
        raise DeviceError(f"PTX needs numba-cuda: {e}", fix="pip install 'scancc[cuda]'") from e
    from numba import cuda

    with _as_if_on(cc):
        text, _ = cuda.compile(function(cuda), signature, cc=cc, output="ptx", device=False, abi="numba",
                               fastmath=fastmath)  # fmt: skip
    return str(text)


def signature_of(kernel: Kernel) -> tuple:
    """Numba types of the parameters, and of the status that the printer adds."""
    found = []
    for p in kernel.params:
        dtype = numba.from_dtype(in_memory(p.dtype, HALVES))
        found.append(numba.types.Array(dtype, len(p.shape), "C") if isinstance(p, Buffer) else dtype)
    return (*found, numba.types.Array(numba.types.int64, 1, "C"))


@contextmanager
def _as_if_on(cc: tuple[int, int]) -> Iterator[None]:
    """numba compiles device functions for the current device, which there need not be."""
    from numba.cuda import dispatcher

    class Device:
        compute_capability = cc

    known = dispatcher.get_current_device
    dispatcher.get_current_device = lambda: Device
    try:
        yield
    finally:
        dispatcher.get_current_device = known


def _shared(text: str) -> int:
    """Bytes of shared memory that PTX declares: the linker reports none for those of numba."""
    return sum(int(n) for n in re.findall(r"^\s*\.(?:visible\s+)?\.?shared\s.*\[(\d+)\];", text, re.MULTILINE))


def _device_runtime() -> str:
    """The library that kernels of a whole grid wait by."""
    from cuda import pathfinder

    found: Any = pathfinder.find_static_lib("cudadevrt") if hasattr(pathfinder, "find_static_lib") else None
    if found is None:
        import nvidia

        here = [f for place in nvidia.__path__ for f in Path(place).rglob("libcudadevrt.a")]
        if not here:
            raise DeviceError("libcudadevrt.a is not installed", fix="pip install 'scancc[cuda]'")
        found = here[0]
    return str(found)


def resources(text: str, cc: tuple[int, int], most_registers: int | None = None) -> Resources:
    """Machine code for `cc` from PTX, and what it needs. `most_registers`: of a thread; what is more goes to memory."""
    core: Any = importlib.import_module("cuda.core")
    options = core.LinkerOptions(arch=f"sm_{cc[0]}{cc[1]}", ptxas_options=["-v"],
                                 max_register_count=most_registers)  # fmt: skip
    parts = [core.ObjectCode.from_ptx(text.encode())]
    if "cudaCG" in text:
        parts.append(core.ObjectCode.from_library(_device_runtime()))
    linker = core.Linker(*parts, options=options)
    linker.link("cubin")
    log = linker.get_info_log()

    def number(pattern: str) -> int:
        found = re.search(pattern, log)
        return int(found[1]) if found else 0

    registers = number(r"Used (\d+) registers")
    if not registers:
        raise DeviceError(f"the assembler reported nothing that is understood: {log[:500]}")
    return Resources(
        registers, number(r"(\d+) bytes stack frame"), number(r"(\d+) bytes spill stores"),
        number(r"(\d+) bytes spill loads"), _shared(text), number(r"used (\d+) barriers"),
    )  # fmt: skip
