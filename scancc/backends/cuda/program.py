"""A program on a device: arrays go there once, one launch, results come back once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np

from scancc.backends.cuda import offline
from scancc.backends.cuda.source import CudaPrinter
from scancc.backends.cuda.toolkit import cuda, kernel_function, simulated
from scancc.backends.host import host_function
from scancc.backends.program import Program
from scancc.errors import DeviceError
from scancc.passes.pipeline import Compilation
from scancc.passes.spread_lanes import LANES

THREADS = 128  # of a block: a lane needs no other
SIMULATED_THREADS = 4
# Launches and transfers of this process, for tests and measurements: "launch", "to device", "to host".
TRAFFIC: Counter[str] = Counter()


class CudaProgram(Program):
    """Thread-safe: all arrays belong to the call."""

    def __init__(self, compilation: Compilation) -> None:
        super().__init__(compilation)
        kernel = self.lowered.kernel
        self.source = CudaPrinter(kernel).print()
        self._lanes = next((i for i, p in enumerate(kernel.params) if p is LANES), None)
        self.call = host_function(self.graph, self.lowered, self._launch, self._fail, self._empty, self._send)

    @cached_property
    def _kernel(self) -> Any:
        function = kernel_function(self.source, self.lowered.kernel, cuda())
        return cuda().jit(fastmath=self.compilation.options.fastmath)(function)

    def ptx(self, cc: tuple[int, int]) -> str:
        return offline.ptx(self.source, self.lowered.kernel, self.compilation.options.fastmath, cc)

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        there = {k: self._send(a) if a.ndim else a for k, a in inputs.items()}
        lanes = self.compilation.lanes
        results = {k: self._fetch(a) for k, a in super().run(there).items()}
        if lanes is not None:
            return {k: np.ascontiguousarray(np.moveaxis(a, -1, lanes.results[k])) for k, a in results.items()}
        return results

    def _launch(self, *args: Any) -> int:
        lanes = 1 if self._lanes is None else int(args[self._lanes])
        threads = 1 if self._lanes is None else SIMULATED_THREADS if simulated() else THREADS
        blocks = max(1, (lanes + threads - 1) // threads)
        status = self._send(np.zeros(1, np.int32))
        try:
            self._kernel[blocks, threads](*args, status)
        except Exception as e:
            if type(e).__module__.startswith("numba.cuda") or "Cuda" in type(e).__name__:
                raise DeviceError(f"launch of '{self.lowered.kernel.name}' with {lanes} lanes failed: {e}") from e
            raise
        TRAFFIC["launch"] += 1
        return int(self._fetch(status)[0])

    def _empty(self, shape: tuple[int, ...], dtype: np.dtype) -> Any:
        try:
            return cuda().device_array(shape, dtype)
        except Exception as e:
            size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
            raise DeviceError(f"'{self.lowered.kernel.name}' could not get {size} bytes on the device: {e}") from e

    def _send(self, a: np.ndarray) -> Any:
        TRAFFIC["to device"] += 1
        return cuda().to_device(np.ascontiguousarray(a))

    def _fetch(self, a: Any) -> np.ndarray:
        TRAFFIC["to host"] += 1
        found: np.ndarray = np.asarray(a.copy_to_host())
        return found
