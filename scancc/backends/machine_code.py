"""Kernel source into machine code: numba with the options that generated code relies on, through the disk cache.

What numba is told, and why it is right:
    error_model="numpy"   divisions by zero give inf or nan, they do not raise
    contract              multiply-adds may fuse (not under `strict_fp`)
    noalias               no pointer that is stored through aliases another: outputs and scratch are allocated for the
                          call, inputs are never stored to
    nogil                 kernels touch no Python object
    LENGTHS               lengths of arrays that the program knows are constants: how far rows are apart decides whether
                          loads and stores can meet, without which LLVM does not vectorise a loop over several rows
"""

from __future__ import annotations

import linecache
import math
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numba
import numpy as np
from numba.core.compiler_lock import global_compiler_lock
from numba.core.errors import NumbaWarning
from scancc_runtime import (
    complexes,
    counters,
    growth,
    halves,
    integers,
    linear_algebra,
    matrices,
    messages,
    panels,
    polygamma,
    products,
    reals,
    recurrences,
    revolve,
    samplers,
    scalar,
    special,
    sums,
    transcendental,
)

from scancc.backends import disk_cache
from scancc.backends.entry import Stack
from scancc.backends.numba_pipeline import LENGTHS, STACK, KernelCompiler, Lengths, LineCompiler
from scancc.ir.loop import Buffer, Const, Kernel
from scancc.ir.types import in_memory
from scancc.passes.pipeline import Options

# Modules that the source may name.
NAMESPACE: dict[str, Any] = {
    "__name__": "scancc_runtime",  # the module that a kernel from the cache finds its globals in
    "np": np,
    "at": np.uint64,
    "math": math,
    "messages": messages,
    "numba": numba,
    "complexes": complexes,
    "counters": counters,
    "growth": growth,
    "halves": halves,
    "integers": integers,
    "linear_algebra": linear_algebra,
    "matrices": matrices,
    "panels": panels,
    "polygamma": polygamma,
    "revolve": revolve,
    "products": products,
    "reals": reals,
    "recurrences": recurrences,
    "samplers": samplers,
    "scalar": scalar,
    "special": special,
    "sums": sums,
    "transcendental": transcendental,
}


@dataclass(frozen=True)
class _Made:
    """What a process has of a kernel's machine code: the compilation, and whether it came from the disk cache."""

    dispatcher: Any
    cached: bool

    @property
    def compiled(self) -> Any:
        return next(iter(self.dispatcher.overloads.values()))


@dataclass(eq=False)
class MachineCode:
    """A kernel's machine code, made when it is first asked for: whoever only looks at the source does without.

    `call` takes the parameters in order and returns the failure code.
    """

    source: str
    name: str
    signature: tuple
    options: Options
    stack: Stack = field(default_factory=dict)  # parameters that `call` does not take
    lengths: Lengths = field(default_factory=dict)  # of parameters, where they are known

    def __post_init__(self) -> None:
        self._found: _Made | None = None

    @property
    def pure(self) -> bool:
        """Whether it is the same for every process: what calls back into Python belongs to this one."""
        return "objmode" not in self.source

    @property
    def _made(self) -> _Made:
        if self._found is None:
            with global_compiler_lock:  # numba's own: who holds it, to make a whole call, may come for this, too
                if self._found is None:
                    self._found = self._make()
        return self._found

    def _make(self) -> _Made:
        place = repr(self.stack), repr(self.lengths)
        key = disk_cache.key_of(self.source, str(self.signature), repr(self.options), *place)
        dispatcher = self._dispatcher_of(stack=self.stack)
        stored = disk_cache.load(key) if self.pure else None
        cached = stored is not None and adopt(dispatcher, stored)
        if not cached:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", NumbaWarning)  # of prints: that they take the lock of the interpreter
                dispatcher.compile(self.signature)
        made = _Made(dispatcher, cached)
        if self.pure and not cached:
            disk_cache.store(key, made.compiled)
        dispatcher.disable_compile()
        return made

    @property
    def cached(self) -> bool:
        """Whether it came from the disk cache."""
        return self._made.cached

    @property
    def compiled(self) -> Any:
        """numba's compilation, without the dispatcher, which finds out anew what the types of the arguments are: the
        host knows."""
        return self._made.compiled

    @property
    def call(self) -> Callable[..., int]:
        entry: Callable[..., int] = self.compiled.entry_point
        return entry

    @cached_property
    def _fresh(self) -> Any:
        """Compiled in this process: code from the cache has no LLVM IR any more."""
        if not self.cached:
            return self._made.dispatcher
        dispatcher = self._dispatcher_of()
        dispatcher.compile(self.signature)
        return dispatcher

    def _dispatcher_of(self, compiler: type[KernelCompiler] = KernelCompiler, stack: Stack | None = None) -> Any:
        return _dispatcher(self.source, self.name, self.options, compiler, stack, self.lengths)

    def llvm(self) -> str:
        (text,) = self._fresh.inspect_llvm().values()
        return str(text)

    def asm(self) -> str:
        """The kernel and the functions of the run-time library that it calls, without numba's wrappers."""
        return self._functions(self._fresh)

    def asm_with_lines(self) -> str:
        """The same with `.loc` directives: the lines of the source that instructions come from. Compiles it anew."""
        dispatcher = self._dispatcher_of(LineCompiler)
        dispatcher.compile(self.signature)
        return self._functions(dispatcher)

    def _functions(self, dispatcher: Any) -> str:
        (text,) = dispatcher.inspect_asm().values()
        functions = re.findall(r"^(?:_ZN\S*):.*?^\.Lfunc_end\d+:", str(text), re.M | re.S)
        own = [f for f in functions if "cpython" not in f.split(":", 1)[0]]
        own.sort(key=lambda f: self.name not in f.split(":", 1)[0])
        return "\n\n".join(own) or str(text)


def signature_of(kernel: Kernel) -> tuple:
    """Numba types of the parameters."""
    types = []
    for p in kernel.params:
        dtype = numba.from_dtype(in_memory(p.dtype))
        types.append(numba.types.Array(dtype, len(p.shape), "C") if isinstance(p, Buffer) else dtype)
    return tuple(types)


def lengths_of(kernel: Kernel) -> Lengths:
    """Lengths of the axes after the first, which say how far rows are apart; None where calls differ in them."""
    found: dict[int, tuple[int | None, ...]] = {}
    for i, p in enumerate(kernel.params):
        if isinstance(p, Buffer):
            row = tuple(int(d.value) if isinstance(d, Const) else None for d in p.shape[1:])
            if any(n is not None for n in row):
                found[i] = (None, *row)
    return found


def _dispatcher(
    source: str, name: str, options: Options, compiler: type[KernelCompiler], stack: Stack | None, lengths: Lengths
) -> Any:
    filename = f"<scancc kernel {name}>"
    linecache.cache[filename] = (len(source), None, source.splitlines(True), filename)
    namespace = dict(NAMESPACE)
    exec(compile(source, filename, "exec"), namespace)
    flags: dict[str, Any] = {"nogil": True, "error_model": "numpy", "no_cfunc_wrapper": True}
    if options.fastmath:
        flags["fastmath"] = {"contract", "reassoc", "nsz", "arcp"}
    elif not options.strict_fp:
        flags["fastmath"] = {"contract"}
    setattr(namespace[name], STACK, stack or {})
    setattr(namespace[name], LENGTHS, lengths)
    return numba.njit(pipeline_class=compiler, **flags)(namespace[name])


def adopt(dispatcher: Any, stored: Any) -> bool:
    """Give a stored compilation to a dispatcher; False if this numba cannot take it."""
    from numba.core.compiler import CompileResult
    from numba.core.registry import cpu_target

    try:
        context = cpu_target.target_context
        context.refresh()  # its run-time symbols must exist before code that calls them is loaded
        dispatcher.add_overload(CompileResult._rebuild(context, *stored))
    except Exception as e:  # whatever numba raises on foreign data: the kernel is compiled instead
        disk_cache.warn_once(f"a cached kernel could not be loaded ({type(e).__name__}: {e})")
        return False
    return True
