"""Ops compile for a device, for every dtype that they take. The simulator runs what no device could."""

from __future__ import annotations

import importlib.util
import json
import os

import pytest
from cuda.test_offline import without_simulator

PROGRAM = """
import json, sys
import numpy as np
import scancc as sc
from scancc.errors import ScanTypeError, UnsupportedError
from scancc.frontend.special_functions import SPECIAL
from scancc.frontend.ufuncs import COMPOSITES, UFUNCS
import scipy.special

dtype = sys.argv[1]
x = (np.arange(1, 9) % 3).astype(dtype)
names = sorted(n for n in {*UFUNCS, *COMPOSITES} if hasattr(np, n) and n not in ("matmul", "vecdot"))
ufuncs = [getattr(np, n) for n in names] + [getattr(scipy.special, n) for n in sorted(SPECIAL)]
ufuncs += [getattr(scipy.special, n) for n in ("erf", "erfc", "gammaln", "expit")]
others = {
    "sum": np.sum, "prod": np.prod, "min": np.min, "max": np.max, "any": np.any, "all": np.all, "argmax": np.argmax,
    "argmin": np.argmin, "cumsum": np.cumsum, "cumprod": np.cumprod, "cummax": np.maximum.accumulate,
    "cummin": np.minimum.accumulate, "argsort": np.argsort, "sort": np.sort, "where": lambda x: np.where(x > 0, x, 1),
    "take": lambda x: np.take(x, [3, 1]), "put": lambda x: x.at[1].set(x[0]).at[[2, 3]].add(x[:2]),
    "join": lambda x: np.concatenate([x, x]), "matmul": lambda x: x.reshape(2, 4) @ x.reshape(4, 2),
    "einsum": lambda x: np.einsum("i,j->ij", x, x), "dynamic": lambda x: sc.take(x, (x[0] != 0).astype("i8")),
    "logsumexp": lambda x: sc.logsumexp(x), "median": np.median, "search": lambda x: np.searchsorted(x, x),
    "inv": lambda x: np.linalg.inv(x[:4].reshape(2, 2)), "cholesky": lambda x: np.linalg.cholesky(x[:4].reshape(2, 2)),
    "det": lambda x: np.linalg.det(x[:4].reshape(2, 2)), "solve": lambda x: np.linalg.solve(np.outer(x, x), x),
    "slogdet": lambda x: np.linalg.slogdet(x[:4].reshape(2, 2)),
    **{f"to {d}": (lambda x, d=d: x.astype(d)) for d in "? i1 i2 i4 i8 u1 u2 u4 u8 f2 f4 f8 c8 c16".split()},
}
calls = {u.__name__: (lambda x, u=u: u(*[x] * u.nin)) for u in ufuncs} | others
taken = {}
for name, f in calls.items():
    try:
        sc.jit(f)(x, mode="interpret")
    except (ScanTypeError, UnsupportedError):
        continue  # NumPy has no loop for this dtype
    taken[name] = f
def every(x):
    found = []
    for f in taken.values():
        found += r if isinstance(r := f(x), tuple) else [r]
    return tuple(found)

failed = []
try:
    sc.jit(every, target="cuda").lower(x).ptx(cc=(9, 0))
except Exception:
    for name, f in taken.items():
        try:
            sc.jit(lambda x, f=f: f(x), target="cuda").lower(x).ptx(cc=(9, 0))
        except Exception as e:
            failed.append(f"{name}: {type(e).__name__}: {str(e)[-300:]}")
    failed = failed or ["all of them together"]
print(json.dumps({"failed": failed, "count": len(taken)}))
"""
DTYPES = "bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 float32 float64 complex64 complex128".split()


INTEGERS = """
import sys
import numpy as np
import scancc as sc

def every(x):
    functions = np.left_shift, np.right_shift, np.floor_divide, np.remainder, np.fmod, np.power, np.bitwise_xor
    y = [f(x, x) for f in functions]
    return (*y, x >> 3, x << 1, x < np.arange(8), x >= np.arange(8).astype("u8"), np.sort(x), np.maximum.accumulate(x))

sc.jit(every, target="cuda").lower(np.arange(8).astype(sys.argv[1])).ptx(cc=(9, 0))
if sys.argv[1] == "uint64":
    sc.jit(lambda k: sc.random.uniform(k, (8,)), target="cuda").lower(sc.random.key(1)).ptx(cc=(9, 0))
"""
needs_ptx = pytest.mark.skipif(importlib.util.find_spec("numba_cuda") is None, reason="PTX needs the extra 'cuda'")


@needs_ptx
@pytest.mark.parametrize("dtype", ["uint64", "int8"])
def test_integers_compile(dtype):
    run = without_simulator(INTEGERS, dtype)
    assert run.returncode == 0, run.stderr


@needs_ptx
@pytest.mark.skipif(os.environ.get("SCANCC_TEST_EVERY_OP") != "1", reason="takes minutes for each dtype")
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_op_compiles(dtype):
    run = without_simulator(PROGRAM, dtype)
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout.splitlines()[-1])
    assert not found["failed"]
    assert found["count"] > 40
