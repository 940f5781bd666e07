"""Linear recurrences with constant coefficients, solved in place and in blocks.

    y[t] = u[t] + a[0] y[t-1] + ... + a[d-1] y[t-d]

Step by step, each y waits for the one before: 4 cycles, the latency of a multiply-add. The y of a block are a
triangular Toeplitz matrix times its u, plus what the d values before the block contribute: a block of one vector costs
the latency of d + 1 operations for all of its steps (Kogge and Stone, "A parallel algorithm for the efficient solution
of a general class of recurrence equations", 1973, give the idea in general form). Rounding differs from the loop's in
the last bits.

A zero of the matrix times an infinity would be NaN in steps before it: from a block on whose last value is not finite,
the steps of the call are done one by one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir

from scancc_runtime.code import BYTES, Array, Code, Int, Numbers, declared, fma_of, memory_type
from scancc_runtime.code import INT32 as I32

LANES = {32: 16, 64: 8}  # steps of a block, by the bits of a float


class _Block:
    """Code for a block of steps: a vector of u becomes one of y."""

    def __init__(self, builder, element, lanes: int, taps: int) -> None:  # type: ignore[no-untyped-def]
        self.builder, self.element, self.lanes, self.taps = builder, element, lanes, taps
        self.kind = ir.VectorType(element, lanes)
        self.undefined = ir.Constant(self.kind, ir.Undefined)
        self.size = 8 if isinstance(element, ir.DoubleType) else 4

    def fma(self, a, b, c):  # type: ignore[no-untyped-def]
        return self.builder.call(fma_of(self.builder.module, a.type), [a, b, c])

    def shuffle(self, a, b, lanes: list[int]):  # type: ignore[no-untyped-def]
        return self.builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(I32, self.lanes), lanes))

    def spread(self, vector, lane: int):  # type: ignore[no-untyped-def]
        return self.shuffle(vector, self.undefined, [lane] * self.lanes)

    def constant(self, value: float):  # type: ignore[no-untyped-def]
        return ir.Constant(self.kind, [self.element(value)] * self.lanes)

    def matrix(self, a: list):  # type: ignore[no-untyped-def,type-arg]
        """What one of each u, and one of each value before the block, contribute to its y."""
        history = [self._response(a, k) for k in range(self.taps)]
        # A one at step 0 is a value of 1 at tap -1 of the step after it; at step r it is that, r steps later.
        impulse = self.shuffle(history[0], self.constant(1.0), [self.lanes, *range(self.lanes - 1)])
        zero = self.constant(0.0)
        later = [self.shuffle(impulse, zero, [self.lanes] * r + list(range(self.lanes - r))) for r in range(self.lanes)]
        return later + history

    def _response(self, a: list, k: int):  # type: ignore[no-untyped-def,type-arg]
        """A block of y when u is 0 and of the values before it only the one at tap -1 - k is not: it is 1."""
        y = [self.element(1.0 if i == k else 0.0) for i in reversed(range(self.taps))]
        for _ in range(self.lanes):
            total = self.builder.fmul(a[-1], y[-self.taps])
            for i in reversed(range(self.taps - 1)):
                total = self.fma(a[i], y[-1 - i], total)
            y.append(total)
        vector = self.undefined
        for lane, value in enumerate(y[self.taps :]):
            vector = self.builder.insert_element(vector, value, I32(lane))
        return vector

    def solve(self, u, newest, rows: list):  # type: ignore[no-untyped-def,type-arg]
        # Two chains, so that the sum over u is not itself a long wait; what came before joins last.
        sums = [None, None]
        for r in range(self.lanes):
            x, held = self.spread(u, r), sums[r % 2]
            sums[r % 2] = self.builder.fmul(x, rows[r]) if held is None else self.fma(x, rows[r], held)
        y = self.builder.fadd(sums[0], sums[1])
        for k in range(self.taps):  # the newest lane first: it is the quickest to spread
            y = self.fma(self.spread(newest, self.lanes - 1 - k), rows[self.lanes + k], y)
        return y

    def loop(self, values, n, state, ahead, rows: list):  # type: ignore[no-untyped-def,type-arg]
        """Whole blocks while they are finite; the number of steps done."""
        builder, index, lanes = self.builder, n.type, self.lanes
        before = self._load_state(state, index)
        entry = builder.block
        head, body, kept, done = (builder.append_basic_block(s) for s in ("blocks", "block", "kept", "done"))
        builder.branch(head)

        builder.position_at_end(head)
        t, newest = builder.phi(index), builder.phi(self.kind)
        t.add_incoming(index(0), entry)
        newest.add_incoming(before, entry)
        after = builder.add(t, index(lanes))
        builder.cbranch(builder.icmp_signed("<=", after, n), body, done)

        builder.position_at_end(body)
        self._prefetch(builder.gep(ahead, [t]), write=0)
        self._prefetch(builder.gep(values, [builder.add(t, n)]), write=1)
        place = builder.bitcast(builder.gep(values, [t]), self.kind.as_pointer())
        y = self.solve(builder.load(place, align=self.size), newest, rows)
        last = builder.extract_element(y, I32(lanes - 1))
        finite = builder.fcmp_ordered("==", builder.fsub(last, last), ir.Constant(self.element, 0.0))
        builder.cbranch(finite, kept, done)

        builder.position_at_end(kept)
        builder.store(y, place, align=self.size)
        t.add_incoming(after, kept)
        newest.add_incoming(y, kept)
        builder.branch(head)

        builder.position_at_end(done)
        for k in range(self.taps):
            lane = builder.extract_element(newest, I32(lanes - 1 - k))
            builder.store(lane, builder.gep(state, [index(k)]))
        return t

    def _load_state(self, state, index):  # type: ignore[no-untyped-def]
        """The values before the first block, as the last lanes of a vector."""
        before = self.undefined
        for k in range(self.taps):
            value = self.builder.load(self.builder.gep(state, [index(k)]))
            before = self.builder.insert_element(before, value, I32(self.lanes - 1 - k))
        return before

    def _prefetch(self, place, write: int) -> None:  # type: ignore[no-untyped-def]
        kind = ir.FunctionType(ir.VoidType(), [BYTES, I32, I32, I32])
        prefetch = declared(self.builder.module, "llvm.prefetch.p0", kind)
        self.builder.call(prefetch, [self.builder.bitcast(place, BYTES), I32(write), I32(3), I32(1)])


def _blocks(code: Code, y: Array, n: Int, a: Array, state: Array, ahead: Array, taps: int) -> Int:
    """Solve whole blocks as long as they stay finite; returns the number of steps done.

    What the next call reads begins at `ahead` and is fetched meanwhile: this call waits for arithmetic, and the loop
    that fills `y` for memory.
    """
    block = _Block(code.b, memory_type(y.dtype), LANES[8 * y.dtype.itemsize], taps)
    rows = block.matrix([a.at(k).load() for k in range(taps)])
    return Int(code.b, block.loop(y.pointer, n.v, state.pointer, ahead.pointer, rows))


def solver(taps: int) -> Callable[..., None]:
    """The solver of recurrences with `taps` coefficients.

    In place: y[t] is u[t] before and y[t] after, t < n. `a`: coefficients, tap -1 first; `state`: the values before,
    the newest first, updated.
    """

    def solve(code: Code, y: Array, n: Int, a: Array, state: Array, ahead: Array) -> None:
        b, numbers = code.b, Numbers(code.b, y.dtype, ())
        done = _blocks(code, y, n, a, state, ahead, taps)
        for t in code.loop(done, n):
            total: Any = y.at(t).load()
            for k in range(taps - 1, 0, -1):
                total = b.fadd(total, numbers.multiply(a.at(k).load(), state.at(k).load()))
                state.at(k).store(state.at(k - 1).load())
            total = b.fadd(total, numbers.multiply(a.at(0).load(), state.at(0).load()))
            state.at(0).store(total)
            y.at(t).store(total)

    return solve


solve1, solve2, solve3 = (solver(taps) for taps in (1, 2, 3))
