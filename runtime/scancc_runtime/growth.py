"""Arrays of rows whose number is known only after the loop: they double when they are full."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit
def doubled(a):  # type: ignore[no-untyped-def]
    """A copy of `a` with room for twice as many rows."""
    rows = a.shape[0]
    grown = np.empty((max(2 * rows, 16),) + a.shape[1:], a.dtype)
    grown[:rows] = a
    return grown
