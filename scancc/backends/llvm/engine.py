"""LLVM through llvmlite: the processor, the optimiser, object code, and code that is ready to run.

Object code is the same in every process, so it is what the disk cache keeps. It names what it needs of others:
functions of the C library, which every process has, and those of `needs.py`.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import llvmlite.binding as llvm
from scancc_runtime import processor

from scancc.locks import COMPILING

# Instructions beyond which loops are not unrolled: those of a large kernel have enough to do in an iteration. The
# gradient of two layers of LSTM (10,000) became 24,000 with unrolled loops, and 8,000 without, in half of the time.
LARGE = 7000
_numbers = itertools.count()


@lru_cache(maxsize=1)
def _ready() -> None:
    for start in (llvm.initialize_native_target, llvm.initialize_native_asmprinter):
        start()


@lru_cache(maxsize=8)
def _target(name: str, features: str) -> Any:
    return _machine(cpu=name, features=features, opt=3)


def _machine(**options: Any) -> Any:
    _ready()
    target = llvm.Target.from_triple(triple())
    return target.create_target_machine(reloc="pic", codemodel="small", **options)


def target() -> Any:
    return _target(processor.name(), processor.features())


def triple() -> str:
    return str(llvm.get_process_triple())


@lru_cache(maxsize=1)
def layout() -> str:
    return str(target().target_data)


def parsed(text: str, linked: Iterable[bytes] = ()) -> Any:
    """A module with the functions of other ones, which only it sees."""
    _ready()
    with COMPILING:
        module = llvm.parse_assembly(text)
        module.verify()
        for bitcode in linked:
            other = llvm.parse_bitcode(bitcode)
            names = [f.name for f in other.functions if f.linkage == llvm.Linkage.external and not f.is_declaration]
            module.link_in(other)
            for name in names:
                module.get_function(name).linkage = llvm.Linkage.internal
        return module


def optimise(module: Any) -> None:
    with COMPILING:
        options = llvm.create_pipeline_tuning_options(3)
        options.loop_vectorization, options.slp_vectorization = True, False
        size = str(module).count("\n")  # nearly all of them instructions: to visit those takes several times as long
        options.loop_unrolling = size <= LARGE
        builder = llvm.create_pass_builder(target(), options)
        builder.getModulePassManager().run(module, builder)


def instructions(module: Any) -> int:
    return sum(1 for f in module.functions for b in f.blocks for _ in b.instructions)


def object_code(module: Any) -> bytes:
    with COMPILING:
        return bytes(target().emit_object(module))


def assembly(module: Any) -> str:
    with COMPILING:
        return str(target().emit_assembly(module))


@lru_cache(maxsize=1)
def jit() -> Any:
    machine = _machine(cpu=processor.name(), features=processor.features(), opt=3, jit=True)
    return llvm.create_lljit_compiler(machine)


class Loaded:
    """Object code in memory. It goes with this object."""

    def __init__(self, code: bytes, symbols: Sequence[str], needs: Mapping[str, int]) -> None:
        with COMPILING:
            builder = llvm.JITLibraryBuilder().add_object_img(code).add_current_process()
            for name, address in needs.items():
                builder.import_symbol(name, address)
            for name in symbols:
                builder.export_symbol(name)
            self._tracker = builder.link(jit(), f"scancc.{next(_numbers)}")
            self.addresses = {name: int(self._tracker[name]) for name in symbols}


def loaded(text: str, symbols: Sequence[str]) -> Loaded:
    """Short, straight code: to optimise it takes longer than what comes of that in many thousand calls."""
    with COMPILING:
        module = parsed(text)
        return Loaded(bytes(_machine(opt=0).emit_object(module)), symbols, {})
