"""Sums of what lies in memory one after the other, by partial sums side by side, as NumPy adds."""

from __future__ import annotations

import numba

from scancc_runtime.flat import load, pointer


@numba.njit(nogil=True, error_model="numpy", fastmath={"reassoc"})
def total(x, x0, n):  # type: ignore[no-untyped-def]
    """The sum of x[x0 : x0 + n] in the dtype of x; LLVM keeps several partial sums in vectors."""
    data = pointer(x, x0)
    found = x.dtype.type(0)
    for i in range(n):
        found += load(data, i)
    return found
