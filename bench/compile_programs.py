"""What a program of the compile-time benchmark is, and the two libraries that trace it.

A program is written once: a function of a `Library` and of arrays, which calls that library's NumPy and loops. Where
the two have no spelling in common, `Library` has a name for it. What `compile_time.py` times are rows, which are
programs and their gradients.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Library:
    """What programs are written in.

    np      NumPy's functions on this library's arrays
    lax     scan(f, init, xs): f(carry, x) -> (carry, y)
    take    rows of an array by an array of indices
    set_at  set_at(x, index, value): a copy with other elements
    """

    name: str
    np: Any
    lax: Any
    jit: Callable[..., Any]
    grad: Callable[..., Any]
    hessian: Callable[..., Any]
    vmap: Callable[..., Any]
    sigmoid: Callable[..., Any]
    softmax: Callable[..., Any]
    logsumexp: Callable[..., Any]
    take: Callable[..., Any]
    set_at: Callable[..., Any]


@cache
def scancc() -> Library:
    import scancc as sc

    return Library("scancc", np, sc.lax, sc.jit, sc.grad, sc.hessian, sc.vmap, sc.expit, sc.softmax, sc.logsumexp,
                   sc.take, sc.at_set)  # fmt: skip


@cache
def jax() -> Library:
    import peers

    module = peers.jax()
    module.config.update("jax_enable_compilation_cache", False)
    numpy = module.numpy
    return Library("jax", numpy, module.lax, module.jit, module.grad, module.hessian, module.vmap, module.nn.sigmoid,
                   module.nn.softmax, module.nn.logsumexp, lambda x, i, axis=0: numpy.take(x, i, axis=axis),
                   lambda x, i, v: x.at[i].set(v))  # fmt: skip


LIBRARIES = {"scancc": scancc, "jax": jax}


@dataclass(frozen=True)
class Program:
    """One program at one size.

    name         as typed on the command line, "mlstm/16"
    function     function(library, *inputs); of one that has a gradient the result is a number
    inputs       makes the arrays
    wrt          the places of the inputs that its gradient is by; () where it has none
    value        whether it is timed itself, or its gradient only
    size         how many statements it has, where it is one of a series
    all_only     whether it takes minutes, so that only --all has it
    """

    name: str
    function: Callable[..., Any]
    inputs: Callable[[], tuple]
    wrt: tuple[int, ...] = ()
    value: bool = True
    size: int | None = None
    all_only: bool = False

    def compiled(self, library: Library, gradient: bool) -> Callable[..., Any]:
        """The program, or its gradient, as a function that compiles at its first call."""

        def run(*arguments: Any) -> Any:
            return self.function(library, *arguments)

        run.__name__ = self.name.split("/")[0].replace("-", "_")
        return library.jit(library.grad(run, self.wrt) if gradient else run)


def by_random(*shapes: tuple[int, ...], scale: float = 0.3) -> Callable[[], tuple]:
    """Normal numbers of these shapes, the same at every call; numbers where a shape is ()."""

    def make() -> tuple:
        r = np.random.default_rng(7)
        return tuple(scale * r.normal(size=s) if s else scale * float(r.normal()) for s in shapes)

    return make
