"""Kernels of teams run thread by thread, in an order that changes at every barrier: a barrier that is missing shows.

Between two barriers one thread runs to the end before the next one starts. Threads that need what another one writes
in the same phase get it in some orders and not in others; a thread that does not come to a barrier is an error.
"""

from __future__ import annotations

from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
from numba.np.numpy_support import as_dtype

from scancc.backends.cuda import library
from scancc.backends.cuda.program import CudaProgram
from scancc.backends.cuda.toolkit import simulated


class _Cuda:
    """What a kernel sees of numba.cuda, for one thread."""

    def __init__(self, block, thread, blocks, threads, shared, held):
        self.threadIdx, self.blockIdx = SimpleNamespace(x=thread), SimpleNamespace(x=block)
        self.blockDim, self.gridDim = SimpleNamespace(x=threads), SimpleNamespace(x=blocks)
        self.cg = SimpleNamespace(this_grid=lambda: None)
        self.atomic = SimpleNamespace(max=lambda a, i, v: max(a[i], v), add=_add)
        self.threadfence = lambda: None
        self._arrays, self._count, self._held = shared, 0, held
        self.shared = SimpleNamespace(array=self._array)

    def _array(self, shape, dtype):
        """The n-th array that a thread asks for is that of the other threads of its block."""
        if shape == 0:
            dtype = as_dtype(dtype)
            shape = self._held // dtype.itemsize
        while len(self._arrays) <= self._count:
            # Nobody may count on what is there: shared memory is not cleared.
            self._arrays.append(np.full(shape, np.array(-12345).astype(dtype)))
        self._count += 1
        return self._arrays[self._count - 1]

    def grid(self, _):
        return self.blockIdx.x * self.blockDim.x + self.threadIdx.x

    def gridsize(self, _):
        return self.gridDim.x * self.blockDim.x


def _add(array, i, value):
    before = int(array[i])
    array[i] += value
    return before


class Barriers:
    """How many barriers the threads passed."""

    passed = 0


def run_permuted(source, name, args, blocks, threads, whole_grid, rng, held=0):
    text = source.replace("cuda.syncthreads_or(failed)", "(yield failed)")
    text = text.replace("cuda.syncthreads()", "yield").replace("grid.sync()", "yield")
    assert "yield" in text or threads == 1 or "thread" in text
    code = compile(text + "    yield None\n" if "yield" not in text else text, "<permuted>", "exec")
    teams = [range(blocks)] if whole_grid else [[b] for b in rng.permutation(blocks)]
    for team in teams:
        running = []
        for block in team:
            shared = []
            for thread in range(threads):
                scope = library.simulated(_Cuda(block, thread, blocks, threads, shared, held))
                exec(code, scope)
                running.append(scope[name](*args))
        _to_the_end(running, rng)


def _to_the_end(running, rng):
    answer = None
    while True:
        values, ended = [], 0
        for i in rng.permutation(len(running)):
            try:
                values.append(running[i].send(answer))
            except StopIteration:
                ended += 1
        if ended:
            assert not values, "some threads wait at a barrier that others never come to"
            return
        Barriers.passed += 1
        answer = any(v is not None and v for v in values)


@contextmanager
def permuted(seed, blocks=2):
    """Programs for devices run here inside of the block, under the schedule of a seed."""
    rng = np.random.default_rng(seed)
    known = CudaProgram._launch
    if not simulated():  # a device has its own schedules
        yield
        return

    def launch(self, *args):
        team = self.lowered.kernel.team
        lanes = 1 if self._lanes is None else int(args[self._lanes])
        if not team or not lanes:
            return known(self, *args)
        own = [getattr(a, "_ary", a) for a in args]
        status = np.zeros(1, np.int64)
        many = blocks if team == "grid" else lanes * (1 if self._tiles is None else int(args[self._tiles]))
        with np.errstate(all="ignore"):
            run_permuted(self.source, self.lowered.kernel.name, [*own, status], many, self.threads, team == "grid", rng,
                         self._kernel.shared)
        return int(status[0])

    CudaProgram._launch = launch
    try:
        yield
    finally:
        CudaProgram._launch = known
