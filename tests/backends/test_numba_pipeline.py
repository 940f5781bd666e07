"""Kernels lowered by `numba_pipeline`: elements of arrays, by every kind of index, as NumPy has them."""

from __future__ import annotations

import numba
import numpy as np
import pytest

from scancc.backends.machine_code import MachineCode
from scancc.passes.pipeline import Options

SOURCE = """
def kernel(x, i, j, k, row, out):
    out[0, 0] = x[i, 1]
    out[at(0), 1] = x[at(1), i]
    out[1, i] = x[-1, 0]
    out[j, 0] = row[i]
    out[j, 1] = row[at(2)]
    v = x[j, k]
    x_1 = row[0]
    row[k] = v
    out[3, 1] = row[k]
    out[at(3), at(0)] = x_1
    return 0
"""
DTYPES = "bool int8 uint16 int64 uint64 float32 float64 complex64 complex128".split()


@pytest.mark.parametrize("last", [1, -1])
@pytest.mark.parametrize("dtype", DTYPES)
def test_elements(dtype, last):
    values = (np.arange(8) % 3).astype(dtype)
    x, row, i, j, k = values.reshape(4, 2), values[:4], last, np.int32(2), np.uint8(1)
    plain: dict = {"at": np.uint64}
    exec(SOURCE, plain)
    signature = tuple(map(numba.typeof, (x, i, j, k, row, x)))
    compiled = MachineCode(SOURCE, "kernel", signature, Options())
    results = []
    for run in (plain["kernel"], compiled.call):
        out, changed = np.zeros((4, 2), dtype), row.copy()
        assert run(x, i, j, k, changed, out) == 0
        results.append((out, changed))
    for a, b in zip(*results, strict=True):
        np.testing.assert_array_equal(a, b)
