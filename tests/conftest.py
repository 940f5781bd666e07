"""Kernels of the tests are cached in a folder of their own, gone with the session."""

from __future__ import annotations

import os
import tempfile

# Kernels for devices run in Python, unless a device is what is tested: those for the CPU are the same.
if os.environ.get("SCANCC_TEST_DEVICE") != "1":
    os.environ["NUMBA_ENABLE_CUDASIM"] = "1"

# Workers of pytest-xdist find what others have compiled: the process that starts them made the folder.
if "PYTEST_XDIST_WORKER" not in os.environ:
    _cache = tempfile.TemporaryDirectory(prefix="scancc-tests-")
    os.environ["SCANCC_CACHE_DIR"] = _cache.name
