"""The processor that code is made for: the one that NUMBA_CPU_NAME and NUMBA_CPU_FEATURES name, or this machine's.

The variables are numba's, so that its code and ours are for the same processor; they are read when code is made.
"""

from __future__ import annotations

import os
from functools import lru_cache

import llvmlite.binding as llvm


def name() -> str:
    return os.environ.get("NUMBA_CPU_NAME") or _host()[0]


def features() -> str:
    """The extensions that machine code may use, as LLVM writes them: +avx2,-avx512f."""
    given = os.environ.get("NUMBA_CPU_FEATURES")
    if given is None and os.environ.get("NUMBA_CPU_NAME", "").lower() == "generic":
        given = ""
    return _host()[1] if given is None else given


@lru_cache(maxsize=1)
def _host() -> tuple[str, str]:
    try:
        found = llvm.get_host_cpu_features().flatten()
    except RuntimeError:  # LLVM does not know the processor
        found = ""
    return llvm.get_host_cpu_name(), found


def has(feature: str) -> bool:
    """Whether machine code may use an extension, by LLVM's name for it, such as avx2."""
    return f"+{feature}" in features().split(",")


def vector_bytes() -> int:
    """Width of the vectors that code is written for."""
    return 64 if has("avx512f") else 32 if has("avx2") else 16
