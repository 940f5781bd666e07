"""Arrays as programs take them: of the host, or of a device where the program runs on one."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from scancc.errors import ScanOverflowError, ScanTypeError
from scancc.ir.graph import Loc

DEVICES = ("__cuda_array_interface__", "__dlpack_device__", "copy_to_host")  # arrays on devices have one of them


def as_argument(x: Any) -> Any:
    """An argument of a compiled function: a NumPy array, or an array on a device as it is."""
    if type(x) is np.ndarray or not on_device(x):
        refuse_masked(x)
        return np.asarray(x)
    from scancc.backends.cuda import arrays

    return arrays.taken(x)


def refuse_masked(x: Any, what: str = "an argument") -> None:
    """Raises TypeError for an array with a mask, which would be lost in silence."""
    masked = sys.modules.get("numpy.ma")  # a tenth of a second to import; who has no masked array need not
    if masked is not None and isinstance(x, masked.MaskedArray):
        raise ScanTypeError(f"{what} is a masked array", rule="compiled code sees all elements, without the mask",
                            fix="pass x.filled(value), or x.data and x.mask as two arrays")


def refuse_large(array: np.ndarray, what: str, loc: Loc | None = None) -> None:
    """Raises OverflowError for integers that only Python has: NumPy makes objects of them."""
    if array.dtype == object and array.size and all(type(v) is int for v in array.flat):
        worst = max(array.flat, key=abs)
        if -(2**63) <= min(array.flat) and max(array.flat) < 2**63:
            raise ScanTypeError(f"{what} has dtype object: it holds Python's integers, one by one", loc,
                                "arrays have numbers of one dtype", "convert it first, for example with .astype(int)")
        is_or_has = "is" if array.ndim == 0 else "has the element"
        raise ScanOverflowError(f"{what} {is_or_has} {shown(worst)}", loc,
                                "integers have 64 bits at most, from -2**63 to 2**64 - 1",
                                "where a float will do, pass float(...) of it")


def shown(number: Any) -> str:
    """A number for a message; of very large ones Python refuses to print the digits."""
    large = type(number) is int and number.bit_length() > 100
    return f"an integer of {number.bit_length()} bits" if large else str(number)


def on_device(x: Any) -> bool:
    """Whether `x` lies on a device. Nothing of CUDA is imported for arrays of libraries that have no devices."""
    if isinstance(x, (np.ndarray, np.generic, int, float, complex, list, tuple, dict)) or x is None:
        return False
    # Of the type first: an array may compute what it is asked for.
    if not any(hasattr(o, a) for a in DEVICES for o in (type(x), x)):
        return False
    from scancc.backends.cuda import arrays

    return arrays.on_device(x)


def on_host(x: Any) -> np.ndarray:
    """A copy on the host of what lies on a device; anything else as an array."""
    return x.copy_to_host() if hasattr(x, "copy_to_host") else np.asarray(x)


def as_kernel_array(array: np.ndarray) -> np.ndarray:
    """C-contiguous, aligned, native and typed as writable (kernels never store to inputs): a copy only if needed."""
    flags = array.flags
    # `carray` is C-contiguous, aligned and writable in one look.
    if flags.carray and array.dtype.isnative:
        return array
    if not (flags.c_contiguous and flags.aligned and flags.writeable and array.dtype.isnative):
        array = np.array(array, dtype=array.dtype.newbyteorder("="), order="C", copy=True)
    return array
