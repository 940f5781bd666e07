"""Baselines: the figures of a version that was good, as a JSON file in the user's repository.

    {"version": 1,
     "made_with": {"cpu": "x86-64-v3", "numba": "0.65.1", ...},
     "static": {"model.py:ar2": {"hot": {"instructions": 29, ...}, "ops": {"add": 2, ...}, ...}},
     "timed": {"model.py:ar2": {...}}}

Keys are sorted and there is one value a line, so that a change of one figure is a change of one line. Files are named
as seen from the baseline's folder.
"""

from __future__ import annotations

import json
import os
import platform
import tempfile
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from scancc.cli.loading import UsageError
from scancc.static import processors
from scancc.static.figures import Figures

VERSION = 1
DEFAULT = Path("scancc-baseline.json")
PACKAGES = ("numba", "llvmlite", "numpy")


@dataclass(slots=True)
class Baseline:
    """`static` and `timed` by subject; `made_with` says what the static figures depend on."""

    made_with: dict[str, str] = field(default_factory=dict)
    static: dict[str, dict[str, Any]] = field(default_factory=dict)
    timed: dict[str, Any] = field(default_factory=dict)

    @property
    def cpu(self) -> str | None:
        return self.made_with.get("cpu")


def tools(cpu: str) -> dict[str, str]:
    """What machine code depends on beside the program."""
    from scancc import __version__

    found = {"cpu": cpu, "machine": processors.machine(), "python": platform.python_version(), "scancc": __version__}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "unknown"
    return found


def record(figures: Figures) -> dict[str, Any]:
    """Figures as they stand in a baseline; the assembly itself is left out."""
    made = asdict(figures)
    made.pop("cpu")
    for loop in ("hot", "beside"):
        if made[loop] is not None:
            for left_out in ("text", "calls"):  # calls are in those of all loops
                made[loop].pop(left_out)
    made["loop_calls"] = list(made["loop_calls"])
    return made


def read(path: Path) -> Baseline:
    """Raises UsageError for a file that is not there, or is no baseline of this version."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f"there is no baseline {path}\n  help: make one with --update") from None
    except (ValueError, OSError) as e:
        raise UsageError(f"the baseline {path} cannot be read: {e}\n  help: make it anew with --update") from None
    if not isinstance(data, dict) or data.get("version") != VERSION:
        found = data.get("version") if isinstance(data, dict) else None
        raise UsageError(
            f"the baseline {path} is of version {found!r}, this scancc reads version {VERSION}\n"
            "  help: make it anew with --update"
        )
    parts = [data.get(name, {}) for name in ("made_with", "static", "timed")]
    if not all(isinstance(p, dict) for p in parts) or not all(isinstance(v, dict) for v in parts[1].values()):
        raise UsageError(f"the baseline {path} is damaged\n  help: make it anew with --update")
    return Baseline(*parts)


def write(path: Path, baseline: Baseline) -> None:
    """The whole file at once: a run that is interrupted leaves the old one."""
    text = json.dumps({"version": VERSION, **asdict(baseline)}, indent=1, sort_keys=True) + "\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".tmp")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(name, 0o644)  # a file of the repository, which everybody may read
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise
