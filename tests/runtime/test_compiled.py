"""Functions that kernels link are compiled whatever numba is told about those of users."""

from __future__ import annotations

import os
import subprocess
import sys

PROGRAM = """
import numpy as np, scancc as sc
x = np.ones((2, 20, 20)) + np.eye(20)
a = sc.scan(lambda u, h: h + np.linalg.inv(u), x, np.zeros((20, 20)))[-1]
np.testing.assert_allclose(a, 2 * np.linalg.inv(x[0]), atol=1e-12)
f = lambda k: sc.random.gamma(k, (3,), a=0.5)
np.testing.assert_array_equal(sc.jit(f)(sc.random.key(2)), sc.jit(f, target="cpu")(sc.random.key(2)))
assert np.isclose(sc.jit(lambda z: np.tan(z))(0.5 + 1j), np.tan(0.5 + 1j))
"""


def test_where_numba_compiles_nothing():
    environment = os.environ | {"NUMBA_DISABLE_JIT": "1", "SCANCC_CACHE_DIR": "", "SCANCC_TARGET": "cpu"}
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
