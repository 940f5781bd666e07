"""Arrays as kernels take them."""

from __future__ import annotations

import numpy as np


def as_kernel_array(array: np.ndarray) -> np.ndarray:
    """C-contiguous, aligned, native and typed as writable (kernels never store to inputs): a copy only if needed."""
    flags = array.flags
    # `carray` is C-contiguous, aligned and writable in one look.
    if flags.carray and array.dtype.isnative:
        return array
    if not (flags.c_contiguous and flags.aligned and flags.writeable and array.dtype.isnative):
        array = np.array(array, dtype=array.dtype.newbyteorder("="), order="C", copy=True)
    return array
