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


LONG_FIRST, LONG_SECOND = np.uint64(0xD2E7470EE14C6C93), np.uint64(0xCA5A826395121157)
LONG_FIRST_GROWTH, LONG_SECOND_GROWTH = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBB67AE8584CAA73B)
TWO, THREE = np.uint64(2), np.uint64(3)


def philox4x64(key, index, stream):  # type: ignore[no-untyped-def]
    """Philox 4x64-10; the upper halves of products of 64 bits are put together from those of 32."""
    zero = index ^ index
    a, b, c, d = (index >> TWO) + ONE, zero, stream, zero
    k, m = key, zero
    for _ in range(10):
        low, high = (a & LOW) * (LONG_FIRST & LOW), (a >> HALF) * (LONG_FIRST & LOW)
        middle = (a & LOW) * (LONG_FIRST >> HALF) + (low >> HALF) + (high & LOW)
        upper_a = (a >> HALF) * (LONG_FIRST >> HALF) + (high >> HALF) + (middle >> HALF)
        low, high = (c & LOW) * (LONG_SECOND & LOW), (c >> HALF) * (LONG_SECOND & LOW)
        middle = (c & LOW) * (LONG_SECOND >> HALF) + (low >> HALF) + (high & LOW)
        upper_c = (c >> HALF) * (LONG_SECOND >> HALF) + (high >> HALF) + (middle >> HALF)
        a, b, c, d = upper_c ^ b ^ k, c * LONG_SECOND, upper_a ^ d ^ m, a * LONG_FIRST
        k, m = k + LONG_FIRST_GROWTH, m + LONG_SECOND_GROWTH
    word = index & THREE
    lower = a if word == zero else b
    return lower if word < TWO else (c if word == TWO else d)


PARITY = np.uint64(0x1BD11BDA)
TURNS = (10, 26, 11, 21, 13, 27, 23, 5, 6, 20, 17, 11, 25, 10, 18, 20)


def threefry4x32(key, index, stream):  # type: ignore[no-untyped-def]
    """Threefry 4x32-20 (Salmon, Moraes, Dror, Shaw; SC 2011). Words of 32 bits are kept in 64."""
    block, zero = index >> ONE, index ^ index
    k, m = key & LOW, key >> HALF
    parity = k ^ m ^ PARITY
    a, b = ((block & LOW) + k) & LOW, ((block >> HALF) + m) & LOW
    c, d = stream & LOW, stream >> HALF
    for r in range(20):
        first, second = np.uint64(TURNS[2 * (r % 8)]), np.uint64(TURNS[2 * (r % 8) + 1])
        if r % 2 == 0:
            a = (a + b) & LOW
            b = (((b << first) | (b >> (HALF - first))) & LOW) ^ a
            c = (c + d) & LOW
            d = (((d << second) | (d >> (HALF - second))) & LOW) ^ c
        else:
            a = (a + d) & LOW
            d = (((d << first) | (d >> (HALF - first))) & LOW) ^ a
            c = (c + b) & LOW
            b = (((b << second) | (b >> (HALF - second))) & LOW) ^ c
        if r % 4 == 3:
            s = r // 4 + 1
            # Round s of the key's words (k, m, 0, 0, parity), turned by s places.
            at = s % 5
            a += k if at == 0 else m if at == 1 else parity if at == 4 else zero
            at = (s + 1) % 5
            b += k if at == 0 else m if at == 1 else parity if at == 4 else zero
            at = (s + 2) % 5
            c += k if at == 0 else m if at == 1 else parity if at == 4 else zero
            at = (s + 3) % 5
            d += (k if at == 0 else m if at == 1 else parity if at == 4 else zero) + np.uint64(s)
            a, b, c, d = a & LOW, b & LOW, c & LOW, d & LOW
    return a | (b << HALF) if (index & ONE) == zero else c | (d << HALF)
