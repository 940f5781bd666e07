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

import numba
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from scancc_runtime.flat import load, pointer, store

LANES = {32: 16, 64: 8}  # steps of a block, by the bits of a float


@intrinsic
def _blocks(typingctx, data, n, coefficients, state, ahead, depth):  # type: ignore[no-untyped-def]
    """Solve whole blocks from `data` on as long as they stay finite; returns the number of steps done.

    `coefficients` begin with that of tap -1; `state` is the values before, the newest first, and is updated. What the
    next call reads begins at `ahead` and is fetched meanwhile: this call waits for arithmetic, and the loop that fills
    `data` for memory.
    """
    scalar = data.dtype
    if scalar not in (types.float32, types.float64) or not isinstance(depth, types.IntegerLiteral):
        return None
    taps = depth.literal_value
    lanes = LANES[scalar.bitwidth]

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        values, n, coefficients, state, ahead, _ = args
        element = context.get_value_type(scalar)
        kind = ir.VectorType(element, lanes)
        i32 = ir.IntType(32)
        index = n.type
        size = scalar.bitwidth // 8
        undefined = ir.Constant(kind, ir.Undefined)
        byte = ir.IntType(8).as_pointer()
        prefetch = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(ir.VoidType(), [byte, i32, i32, i32]), "llvm.prefetch.p0i8"
        )
        fma = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(kind, [kind] * 3), f"llvm.fma.v{lanes}f{scalar.bitwidth}"
        )

        def spread(vector, lane):  # type: ignore[no-untyped-def]
            mask = ir.Constant(ir.VectorType(i32, lanes), [lane] * lanes)
            return builder.shuffle_vector(vector, undefined, mask)

        def at(base, offset):  # type: ignore[no-untyped-def]
            return builder.bitcast(builder.gep(base, [offset]), kind.as_pointer())

        scalar_fma = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(element, [element] * 3), f"llvm.fma.f{scalar.bitwidth}"
        )
        a = [builder.load(builder.gep(coefficients, [index(k)])) for k in range(taps)]

        def response(start):  # type: ignore[no-untyped-def]
            """A block of y when u is 0 and the values before it are `start`, the newest first."""
            y = list(reversed(start))
            for _ in range(lanes):
                total = builder.fmul(a[-1], y[-taps])
                for k in reversed(range(taps - 1)):
                    total = builder.call(scalar_fma, [a[k], y[-1 - k], total])
                y.append(total)
            vector = undefined
            for lane, value in enumerate(y[taps:]):
                vector = builder.insert_element(vector, value, i32(lane))
            return vector

        def unit(k):  # type: ignore[no-untyped-def]
            return [element(1.0 if i == k else 0.0) for i in range(taps)]

        history = [response(unit(k)) for k in range(taps)]
        # A one at step 0 is a value of 1 at tap -1 of the step after it; at step r it is that, r steps later.
        first = ir.Constant(ir.VectorType(i32, lanes), [lanes, *range(lanes - 1)])
        impulse = builder.shuffle_vector(history[0], ir.Constant(kind, [element(1.0)] * lanes), first)
        zero = ir.Constant(kind, [element(0.0)] * lanes)
        rows = [
            builder.shuffle_vector(
                impulse, zero, ir.Constant(ir.VectorType(i32, lanes), [lanes] * r + list(range(lanes - r)))
            )
            for r in range(lanes)
        ] + history
        # The values before the first block, as the last lanes of a vector.
        before = undefined
        for k in range(taps):
            value = builder.load(builder.gep(state, [index(k)]))
            before = builder.insert_element(before, value, i32(lanes - 1 - k))
        entry = builder.block
        head, body, kept, done = (builder.append_basic_block(s) for s in ("blocks", "block", "kept", "done"))
        builder.branch(head)

        builder.position_at_end(head)
        t = builder.phi(index)
        newest = builder.phi(kind)
        t.add_incoming(index(0), entry)
        newest.add_incoming(before, entry)
        after = builder.add(t, index(lanes))
        builder.cbranch(builder.icmp_signed("<=", after, n), body, done)

        builder.position_at_end(body)
        for place, write in ((builder.gep(ahead, [t]), 0), (builder.gep(values, [builder.add(t, n)]), 1)):
            builder.call(prefetch, [builder.bitcast(place, byte), i32(write), i32(3), i32(1)])
        u = builder.load(at(values, t), align=size)
        # Two chains, so that the sum over u is not itself a long wait; what came before joins last.
        sums = [None, None]
        for r in range(lanes):
            x = spread(u, r)
            held = sums[r % 2]
            sums[r % 2] = builder.fmul(x, rows[r]) if held is None else builder.call(fma, [x, rows[r], held])
        y = builder.fadd(sums[0], sums[1])
        for k in range(taps):  # the newest lane first: it is the quickest to spread
            y = builder.call(fma, [spread(newest, lanes - 1 - k), rows[lanes + k], y])
        last = builder.extract_element(y, i32(lanes - 1))
        finite = builder.fcmp_ordered("==", builder.fsub(last, last), ir.Constant(element, 0.0))
        builder.cbranch(finite, kept, done)

        builder.position_at_end(kept)
        builder.store(y, at(values, t), align=size)
        t.add_incoming(after, kept)
        newest.add_incoming(y, kept)
        builder.branch(head)

        builder.position_at_end(done)
        for k in range(taps):
            lane = builder.extract_element(newest, i32(lanes - 1 - k))
            builder.store(lane, builder.gep(state, [index(k)]))
        return t

    return types.intp(data, types.intp, coefficients, state, ahead, depth), codegen


def solver(taps: int):  # type: ignore[no-untyped-def]
    """The solver of recurrences with `taps` coefficients.

    In place: y[y0 + t] is u[t] before and y[t] after, t < n. `a`: coefficients, tap -1 first; `state`: the values
    before, the newest first, updated.
    """

    @numba.njit(nogil=True, error_model="numpy")
    def solve(y, y0, n, a, a0, state, state0, ahead, ahead0):  # type: ignore[no-untyped-def]
        data, coefficients, before = pointer(y, y0), pointer(a, a0), pointer(state, state0)
        done = _blocks(data, n, coefficients, before, pointer(ahead, ahead0), taps)
        for t in range(done, n):
            total = load(data, t)
            for k in range(taps - 1, 0, -1):
                total += load(coefficients, k) * load(before, k)
                store(before, k, load(before, k - 1))
            total += load(coefficients, 0) * load(before, 0)
            store(before, 0, total)
            store(data, t, total)

    return solve


solve1, solve2, solve3 = (solver(taps) for taps in (1, 2, 3))
