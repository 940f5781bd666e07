"""The processors that machine code is made for, by names that mean the same on every machine.

Figures of machine code are compared between machines, so it is not made for the processor that happens to run the
check, but for a level of x86-64 (System V psABI, "x86-64 microarchitecture levels"), which numba takes from the
environment when it is imported.
"""

from __future__ import annotations

import platform

import llvmlite.binding as llvm
from numba.core import config

V2 = "+cx16,+popcnt,+sahf,+sse3,+ssse3,+sse4.1,+sse4.2"
V3 = f"{V2},+avx,+avx2,+bmi,+bmi2,+f16c,+fma,+lzcnt,+movbe,+xsave"
LEVELS: dict[str, str] = {  # features, by the name that LLVM knows the level by
    "x86-64": "+sse2",
    "x86-64-v2": V2,
    "x86-64-v3": V3,
    "x86-64-v4": f"{V3},+avx512f,+avx512bw,+avx512cd,+avx512dq,+avx512vl",
}
DEFAULT = "x86-64-v3"
NATIVE = "native"


def machine() -> str:
    """The architecture of this machine, by one name on all operating systems."""
    name = platform.machine().lower()
    return {"amd64": "x86-64", "x86_64": "x86-64", "arm64": "aarch64"}.get(name, name)


def is_x86() -> bool:
    """Whether this machine makes machine code that can be analysed."""
    return machine() == "x86-64"


def environment_for(cpu: str) -> dict[str, str]:
    """Variables under which a process compiles for this processor. Raises ValueError for an unknown name."""
    if cpu == NATIVE or not is_x86():
        return {}
    if cpu not in LEVELS:
        raise ValueError(f"the processor {cpu!r} is not known; known are {', '.join(LEVELS)} and {NATIVE}")
    return {"NUMBA_CPU_NAME": cpu, "NUMBA_CPU_FEATURES": LEVELS[cpu]}


def current() -> str:
    """The name of what this process compiles for: a level, or the processor of this machine."""
    name = config.CPU_NAME or llvm.get_host_cpu_name()
    if name in LEVELS and config.CPU_FEATURES not in (LEVELS[name], None):
        return f"{name} with {config.CPU_FEATURES}"
    return str(name)
