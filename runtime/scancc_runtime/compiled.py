"""numba's `njit` for functions that kernels link: also where NUMBA_DISABLE_JIT has numba leave those of users alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numba
from numba import config


def njit(function: Callable[..., Any] | None = None, **options: Any) -> Any:
    if function is None:
        return lambda function: njit(function, **options)
    with compiling():
        return numba.njit(function, **options)


@contextmanager
def compiling() -> Iterator[None]:
    """numba compiles."""
    disabled, config.DISABLE_JIT = config.DISABLE_JIT, 0
    try:
        yield
    finally:
        config.DISABLE_JIT = disabled
