"""Counter-based random generators: word number `index` of stream `stream` under `key`, all of them uint64.

A word depends on these three numbers alone, so elements can be drawn in any order, on any thread, on any device. The
generators are those of Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3" (SC 2011). Blocks
of 128 bits hold two words, those of `philox4x64` four, laid out as NumPy's `Philox(key=key)` gives them (for stream 0).

Straight-line code on integers, so that LLVM vectorises the loop around it; a block that two words share is computed
once where both are drawn in one place.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir

from scancc_runtime.scalar import ScalarEmitter, scalar_function

I32, I64, I128 = ir.IntType(32), ir.IntType(64), ir.IntType(128)
PHILOX_ROUNDS, THREEFRY_ROUNDS = 10, 20
PHILOX32 = (0xD2511F53, 0xCD9E8D57), (0x9E3779B9, 0xBB67AE85)  # multipliers, and what keys grow by each round
PHILOX64 = (0xD2E7470EE14C6C93, 0xCA5A826395121157), (0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B)
ROTATIONS = ((10, 26), (11, 21), (13, 27), (23, 5), (6, 20), (17, 11), (25, 10), (18, 20))
PARITY = 0x1BD11BDA


@scalar_function("u")
def philox4x32(e: ScalarEmitter, key: Any, index: Any, stream: Any) -> Any:
    """Philox 4x32-10. The counter is the number of the block and the stream, 64 bits each."""
    b = e.b
    low = I64(0xFFFFFFFF)
    block = b.lshr(index, I64(1))
    # Words of 32 bits are kept in 64, where they are multiplied.
    x = [b.and_(block, low), b.lshr(block, I64(32)), b.and_(stream, low), b.lshr(stream, I64(32))]
    k = [b.and_(key, low), b.lshr(key, I64(32))]
    multipliers, growth = PHILOX32
    for _ in range(PHILOX_ROUNDS):
        p, q = b.mul(x[0], I64(multipliers[0])), b.mul(x[2], I64(multipliers[1]))
        x = [
            b.xor(b.xor(b.lshr(q, I64(32)), x[1]), k[0]), b.and_(q, low),
            b.xor(b.xor(b.lshr(p, I64(32)), x[3]), k[1]), b.and_(p, low),
        ]  # fmt: skip
        k = [b.and_(b.add(k[i], I64(growth[i])), low) for i in (0, 1)]
    words = [b.or_(x[i], b.shl(x[i + 1], I64(32))) for i in (0, 2)]
    return _choose(b, index, words)


@scalar_function("u")
def philox4x64(e: ScalarEmitter, key: Any, index: Any, stream: Any) -> Any:
    """Philox 4x64-10. NumPy adds one to the counter before it draws the first block."""
    b = e.b
    x = [b.add(b.lshr(index, I64(2)), I64(1)), I64(0), stream, I64(0)]
    k = [key, I64(0)]
    multipliers, growth = PHILOX64
    for _ in range(PHILOX_ROUNDS):
        (p_high, p), (q_high, q) = _product(b, x[0], multipliers[0]), _product(b, x[2], multipliers[1])
        x = [b.xor(b.xor(q_high, x[1]), k[0]), q, b.xor(b.xor(p_high, x[3]), k[1]), p]
        k = [b.add(k[i], I64(growth[i])) for i in (0, 1)]
    return _choose(b, index, x)


@scalar_function("u")
def threefry4x32(e: ScalarEmitter, key: Any, index: Any, stream: Any) -> Any:
    """Threefry 4x32-20. The counter is the number of the block and the stream, 64 bits each."""
    b = e.b
    k = [*_halves(b, key), I32(0), I32(0)]
    k.append(b.xor(b.xor(k[0], k[1]), I32(PARITY)))
    x = [*_halves(b, b.lshr(index, I64(1))), *_halves(b, stream)]
    x = [b.add(v, k[i]) for i, v in enumerate(x)]
    for r in range(THREEFRY_ROUNDS):
        for first, second, turn in zip((0, 2), (1, 3) if r % 2 == 0 else (3, 1), ROTATIONS[r % 8], strict=True):
            x[first] = b.add(x[first], x[second])
            turned = b.or_(b.shl(x[second], I32(turn)), b.lshr(x[second], I32(32 - turn)))
            x[second] = b.xor(turned, x[first])
        if r % 4 == 3:
            s = r // 4 + 1
            x = [b.add(v, k[(s + i) % 5]) for i, v in enumerate(x)]
            x[3] = b.add(x[3], I32(s))
    wide = [b.zext(v, I64) for v in x]
    words = [b.or_(wide[i], b.shl(wide[i + 1], I64(32))) for i in (0, 2)]
    return _choose(b, index, words)


def _halves(b: Any, x: Any) -> tuple[Any, Any]:
    return b.trunc(x, I32), b.trunc(b.lshr(x, I64(32)), I32)


def _product(b: Any, x: Any, constant: int) -> tuple[Any, Any]:
    """The upper and the lower half of a product."""
    wide = b.mul(b.zext(x, I128), I128(constant))
    return b.trunc(b.lshr(wide, I128(64)), I64), b.trunc(wide, I64)


def _choose(b: Any, index: Any, words: list[Any]) -> Any:
    """The word of a block that `index` names: without branches, by its low bits."""
    bit = 0
    while len(words) > 1:
        odd = b.icmp_unsigned("!=", b.and_(index, I64(1 << bit)), I64(0))
        words = [b.select(odd, second, first) for first, second in zip(words[::2], words[1::2], strict=True)]
        bit += 1
    return words[0]
