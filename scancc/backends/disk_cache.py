"""Compiled kernels on disk, so that a second process need not compile.

One file a kernel, named by the hash of everything the machine code depends on: the generated source, types, options,
the versions of the compiler's parts, the text of the run-time library, and the processor. It holds object code, or, for
what numba compiles of the run-time library, LLVM's bitcode. A file is written under another name and moved into place,
so that processes at once never see half of one; its first bytes are the hash of its name and of the rest, so that a
damaged one is noticed, reported once, and replaced.

`SCANCC_CACHE_DIR` names the directory; set to the empty string it turns the cache off.
"""

from __future__ import annotations

import hashlib
import os
import platform
import sys
import tempfile
import warnings
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import llvmlite
import scancc_runtime
from llvmlite.binding import llvm_version_info
from scancc_runtime import processor

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
def _versions() -> str:
    """What makes the machine code, and what it is made of."""
    from scancc import __version__

    parts = hashlib.sha256()
    here = Path(__file__).parent
    makers = (*here.glob("machine_code.py"), *sorted((here / "llvm").glob("*.py")))
    for path in (*sorted(Path(scancc_runtime.__file__).parent.rglob("*.py")), *makers):
        parts.update(path.read_bytes())
    return repr((__version__, llvmlite.__version__, llvm_version_info, platform.machine(), sys.platform,
                 parts.hexdigest()))  # fmt: skip


def key_of(*parts: str) -> str:
    """A name for what is made of these texts, for the processor that code is made for now."""
    digest = hashlib.sha256()
    for part in (_versions(), processor.name(), processor.features(), *parts):
        digest.update(f"{len(part)}\0{part}".encode())
    return digest.hexdigest()


def load(key: str) -> bytes | None:
    """The data stored under `key`, or None."""
    folder = directory()
    if folder is None:
        return None
    path = folder / (key + SUFFIX)
    try:
        data = path.read_bytes()
    except OSError:
        return None  # not there, or not ours to read: compile
    payload = data[DIGEST:]
    if _digest(key, payload) != data[:DIGEST]:
        warn_once(f"a cached kernel is damaged and was compiled again ({path})")
        return None
    try:
        os.utime(path)  # `clear --older-than` goes by the last use
    except OSError:
        pass
    return payload


def _digest(key: str, payload: bytes) -> bytes:
    """A file under the name of another is as good as damaged."""
    return hashlib.sha256(key.encode() + payload).digest()


def store(key: str, payload: bytes) -> None:
    """Keep data. A directory that cannot be written is reported once and left alone."""
    folder = directory()
    if folder is None:
        return
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=folder, suffix=".tmp")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(_digest(key, payload) + payload)
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
