"""bfloat16 in memory on a device: the upper half of a float32. float16 is a type of its own there."""

from __future__ import annotations

from typing import Any

import numpy as np

cuda: Any = None  # numba's module, which the back end puts in


def from_bfloat16(x):  # type: ignore[no-untyped-def]
    return cuda.libdevice.int_as_float(np.int32(np.uint32(x) << np.uint32(16)))


def to_bfloat16(x):  # type: ignore[no-untyped-def]
    """To nearest even; a NaN stays one."""
    bits = np.uint32(cuda.libdevice.float_as_int(x))
    high = bits >> np.uint32(16)
    if x != x:
        return np.uint16(high | np.uint32(0x40))
    return np.uint16((bits + np.uint32(0x7FFF) + (high & np.uint32(1))) >> np.uint32(16))
