"""The CPU back end: a lowered program as a numba-jitted kernel and the host code around one call of it."""

from __future__ import annotations

from scancc.backends.host import host_function
from scancc.backends.machine_code import MachineCode, signature_of
from scancc.backends.program import Program
from scancc.backends.source import SourcePrinter
from scancc.passes.pipeline import Compilation


class CpuProgram(Program):
    """Thread-safe: all buffers belong to the call, and the kernel releases the GIL."""

    def __init__(self, compilation: Compilation) -> None:
        super().__init__(compilation)
        kernel = self.lowered.kernel
        self.source = SourcePrinter(kernel).print()
        self.code = MachineCode(self.source, kernel.name, signature_of(kernel), compilation.options)
        self.call = host_function(self.graph, self.lowered, self.code.call, self._fail)
