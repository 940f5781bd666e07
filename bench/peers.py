"""The peers' modules, set up for a fair race: imported on demand, JAX with 64-bit floats."""

from __future__ import annotations

from typing import Any


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


FMA = {"contract"}  # a*b + c may be one fused operation: the only liberty the hand-written kernels take
