"""`pytest -m gpu`: the suites of conformance, gradients and random programs with every program on a real device.

The rest of this session's tests have the simulator on, so each suite is a session of its own, without it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SUITES = (
    "test_conformance.py", "autodiff/test_scans.py", "test_lax.py", "test_shared.py", "cuda/test_lanes.py",
    "cuda/test_teams.py", "cuda/test_prefixes.py", "cuda/test_prefixes_of_lanes.py", "cuda/test_tiled_products.py",
    "cuda/test_lanes_that_end.py", "cuda/test_libraries.py", "cuda/test_random_device_programs.py",
)  # fmt: skip


def environment() -> dict[str, str]:
    known = {k: v for k, v in os.environ.items() if k != "NUMBA_ENABLE_CUDASIM"}
    return known | {"SCANCC_TEST_DEVICE": "1", "SCANCC_TARGET": "cuda",
                    "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}  # fmt: skip


@cache
def there_is_a_device() -> bool:
    ask = "import sys; from numba import cuda; sys.exit(not cuda.is_available())"
    return subprocess.run([sys.executable, "-c", ask], env=environment(), check=False).returncode == 0


@pytest.mark.gpu
@pytest.mark.parametrize("suite", SUITES)
def test_suite(suite):
    if not there_is_a_device():
        pytest.skip("no CUDA device")
    run = subprocess.run([sys.executable, "-m", "pytest", "-q", "-x", "-k", "not traffic", str(ROOT / suite)],
                         env=environment(), capture_output=True, text=True, check=False, cwd=ROOT.parent)  # fmt: skip
    assert run.returncode == 0, run.stdout[-5000:]
