"""A program on a device: arrays go there once, one launch, results stay until somebody wants them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from scancc.arrays import as_kernel_array
from scancc.backends.cuda import offline
from scancc.backends.cuda.arrays import DeviceArray, Look, device_put, empty, handed_over, zeros
from scancc.backends.cuda.launch import Launch
from scancc.backends.cuda.ragged import fill
from scancc.backends.cuda.source import HALVES, LANE_BITS, CudaPrinter
from scancc.backends.cuda.tiles import items_of, threads_of
from scancc.backends.cuda.toolkit import TRAFFIC, cuda, kernel_function, limits, on_stream, simulated
from scancc.backends.cuda.transpose import moved
from scancc.backends.host import host_function
from scancc.backends.program import Program
from scancc.errors import DeviceError
from scancc.ir.loop import Kernel, Prefix, const_int
from scancc.ir.types import in_memory
from scancc.ir.walk import shared_buffers, statements
from scancc.locks import made_once
from scancc.passes.devices.spread_lanes import LANES
from scancc.passes.devices.strategies import LANES_FIRST
from scancc.passes.lower.prefix import TILE, TILES
from scancc.passes.pipeline import Compilation

SIMULATED_ITEMS = 2


class CudaProgram(Program):
    """Thread-safe: all arrays belong to the call."""

    direct = False

    def __init__(self, compilation: Compilation) -> None:
        super().__init__(compilation)
        kernel = self.lowered.kernel
        prefix = next((s for s in statements(kernel.body) if isinstance(s, Prefix)), None)
        self.threads = _threads(kernel, prefix)
        items = 1 if prefix is None else SIMULATED_ITEMS if simulated() else items_of(prefix, self.threads, HALVES)
        self.kernel, self.source = kernel, CudaPrinter(kernel, self.threads, items).print()
        self.lowered.definitions[TILE.name] = const_int(self.threads * items)
        self._tiles = next((i for i, p in enumerate(kernel.params) if p is TILES), None)
        self._lanes = next((i for i, p in enumerate(kernel.params) if p is LANES), None)

    @made_once
    def call(self) -> Callable[..., tuple]:  # type: ignore[override]
        """Of numba's arrays: results as they lie in memory, then the counts of executed steps."""
        names = [b.name for b, _ in self.lowered.results.values()] + [b.name for b in self.lowered.executed.values()]
        return host_function(self.graph, self.lowered, lambda *args: self._launch(*args), self._fail, self._empty,
                             lambda a: device_put(a).memory, names, zeros, HALVES)  # fmt: skip

    @property
    def most_registers(self) -> int | None:
        """Of a thread: more threads than their registers allow would not start at all."""
        return None if self.threads <= limits().lane_threads else limits().registers_of_each(self.threads)

    @made_once
    def _kernel(self) -> Launch:
        fastmath, kernel, most = self.compilation.options.fastmath, self.kernel, self.most_registers
        held = sum(b.nbytes or 0 for b in shared_buffers(kernel) if b.role == "held")
        return Launch(lambda: kernel_function(self.source, kernel, cuda(), fastmath), kernel, fastmath, most, held)

    def ptx(self, cc: tuple[int, int]) -> str:
        return offline.ptx(self.source, self.kernel, self.compilation.options.fastmath, cc)

    # -- a call ------------------------------------------------------------------------------------------------
    def run(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Results for arrays of the host or of devices, as `DeviceArray`."""
        there = self.sent(inputs)
        if self.given_steps:
            self._check_steps({k: _scalar(a) if not a.shape else a for k, a in there.items()})
        if self.compilation.lanes is not None:
            lanes = self.compilation.lanes
            there |= {k: moved(there[k], axis, lanes.inputs[k] == 0) for k, axis in lanes.moved.items()}
        scalars = [_scalar(there[k]) if not there[k].shape else there[k].contiguous() for k in self.inputs]
        found = self.call(*scalars)
        counts = dict(zip(self.lowered.executed, found[len(self.lowered.results) :], strict=True))
        made = dict(zip(self.lowered.results, found, strict=False))
        executed = {k: self._executed(k, made[k], count) for k, count in counts.items()}
        return {k: DeviceArray(memory, self._look(k, executed.get(k))) for k, memory in made.items()}

    def _executed(self, label: str, memory: Any, counts: Any) -> int:
        """How many rows of a trace there are, with those that are added to lanes that ended before the longest."""
        numbers = DeviceArray(counts).copy_to_host()
        lanes = self.compilation.lanes
        if lanes is not None and label in lanes.ragged and numbers.size:
            first = self.compilation.strategy in LANES_FIRST
            fill(memory, counts, numbers, self.lowered.results[label][1], first, lanes.ragged[label])
        return int(numbers.max(initial=0))

    keep = staticmethod(device_put)

    def taken(self, arrays: Mapping[str, Any]) -> dict[str, Any]:
        return {k: a if isinstance(a, DeviceArray) else as_kernel_array(a) for k, a in arrays.items()}

    def run_on(self, inputs: Mapping[str, Any], stream: Any) -> dict[str, Any]:
        if stream is None:
            return self.run(inputs)
        with on_stream(stream):
            return self.run(inputs)

    @staticmethod
    def sent(inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Arguments where kernels want them: arrays on the device, numbers not."""
        return {k: a if isinstance(a, DeviceArray) or not a.ndim else device_put(a) for k, a in inputs.items()}

    def deliver(self, results: dict[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
        """Results as the arrays that the arguments were: of the host, or of a library that keeps them on the device."""
        kind = next((a.kind for a in given.values() if isinstance(a, DeviceArray)), None)
        if kind is None:
            return {k: a.copy_to_host() for k, a in results.items()}
        return {k: handed_over(a, kind) for k, a in results.items()}

    def _look(self, label: str, executed: int | None) -> Look | None:
        """A result as a view of the memory that it was computed in."""
        part, dtype = self._part(label, executed), self.graph.results[label].type.dtype
        if in_memory(dtype, HALVES) == dtype:
            return part
        return lambda a: (a if part is None else part(a)).view(dtype)

    def _part(self, label: str, executed: int | None) -> Look | None:
        buffer, lead = self.lowered.results[label]
        lanes, rank = self.compilation.lanes, self.graph.results[label].type.ndim
        end = None if executed is None else lead + executed
        if lanes is not None:
            first = self.compilation.strategy in LANES_FIRST
            axis, cell = lanes.results[label], len(buffer.shape) > max(1, rank)

            def view(a: np.ndarray) -> np.ndarray:
                a = np.moveaxis(a, 0, -1) if first else a
                return np.moveaxis(a[0] if cell else a[lead:end], -1, axis)

            return view
        if executed is not None:
            before = (slice(None),) * self.lowered.cut.get(label, 0)
            return lambda a: a[(*before, slice(lead, end))]
        if rank == 0:
            return lambda a: a.reshape(())
        return (lambda a: a[lead:]) if lead else None

    def _launch(self, *args: Any) -> int:
        lanes = 1 if self._lanes is None else int(args[self._lanes])
        tiles = 1 if self._tiles is None else int(args[self._tiles])
        threads, team = self.threads, self.lowered.kernel.team
        if not lanes or not tiles:
            return 0
        status = zeros((1,), np.dtype(np.int64)) if self.lowered.kernel.failures else self._no_status
        if team == "grid":
            blocks = 1 if simulated() else self._at_once()
        elif team == "prefix":
            blocks = tiles * lanes
        else:
            blocks = lanes if team else (lanes + threads - 1) // threads
        self._started(self._kernel, blocks, threads, (*args, status), lanes, together=team == "grid")
        if not self.lowered.kernel.failures:
            return 0  # and nobody waits for the device
        code: int = int(DeviceArray(status).copy_to_host()[0])
        return code

    def _started(
        self, kernel: Launch, blocks: int, threads: int, args: tuple, lanes: int = 1, together: bool = False
    ) -> None:
        try:
            kernel(blocks, threads, args, together)
        except Exception as e:
            # What Launch says, numba, and NVIDIA's bindings.
            if isinstance(e, DeviceError) or type(e).__module__.startswith(("numba.cuda", "cuda.")):
                raise DeviceError(self._about(f"the launch failed: {e}", lanes)) from e
            raise
        TRAFFIC["launch"] += 1

    @made_once
    def _no_status(self) -> Any:
        """For kernels that cannot fail, so that all calls can have the same."""
        return zeros((1,), np.dtype(np.int64))

    def _at_once(self) -> int:
        """As many blocks as are on the device at once, or fewer where loops have less to share."""
        most, width = self._kernel.most_blocks(self.threads), self.lowered.kernel.width
        return max(1, min(most, (width + self.threads - 1) // self.threads if width > 1024 else most))

    def _about(self, message: str, lanes: int | None = None) -> str:
        which = f" with {lanes} lanes" if self._lanes is not None and lanes is not None else ""
        return f"'{self.lowered.kernel.name}', strategy {self.compilation.strategy}{which}: {message}"

    def _empty(self, shape: tuple[int, ...], dtype: np.dtype) -> Any:
        try:
            return empty(shape, dtype)
        except DeviceError as e:
            raise DeviceError(self._about(str(e))) from e

    def _fail(self, code: int, buffers: Mapping[str, Any]) -> None:
        lane = code >> LANE_BITS
        failure = self.lowered.kernel.failures[(code & ((1 << LANE_BITS) - 1)) - 1]
        wanted = [*(failure.seen.values if failure.seen else ()), *([failure.steps] if failure.steps else [])]
        found = {b.name: DeviceArray(buffers[b.name]).copy_to_host() for b in wanted}
        if self.compilation.lanes is not None:
            first = self.compilation.strategy in LANES_FIRST
            found = {k: a[lane] if first else a[..., lane] for k, a in found.items()}
        super()._fail(code & ((1 << LANE_BITS) - 1), found)


def _threads(kernel: Kernel, prefix: Prefix | None) -> int:
    if prefix is not None and not simulated():
        return threads_of(prefix, HALVES)
    return kernel.threads or limits().lane_threads


def _scalar(a: Any) -> np.ndarray:
    found = a.copy_to_host() if isinstance(a, DeviceArray) else np.asarray(a)
    return found.view(in_memory(found.dtype, HALVES))
