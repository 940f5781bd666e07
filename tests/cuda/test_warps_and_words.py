"""What threads of a warp, and blocks, hand to one another: numbers of every dtype, whole."""

from __future__ import annotations

import numpy as np
import pytest
from numba import cuda

from scancc.backends.cuda import pieces, warp, words
from scancc.backends.cuda.toolkit import simulated
from scancc.passes.lower.prefix import words_of

DTYPES = "bool int8 uint8 int16 uint16 int32 uint32 int64 uint64 float16 float32 float64 complex64 complex128".split()
R = np.random.default_rng(0)


def numbers(dtype, n):
    data = R.integers(0, 256, n * np.dtype(dtype).itemsize, dtype=np.uint8)
    return data % 2 == 1 if dtype == "bool" else data.view(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_words_hold_a_number(dtype):
    """Bit for bit, whatever the number is, beside the number before it and that behind it."""
    count = words_of(np.dtype(dtype))
    told = np.zeros((2, 3 * count), np.int64)
    values = numbers(dtype, 3)
    for i, x in enumerate(values):
        words.SIMULATED.put(told, (1, i * count), 2, x)
    assert not told[0].any()
    assert (told[1] >> words.BITS == 2).all()
    for i, x in enumerate(values):
        read = tuple(words.SIMULATED.get(told, (1, i * count + k)) for k in range(count))
        found = words.SIMULATED.number(getattr(np, "bool_" if dtype == "bool" else dtype), read)
        assert found.dtype == dtype
        assert found.tobytes() == x.tobytes()
    assert all(0 <= p < 1 << 32 for x in values for p in pieces.cut_here(x))


def test_answers():
    said = list("abcd")
    for rank in range(4):
        assert warp.answer("up", said, 1, rank) == said[max(rank - 1, 0)]
        assert warp.answer("up", said, 3, rank) == (said[0] if rank == 3 else said[rank])
        assert warp.answer("down", said, 2, rank) == (said[rank + 2] if rank < 2 else said[rank])
        assert warp.answer("of", said, 2, rank) == "c"
        assert warp.answer("first", [False, False, True, True], None, rank) == 2
        assert warp.answer("first", [False] * 4, None, rank) == 4


@pytest.mark.skipif(not simulated(), reason="of the simulator")
@pytest.mark.parametrize("dtype", DTYPES)
def test_threads_of_the_simulator(dtype):
    """Warps of a block exchange numbers on their own, at a time of their own."""
    warps = warp.SIMULATED
    size = warp.SIMULATED_WARP

    @cuda.jit
    def exchange(x, up, down, of, first):
        i = cuda.threadIdx.x
        rounds = 1 + i // size
        for _ in range(rounds):
            up[i] = warps.up(x[i], 1)
            down[i] = warps.down(x[i], 1)
            of[i] = warps.of(x[i], 1)
        first[i] = warps.first(i > size)

    x = numbers(dtype, 3 * size)
    up, down, of = (np.zeros_like(x) for _ in range(3))
    first = np.zeros(3 * size, np.int64)
    exchange[1, 3 * size](x, up, down, of, first)
    pairs = x.reshape(3, size)
    assert up.tobytes() == pairs[:, [0, 0]].tobytes()
    assert down.tobytes() == pairs[:, [1, 1]].tobytes()
    assert of.tobytes() == pairs[:, [1, 1]].tobytes()
    assert first.tolist() == [2, 2, 1, 1, 0, 0]
