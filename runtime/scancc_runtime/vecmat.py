"""Row vector times matrix as explicit vector code: the hot loop of recurrent networks.

Columns are taken in blocks of vectors whose accumulators stay in registers over the whole sum, so each step reads the
matrix once and writes the result once (the register blocking of Goto and van de Geijn, "Anatomy of high-performance
matrix multiplication", 2008). A loop that LLVM vectorises by itself stores the accumulators after every row. Where
there are few columns, each accumulator is several partial sums over the rows, so that up to eight multiply-adds are
under way: a core begins two in a cycle, and each takes four.
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from scancc_runtime.flat import load, pointer, store
from scancc_runtime.processor import vector_bytes

BLOCKS = ((8, 1), (4, 2), (2, 4), (1, 4))  # accumulators a block, and partial sums of each


def _plain(out, o0, x, x0, w, w0, k, n, stride):  # type: ignore[no-untyped-def]
    result, vector, matrix = pointer(out, o0), pointer(x, x0), pointer(w, w0)
    for j in range(n):
        store(result, j, 0)
    for i in range(k):
        xi = load(vector, i)
        for j in range(n):
            store(result, j, load(result, j) + xi * load(matrix, i * stride + j))


@intrinsic
def vecmat(typingctx, out, o0, x, x0, w, w0, k, n, stride):  # type: ignore[no-untyped-def]
    """out[o0 + j] = sum_i x[x0 + i] * w[w0 + i * stride + j], j < n, i < k.

    Arrays are C-contiguous and all of one dtype; the offsets and the stride count elements. Vector code is written for
    float32 and float64, plain loops for the other dtypes.
    """
    scalar = out.dtype
    if x.dtype != scalar or w.dtype != scalar:
        return None
    signature = types.void(out, *[types.intp], x, types.intp, w, types.intp, types.intp, types.intp, types.intp)

    if scalar not in (types.float32, types.float64):
        return signature, lambda context, builder, signature, args: context.compile_internal(
            builder, _plain, signature, args
        )

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        element = context.get_value_type(scalar)
        size = scalar.bitwidth // 8
        width = vector_bytes() // size
        data = [
            context.make_array(signature.args[i])(context, builder, args[i]).data for i in (0, 2, 4)
        ]
        o, xs, ws = (builder.gep(p, [args[i]]) for p, i in zip(data, (1, 3, 5), strict=True))
        k, n, stride = args[6:]
        index = k.type
        one, zero = index(1), index(0)
        column = cgutils.alloca_once_value(builder, zero)

        def block(accumulators: int, parts: int, lanes: int) -> None:
            """Columns in steps of accumulators * lanes, as long as that many are left."""
            kind = ir.VectorType(element, lanes) if lanes > 1 else element
            name = f"llvm.fma.{f'v{lanes}' if lanes > 1 else ''}f{scalar.bitwidth}"
            fma = cgutils.get_or_insert_function(builder.module, ir.FunctionType(kind, [kind] * 3), name)
            span = index(accumulators * lanes)
            head, body, done = (builder.append_basic_block(s) for s in ("columns", "block", "rest"))
            builder.branch(head)
            builder.position_at_end(head)
            j = builder.load(column)
            builder.cbranch(builder.icmp_signed("<=", builder.add(j, span), n), body, done)
            builder.position_at_end(body)
            nothing = ir.Constant(kind, None)
            sums = [[cgutils.alloca_once_value(builder, nothing) for _ in range(parts)] for _ in range(accumulators)]
            for s in (s for some in sums for s in some):
                builder.store(nothing, s)

            def row(i: ir.Value, part: int) -> None:
                xi = builder.load(builder.gep(xs, [i]))
                if lanes > 1:
                    lane0 = builder.insert_element(ir.Constant(kind, ir.Undefined), xi, ir.IntType(32)(0))
                    mask = ir.Constant(ir.VectorType(ir.IntType(32), lanes), None)
                    xi = builder.shuffle_vector(lane0, ir.Constant(kind, ir.Undefined), mask)
                start = builder.gep(ws, [builder.add(builder.mul(i, stride), j)])
                for a, some in enumerate(sums):
                    at = builder.bitcast(builder.gep(start, [index(a * lanes)]), kind.as_pointer())
                    value = builder.load(at, align=size)
                    builder.store(builder.call(fma, [xi, value, builder.load(some[part])]), some[part])

            together = builder.sub(k, builder.srem(k, index(parts)))
            with cgutils.for_range_slice(builder, zero, together, index(parts), index) as (i, _):
                for part in range(parts):
                    row(builder.add(i, index(part)), part)
            if parts > 1:
                with cgutils.for_range_slice(builder, together, k, one, index) as (i, _):
                    row(i, 0)
            for a, some in enumerate(sums):
                at = builder.bitcast(builder.gep(o, [builder.add(j, index(a * lanes))]), kind.as_pointer())
                builder.store(total([builder.load(s) for s in some]), at, align=size)
            builder.store(builder.add(j, span), column)
            builder.branch(head)
            builder.position_at_end(done)

        def total(terms: list[ir.Value]) -> ir.Value:
            while len(terms) > 1:
                terms = [builder.fadd(a, b) for a, b in zip(terms[::2], terms[1::2], strict=True)]
            return terms[0]

        builder.store(zero, column)
        for accumulators, parts in BLOCKS:
            block(accumulators, parts, width)
        block(1, 4, 1)
        return context.get_dummy_value()

    return signature, codegen
