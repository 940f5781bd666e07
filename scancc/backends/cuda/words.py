"""What blocks tell one another while they run: words of 64 bits, a flag above and 32 bits of a number below.

    words.put(a, place, flag, x)      write x as words from a place on, each with the flag
    words.get(a, place)               read one
    words.number(np.float64, (v, w))  the number that words hold: one of 32 bits, two of float64, four of complex128
    words.fetch(a, place)             have the memory around an element brought to the second-level cache

A word is written and read as a whole, so a reader that finds the same flag in all words of a number has the number
too: no fence comes between a number and the word that it is there, and no second read behind the flag's. Reads are
made each time: numba has none that a compiler may not leave out of a waiting loop.
"""

from __future__ import annotations

from functools import cache
from types import SimpleNamespace
from typing import Any

from scancc.backends.cuda.pieces import cut, cut_here, joined, joined_here

BITS = 32  # of a number in a word
MASK = (1 << BITS) - 1


@cache
def on_device() -> dict[str, Any]:
    """Functions for kernels. The accesses are relaxed in the PTX memory model, in the scope of the device."""
    from llvmlite import ir
    from numba.cuda import cgutils, types
    from numba.cuda.extending import intrinsic

    word, piece_ = ir.IntType(64), ir.IntType(32)

    def pointer(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        """Of an array's element, which are the first two arguments."""
        kind, index = sig.args[:2]
        array = context.make_array(kind)(context, builder, value=args[0])
        places = [context.cast(builder, place, type_, types.intp)
                  for place, type_ in zip(cgutils.unpack_tuple(builder, args[1]), index, strict=True)]  # fmt: skip
        return cgutils.get_item_pointer(context, builder, kind, array, places, wraparound=False)

    def access(builder: Any, result: Any, text: str, constraints: str, *args: Any) -> Any:
        kind = ir.FunctionType(result, [a.type for a in args])
        return builder.call(ir.InlineAsm(kind, text, f"{constraints},~{{memory}}", side_effect=True), args)

    @intrinsic  # type: ignore[untyped-decorator,misc]
    def put(typing: Any, array: Any, place: Any, flag: Any, value: Any) -> Any:
        def code(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            there = pointer(context, builder, sig, args)
            flag = builder.shl(context.cast(builder, args[2], sig.args[2], types.int64), word(BITS))
            for k, piece in enumerate(cut(builder, args[3])):
                access(builder, ir.VoidType(), "st.relaxed.gpu.global.b64 [$0], $1;", "l,l",
                       builder.gep(there, [piece_(k)]), builder.or_(flag, builder.zext(piece, word)))  # fmt: skip
            return context.get_dummy_value()

        return types.void(array, place, flag, value), code

    @intrinsic  # type: ignore[untyped-decorator,misc]
    def get(typing: Any, array: Any, place: Any) -> Any:
        def code(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            there = pointer(context, builder, sig, args)
            return access(builder, word, "ld.relaxed.gpu.global.b64 $0, [$1];", "=l,l", there)

        return types.int64(array, place), code

    @intrinsic  # type: ignore[untyped-decorator,misc]
    def number(typing: Any, dtype: Any, words: Any) -> Any:
        def code(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            found = [builder.trunc(w, piece_) for w in cgutils.unpack_tuple(builder, args[1])]
            return joined(builder, context.get_value_type(sig.return_type), iter(found))

        return dtype.dtype(dtype, words), code

    @intrinsic  # type: ignore[untyped-decorator,misc]
    def fetch(typing: Any, array: Any, place: Any) -> Any:
        def code(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            access(builder, ir.VoidType(), "prefetch.global.L2 [$0];", "l", pointer(context, builder, sig, args))
            return context.get_dummy_value()

        return types.void(array, place), code

    return {"put": put, "get": get, "number": number, "fetch": fetch}


def _put(array: Any, place: tuple[int, ...], flag: int, value: Any) -> None:
    for k, piece in enumerate(cut_here(value)):
        array[(*place[:-1], place[-1] + k)] = flag << BITS | piece


def _number(dtype: Any, words: tuple[Any, ...]) -> Any:
    return joined_here(dtype, [int(w) & MASK for w in words])


# The same for the simulator, where threads of a block take turns.
SIMULATED = SimpleNamespace(put=_put, get=lambda array, place: array[place], number=_number,
                            fetch=lambda array, place: array[place])  # fmt: skip
