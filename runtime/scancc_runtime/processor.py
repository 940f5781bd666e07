"""The features of the processor that numba compiles for: NUMBA_CPU_FEATURES, or those of this machine."""

from __future__ import annotations

import llvmlite.binding as llvm
from numba.core import config


def has(feature: str) -> bool:
    """Whether machine code may use an extension, by LLVM's name for it, such as avx2."""
    if config.CPU_FEATURES is not None:
        return f"+{feature}" in config.CPU_FEATURES.split(",")
    return bool(llvm.get_host_cpu_features().get(feature, False))


def vector_bytes() -> int:
    """Width of the vectors of the CPU that numba compiles for."""
    return 64 if has("avx512f") else 32 if has("avx2") else 16
