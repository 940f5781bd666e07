"""Kernels of the tests are cached in a folder of their own, gone with the session."""

from __future__ import annotations

import os
import tempfile

_cache = tempfile.TemporaryDirectory(prefix="scancc-tests-")
os.environ["SCANCC_CACHE_DIR"] = _cache.name
