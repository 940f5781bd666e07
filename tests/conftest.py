"""Kernels of the tests are cached in a folder of their own, gone with the session."""

from __future__ import annotations

import os
import tempfile

# Kernels for devices run in Python: what numba compiles for the CPU is not changed by it.
os.environ["NUMBA_ENABLE_CUDASIM"] = "1"

_cache = tempfile.TemporaryDirectory(prefix="scancc-tests-")
os.environ["SCANCC_CACHE_DIR"] = _cache.name
