"""Small arrays that every step of a loop reads whole move into a block's own memory, once, before the first step.

    before   for t in 0..n                                     after   share i in 0..1024: store w_held[i] = w[i]
               share j in 0..32: ... h[k] * w[k, j]                    barrier
                                                                       for t in 0..n
                                                                         share j in 0..32: ... h[k] * w_held[k, j]

Beside `hold_weights`, for what is read in other ways than by products. A transformation of kernels whose loops a block
shares out. Which elements a step reads must not depend on the step, or on data: rows that are looked up would be copied
in vain.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from scancc.ir.loop import (
    INT64,
    Barrier,
    Buffer,
    Const,
    Expr,
    For,
    Kernel,
    Load,
    Op,
    Store,
    Var,
    const_int,
)
from scancc.ir.rewrite import Rewriter
from scancc.ir.walk import expressions, statements, subexpressions
from scancc.passes.devices.share_loops import time_loops
from scancc.passes.loops.disjoint import Lets, definitions


def hold_arrays(kernel: Kernel, room: int) -> Kernel:
    """The kernel with copies of what fits into `room` bytes, the smallest arrays first."""
    lets = definitions(kernel)
    used: dict[Buffer, bool] = {}
    loops = list(time_loops(kernel.body))
    for loop in loops:
        inside = {s.var for s in statements(loop.body) if isinstance(s, For)}
        for s in statements(loop.body):
            for e in expressions(s):
                for load in subexpressions(e):
                    if isinstance(load, Load) and load.buffer.role == "input":
                        same = all(_of_loops(i, inside, lets) for i in load.index)
                        used[load.buffer] = used.get(load.buffer, True) and same
    held: dict[Buffer, Buffer] = {}
    for b in sorted((b for b, same in used.items() if same), key=lambda b: b.nbytes or 0):
        size = b.nbytes
        if b.shape and size and size <= room:
            room -= size
            held[b] = Buffer(f"{b.name}_held", b.dtype, b.shape, "shared")
    if not held:
        return kernel
    copies = [_copy(b, copy) for b, copy in held.items()]
    for loop in loops:
        loop.body = _Held(held).block(loop.body)
    return replace(kernel, body=[*copies, Barrier(), *kernel.body])


@dataclass
class _Held(Rewriter):
    held: dict[Buffer, Buffer]

    def access(self, buffer: Buffer, index: tuple[Expr, ...]) -> tuple[Buffer, tuple[Expr, ...]]:
        return self.held.get(buffer, buffer), index


def _of_loops(e: Expr, inside: set[Var], lets: Lets) -> bool:
    """Whether a subscript depends on nothing but loops inside of a step."""
    match e:
        case Const():
            return True
        case Op(_, args, _):
            return all(_of_loops(a, inside, lets) for a in args)
        case Var(name, _):
            return e in inside or name in lets and _of_loops(lets[name], inside, lets)
        case _:
            return False


def _copy(b: Buffer, copy: Buffer) -> For:
    """One loop over all elements, neighbouring threads at neighbouring elements."""
    flat = Var(f"{copy.name}_i", INT64)
    index: list[Expr] = []
    tail: Expr = flat
    for k in reversed(range(len(b.shape))):
        d = b.shape[k]
        index.insert(0, Op("remainder", (tail, d), INT64) if k else tail)
        tail = Op("floor_divide", (tail, d), INT64)
    total = const_int((b.nbytes or 0) // b.dtype.itemsize)
    places = tuple(index)
    return For(flat, const_int(0), total, [Store(copy, places, Load(b, places))], "held for all steps", share="team")
