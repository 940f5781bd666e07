"""The folders are the pipeline: what may import what, what the wheel holds, and how large a file may be."""

from __future__ import annotations

import ast
import configparser
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = sorted([*(ROOT / "scancc").rglob("*.py"), *(ROOT / "runtime").rglob("*.py")])

# What each part may import of the others; a part may always import itself.
ALLOWED = {
    "scancc.errors": {"scancc.ir"},
    "scancc.ir": {"scancc.errors"},
    "scancc.interpreter": {"scancc.ir", "scancc.errors", "scancc.draws"},
    "scancc.draws": set(),
    "scancc.frontend": {"scancc.ir", "scancc.errors", "scancc.arrays", "scancc.locks", "scancc.collector", "scancc"},
    "scancc.autodiff": {"scancc.ir", "scancc.errors", "scancc.batching"},
    "scancc.batching": {"scancc.ir", "scancc.errors", "scancc.autodiff"},
    "scancc.passes": {"scancc.ir", "scancc.errors", "scancc.interpreter", "scancc.batching"},
    "scancc.backends": {"scancc.ir", "scancc.errors", "scancc.passes", "scancc.arrays", "scancc.locks",
                        "scancc.collector", "scancc_runtime", "scancc"},
    "scancc.locks": set(),
    "scancc.collector": {"scancc.locks", "scancc"},
    "scancc.static": {"scancc.ir", "scancc.passes", "scancc.backends", "scancc.inspection"},
    "scancc.checking": {"scancc.static", "scancc.cli", "scancc.api", "scancc.jit", "scancc.inspection", "scancc.errors",
                     "scancc.calibration", "scancc"},
    "scancc_runtime": set(),
}


# The folders of passes/ in the order in which a program goes through them; each may import those before it.
PASSES = ("sizes", "graph", "storage", "lower", "unroll", "loops", "devices", "pipeline")


def part(module: str) -> str:
    return ".".join(module.split(".")[:2]) if module.startswith("scancc.") else module.split(".")[0]


def imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {a.name for a in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = {f"{node.module}.{a.name}" for a in node.names}
            found |= inner if node.module == "scancc" else {node.module}
    return {m for m in found if m.split(".")[0] in ("scancc", "scancc_runtime")}


def module_of(path: Path) -> str:
    base = ROOT / "runtime" if (ROOT / "runtime") in path.parents else ROOT
    return ".".join(path.relative_to(base).with_suffix("").parts).removesuffix(".__init__")


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_layers(path):
    own = part(module_of(path))
    if own not in ALLOWED:
        return
    for other in {part(m) for m in imports(path)} - {own}:
        if own == "scancc.interpreter" and other == "scancc_runtime":
            # The oracle computes nothing by the library that it judges; texts are all it takes from there.
            assert {m for m in imports(path) if m.startswith("scancc_runtime")} == {"scancc_runtime.messages"}
            continue
        # `from scancc import __version__` and `import scancc` name no part.
        name = "scancc" if other in ("scancc", "scancc.__version__") else other
        assert name in ALLOWED[own], f"{path} imports {other}"


@pytest.mark.parametrize("path", sorted((ROOT / "scancc/passes").rglob("*.py")), ids=lambda p: str(p.relative_to(ROOT)))
def test_passes_import_what_runs_before_them(path):
    own = path.relative_to(ROOT / "scancc/passes").with_suffix("").parts[0]
    if own == "__init__":
        return
    for other in {m.split(".")[2] for m in imports(path) if m.startswith("scancc.passes.")}:
        assert PASSES.index(other) <= PASSES.index(own), f"{path} imports {other}"


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_files_are_small_and_say_what_they_are(path):
    text = path.read_text()
    assert len(text.splitlines()) <= 450
    assert ast.get_docstring(ast.parse(text)), "a module opens with what it is for"
    assert path.stem not in ("utils", "helpers", "common", "misc")


def test_setup_cfg_lists_every_package():
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    listed = set(config["options"]["packages"].split())
    there = {module_of(p) for p in SOURCES if p.name == "__init__.py"}
    assert listed == there


def test_the_wheel_holds_the_tree(tmp_path):
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(ROOT)],
        check=True, capture_output=True,
    )  # fmt: skip
    (wheel,) = tmp_path.glob("*.whl")
    held = {n for n in zipfile.ZipFile(wheel).namelist() if n.endswith(".py")}
    base = {True: ROOT / "runtime", False: ROOT}
    tree = {p.relative_to(base[(ROOT / "runtime") in p.parents]).as_posix() for p in SOURCES}
    assert held == tree


def test_public_names_exist():
    import scancc

    assert all(hasattr(scancc, name) for name in scancc.__all__)
    assert all(getattr(scancc, name).__doc__ for name in scancc.__all__)


def test_no_module_takes_a_public_name():
    """A module that is imported late takes the place of a function of its name."""
    import scancc

    functions = {name for name in vars(scancc) if not name.startswith("_") and callable(getattr(scancc, name))}
    folder = ROOT / "scancc"
    modules = {p.stem for p in folder.glob("*.py")} | {p.parent.name for p in folder.glob("*/__init__.py")}
    assert functions & modules == {"jit"}  # which `import scancc` itself imports, before the function has the name
