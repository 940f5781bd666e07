"""Compiled kernels on disk, so that a second process need not compile.

One file a kernel, named by the hash of everything the machine code depends on: the generated source, types, options,
the versions of the compiler's parts and numba's settings, the text of the run-time library, and the CPU. A file is
written under another name and moved into place, so that processes at once never see half of one; its first bytes are
the hash of the rest, so that a damaged one is noticed, reported once, and replaced.

`SCANCC_CACHE_DIR` names the directory; set to the empty string it turns the cache off.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import platform
import tempfile
import warnings
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import llvmlite
import llvmlite.binding as llvm
import numba
import numpy as np
import scancc_runtime
from numba.core import config, serialize

from scancc.errors import CacheWarning

SUFFIX = ".kernel"
DIGEST = 32
_warned: set[str] = set()


def directory() -> Path | None:
    """Where kernels are kept, or None when the cache is off."""
    given = os.environ.get("SCANCC_CACHE_DIR")
    if given is not None:
        return Path(given) if given else None
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(base) / "scancc"


@lru_cache(maxsize=1)
def _environment() -> bytes:
    """Everything but the kernel itself that its machine code depends on."""
    from scancc import __version__

    runtime = hashlib.sha256()
    here = Path(__file__).parent
    makers = (here / f"{name}.py" for name in ("machine_code", "numba_pipeline", "entry"))
    for path in (*sorted(Path(scancc_runtime.__file__).parent.rglob("*.py")), *makers):
        runtime.update(path.read_bytes())
    parts = (
        __version__, numba.__version__, llvmlite.__version__, np.__version__, platform.python_version(),
        platform.machine(), config.CPU_NAME or llvm.get_host_cpu_name(),
        llvm.get_host_cpu_features().flatten() if config.CPU_FEATURES is None else config.CPU_FEATURES,
        os.environ.get("NUMBA_OPT", ""), config.LOOP_VECTORIZE, config.SLP_VECTORIZE, runtime.hexdigest(),
    )  # fmt: skip
    return repr(parts).encode()


def key_of(*parts: str) -> str:
    digest = hashlib.sha256(_environment())
    for part in parts:
        digest.update(f"\0{len(part)}\0{part}".encode())
    return digest.hexdigest()


def load(key: str) -> Any:
    """The data stored under `key`, or None."""
    folder = directory()
    if folder is None:
        return None
    path = folder / (key + SUFFIX)
    try:
        data = path.read_bytes()
    except OSError:
        return None  # not there, or not ours to read: compile
    if hashlib.sha256(data[DIGEST:]).digest() != data[:DIGEST]:
        warn_once(f"a cached kernel is damaged and was compiled again ({path})")
        return None
    try:
        os.utime(path)  # `clear --older-than` goes by the last use
    except OSError:
        pass
    return pickle.loads(data[DIGEST:])


def store(key: str, result: Any) -> None:
    """Keep a compilation result of numba. A directory that cannot be written is reported once and left alone."""
    folder = directory()
    if folder is None:
        return
    payload = serialize.dumps(result._reduce())  # numba's pickler: knows its own types and modules
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=folder, suffix=".tmp")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(hashlib.sha256(payload).digest() + payload)
            os.replace(name, folder / (key + SUFFIX))
        except BaseException:
            os.unlink(name)
            raise
    except OSError as e:
        warn_once(f"compiled kernels are not kept: {e}")


def warn_once(message: str) -> None:
    if message not in _warned:
        _warned.add(message)
        warnings.warn(message, CacheWarning, stacklevel=2)


def files() -> Iterator[Path]:
    """The kernels in the cache."""
    folder = directory()
    if folder is not None and folder.is_dir():
        yield from sorted(folder.glob("*" + SUFFIX))


def clear() -> tuple[int, int]:
    """Remove every kernel; returns how many there were and their bytes."""
    count = size = 0
    for path in files():
        try:
            size += path.stat().st_size
            path.unlink()
            count += 1
        except FileNotFoundError:
            pass  # another process was faster
    return count, size
