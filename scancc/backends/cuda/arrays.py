"""Arrays on a device: those of other libraries are used where they are, results can be theirs without a copy."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np

from scancc.backends.cuda import memory as pool
from scancc.backends.cuda.toolkit import TRAFFIC, cuda, simulated, stream
from scancc.errors import DeviceError, ScanTypeError
from scancc.ir.types import in_memory

CUDA_DEVICE = 2  # of DLPack
DLPACK_KINDS = {0: "i", 1: "u", 2: "f", 5: "c", 6: "b"}
Look = Callable[[np.ndarray], np.ndarray]


class DeviceArray:
    """An array on a device, with `shape`, `dtype`, `ndim` and `__cuda_array_interface__`.

    Made by `sc.device_put`, and by programs whose arguments were device arrays. `np.asarray(a)`, `a.copy_to_host()` and
    `sc.device_get(a)` copy it to the host; CuPy, PyTorch, JAX and numba take it as it is.
    """

    def __init__(self, memory: Any, look: Look | None = None, kind: str = "scancc") -> None:
        """`memory`: an array of numba's; `look`: which part of it, and which axis comes first, as a view in NumPy;
        `kind`: the library that results of programs with this argument are for."""
        self.memory, self._look, self.kind = memory, look, kind

    def _outline(self) -> np.ndarray:
        """An array of the memory's shape and strides, whose elements nobody may touch."""
        m = self.memory
        return np.lib.stride_tricks.as_strided(np.empty(1, m.dtype), tuple(m.shape), tuple(m.strides))

    @cached_property
    def _place(self) -> tuple[Any, int]:
        """How the elements lie in the memory, as an array that nobody may touch (the memory itself, if all of it), and
        after how many bytes. Looked at only when somebody asks: calls follow one another without."""
        if self._look is None:
            return self.memory, 0
        whole = self._outline()
        part = self._look(whole)
        return part, part.__array_interface__["data"][0] - whole.__array_interface__["data"][0]

    def view_of(self, a: np.ndarray) -> np.ndarray:
        """What this array is of an array that lies like its memory."""
        return a if self._look is None else self._look(a)

    @property
    def dtype(self) -> np.dtype:
        found: np.dtype = self._place[0].dtype
        return found

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self._place[0].shape)

    @property
    def strides(self) -> tuple[int, ...]:
        return tuple(self._place[0].strides)

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        return self.size * self.dtype.itemsize

    @property
    def is_contiguous(self) -> bool:
        """Whether elements lie in row-major order."""
        return self.view_of(self._outline()).flags.c_contiguous

    def __len__(self) -> int:
        return int(self.shape[0])

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        address = address_of(self.memory) + (self._place[1] if self.size else 0)
        return {"shape": self.shape, "typestr": self.dtype.str, "data": (address, False), "strides": self.strides,
                "version": 3}  # fmt: skip

    def copy_to_host(self) -> np.ndarray:
        TRAFFIC["to host"] += 1
        found = np.asarray(self.memory.copy_to_host(stream=stream()))
        if stream() and not simulated():
            stream().synchronize()
        return np.ascontiguousarray(self.view_of(found)).reshape(self.shape)

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return self.copy_to_host().astype(dtype or self.dtype, copy=False)

    def __repr__(self) -> str:
        return f"<{self.dtype}{list(self.shape)} on a device>"

    def contiguous(self) -> Any:
        """numba's array of the elements in row-major order: the memory itself where it has that."""
        if self._look is None and self.strides == pool.row_major(self.shape, self.dtype.itemsize):
            return self.memory
        whole = self._outline()
        view = self.view_of(whole)
        view = view.view(whole.dtype)
        if view.__array_interface__ == whole.__array_interface__ and whole.flags.c_contiguous:
            return self.memory
        part = DeviceArray(self.memory, lambda a: self.view_of(a).view(a.dtype))
        if view.flags.c_contiguous and self.size:
            return wrapped(part)
        target = empty(self.shape, whole.dtype)
        if self.size:
            _copy(target, wrapped(part))
        return target


def device_put(array: np.ndarray) -> DeviceArray:
    """The array on the device. Raises DeviceError without a device, or where it does not fit."""
    TRAFFIC["to device"] += 1
    try:
        host = np.array(array, order="C", copy=None, dtype=array.dtype.newbyteorder("="))
        plain = host.view(in_memory(host.dtype, ("float16",)))
        memory = cuda().to_device(plain, stream(), to=None if simulated() else pool.array(plain.shape, plain.dtype))
    except Exception as e:
        raise no_room(e, array.nbytes) from e
    return DeviceArray(memory, None if memory.dtype == host.dtype else lambda a: a.view(host.dtype))


def empty(shape: tuple[int, ...], dtype: np.dtype) -> Any:
    try:
        return cuda().device_array(shape, dtype) if simulated() else pool.array(shape, dtype)
    except Exception as e:
        raise no_room(e, int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize) from e


def zeros(shape: tuple[int, ...], dtype: np.dtype) -> Any:
    """As `empty`, cleared on the device."""
    memory = empty(shape, dtype)
    if simulated():
        memory._ary[...] = 0
    elif memory.size:
        pool.clear(memory)
    return memory


def no_room(e: Exception, size: int) -> DeviceError:
    return e if isinstance(e, DeviceError) else DeviceError(f"the device has no room for {size} bytes: {e}")


def address_of(memory: Any) -> int:
    if simulated():
        return int(memory._ary.__array_interface__["data"][0])
    return int(memory.__cuda_array_interface__["data"][0])


# -- of other libraries -----------------------------------------------------------------------------------------------


def on_device(x: Any) -> bool:
    """Whether `x` is an array that lies on a device."""
    if isinstance(x, DeviceArray):
        return True
    if isinstance(x, (np.ndarray, np.generic, int, float, complex, list, tuple, dict)) or x is None:
        return False
    if type(x).__name__ == "FakeCUDAArray" or hasattr(x, "__cuda_array_interface__"):
        return True
    where = getattr(x, "__dlpack_device__", None)
    try:
        return where is not None and int(where()[0]) == CUDA_DEVICE
    except Exception:  # whatever a library says of an array that it cannot hand over
        return False


def kind_of(x: Any) -> str:
    """The library that an array is of."""
    return type(x).__module__.partition(".")[0]


def wrapped(x: Any) -> Any:
    """`x` as an array of numba's, without a copy."""
    if type(x).__name__ == "FakeCUDAArray":
        return x
    found = x if hasattr(x, "__cuda_array_interface__") else _Foreign(x)
    if simulated():
        return _on_host(found.__cuda_array_interface__)
    return cuda().as_cuda_array(found)


def taken(x: Any) -> DeviceArray:
    """An array of any library. Raises TypeError for dtypes that programs do not have."""
    if isinstance(x, DeviceArray):
        return x
    array = DeviceArray(wrapped(x), None, kind_of(x))
    if array.dtype.kind not in "biufc" or not array.dtype.isnative:
        raise ScanTypeError(f"a device array of {array.dtype} is not supported",
                            fix="convert it to a numeric dtype in native byte order")
    return array


def handed_over(a: DeviceArray, kind: str) -> Any:
    """A result as an array of the library that the arguments were of."""
    if simulated():
        return a
    match kind:
        case "cupy":
            import cupy  # type: ignore[import-not-found]

            return cupy.asarray(a)
        case "torch":
            import torch  # type: ignore[import-not-found]

            return torch.as_tensor(a, device="cuda")
        case "jax" | "jaxlib":
            import jax

            # JAX keeps no reference to what owns the memory, and its streams wait for nobody else's.
            (stream() or cuda().default_stream()).synchronize()
            return jax.numpy.array(a, copy=True).block_until_ready()
        case "numba":
            return cuda().as_cuda_array(a)
        case _:
            return a


class _Foreign:
    """An array that only speaks DLPack, by the interface that numba takes."""

    def __init__(self, x: Any) -> None:
        self._capsule = x.__dlpack__()  # owns the memory until it goes
        self.__cuda_array_interface__ = dlpack_interface(self._capsule)


class _Tensor(ctypes.Structure):
    """DLTensor of DLPack, the part that all of its versions share (dlpack.h)."""

    _fields_ = (
        ("data", ctypes.c_void_p), ("device_type", ctypes.c_int32), ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32), ("code", ctypes.c_uint8), ("bits", ctypes.c_uint8), ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)), ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    )  # fmt: skip


def dlpack_interface(capsule: Any) -> dict[str, Any]:
    """What a DLPack capsule says, as a `__cuda_array_interface__`."""
    pointer = ctypes.pythonapi.PyCapsule_GetPointer
    pointer.restype, pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    tensor = ctypes.cast(pointer(capsule, b"dltensor"), ctypes.POINTER(_Tensor)).contents
    if tensor.code not in DLPACK_KINDS or tensor.lanes != 1:
        raise ScanTypeError(f"a DLPack array of type code {tensor.code}, {tensor.bits} bits is not supported",
                            fix="convert it to bool, integers, floats or complex numbers")
    dtype = np.dtype(f"{DLPACK_KINDS[tensor.code]}{tensor.bits // 8}")
    shape = tuple(tensor.shape[: tensor.ndim])
    strides = tuple(s * dtype.itemsize for s in tensor.strides[: tensor.ndim]) if tensor.strides else None
    return {"shape": shape, "typestr": dtype.str, "data": ((tensor.data or 0) + tensor.byte_offset, False),
            "strides": strides, "version": 3}  # fmt: skip


def _on_host(interface: dict[str, Any]) -> Any:
    """For the simulator, whose devices have the host's memory."""
    from numba.cuda.simulator.cudadrv.devicearray import FakeCUDAArray

    class Interface:
        __array_interface__ = {**interface, "version": 3}

    return FakeCUDAArray(np.asarray(Interface()))


def _copy(target: Any, source: Any) -> None:
    """A copy on the device, element by element."""
    rank = len(source.shape)
    names = [f"i{k}" for k in range(rank)]
    lines = ["def copy(target, source, size):", "    p = cuda.grid(1)", "    if p < size:"]
    for k in reversed(range(rank)):
        lines += [f"        i{k} = p % target.shape[{k}]", f"        p = p // target.shape[{k}]"]
    lines.append(f"        target[{', '.join(names)}] = source[{', '.join(names)}]")
    scope: dict[str, Any] = {"cuda": cuda()}
    exec("\n".join(lines), scope)
    size = int(np.prod(source.shape))
    TRAFFIC["launch"] += 1
    threads = 1 if simulated() else 256
    cuda().jit(scope["copy"])[(size + threads - 1) // threads, threads, stream()](target, source, size)
