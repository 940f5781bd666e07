"""The part of the run-time library that numba compiles, as bitcode: made once for a processor, and kept on disk.

Linear algebra of matrices that are not small, elementary functions of complex numbers, and samplers are plain Python
under `njit`, which devices compile as well. Here each becomes a C function of pointers, by numba's `cfunc`, whose LLVM
IR kernels link and inline from.
"""

from __future__ import annotations

import importlib
import threading
from collections.abc import Sequence
from functools import lru_cache
from importlib import metadata
from typing import Any

import numpy as np

from scancc.backends import disk_cache
from scancc.backends.llvm import engine
from scancc.backends.llvm.library import symbol_of

_lock = threading.Lock()


def of(name: str, dtypes: Sequence[str]) -> bytes:
    """Bitcode that defines `symbol_of(name, dtypes)`.

    For a function of numbers `dtypes` are those of the result and of the operands; otherwise those of its arrays, with
    an empty one for each integer.
    """
    with _lock:
        return _of(name, tuple(dtypes))


@lru_cache(maxsize=256)
def _of(name: str, dtypes: tuple[str, ...]) -> bytes:
    key = disk_cache.key_of("library", metadata.version("numba"), name, repr(dtypes))
    found = disk_cache.load(key)
    if found is None:
        found = _compiled(name, dtypes)
        disk_cache.store(key, found)
    return found


def _compiled(name: str, dtypes: tuple[str, ...]) -> bytes:
    import llvmlite.binding as llvm
    import numba

    module, function = name.rsplit(".", 1)
    made = getattr(importlib.import_module(f"scancc_runtime.{module}"), function)
    arrays = module == "linear_algebra"
    source = _of_arrays(dtypes) if arrays else _of_numbers(dtypes)
    scope: dict[str, Any] = {"function": made, "carray": numba.carray}
    exec(source, scope)
    kinds = [numba.from_dtype(np.dtype(d)) if d else None for d in dtypes]
    signature = numba.types.void(*[numba.types.int64 if k is None else numba.types.CPointer(k) for k in kinds])
    compiled = numba.cfunc(signature, error_model="numpy")(scope["call"])
    with engine.locked():
        parsed = llvm.parse_assembly(compiled.inspect_llvm())
        for f in parsed.functions:
            if not f.is_declaration and f.name != compiled.native_name:
                f.linkage = llvm.Linkage.internal
        own = parsed.get_function(compiled.native_name)
        own.name = symbol_of(name, dtypes)
        return bytes(parsed.as_bitcode())


def _of_numbers(dtypes: Sequence[str]) -> str:
    names = [f"x{k}" for k in range(len(dtypes) - 1)]
    return f"def call(out, {', '.join(names)}):\n    out[0] = function({', '.join(f'{n}[0]' for n in names)})\n"


def _of_arrays(dtypes: Sequence[str]) -> str:
    names = [f"x{k}" for k in range(len(dtypes))]
    given = [f"carray({n}, (1,)), 0" if d else n for n, d in zip(names, dtypes, strict=True)]
    return f"def call({', '.join(names)}):\n    function({', '.join(given)})\n"
