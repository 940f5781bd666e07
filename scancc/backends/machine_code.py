"""A kernel's machine code: LLVM IR of its loop IR, optimised, through the disk cache.

What LLVM is told, and why it is right:
    contract     multiply-adds may fuse (not under `strict_fp`)
    noalias      no array that is stored to overlaps another: outputs and scratch are allocated for the call, inputs are
                 never stored to (ADR 2)
    lengths      those that the program knows are constants, the others are not negative: how far rows are apart decides
                 whether loads and stores can meet, without which a loop over several rows is not vectorised
    nounwind     kernels touch no Python object; they run without the interpreter's lock
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from time import process_time
from typing import Any

import numpy as np
from scancc_runtime import messages

from scancc.backends import disk_cache
from scancc.backends.entry import entry_of
from scancc.backends.llvm import bitcode, engine, needs
from scancc.backends.llvm.kernel import KernelPrinter, Stack
from scancc.backends.llvm.locations import Locations
from scancc.backends.llvm.statements import prints_of
from scancc.collector import PAUSED
from scancc.ir.loop import Buffer, Expr, Kernel, Print, show_expr
from scancc.ir.types import in_memory
from scancc.locks import COMPILING, made_once
from scancc.passes.pipeline import Options

FAST = ("contract", "reassoc", "nsz", "arcp")


@dataclass(frozen=True)
class _Made:
    """What a process has of a kernel's machine code, and whether it came from the disk cache."""

    code: engine.Loaded
    cached: bool


@dataclass(frozen=True)
class Inspected:
    """The assembly with `.loc` directives, and how many LLVM instructions there were before and after optimisation."""

    asm: str
    before: int
    after: int


@dataclass(eq=False)
class MachineCode:
    """A kernel's machine code, made when it is first asked for: whoever only looks at the source does without.

    `call` takes the parameters in order, but for those on the stack, and returns the failure code. `seconds` has the
    CPU time of what was made in this process: "ir" to print the LLVM IR, "llvm" to optimise and to emit.
    """

    kernel: Kernel
    source: str
    options: Options
    stack: Stack = field(default_factory=dict)  # parameters that `call` does not take
    lengths: Collection[str] = ()  # parameters that are lengths of arrays
    definitions: Mapping[str, Expr] = field(default_factory=dict)  # of lengths of arrays that the host computes
    lines: Mapping[int, int] = field(default_factory=dict)  # of `source`, by the identity of a statement

    def __post_init__(self) -> None:
        self._found: _Made | None = None
        self.seconds: dict[str, float] = {}
        self.raised = threading.local()  # `error`: what a print of this thread raised
        self._shown = prints_of(self.kernel.body)
        self.symbol = f"scancc_{self.kernel.name}"

    @property
    def pure(self) -> bool:
        """Whether it is the same for every process: what calls back into Python belongs to this one."""
        return not self._shown

    @property
    def _made(self) -> _Made:
        if self._found is None:
            with COMPILING, PAUSED:
                if self._found is None:
                    self._found = self._make()
        return self._found

    def _make(self) -> _Made:
        symbols = (self.symbol, f"{self.symbol}.packed")
        key = self._key()
        stored = disk_cache.load(key) if self.pure else None
        if stored is not None:
            names, code = _taken_apart(stored)
            try:
                return _Made(engine.Loaded(code, symbols, needs.addresses_of(names)), True)
            except (RuntimeError, KeyError) as e:  # whatever LLVM says of foreign data: the kernel is compiled instead
                disk_cache.warn_once(f"a cached kernel could not be loaded ({e})")
        module = self._module()
        start = process_time()
        engine.optimise(module)
        code, names = engine.object_code(module), needs.needs_of(module)
        made = _Made(engine.Loaded(code, symbols, needs.addresses_of(names)), False)
        self.seconds["llvm"] = process_time() - start
        if self.pure:
            disk_cache.store(key, _put_together(names, code))
        return made

    def _key(self) -> str:
        params = [repr(p) for p in self.kernel.params]
        return disk_cache.key_of(
            self.source, repr(params), repr(self.options), repr(self.stack), repr(sorted(self.lengths)),
            repr({name: show_expr(e) for name, e in self.definitions.items()}),
        )  # fmt: skip

    def _module(self, locations: Locations | None = None) -> Any:
        """The kernel's module with all that it calls, not optimised yet."""
        start = process_time()
        text, linked = self._text(locations)
        self.seconds["ir"] = process_time() - start
        return engine.parsed(text, linked)

    def _text(self, locations: Locations | None) -> tuple[str, list[bytes]]:
        """The LLVM IR, and what is to be linked with it."""
        options = self.options
        flags = FAST if options.fastmath else () if options.strict_fp else ("contract",)
        printer = KernelPrinter(
            self.kernel, flags, self.stack, self.lengths, self.definitions, 0 if self.pure else self._show_address,
            None if locations is None else locations.at, engine.triple(), engine.layout(),
        )  # fmt: skip
        printer.packed()
        linked = [bitcode.of(name, dtypes) for name, dtypes in printer.library.linked.values()]
        return printer.text(), linked

    @property
    def cached(self) -> bool:
        """Whether it came from the disk cache."""
        return self._made.cached

    @property
    def address(self) -> int:
        """Of the function with the C signature."""
        return self._made.code.addresses[self.symbol]

    @made_once
    def call(self) -> Callable[..., int]:
        made = self._made
        params = [p for p in self.kernel.params if p.name not in self.stack]
        returned = bool(self.kernel.returned)
        return entry_of(made.code.addresses[f"{self.symbol}.packed"], params, returned, (made, self))

    # -- what it looks like --------------------------------------------------------------------------------------

    def llvm(self) -> str:
        """The optimised LLVM IR."""
        return str(self._optimised(Locations(self.kernel.name)))

    def asm(self) -> str:
        """The kernel and the functions of the run-time library that it calls."""
        return engine.assembly(self._optimised())

    def asm_with_lines(self) -> str:
        """The same with `.loc` directives: the lines of the source that instructions come from."""
        return self.inspected().asm

    def inspected(self) -> Inspected:
        module = self._module(Locations(self.kernel.name, self.lines))
        before = engine.instructions(module)
        engine.optimise(module)
        return Inspected(engine.assembly(module), before, engine.instructions(module))

    def _optimised(self, locations: Locations | None = None) -> Any:
        module = self._module(locations)
        engine.optimise(module)
        return module

    # -- prints --------------------------------------------------------------------------------------------------

    @made_once
    def _show(self) -> Any:
        """The function that kernels call to print, as C sees it. ctypes takes the interpreter's lock for it."""

        def show(words: Any) -> int:
            try:
                statement = self._shown[words[0]]
                messages.show(statement.message, statement.names, *_values(statement, words))
            except BaseException as e:  # to be raised by whoever called the kernel
                self.raised.error = e
                return 1
            return 0

        return ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.POINTER(ctypes.c_int64))(show)

    @property
    def _show_address(self) -> int:
        return ctypes.cast(self._show, ctypes.c_void_p).value or 0


def _values(statement: Print, words: Any) -> list[Any]:
    """The arrays, and the numbers, of a print, from the words that a kernel passes."""
    values: list[Any] = []
    at = 1
    for buffer, scalar in zip(statement.values, statement.scalars, strict=True):
        address, shape = words[at], tuple(words[at + 1 : at + 1 + len(buffer.shape)])
        at += 1 + len(buffer.shape)
        array = array_at(address, shape, buffer)
        values.append(array[0] if scalar else array.copy())
    return values


def array_at(address: int, shape: tuple[int, ...], buffer: Buffer) -> np.ndarray:
    """The memory of a buffer as an array, which does not own it."""
    dtype = in_memory(buffer.dtype)
    size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    if not size:
        return np.empty(shape, dtype)
    memory: Any = (ctypes.c_byte * size).from_address(address)
    found: np.ndarray = np.frombuffer(memory, dtype).reshape(shape)
    return found


def _put_together(names: list[str], code: bytes) -> bytes:
    return " ".join(names).encode() + b"\n" + code


def _taken_apart(stored: bytes) -> tuple[list[str], bytes]:
    names, _, code = stored.partition(b"\n")
    return names.decode().split(), code
