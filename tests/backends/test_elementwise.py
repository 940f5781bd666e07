"""Every element-wise op on every dtype that NumPy defines it for: compiled and interpreted give the same.

One program a dtype holds all ops at once. Integers and bools must agree to the bit, floats to a few ulp.
"""

from __future__ import annotations

import numpy as np
import pytest
import scipy.special

from scancc import interpreter
from scancc.arrays import as_kernel_array
from scancc.backends.functions import EXPRESSIONS
from scancc.driver import compile_graph
from scancc.ir import build
from scancc.ir.graph import Graph
from scancc.ir.ops import OPS
from scancc.ir.types import DTYPES, Dim, Type
from scancc.passes.pipeline import Options

ELEMENTWISE = [n for n, d in OPS.items() if d.kind == "elementwise" and n not in ("where", "cast", "wrap_index")]
# Ops that the front end never makes of these dtypes: NumPy has no loop, or defines it by another op.
BY_NAME = {"real": "biufc", "imag": "c", "conjugate": "c", "erf": "f", "erfc": "f", "gammaln": "f", "expit": "f"}


def defined(op: str, dtype: np.dtype) -> bool:
    """Whether NumPy has a loop of exactly this dtype."""
    if op in BY_NAME:
        return dtype.kind in BY_NAME[op]
    ufunc = getattr(np, op)
    loop = [dtype] * ufunc.nin
    try:
        return list(ufunc.resolve_dtypes((*loop, None))[: ufunc.nin]) == loop
    except TypeError:
        return False


def values(dtype: np.dtype) -> np.ndarray:
    """Interesting operands: every pair of them is tried."""
    if dtype.kind == "b":
        return np.array([False, True])
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        return np.unique(np.array([info.min, info.min + 1, 0, 1, 2, 3, 7, 8, 31, 33, 64, 100, info.max - 1, info.max]
                                  + ([-1, -2, -3, -64] if dtype.kind == "i" else [])).clip(info.min, info.max)
                         .astype(dtype))
    real = np.array([0.0, -0.0, 1, -1, 0.5, -2.5, 1.5, 3, 7.25, 100, -1e-3, 1e10, np.inf, -np.inf, np.nan])
    if dtype.kind == "f":
        tiny = np.array([5e-324, -5e-324, 1e-310] if dtype.itemsize == 8 else [1e-45, -1e-45, 1e-39])
        return np.concatenate([real, tiny]).astype(dtype)
    part = np.array([0.0, 1, -1, 0.5, -2.5, 3.25, 1e-3])
    return (part[:, None] + 1j * part).ravel().astype(dtype)


def pairs(dtype: np.dtype) -> tuple[np.ndarray, np.ndarray]:
    v = values(dtype)
    a, b = np.meshgrid(v, v)
    return a.ravel(), b.ravel()


def both(nodes: dict, arrays: dict, inputs: tuple) -> tuple[dict, dict]:
    graph = Graph(inputs, nodes)
    program = compile_graph(graph, "ops", Options(strict_fp=True, optimize=False))
    given = {k: as_kernel_array(v) for k, v in arrays.items()}
    return program.run(given), interpreter.run(graph, given)


def operands(dtype: np.dtype):
    n = Dim("n")
    return tuple(build.make("input", type=Type(dtype, (n,)), name=name) for name in "ab")


@pytest.mark.parametrize("dtype", DTYPES.values(), ids=str)
def test_every_op(dtype):
    a, b = operands(dtype)
    nodes = {}
    for op in ELEMENTWISE:
        if not defined(op, dtype) or (op == "power" and dtype.kind == "i"):
            continue
        assert EXPRESSIONS[op].get(dtype.kind), f"{op} of {dtype} cannot be compiled"
        nodes[op] = build.make(op, *(a, b)[: OPS[op].arity])
    assert len(nodes) > 10
    x, y = pairs(dtype)
    have, want = both(nodes, {"a": x, "b": y}, (a, b))
    for op in nodes:
        assert have[op].dtype == want[op].dtype, op
        if op == "gammaln":  # SciPy's is infinite for subnormal numbers
            normal = (x == 0) | (np.abs(x) >= np.finfo(dtype).tiny)
            have[op], want[op] = have[op][normal], want[op][normal]
        if dtype.kind in "biu" or want[op].dtype.kind in "biu":
            np.testing.assert_array_equal(have[op], want[op], err_msg=op)
        else:
            size = np.finfo(dtype).eps
            np.testing.assert_allclose(have[op], want[op], rtol=32 * size, atol=8 * size * (dtype.kind == "c"),
                                       err_msg=op)  # fmt: skip


@pytest.mark.parametrize("dtype", [d for d in DTYPES.values() if d.kind == "f"], ids=str)
def test_signs_of_zeros(dtype):
    a, b = operands(dtype)
    ops = "floor ceil rint trunc copysign negative sign remainder floor_divide fmod sqrt cbrt".split()
    nodes = {op: build.make(op, *(a, b)[: OPS[op].arity]) for op in ops}
    x, y = pairs(dtype)
    have, want = both(nodes, {"a": x, "b": y}, (a, b))
    for op in ops:
        known = ~np.isnan(want[op])
        np.testing.assert_array_equal(np.signbit(have[op][known]), np.signbit(want[op][known]), err_msg=op)


@pytest.mark.parametrize("dtype", [d for d in DTYPES.values() if d.kind == "i"], ids=str)
def test_integer_powers(dtype):
    a, b = operands(dtype)
    base = np.repeat(values(dtype), 5)
    exponent = np.tile(np.array([0, 1, 2, 3, 7], dtype), len(values(dtype)))
    have, want = both({"r": build.make("power", a, b)}, {"a": base, "b": exponent}, (a, b))
    np.testing.assert_array_equal(have["r"], want["r"])


def test_negative_integer_powers_are_an_error():
    a, b = operands(np.dtype("int64"))
    program = compile_graph(Graph((a, b), {"r": build.make("power", a, b)}), "ops", Options())
    with pytest.raises(ValueError, match="negative integer power"):
        program.run({"a": np.array([2, 2]), "b": np.array([1, -1])})


@pytest.mark.parametrize("source", DTYPES.values(), ids=str)
def test_casts(source):
    a, _ = operands(source)
    x = values(source)
    x = x[np.isfinite(x)] if source.kind in "fc" else x
    nodes, arrays = {}, {"a": x}
    for name, dtype in DTYPES.items():
        nodes[name] = build.make("cast", a, dtype=dtype)
    if source.kind in "fc":  # what does not fit an integer is undefined in C
        arrays["a"] = x = x[(np.abs(x.real) < 100) & (x.real >= 0)]
    with np.errstate(all="ignore"):
        have, want = both(nodes, arrays, (a,))
    for name in nodes:
        np.testing.assert_array_equal(have[name], want[name], err_msg=name)


@pytest.mark.parametrize("dtype", DTYPES.values(), ids=str)
def test_where(dtype):
    a, b = operands(dtype)
    x, y = pairs(dtype)
    condition = build.make("equal", a, b)
    have, want = both({"r": build.make("where", condition, a, b)}, {"a": x, "b": y}, (a, b))
    np.testing.assert_array_equal(have["r"], want["r"])


def test_special_functions_are_those_of_scipy():
    assert interpreter.EVALUATE["erf"] is scipy.special.erf
