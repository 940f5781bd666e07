"""Memory of a device from a pool, in the order of a stream: neither getting nor giving back waits for the device.

numba's arrays come from cuMemAlloc, which may wait, and go with cuMemFree, which does. The pool is the process's own,
and keeps half of the device at most for calls to come. As in other libraries that have such pools, memory is given back
in the order of the stream that it was taken on: whoever reads an array on another stream keeps it until that is done.
"""

from __future__ import annotations

import math
import weakref
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from scancc.backends.cuda.toolkit import cuda, simulated, stream


def array(shape: tuple[int, ...], dtype: np.dtype) -> Any:
    """An array of numba's in row-major order, whose elements are whatever was there. Raises what the driver says."""
    from numba.cuda.cudadrv.devicearray import DeviceNDArray

    dtype = np.dtype(dtype)
    size = dtype.itemsize * math.prod(shape)
    strides = row_major(shape, dtype.itemsize)
    return DeviceNDArray(shape, strides, dtype, stream(), _memory(size) if size else None)


@dataclass(slots=True)
class Flat:
    """An array's elements, one after the other, as a launch wants to know them."""

    gpu_data: Any
    size: int
    dtype: np.dtype
    shape: tuple[int]
    strides: tuple[int]


def flat(memory: Any) -> Any:
    """An array of numba's that is contiguous, with one axis, without what numba takes time for."""
    if simulated():
        return memory.reshape(memory.size)
    return Flat(memory.gpu_data, memory.size, memory.dtype, (memory.size,), (memory.dtype.itemsize,))


def row_major(shape: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    """The strides of an array whose elements lie in row-major order."""
    found = []
    for length in reversed(shape):
        found.append(itemsize)
        itemsize *= length
    return tuple(reversed(found))


def clear(memory: Any) -> None:
    """Sets all bytes to zero, in the order of the stream."""
    address = memory.__cuda_array_interface__["data"][0]
    _driver().cuMemsetD8Async(address, 0, memory.size * memory.dtype.itemsize, handle())


def handle() -> int:
    """The driver's name of the stream that launches and transfers go to."""
    return int(stream().handle) if stream() else 0


def device() -> int:
    """The number of the device that is current in this thread; numba's where there is none yet."""
    code, found = _driver().cuCtxGetDevice()
    return int(cuda().current_context().device.id if code else found)


def _memory(size: int) -> Any:
    from numba.cuda.cudadrv.driver import MemoryPointer

    pool = _pool(device())
    if pool is None:
        return cuda().current_context().memalloc(size)
    on, driver = handle(), _driver()
    code, address = driver.cuMemAllocFromPoolAsync(size, pool, on)
    if code == driver.CUresult.CUDA_ERROR_OUT_OF_MEMORY:  # what is kept may lie in the way
        context = cuda().current_context()
        context.synchronize()
        driver.cuMemPoolTrimTo(pool, 0)
        context.deallocations.clear()
        code, address = driver.cuMemAllocFromPoolAsync(size, pool, on)
    if code:
        raise MemoryError(str(code.name))
    return MemoryPointer(_context(device()), address, size, finalizer=lambda: _give_back(address, on))


@cache
def _context(number: int) -> Any:
    """numba's context of a device."""
    return weakref.proxy(cuda().current_context(number))


def _give_back(address: Any, on: int) -> None:
    driver = _driver()
    if driver.cuMemFreeAsync(address, on)[0]:  # a stream that is gone, or a thread that has no context yet
        cuda().current_context()
        driver.cuMemFree(address)


@cache
def _driver() -> Any:
    from cuda.bindings import driver

    return driver


@cache
def _pool(device: int) -> Any:
    """The pool of a device, or None where its driver has none."""
    driver = _driver()
    properties = driver.CUmemPoolProps()
    properties.allocType = driver.CUmemAllocationType.CU_MEM_ALLOCATION_TYPE_PINNED
    properties.location.type = driver.CUmemLocationType.CU_MEM_LOCATION_TYPE_DEVICE
    properties.location.id = device
    code, pool = driver.cuMemPoolCreate(properties)
    if code:
        return None
    kept = driver.cuuint64_t(cuda().current_context().get_memory_info().total // 2)
    driver.cuMemPoolSetAttribute(pool, driver.CUmemPool_attribute.CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, kept)
    return pool
