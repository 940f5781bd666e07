"""The CPU back end: a lowered program as machine code and the host code around one call of it."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable, Mapping
from math import prod
from typing import Any

import numpy as np

from scancc.backends.guards import Guard, can_be_guarded, leaves
from scancc.backends.host import around_native, host_function
from scancc.backends.llvm.body import RAISED
from scancc.backends.llvm.interrupts import HEADER
from scancc.backends.machine_code import MachineCode
from scancc.backends.native import native_call
from scancc.backends.program import Program
from scancc.backends.source import SourcePrinter
from scancc.ir.loop import Const
from scancc.ir.types import in_memory
from scancc.locks import made_once
from scancc.passes.lower import Lowered
from scancc.passes.pipeline import Compilation

STACK_BYTES = 16_384  # of scratch memory: little even of the stack of a thread


class CpuProgram(Program):
    """Thread-safe: all buffers belong to the call, and the kernel releases the GIL."""

    def __init__(self, compilation: Compilation) -> None:
        super().__init__(compilation)
        kernel = self.lowered.kernel
        printer = SourcePrinter(kernel)
        self.source = printer.print()
        self._stack = on_stack(self.lowered)
        self.code = MachineCode(
            kernel, self.source, compilation.options, self._stack, [v.name for v, _, _ in self.lowered.lengths],
            self.lowered.definitions, printer.places,
        )  # fmt: skip
        held = {id(value): np.array(value, order="C") for value in self.lowered.constants.values()}
        self._constants = {b: held[id(value)] for b, value in self.lowered.constants.items()}
        self._host = functools.partial(
            host_function, self.graph, self.lowered, fail=self._fail, stacked=self._stack, compared=True,
            constant=lambda value: held[id(value)], check=self._check_steps if self.given_steps else None,
        )  # fmt: skip

    @made_once
    def call(self) -> Callable[..., tuple]:  # type: ignore[override]
        return self._host(kernel=self._kernel)

    @made_once
    def _kernel(self) -> Callable[..., Any]:
        """The kernel: it returns a code, and the arrays that it allocated itself, if it does that."""
        return self._with_arrays if self.lowered.kernel.returned else self.code.call

    def _with_arrays(self, *args: Any) -> tuple[Any, ...]:
        buffers = self.lowered.kernel.returned
        words = np.zeros(sum(1 + len(b.shape) for b in buffers), np.int64)
        code = self.code.call(*args, words)
        arrays, at = [], 0
        given = words.tolist()
        for buffer in buffers:
            address, shape = given[at], tuple(given[at + 1 : at + 1 + len(buffer.shape)])
            at += 1 + len(buffer.shape)
            arrays.append(np.asarray(_Owned(address, shape, in_memory(buffer.dtype))))
        return code, *arrays

    def _fail(self, code: int, buffers: Mapping[str, Any]) -> None:
        if code == RAISED:
            raise self.code.raised.error
        super()._fail(code, buffers)

    def guarded(self, guard: Guard) -> Callable[[tuple], Any] | None:
        if not can_be_guarded(self.graph.inputs, guard.captured):
            return None
        given = [leaf for form in guard.arguments for leaf in leaves(form)]
        native = native_call(self.code, self.graph, self.lowered, guard.captured, self._constants, given)
        if native is not None:
            return around_native(self.graph, self.lowered, guard, native)
        return self._host(kernel=self._kernel, guard=guard)


class _Owned:
    """Memory of a kernel's own, which it took from C and handed over: it goes with the last array that shows it.

    What C knows of begins with HEADER bytes of other use.
    """

    def __init__(self, address: int, shape: tuple[int, ...], dtype: np.dtype) -> None:
        self._address = address
        typestr = dtype.str
        self.__array_interface__ = {"version": 3, "shape": shape, "typestr": typestr, "data": (address or 1, False)}
        if not address:
            self.__array_interface__["shape"] = (0, *shape[1:])

    def __del__(self) -> None:
        if self._address:
            _free(self._address - HEADER)


_free = ctypes.CDLL(None).free
_free.argtypes, _free.restype = [ctypes.c_void_p], None


def on_stack(lowered: Lowered) -> dict[str, tuple[int, ...]]:
    """Shapes of the small buffers that the host need not see, by name: they are the call's without an allocation."""
    seen = lowered.seen()
    found: dict[str, tuple[int, ...]] = {}
    left = STACK_BYTES
    for buffer in lowered.allocated:
        shape = tuple(int(d.value) for d in buffer.shape if isinstance(d, Const))
        size = prod(shape) * in_memory(buffer.dtype).itemsize
        if buffer not in seen and buffer.role == "scratch" and len(shape) == len(buffer.shape) and size <= left:
            found[buffer.name] = shape
            left -= size
    return found
