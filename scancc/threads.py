"""How many threads each implementation of a benchmark may use: one place for `scancc bench`, bench/ and its processes.

Libraries that are loaded are told by threadpoolctl. Those that are loaded later, and processes that are started, read
variables: OMP_NUM_THREADS and its kin, and NPROC and PJRT_NPROC, by which alone XLA sizes its pool.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numba
from threadpoolctl import threadpool_info, threadpool_limits

OF_LIBRARIES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "PJRT_NPROC", "NPROC")
VARIABLES = (*OF_LIBRARIES, "NUMBA_NUM_THREADS", "XLA_FLAGS")


@contextmanager
def limited(count: int) -> Iterator[None]:
    """At most so many threads in each library, until the end of the block; XLA's pool stays as it was made first."""
    import scipy.linalg  # noqa: F401  # loads the BLAS that products call, so that the limit reaches it

    before = {name: os.environ.get(name) for name in OF_LIBRARIES}
    os.environ.update(dict.fromkeys(OF_LIBRARIES, str(count)))
    try:
        with threadpool_limits(count):
            yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def limit() -> int:
    """How many `limited` allows, also in a process that was started within it; one where nobody has said."""
    return int(os.environ.get("PJRT_NPROC", "1"))


def found() -> dict[str, Any]:
    """What was asked for by variables, and how many threads numba and each BLAS and OpenMP that is loaded may start."""
    record: dict[str, Any] = {name: os.environ[name] for name in VARIABLES if name in os.environ}
    record["numba"] = numba.config.NUMBA_NUM_THREADS
    for pool in threadpool_info():
        record.setdefault(pool["internal_api"], []).append(pool["num_threads"])
    return record
