"""Kernels of teams run thread by thread, in an order that changes at every barrier: a barrier that is missing shows.

Between two barriers one thread runs to the end before the next one starts. Threads that need what another one writes
in the same phase get it in some orders and not in others; a thread that does not come to a barrier is an error. Threads
of a warp wait for one another where they exchange numbers. Blocks of a prefix are under way at the same time, at paces
of their own, and whoever reads what another block tells lets the others go on first.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
from numba.np.numpy_support import as_dtype

from scancc.backends.cuda import library
from scancc.backends.cuda.program import CudaProgram
from scancc.backends.cuda.toolkit import simulated
from scancc.backends.cuda.warp import SIMULATED_WARP, answer


class _Cuda:
    """What a kernel sees of numba.cuda, for one thread."""

    def __init__(self, block, thread, blocks, threads, shared, held):
        self.threadIdx, self.blockIdx = SimpleNamespace(x=thread), SimpleNamespace(x=block)
        self.blockDim, self.gridDim = SimpleNamespace(x=threads), SimpleNamespace(x=blocks)
        self.cg = SimpleNamespace(this_grid=lambda: None)
        self.atomic = SimpleNamespace(max=lambda a, i, v: max(a[i], v), add=_add)
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
    """How many barriers the threads passed, and how many windows of other tiles warps looked at."""

    passed = looks = 0


WAITS = {  # what a thread waits at, in the source, and what it yields there
    r"cuda\.syncthreads_or\((failed)\)": r"(yield ('barrier', \1))",
    r"cuda\.syncthreads\(\)|grid\.sync\(\)": "yield ('barrier', None)",
    r"warps\.(\w+)\(([^()]*)\)": r"(yield ('\1', \2))",
    r"words\.get\((\w+), (\([^()]*\))\)": r"(yield ('get', \1, \2))",
}


def run_permuted(source, name, args, blocks, threads, team, rng, held=0):
    text = source
    for wait, yielded in WAITS.items():
        text = re.sub(wait, yielded, text)
    assert "yield" in text or threads == 1 or "thread" in text
    code = compile(text + "    yield ('barrier', None)\n" if "yield" not in text else text, "<permuted>", "exec")
    groups = [range(blocks)] if team == "grid" else [[b] for b in rng.permutation(blocks)]
    running = []
    for group in groups:
        running.append([])
        for block in group:
            shared = []
            for thread in range(threads):
                scope = library.simulated(_Cuda(block, thread, blocks, threads, shared, held))
                exec(code, scope)
                running[-1].append(scope[name](*args))
    if team == "prefix":
        _side_by_side([_to_the_end(group, rng) for group in running], rng)
    else:
        for group in running:
            for _ in _to_the_end(group, rng):
                pass


def _side_by_side(groups, rng):
    """Blocks of different paces: some are hardly under way when those after them have long been waiting."""
    paces = rng.exponential(size=len(groups)) ** 4 + 1e-3
    left = list(range(len(groups)))
    while left:
        weights = paces[left]
        i = rng.choice(left, p=weights / weights.sum())
        if next(groups[i], None) is None:
            left.remove(i)


def _to_the_end(running, rng):
    """Run the threads of a group; yields after each phase."""
    answers, waiting = dict.fromkeys(range(len(running))), {}
    while True:
        for i in rng.permutation(list(answers)):
            try:
                waiting[i] = running[i].send(answers[i])
            except StopIteration:
                waiting[i] = ("end",)
        answers = {i: w[1][w[2]] for i, w in waiting.items() if w[0] == "get"}
        for first in range(0, len(running), SIMULATED_WARP):
            places = range(first, first + SIMULATED_WARP)
            calls = [waiting.get(i, ("",)) for i in places]
            if len({c[0] for c in calls}) == 1 and calls[0][0] in ("up", "down", "of", "first"):
                said = [c[1] for c in calls]
                Barriers.looks += calls[0][0] == "first"
                answers |= {i: answer(c[0], said, (*c, None)[2], i - first)
                            for i, c in zip(places, calls, strict=True)}  # fmt: skip
        if not answers:
            assert len({w[0] for w in waiting.values()}) == 1, "some threads wait where others never come to"
            if waiting[0][0] == "end":
                return
            assert waiting[0][0] == "barrier", "threads of a warp wait for different things"
            Barriers.passed += 1
            failed = any(w[1] is not None and w[1] for w in waiting.values())
            answers = dict.fromkeys(waiting, failed)
        for i in answers:
            del waiting[i]
        yield True


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
            run_permuted(self.source, self.lowered.kernel.name, [*own, status], many, self.threads, team, rng,
                         self._kernel.shared)
        return int(status[0])

    CudaProgram._launch = launch
    try:
        yield
    finally:
        CudaProgram._launch = known
