"""The CPU back end: a lowered program as a numba-jitted kernel and the host code around one call of it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from scancc.backends.guards import Guard, can_be_guarded, leaves
from scancc.backends.host import around_native, host_function
from scancc.backends.machine_code import MachineCode, lengths_of, signature_of
from scancc.backends.native import native_call
from scancc.backends.program import Program
from scancc.backends.source import SourcePrinter
from scancc.ir.loop import Const
from scancc.ir.types import in_memory
from scancc.passes.lower import Lowered
from scancc.passes.pipeline import Compilation

STACK_BYTES = 16_384  # of scratch memory: little even of the stack of a thread


class CpuProgram(Program):
    """Thread-safe: all buffers belong to the call, and the kernel releases the GIL."""

    def __init__(self, compilation: Compilation) -> None:
        super().__init__(compilation)
        kernel = self.lowered.kernel
        stack = on_stack(self.lowered)
        self.source = SourcePrinter(kernel).print()
        self.code = MachineCode(
            self.source, kernel.name, signature_of(kernel), compilation.options,
            {i: stack[p.name] for i, p in enumerate(kernel.params) if p.name in stack}, lengths_of(kernel),
        )  # fmt: skip
        held = {id(value): np.array(value, order="C") for value in self.lowered.constants.values()}
        self._stack, self._constants = stack, {b: held[id(value)] for b, value in self.lowered.constants.items()}
        self._host = functools.partial(
            host_function, self.graph, self.lowered, fail=self._fail, stacked=stack,
            constant=lambda value: held[id(value)], check=self._check_steps if self.given_steps else None,
        )  # fmt: skip

    @functools.cached_property
    def call(self) -> Callable[..., tuple]:  # type: ignore[override]
        return self._host(kernel=self.code.call)

    def guarded(self, guard: Guard) -> Callable[[tuple], Any] | None:
        if not can_be_guarded(self.graph.inputs, guard.captured):
            return None
        counts = [leaf.count for form in guard.arguments for leaf in leaves(form)]
        native = native_call(self.code, self.graph, self.lowered, self._stack, guard.captured, self._constants, counts)
        if native is not None:
            return around_native(self.graph, self.lowered, guard, native)
        return self._host(kernel=self.code.call, guard=guard)


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
