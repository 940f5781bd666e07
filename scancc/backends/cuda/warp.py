"""What the threads of a warp tell one another without memory and barriers: numbers of any dtype.

    warps.up(x, n)       x of the thread n places before this one; its own x where there is none
    warps.down(x, n)     of the thread n places behind this one
    warps.of(x, rank)    of the thread in a place of the warp
    warps.first(flag)    the first place whose flag is set; the number of places if none is

All threads of the warp take part. numba's own functions know numbers of 32 and 64 bits only, and its simulator has none
of them: there a warp is two of a block's threads, so that blocks have several.
"""

from __future__ import annotations

import threading
from functools import cache
from types import SimpleNamespace
from typing import Any

from scancc.backends.cuda.pieces import cut, joined

WARP, SIMULATED_WARP = 32, 2
ALL = 0xFFFFFFFF  # threads that take part
OF, UP, DOWN, BALLOT = 0, 1, 2, 3  # modes of NVVM's instructions


@cache
def on_device() -> dict[str, Any]:
    """Functions for kernels."""
    from llvmlite import ir
    from numba.cuda import cgutils, types
    from numba.cuda.extending import intrinsic

    word, bit = ir.IntType(32), ir.IntType(1)

    def call(builder: Any, name: str, *args: Any) -> Any:
        kind = ir.FunctionType(ir.LiteralStructType((word, bit)), [a.type for a in args])
        function = cgutils.get_or_insert_function(builder.module, kind, name)
        return builder.extract_value(builder.call(function, args), 0)

    def shuffle(mode: int, last: int) -> Any:
        @intrinsic  # type: ignore[untyped-decorator,misc]
        def shuffled(typing: Any, value: Any, place: Any) -> Any:
            def code(context: Any, builder: Any, sig: Any, args: Any) -> Any:
                by = context.cast(builder, args[1], sig.args[1], types.int32)
                pieces = [
                    call(builder, "llvm.nvvm.shfl.sync.i32", word(ALL), word(mode), piece, by, word(last))
                    for piece in cut(builder, args[0])
                ]
                return joined(builder, args[0].type, iter(pieces))

            return value(value, place), code

        return shuffled

    @intrinsic  # type: ignore[untyped-decorator,misc]
    def first(typing: Any, flag: Any) -> Any:
        def code(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            set_ = context.cast(builder, args[0], sig.args[0], types.boolean)
            votes = call(builder, "llvm.nvvm.vote.sync", word(ALL), word(BALLOT), set_)
            return builder.zext(builder.cttz(votes, bit(0)), ir.IntType(64))

        return types.int64(flag), code

    return {"up": shuffle(UP, 0), "down": shuffle(DOWN, WARP - 1), "of": shuffle(OF, WARP - 1), "first": first}


def answer(name: str, said: list[Any], place: Any, rank: int) -> Any:
    """What a thread gets that calls a function, where these are the first arguments of all threads of its warp."""
    if name == "first":
        return next((i for i, flag in enumerate(said) if flag), len(said))
    wanted = {"up": rank - place, "down": rank + place, "of": place}[name]
    return said[wanted if 0 <= wanted < len(said) else rank]


_barriers: dict[int, threading.Barrier] = {}
_said: dict[int, list[Any]] = {}


def _simulated(name: str) -> Any:
    """For numba's simulator, whose threads are Python's: one block is under way at a time."""

    def call(value: Any, place: Any = 0) -> Any:
        me: Any = threading.current_thread()
        warp, rank = divmod(int(me.threadIdx.x), SIMULATED_WARP)
        barrier = _barriers.setdefault(warp, threading.Barrier(SIMULATED_WARP))
        said = _said.setdefault(warp, [None] * SIMULATED_WARP)
        said[rank] = value
        barrier.wait()
        found = answer(name, said, place, rank)
        barrier.wait()
        return found

    return call


SIMULATED = SimpleNamespace(**{name: _simulated(name) for name in ("up", "down", "of", "first")})
