"""The counter-based generator that draws use by default: the words of `scancc_runtime.counters`, on the device."""

from __future__ import annotations

import numpy as np

LOW, HALF, ONE = np.uint64(0xFFFFFFFF), np.uint64(32), np.uint64(1)
FIRST, SECOND = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
FIRST_GROWTH, SECOND_GROWTH = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)


def philox4x32(key, index, stream):  # type: ignore[no-untyped-def]
    """Philox 4x32-10 (Salmon, Moraes, Dror, Shaw; SC 2011). Words of 32 bits are kept in 64."""
    block = index >> ONE
    a, b, c, d = block & LOW, block >> HALF, stream & LOW, stream >> HALF
    k, m = key & LOW, key >> HALF
    for _ in range(10):
        p, q = a * FIRST, c * SECOND
        a, b, c, d = (q >> HALF) ^ b ^ k, q & LOW, (p >> HALF) ^ d ^ m, p & LOW
        k, m = (k + FIRST_GROWTH) & LOW, (m + SECOND_GROWTH) & LOW
    return a | (b << HALF) if (index & ONE) == (index ^ index) else c | (d << HALF)
