"""Compiled kernels on disk, so that a second process need not compile.

One file a kernel, named by the hash of everything the machine code depends on: the generated source, types, options,
the versions of the compiler's parts, the text of the run-time library, and the processor. It holds object code, or, for
what numba compiles of the run-time library, LLVM's bitcode. A file is written under another name and moved into place,
so that processes at once never see half of one; its first bytes are the hash of its name and of the rest, so that a
damaged one is noticed, reported once, and replaced.

What is in a file runs in this process, so a file or a directory that others own or may write to is left alone, which
is reported once. The files together stay below `SCANCC_CACHE_SIZE` bytes: what was not used for longest goes first.

`SCANCC_CACHE_DIR` names the directory; set to the empty string it turns the cache off.
"""

from __future__ import annotations

import hashlib
import os
import platform
import stat
import sys
import tempfile
import time
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
UNFINISHED = ".tmp"
DIGEST = 32
SIZE = 2**30  # bytes of all files, where SCANCC_CACHE_SIZE says nothing
KEPT = 0.9  # of that, when it was exceeded
ABANDONED = 3600  # seconds after which a file that is not finished has nobody who writes it
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
    data = _read(folder, path)
    if data is None:
        return None
    payload = data[DIGEST:]
    if _digest(key, payload) != data[:DIGEST]:
        warn_once(f"a cached kernel is damaged and was compiled again ({path})")
        return None
    try:
        os.utime(path)  # `clear --older-than` goes by the last use
    except OSError:
        pass
    return payload


def _read(folder: Path, path: Path) -> bytes | None:
    """What a file holds, if it is there and nobody else can have written it. Does not wait, whatever the file is."""
    try:
        if not _is_own(folder, folder.stat()):
            return None
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None  # not there, or not ours to read: compile
    try:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode):
            warn_once(f"what should be a cached kernel is no file ({path})")
            return None
        if not _is_own(path, found):
            return None
        with open(handle, "rb", closefd=False) as file:
            return file.read()
    finally:
        os.close(handle)


def _is_own(path: Path, found: os.stat_result) -> bool:
    """Whether only this user, or the system's administrator, can have made it what it is."""
    own = found.st_uid in (os.geteuid(), 0) and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    if not own:
        warn_once(
            f"cached kernels are not used: {path} belongs to another user or others may write to it; remove it, make "
            "it yours alone (chmod go-w), or set SCANCC_CACHE_DIR"
        )
    return own


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
        if not _is_own(folder, folder.stat()):
            return
        _bound.make_room(folder, DIGEST + len(payload))
        handle, name = tempfile.mkstemp(dir=folder, suffix=UNFINISHED)
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


class _Bound:
    """How much there is in a directory, as far as this process knows: looked at when it is first stored to."""

    def __init__(self) -> None:
        self._folder: Path | None = None
        self._bytes = 0

    def make_room(self, folder: Path, size: int) -> None:
        """For a file of this size. What other processes store meanwhile is seen when there is no room left."""
        limit = size_limit()
        if folder != self._folder:
            self._folder, self._bytes = folder, limit + 1
        self._bytes += size
        if self._bytes > limit:
            self._bytes = size + _trim(limit - size, KEPT)


_bound = _Bound()


def size_limit() -> int:
    """Raises ValueError where SCANCC_CACHE_SIZE is no number."""
    given = os.environ.get("SCANCC_CACHE_SIZE")
    return int(given) if given else SIZE


def _trim(limit: int, kept: float) -> int:
    """Remove what was not used for longest where there is more than `limit`; returns the bytes that are left."""
    found = []
    for path in (*files(), *unfinished()):
        try:
            seen = path.lstat()
        except OSError:
            continue
        if path.suffix == UNFINISHED and seen.st_mtime < time.time() - ABANDONED:
            path.unlink(missing_ok=True)
        elif stat.S_ISREG(seen.st_mode):
            found.append((seen.st_mtime, seen.st_size, path))
    total = sum(size for _, size, _ in found)
    if total > limit:
        for _, size, path in sorted(found):
            if total <= limit * kept:
                break
            path.unlink(missing_ok=True)
            total -= size
    return total


def files() -> Iterator[Path]:
    """The kernels in the cache."""
    yield from _named(SUFFIX)


def unfinished() -> Iterator[Path]:
    """What is being written, or was when a process was killed."""
    yield from _named(UNFINISHED)


def _named(suffix: str) -> Iterator[Path]:
    folder = directory()
    if folder is not None and folder.is_dir():
        yield from sorted(folder.glob("*" + suffix))


def clear() -> tuple[int, int]:
    """Remove every kernel, and what is not finished; returns how many files there were and their bytes."""
    count = size = 0
    for path in (*files(), *unfinished()):
        try:
            found = path.lstat()
            if stat.S_ISDIR(found.st_mode):
                continue  # not ours
            size += found.st_size
            path.unlink()
            count += 1
        except FileNotFoundError:
            pass  # another process was faster
    return count, size
