"""Kernels that the driver is told to run: arguments packed into one block of memory, without numba's part of a launch.

numba looks at the type of every argument at every launch, which takes longer than many kernels run. What a program's
kernel takes is known when it is compiled. numba's convention: an array is the addresses of two owners (none here), the
number of elements, their size, the address, the lengths and the strides; a number is itself.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from scancc.backends.cuda import offline
from scancc.backends.cuda.memory import device, handle
from scancc.backends.cuda.source import HALVES
from scancc.backends.cuda.toolkit import cuda, simulated, stream
from scancc.errors import DeviceError
from scancc.ir.loop import Buffer, Kernel, Var
from scancc.ir.types import in_memory

ARRAY = "qqqqq"


class Launch:
    """A kernel on the current device. Thread-safe: arguments are packed for each call anew."""

    def __init__(
        self, function: Callable[[], Any], kernel: Kernel, fastmath: bool,
        max_registers: int | None = None, shared: int = 0,
    ) -> None:  # fmt: skip
        """`function` makes the kernel in Python; `shared`: bytes of a block's memory that the launch sets."""
        self._function, self._kernel = function, kernel
        self._options = {"fastmath": fastmath} | ({"max_registers": max_registers} if max_registers else {})
        self.shared = shared
        self._known: dict[int, Any] = {}

    def __call__(self, blocks: int, threads: int, args: Sequence[Any], together: bool = False) -> None:
        """Run it. `together`: all blocks are there at once and may wait for one another.

        Raises DeviceError with what the driver says.
        """
        if simulated():
            with np.errstate(all="ignore"):  # numbers are NumPy's there
                self._simulated[blocks, threads, stream(), self.shared](*args)
            return
        from cuda.bindings import driver

        packed = self._pack(args)
        function, on = self._on_device(), handle()
        start = driver.cuLaunchCooperativeKernel if together else driver.cuLaunchKernel
        rest = () if together else (0,)
        (code,) = start(function, blocks, 1, 1, threads, 1, 1, self.shared, on, ctypes.addressof(packed), *rest)
        _check(code)

    def most_blocks(self, threads: int) -> int:
        """How many blocks are on the device at once."""
        from cuda.bindings import driver

        on = device()
        code, of_each = driver.cuOccupancyMaxActiveBlocksPerMultiprocessor(self._on_device(), threads, self.shared)
        _check(code)
        count = driver.CUdevice_attribute.CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT
        return int(of_each) * int(driver.cuDeviceGetAttribute(count, on)[1])

    @cached_property
    def _simulated(self) -> Any:
        return cuda().jit(self._function())

    def _on_device(self) -> Any:
        """The driver's function, compiled for the device that is current."""
        on = device()
        if on not in self._known:
            from cuda.bindings import driver

            signature = offline.signature_of(self._kernel)
            (compiled,) = cuda().jit(signature, **self._options)(self._function()).overloads.values()
            made = compiled._codelibrary.get_cufunc()
            function = driver.CUfunction(int(made.kernel.handle))
            if self.shared:
                most = driver.CUfunction_attribute.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
                driver.cuKernelSetAttribute(most, self.shared, driver.CUkernel(int(function)), on)
            self._known[on] = function, compiled  # the function lives as long as numba's part of it
        return self._known[on][0]

    @cached_property
    def _layout(self) -> tuple[struct.Struct, tuple[int, ...]]:
        """Addresses of the parameters, then the parameters; and where each of those is."""
        fields = "".join(_fields(p) for p in self._kernel.params) + ARRAY + "qq"
        offsets, form = [], f"{len(fields)}Q"
        for f in fields:
            form += f
            offsets.append(struct.calcsize(form) - struct.calcsize(f))
        return struct.Struct(form), tuple(offsets)

    def _pack(self, args: Sequence[Any]) -> Any:
        layout, offsets = self._layout
        packed = ctypes.create_string_buffer(layout.size)
        base = ctypes.addressof(packed)
        values: list[Any] = [base + o for o in offsets]
        for a in args:
            if hasattr(a, "gpu_data"):
                values += [0, 0, a.size, a.dtype.itemsize, int(a.gpu_data.device_pointer), *a.shape, *a.strides]
            elif isinstance(a, (complex, np.complexfloating)):
                values += [a.real, a.imag]
            else:
                values.append(a)
        layout.pack_into(packed, 0, *values)
        return packed


def _check(code: Any) -> None:
    from cuda.bindings import driver

    if code:
        raise DeviceError(str(driver.cuGetErrorString(code)[1].decode()))


def _fields(p: Buffer | Var) -> str:
    """The C types of a parameter, as the module struct names them."""
    if isinstance(p, Buffer):
        return ARRAY + "qq" * len(p.shape)
    dtype = in_memory(p.dtype, HALVES)
    return {"c": "ff" if dtype.itemsize == 8 else "dd"}.get(dtype.kind, dtype.char)
