"""Functions that kernels call and that no process has of itself: SciPy's BLAS, and those of `interrupts.py`."""

from __future__ import annotations

import ctypes
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from llvmlite import ir
from scancc_runtime.code import BYTES, INT
from scancc_runtime.products import OPERANDS

from scancc.backends.llvm import engine, interrupts
from scancc.backends.llvm.interrupts import HOST

NAME_IN_CAPSULE = ctypes.PYFUNCTYPE(ctypes.c_char_p, ctypes.py_object)(("PyCapsule_GetName", ctypes.pythonapi))
IN_CAPSULE = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(
    ("PyCapsule_GetPointer", ctypes.pythonapi)
)
BLAS = "scipy_"  # symbols of SciPy's BLAS begin so


def needs_of(module: Any) -> list[str]:
    return sorted(f.name for f in module.functions if f.is_declaration and f.name.startswith((BLAS, HOST)))


def addresses_of(needs: Iterable[str]) -> dict[str, int]:
    """Raises KeyError for a function that there is not."""
    return {n: interrupts.address(n) if n.startswith(HOST) else _blas(n).addresses[n] for n in needs}


@lru_cache(maxsize=16)
def _blas(name: str) -> engine.Loaded:
    """The function that SciPy offers to Cython under this name, which a signal does not leave in the middle."""
    from scipy.linalg import cython_blas

    capsule = cython_blas.__pyx_capi__[name.removeprefix(BLAS)]
    module = ir.Module(name)
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [BYTES] * OPERANDS), name)
    b = ir.IRBuilder(function.append_basic_block("entry"))
    own = int(IN_CAPSULE(capsule, NAME_IN_CAPSULE(capsule)))
    for address, given in ((interrupts.address(HOST + "pause"), ()), (own, function.args),
                           (interrupts.address(HOST + "resume"), ())):  # fmt: skip
        kind = ir.FunctionType(ir.VoidType(), [a.type for a in given]).as_pointer()
        b.call(b.inttoptr(INT(address), kind), given)
    b.ret_void()
    return engine.loaded(str(module), [name])
