"""The part of the run-time library that numba compiles, as bitcode: made once for a processor, and kept on disk.

Linear algebra of matrices that are not small, elementary functions of complex numbers, and samplers are plain Python
under `njit`, which devices compile as well. Here each becomes a C function of pointers, by numba's `cfunc`, whose LLVM
IR kernels link and inline from.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir
from scancc_runtime.code import BYTES, INT, INT32

from scancc.backends import disk_cache
from scancc.backends.llvm import engine
from scancc.backends.llvm.library import symbol_of
from scancc.locks import COMPILING

ENTRY = "cfunc."  # what numba puts before the name of a function, for that which C calls


def of(name: str, dtypes: Sequence[str]) -> bytes:
    """Bitcode that defines `symbol_of(name, dtypes)`.

    For a function of numbers `dtypes` are those of the result and of the operands; otherwise those of its arrays, with
    an empty one for each integer.
    """
    with COMPILING:
        return _of(name, tuple(dtypes))


@lru_cache(maxsize=256)
def _of(name: str, dtypes: tuple[str, ...]) -> bytes:
    from importlib import metadata

    key = disk_cache.key_of("library", metadata.version("numba"), _settings(), name, repr(dtypes))
    found = disk_cache.load(key)
    if found is None:
        found = _compiled(name, dtypes)
        disk_cache.store(key, found)
    return found


def _settings() -> str:
    """Those of numba's, which is not imported for them: its variables, and the file that it reads."""
    try:
        file = Path(".numba_config.yaml").read_text()
    except OSError:
        file = ""
    return repr((sorted(item for item in os.environ.items() if item[0].startswith("NUMBA_")), file))


def _compiled(name: str, dtypes: tuple[str, ...]) -> bytes:
    import numba
    from scancc_runtime.compiled import compiling

    module, function = name.rsplit(".", 1)
    made = getattr(importlib.import_module(f"scancc_runtime.{module}"), function)
    arrays = module == "linear_algebra"
    source = _of_arrays(dtypes) if arrays else _of_numbers(dtypes)
    scope: dict[str, Any] = {"function": made, "carray": numba.carray}
    exec(source, scope)
    kinds = [numba.from_dtype(np.dtype(d)) if d else None for d in dtypes]
    signature = numba.types.void(*[numba.types.int64 if k is None else numba.types.CPointer(k) for k in kinds])
    with compiling():
        compiled = numba.cfunc(signature, error_model="numpy")(scope["call"])
    return _as_c(compiled.inspect_llvm(), compiled.native_name, symbol_of(name, dtypes), [k is None for k in kinds])


def _as_c(text: str, entry: str, symbol: str, integers: Sequence[bool]) -> bytes:
    """The function behind numba's entry, which would raise Python's errors: these functions raise none.

    Numba's functions take two addresses more, of the result and of an error, and return a status.
    """
    given = [INT if integer else BYTES for integer in integers]
    inner = entry.removeprefix(ENTRY)
    module = ir.Module(symbol)
    place = BYTES.as_pointer()
    function = ir.Function(module, ir.FunctionType(INT32, [place, place, *given]), inner)
    own = ir.Function(module, ir.FunctionType(ir.VoidType(), given), symbol)
    b = ir.IRBuilder(own.append_basic_block("entry"))
    b.call(function, [b.alloca(BYTES), b.alloca(BYTES), *own.args])
    b.ret_void()
    with COMPILING:
        made = engine.parsed(str(module))
        made.link_in(llvm.parse_assembly(text))
        for f in made.functions:
            if not f.is_declaration and f.name != symbol:
                f.linkage = llvm.Linkage.internal
        for v in made.global_variables:
            if v.linkage == llvm.Linkage.common:
                v.linkage = llvm.Linkage.internal
        engine.optimise(made)
        return bytes(made.as_bitcode())


def _of_numbers(dtypes: Sequence[str]) -> str:
    names = [f"x{k}" for k in range(len(dtypes) - 1)]
    return f"def call(out, {', '.join(names)}):\n    out[0] = function({', '.join(f'{n}[0]' for n in names)})\n"


def _of_arrays(dtypes: Sequence[str]) -> str:
    names = [f"x{k}" for k in range(len(dtypes))]
    given = [f"carray({n}, (1,)), 0" if d else n for n, d in zip(names, dtypes, strict=True)]
    return f"def call({', '.join(names)}):\n    function({', '.join(given)})\n"
