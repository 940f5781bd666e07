"""`scancc doctor`: what this machine has, what is missing, and the command that installs it."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from typing import Annotated, Any, Literal

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

State = Literal["fine", "note", "missing", "broken"]
STYLES = {"fine": "green", "note": "", "missing": "yellow", "broken": "bold red"}
PEERS = ("jax", "pytensor", "torch", "statsmodels", "arch", "pandas", "matplotlib", "cffi")


@dataclass(frozen=True)
class Entry:
    """One line of the report. `broken` is what compiled scans on the CPU need and do not have."""

    what: str
    state: State
    found: str
    help: str = ""


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="JSON on standard output instead of a table")] = False,
) -> None:
    """Report the environment, what is missing in it, and whether a compiled scan gives the right result.

    Exit status: 0 the core works, 1 something that it needs is broken.
    """
    entries = [entry for part in PARTS for entry in _tried(part)]
    if as_json:
        sys.stdout.write(json.dumps([asdict(e) for e in entries], indent=1) + "\n")
    else:
        _show(entries)
    raise typer.Exit(int(any(e.state == "broken" for e in entries)))


def _tried(part: Callable[[], Iterator[Entry]]) -> list[Entry]:
    """The entries of a part; one that raises is itself what is broken."""
    found: list[Entry] = []
    try:
        for entry in part():
            found.append(entry)
    except Exception as e:  # a doctor reports what is wrong with others
        found.append(Entry(part.__name__.strip("_").replace("_", " "), "broken", f"{type(e).__name__}: {e}"))
    return found


def _show(entries: list[Entry]) -> None:
    table = Table(show_header=False, box=None, pad_edge=False)
    for _ in range(3):
        table.add_column(overflow="fold")
    for e in entries:
        table.add_row(Text(e.state, STYLES[e.state]), Text(e.what), Text(e.found))
        if e.help:
            table.add_row("", "", Text(e.help, "cyan"))
    console = Console()
    (console if console.is_terminal else Console(width=140)).print(table)


# -- parts -------------------------------------------------------------------------------------------------------------


def _packages() -> Iterator[Entry]:
    yield Entry("Python", "fine" if sys.version_info >= (3, 11) else "broken", sys.version.split()[0])
    yield Entry("scancc", "fine", metadata.version("scancc"))
    for text in metadata.requires("scancc") or []:
        if "extra ==" in text:
            continue
        match = re.match(r"([\w.-]+)\s*(?:>=\s*([\d.]+))?", text)
        if match is None:
            continue
        name, least = match.group(1), match.group(2)
        try:
            have = metadata.version(name)
        except metadata.PackageNotFoundError:
            yield Entry(name, "broken", "not installed", f"pip install '{text}'")
            continue
        old = least is not None and _numbers(have) < _numbers(least)
        yield Entry(name, "broken" if old else "fine", have + (f", older than {least}" if old else ""),
                    f"pip install --upgrade '{text}'" if old else "")  # fmt: skip


def _numbers(version: str) -> list[int]:
    return [int(n) for n in re.findall(r"\d+", version.split("+")[0])[:3]]


def _processor() -> Iterator[Entry]:
    from llvmlite import binding

    features = binding.get_host_cpu_features()
    vectors = [f for f in ("avx512f", "avx2", "fma", "neon", "sve") if features.get(f)]
    slow = {"x86_64", "AMD64"} & {os.uname().machine if hasattr(os, "uname") else ""} and "avx2" not in vectors
    name, known = binding.get_host_cpu_name(), ", ".join(vectors) or "none known"
    yield Entry("processor", "note" if slow else "fine", f"{name}, {os.cpu_count()} cores, vectors: {known}")
    told = [f"{n}={os.environ[n]}" for n in ("NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES", "OMP_NUM_THREADS",
            "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS", "SCANCC_TARGET") if n in os.environ]  # fmt: skip
    if told:
        yield Entry("environment", "note", ", ".join(told))


def _cache() -> Iterator[Entry]:
    from scancc.backends import disk_cache

    folder = disk_cache.directory()
    if folder is None:
        yield Entry("kernel cache", "note", "off: SCANCC_CACHE_DIR is empty")
        return
    place = folder
    while not place.exists() and place != place.parent:
        place = place.parent
    if not os.access(place, os.W_OK):
        yield Entry("kernel cache", "missing", f"{folder} cannot be written: every process compiles anew",
                    "set SCANCC_CACHE_DIR to a directory of yours")  # fmt: skip
        return
    if folder.exists() and hasattr(os, "getuid"):
        status = folder.stat()
        if status.st_uid != os.getuid() or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            yield Entry("kernel cache", "missing", f"{folder} can be written by others, and its files are pickles",
                        f"chmod 700 {folder}")  # fmt: skip
            return
    yield Entry("kernel cache", "fine", str(folder))


def _peers() -> Iterator[Entry]:
    missing = []
    for name in PEERS:
        try:
            yield Entry(name, "fine", metadata.version(name))
        except metadata.PackageNotFoundError:
            missing.append(name)
    if missing:
        yield Entry("for scancc bench", "missing", ", ".join(missing),
                    "pip install 'scancc[bench]'" + (" torch" if "torch" in missing else ""))  # fmt: skip
    compiler = shutil.which(os.environ.get("CC", "gcc"))
    yield Entry("C compiler", "fine" if compiler else "missing", compiler or "none, for the C of the benchmarks",
                "" if compiler else "install gcc, or set CC")  # fmt: skip


def _device() -> Iterator[Entry]:
    if os.environ.get("NUMBA_ENABLE_CUDASIM", "0") not in ("", "0"):
        yield Entry("CUDA", "note", "simulator: NUMBA_ENABLE_CUDASIM is set")
        return
    try:
        version = metadata.version("numba-cuda")
    except metadata.PackageNotFoundError:
        yield Entry("CUDA", "missing", "numba-cuda is not installed: no target='cuda'", "pip install 'scancc[cuda]'")
        return
    from scancc.backends.cuda.toolkit import cuda
    from scancc.errors import DeviceError

    try:
        name = cuda().get_current_device().name
        yield Entry("CUDA", "fine", f"numba-cuda {version}, {name.decode() if isinstance(name, bytes) else name}")
    except DeviceError as e:
        yield Entry("CUDA", "missing", f"numba-cuda {version}, no device", str(e).partition("\n")[0])


def _compiled_scan() -> Iterator[Entry]:
    import numpy as np

    from scancc.api import ScanFunction
    from scancc.driver import options_of

    x = np.random.default_rng(0).normal(size=200)
    f = ScanFunction(lambda x, y2, y1, a, b: x + a * y1 + b * y2, options_of(target="cpu"), "ar2")
    given: dict[str, Any] = dict(sequences=x, outputs_info=[dict(initial=np.zeros(2), taps=[-2, -1])],
                                 non_sequences=[1.3, -0.5])  # fmt: skip
    have, want = f(**given), f(**given, mode="interpret")
    right = np.allclose(have, want, rtol=1e-12)
    yield Entry("a compiled scan", "fine" if right else "broken",
                "AR(2) agrees with the interpreter" if right else "AR(2) differs from the interpreter",
                "" if right else "please report this with the output of scancc doctor --json")  # fmt: skip


PARTS = (_packages, _processor, _cache, _compiled_scan, _peers, _device)
