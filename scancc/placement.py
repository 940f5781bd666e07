"""Moving arrays to a device and back: `sc.device_put`, `sc.device_get`."""

from __future__ import annotations

from typing import Any

import numpy as np

from scancc.arrays import on_device, on_host
from scancc.errors import ScanTypeError
from scancc.frontend.location import here
from scancc.frontend.pytrees import flatten, unflatten


def device_put(tree: Any) -> Any:
    """Arrays and numbers of a container as arrays on the device; those that lie there stay as they are.

    Compiled functions with target="cuda" take them without a transfer, and return arrays that stay on the device.
    Raises DeviceError without a device, or where an array does not fit.
    """
    from scancc.backends.cuda import arrays

    leaves, structure = flatten(tree)
    return unflatten(structure, [x if on_device(x) else arrays.device_put(_array(x)) for x in leaves])


def device_get(tree: Any) -> Any:
    """NumPy arrays with copies of what lies on a device; anything else as it is."""
    from scancc.backends.cuda import arrays

    leaves, structure = flatten(tree)
    return unflatten(structure, [on_host(arrays.taken(x)) if on_device(x) else x for x in leaves])


def _array(x: Any) -> np.ndarray:
    a = np.asarray(x)
    if a.dtype.kind not in "biufc":
        raise ScanTypeError(f"an array of {a.dtype} cannot be moved to a device", here())
    return a
