"""numba.cuda and the run-time library on it, imported when a program is first compiled for a device."""

from __future__ import annotations

import inspect
import linecache
import math
import types
from functools import cache
from typing import Any

import numpy as np
from scancc_runtime import revolve
from scancc_runtime.device import counters, integers, reals, scalar, transcendental

from scancc.errors import DeviceError
from scancc.ir.loop import Kernel

SOURCES = {m.__name__.rpartition(".")[2]: m for m in (counters, integers, reals, scalar, transcendental)}
RUNTIME = {
    name: frozenset(f for f, value in vars(module).items() if inspect.isfunction(value))
    for name, module in SOURCES.items()
} | {"revolve": frozenset({"split"})}


def simulated() -> bool:
    """Whether numba runs kernels in Python, as NUMBA_ENABLE_CUDASIM=1 asks."""
    from numba.core import config

    return bool(config.ENABLE_CUDASIM)


@cache
def cuda() -> Any:
    """numba.cuda, where there is a device or the simulator. Raises DeviceError otherwise."""
    from numba import cuda as found

    if simulated():
        return found
    try:
        there = found.is_available()
        reason = "no CUDA device, or no driver"
    except Exception as e:  # whatever a driver that is half there raises
        there, reason = False, str(e).strip().splitlines()[0]
    if not there:
        raise DeviceError(
            f"target='cuda' has nothing to run on: {reason}",
            rule="kernels for devices need an NVIDIA GPU, its driver, and the extra 'cuda'",
            fix="pip install 'scancc[cuda]' on a machine with a GPU; NUMBA_ENABLE_CUDASIM=1 runs kernels in Python",
        )
    return found


def namespace(module: Any) -> dict[str, Any]:
    """What the source of a kernel may name. `module` is numba.cuda."""
    if simulated():
        return _in_python(module)
    names: dict[str, Any] = {"np": np, "at": np.uint64, "math": math, "cuda": module}
    for name, source in SOURCES.items():
        made = types.ModuleType(name)
        for function in RUNTIME[name]:
            setattr(made, function, module.jit(device=True)(_fresh(getattr(source, function))))
        names[name] = made
    splits = types.ModuleType("revolve")
    splits.split = module.jit(device=True)(revolve.split.py_func)  # type: ignore[attr-defined]
    return names | {"revolve": splits}


def kernel_function(source: str, kernel: Kernel, module: Any) -> Any:
    """The Python function of a kernel, for numba.cuda to compile."""
    filename = f"<scancc cuda kernel {kernel.name}>"
    linecache.cache[filename] = (len(source), None, source.splitlines(True), filename)
    scope = namespace(module)
    exec(compile(source, filename, "exec"), scope)
    return scope[kernel.name]


def _in_python(module: Any) -> dict[str, Any]:
    """For the simulator: functions of `math` raise errors where a device gives infinities and NaNs; NumPy's do not."""
    import scipy.special

    functions = {n: getattr(np, n) for n in "sqrt exp expm1 log log1p log2 log10 sin cos tan sinh cosh tanh".split()}
    functions |= {n: getattr(np, n) for n in "isnan isinf isfinite".split()}
    functions |= {f"a{n}": getattr(np, f"arc{n}") for n in "sin cos tan sinh cosh tanh".split()}
    functions |= {n: getattr(scipy.special, n) for n in "erf erfc expit".split()}
    names: dict[str, Any] = {"np": np, "at": int, "cuda": module, "math": types.SimpleNamespace(**functions)}
    names |= {name: source for name, source in SOURCES.items()}
    names["transcendental"] = names["math"]
    reals_ = {n: getattr(np, n) for n in RUNTIME["reals"] if hasattr(np, n)} | {"gammaln": scipy.special.gammaln}
    return names | {"reals": types.SimpleNamespace(**reals_),
                    "revolve": types.SimpleNamespace(split=revolve.split.py_func)}  # fmt: skip


def _fresh(function: Any) -> Any:
    """A copy for one compilation: numba keeps what it compiles with the function."""
    return types.FunctionType(function.__code__, function.__globals__, function.__name__)
