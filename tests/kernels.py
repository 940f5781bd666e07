"""Kernels of loop IR that are made by hand, as machine code and as plain Python."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import plain

from scancc.backends.machine_code import MachineCode
from scancc.backends.source import SourcePrinter
from scancc.ir.loop import INT64, Buffer, Call, Const, For, Kernel, Load, Op, Place, Store, Var, const_int
from scancc.ir.ops import OPS, infer
from scancc.ir.types import Type
from scancc.passes.pipeline import Options


def kernel(params: list[Buffer | Var], body: list, name: str = "k") -> Kernel:
    return Kernel(name, params, body, [])


def machine_code(made: Kernel, options: Options = Options(), **more: Any) -> MachineCode:  # noqa: B008
    printer = SourcePrinter(made)
    return MachineCode(made, printer.print(), options, lines=printer.places, **more)


def in_python(made: Kernel) -> Callable[..., Any]:
    """The printed source as a Python function."""
    return plain.function(SourcePrinter(made).print(), made.name)


@lru_cache(maxsize=64)
def of_call(function: str, args: tuple[np.dtype | int | None, ...]) -> MachineCode:
    """A call of the run-time library: `args` are dtypes of arrays, each with an offset after it, constants, or None for
    an integer that is given."""
    params: list[Buffer | Var] = []
    given: list[Any] = []
    for i, a in enumerate(args):
        if isinstance(a, np.dtype):
            size, offset = Var(f"n{i}", INT64), Var(f"offset{i}", INT64)
            buffer = Buffer(f"a{i}", a, (size,), "output")
            params += [buffer, offset]
            given.append(Place(buffer, (offset,)))
        elif a is None:
            params.append(Var(f"k{i}", INT64))
            given.append(params[-1])
        else:
            given.append(const_int(a))
    return machine_code(kernel(params, [Call(function, tuple(given))]))


def call(function: str, *args: Any, constants: tuple[int, ...] = ()) -> None:
    """Call the run-time library from a kernel: arrays, each with an offset after it, and integers. Integers at the
    positions in `constants` are constants of the kernel."""
    kinds: list[np.dtype | int | None] = []
    given: list[Any] = []
    after_array = False
    for i, a in enumerate(args):
        if isinstance(a, np.ndarray):
            kinds.append(a.dtype)
        elif not after_array:
            kinds.append(a if i in constants else None)
        if i not in constants:
            given.append(a)
        after_array = isinstance(a, np.ndarray)
    assert of_call(function, tuple(kinds)).call(*given) == 0


@lru_cache(maxsize=128)
def elementwise(op: str, dtype: np.dtype, options: Options = Options()) -> MachineCode:  # noqa: B008
    """k(x, ..., n, out): one op on every element."""
    n, i = Var("n", INT64), Var("i", INT64)
    operands = [Buffer(f"x{j}", dtype, (n,), "input") for j in range(OPS[op].arity)]
    result = infer(op, [Type(dtype, ())] * len(operands), {}).dtype
    out = Buffer("out", result, (n,), "output")
    store = Store(out, (i,), Op(op, tuple(Load(x, (i,)) for x in operands), result))
    loop = For(i, Const(0, INT64), n, [store])
    return machine_code(kernel([*operands, n, out], [loop]), options, lengths=["n"])
