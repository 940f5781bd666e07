"""The run-time library on a device: what the source of a kernel may name.

Functions of `scancc_runtime/device` come first; what is not there is made of the CPU's, whose functions are plain
Python under numba's decorator: a copy whose globals are functions of the device again.
"""

from __future__ import annotations

import dis
import inspect
import math
import types
from typing import Any

import numba
import numpy as np
from scancc_runtime import complexes, polygamma, revolve, samplers, special
from scancc_runtime.device import counters, halves, integers, reals, scalar, transcendental

from scancc.backends.cuda import warp, words

DEVICE = {m.__name__.rpartition(".")[2]: m for m in (counters, halves, integers, reals, scalar, transcendental)}
INTRINSICS = {"like": scalar, "philox4x32": counters}  # where those of `scancc_runtime.intrinsics` are for a device
SHARED = {m.__name__.rpartition(".")[2]: m for m in (complexes, polygamma, revolve, samplers, special)}
RUNTIME = {
    name: frozenset(f for f, value in vars(module).items() if inspect.isfunction(value))
    for name, module in DEVICE.items()
} | {
    name: frozenset(f for f, value in vars(module).items() if hasattr(value, "py_func"))
    for name, module in SHARED.items()
}


def on_device(cuda: Any, used: frozenset[str], fastmath: bool = False) -> dict[str, Any]:
    """Functions of numba's module `cuda` for a kernel that calls those named in `used`, as "module.function".

    `fastmath`: of float32 those that the hardware has are used, which are less exact (`sin.approx` and so on).
    """
    made: dict[Any, Any] = {}
    names: dict[str, Any] = {"np": np, "types": numba.types, "at": np.uint64, "math": math, "cuda": cuda}
    names |= {"warps": _module("warps", warp.on_device()), "words": _module("words", words.on_device())}
    for name, module in {**DEVICE, **SHARED}.items():
        found = types.SimpleNamespace()
        for function in RUNTIME[name]:
            if f"{name}.{function}" in used:
                setattr(found, function, _compiled(cuda, getattr(module, function), made, fastmath))
        names[name] = _module(name, vars(found))
    return names


def _module(name: str, functions: dict[str, Any]) -> types.ModuleType:
    """numba looks functions up in modules, not in namespaces."""
    module = types.ModuleType(name)
    vars(module).update(functions)
    return module


def _compiled(cuda: Any, function: Any, made: dict[Any, Any], fastmath: bool) -> Any:
    if function not in made:
        plain = getattr(function, "py_func", function)
        scope = {k: _translated(cuda, plain.__globals__[k], made, fastmath) for k in _globals_of(plain)}
        copy = types.FunctionType(plain.__code__, {**plain.__globals__, **scope, "cuda": cuda}, plain.__name__)
        made[function] = cuda.jit(device=True, fastmath=fastmath)(copy)
    return made[function]


def _globals_of(function: Any) -> list[str]:
    named = {i.argval for i in dis.get_instructions(function.__code__) if i.opname == "LOAD_GLOBAL"}
    return [n for n in named if n in function.__globals__]


def _translated(cuda: Any, value: Any, made: dict[Any, Any], fastmath: bool) -> Any:
    """What stands for a global of a function of the CPU."""
    if hasattr(value, "py_func"):
        return _compiled(cuda, value, made, fastmath)
    home = str(getattr(value, "__module__", "")).rpartition(".")[2]
    name = str(getattr(value, "__name__", getattr(value, "_name", "")))
    own = getattr(INTRINSICS.get(name) if home == "intrinsics" else DEVICE.get(home), name, None)
    return value if own is None else _compiled(cuda, own, made, fastmath)


def simulated(cuda: Any) -> dict[str, Any]:
    """For the simulator: functions of `math` raise errors where a device gives infinities and NaNs; NumPy's do not."""
    import scipy.special

    functions = {n: getattr(np, n) for n in "sqrt exp expm1 log log1p log2 log10 sin cos tan sinh cosh tanh".split()}
    functions |= {n: getattr(np, n) for n in "isnan isinf isfinite".split()}
    functions |= {f"a{n}": getattr(np, f"arc{n}") for n in "sin cos tan sinh cosh tanh".split()}
    functions |= {n: getattr(scipy.special, n) for n in "erf erfc expit".split()}
    names: dict[str, Any] = {"np": np, "types": numba.types, "at": int, "cuda": cuda,
                             "math": types.SimpleNamespace(**functions), "warps": warp.SIMULATED,
                             "words": words.SIMULATED}  # fmt: skip
    names |= {**DEVICE, **SHARED, "transcendental": names["math"]}
    found = {n: getattr(np, n) for n in RUNTIME["reals"] if hasattr(np, n)} | {"gammaln": scipy.special.gammaln}
    halves = {"from_bfloat16": _from_bfloat16, "to_bfloat16": _to_bfloat16}
    return names | {"reals": types.SimpleNamespace(**found), "halves": types.SimpleNamespace(**halves)}


def _from_bfloat16(x: np.uint16) -> np.float32:
    return (np.uint32(x) << np.uint32(16)).view(np.float32)  # type: ignore[no-any-return]


def _to_bfloat16(x: np.float32) -> np.uint16:
    bits = np.float32(x).view(np.uint32)
    high = bits >> np.uint32(16)
    return np.uint16(high | 0x40 if np.isnan(x) else (int(bits) + 0x7FFF + int(high & 1)) >> 16)
