"""The peers, each set up for a fair race: imported on demand, on as many threads, JAX with 64-bit floats.

The factories here take what differs from peer to peer, the function, and the names of the inputs that it gets.
A peer that is not installed raises ImportError when it is prepared, and is left out with a note.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from scancc import threads
from scancc.measure import Factory, Inputs, peer_of

FMA = {"contract"}  # a*b + c may be one fused operation: the only liberty the hand-written kernels take
C_FLAGS = ("-O3", "-march=native", "-ffast-math", "-shared", "-fPIC")
C_TYPES = {"float64": "double", "float32": "float", "int64": "long", "bool": "_Bool"}


def scancc() -> Any:
    import scancc as module

    return module


def numba() -> Any:
    import numba as module

    return module


def jax() -> Any:
    """JAX with float64 enabled; float32 inputs stay float32."""
    import jax as module

    module.config.update("jax_enable_x64", True)
    return module


def pytensor() -> tuple[Any, Any]:
    """(pytensor, pytensor.tensor)."""
    import pytensor as module
    import pytensor.tensor as tensor

    return module, tensor


def torch() -> Any:
    import torch as module

    module.set_num_threads(threads.limit())  # it may have been loaded before the limit was set
    return module


def raced(implementations: Mapping[str, Factory], quick: bool) -> dict[str, Factory]:
    """All of them; in a quick run without PyTensor's, each of which compiles for seconds."""
    return {name: f for name, f in implementations.items() if not (quick and peer_of(name) == "pytensor")}


# -- factories ---------------------------------------------------------------------------------------------------------


def by_call(function: Callable[..., Any], *names: str) -> Factory:
    """A function on these inputs as it is."""
    return lambda inputs: (lambda arguments: lambda: function(*arguments))([inputs[n] for n in names])


def by_scancc(function: Callable[..., Any], *names: str) -> Factory:
    """A compiled function on these inputs."""
    return by_call(function, *names)


def interpreted(function: Any, *names: str) -> Factory:
    """The same in the reference interpreter: the oracle."""
    return lambda inputs: lambda: function(*(inputs[n] for n in names), mode="interpret")


def by_numba(function: Callable[..., Any], *names: str) -> Factory:
    """A loop written by hand, under njit."""

    def factory(inputs: Inputs) -> Callable[[], Any]:
        run = numba().njit(fastmath=FMA)(function)
        arguments = [inputs[n] for n in names]
        return lambda: run(*arguments)

    return factory


def by_jax(function: Callable[..., Any], *names: str) -> Factory:
    """`function(jax, *arguments)` under jax.jit."""

    def factory(inputs: Inputs) -> Callable[[], Any]:
        module = jax()
        run = module.jit(lambda *arguments: function(module, *arguments))
        arguments = [module.numpy.asarray(inputs[n]) for n in names]
        return lambda: module.block_until_ready(run(*arguments))

    return factory


def jax_gradient(loss: Callable[..., Any], wrt: int | tuple[int, ...]) -> Callable[..., Any]:
    """For `by_jax`: the derivatives of `loss(jax, *arguments)` with respect to these arguments."""
    return lambda jax, *arguments: jax.grad(partial(loss, jax), wrt)(*arguments)


def pytensor_gradient(loss: Callable[..., Any], wrt: int | tuple[int, ...]) -> Callable[..., Any]:
    """For `by_pytensor`: the derivatives of `loss(pytensor, *symbols)` with respect to these symbols."""

    def gradient(module: Any, *symbols: Any) -> Any:
        chosen = symbols[wrt] if isinstance(wrt, int) else [symbols[i] for i in wrt]
        return module.grad(loss(module, *symbols), chosen)

    return gradient


def by_pytensor(function: Callable[..., Any], *names: str) -> Factory:
    """`function(pytensor, *symbols)` returns the results, compiled with PyTensor's Numba back end."""

    def factory(inputs: Inputs) -> Callable[[], Any]:
        module, tensor = pytensor()
        arguments = [np.asarray(inputs[n]) for n in names]
        symbols = [tensor.tensor(n, dtype=a.dtype, shape=(None,) * a.ndim)
                   for n, a in zip(names, arguments, strict=True)]  # fmt: skip
        run = module.function(symbols, function(module, *symbols), mode="NUMBA")
        run.trust_input = True  # the inputs are arrays of the declared types: skip their checks
        return lambda: run(*arguments)

    return factory


def by_torch(function: Callable[..., Any], *names: str) -> Factory:
    """`function(torch, *tensors)`, with gradients off unless it turns them on; returns arrays or tensors."""

    def factory(inputs: Inputs) -> Callable[[], Any]:
        module = torch()
        arguments = [module.as_tensor(inputs[n]) if isinstance(inputs[n], np.ndarray) else inputs[n] for n in names]

        def run() -> Any:
            with module.no_grad():
                made = function(module, *arguments)
            return tuple(m.numpy() for m in made) if isinstance(made, tuple) else made.numpy()

        return run

    return factory


def by_c(source: str, outputs: Callable[[Inputs], list[np.ndarray]], *names: str) -> Factory:
    """C's `void run(...)`: it takes the inputs in order, arrays as pointers and numbers by value, then the outputs.

    `outputs` makes the arrays that one call writes, of shape () for a number; they are made anew for every call, as all
    others do.
    """

    def factory(inputs: Inputs) -> Callable[[], Any]:
        given = [inputs[n] for n in names]
        parameters = [_c_type(v) + (" *" if np.ndim(v) else "") for v in given]
        parameters += [_c_type(o) + " *" for o in outputs(inputs)]
        ffi, library = _compiled(source, f"void run({', '.join(parameters)});")
        held = [ffi.cast(t, ffi.from_buffer(v)) if isinstance(v, np.ndarray) and v.ndim else v
                for v, t in zip(given, parameters, strict=False)]  # fmt: skip
        kinds = parameters[len(given) :]

        def run() -> Any:
            made = outputs(inputs)
            library.run(*held, *(ffi.cast(k, ffi.from_buffer(o)) for k, o in zip(kinds, made, strict=True)))
            return tuple(made)

        return run

    return factory


def _c_type(value: Any) -> str:
    return C_TYPES[str(np.asarray(value).dtype)]


def _compiled(source: str, declaration: str) -> tuple[Any, Any]:
    from cffi import FFI

    compiler = shutil.which(os.environ.get("CC", "gcc"))
    if compiler is None:
        raise ImportError("no C compiler (gcc, or $CC)")
    ffi = FFI()
    ffi.cdef(declaration)
    with tempfile.TemporaryDirectory() as folder:
        text, library = Path(folder, "run.c"), Path(folder, "run.so")
        text.write_text(source)
        subprocess.run([compiler, *C_FLAGS, str(text), "-o", str(library), "-lm"], check=True)
        return ffi, ffi.dlopen(str(library))  # the mapping outlives the file
