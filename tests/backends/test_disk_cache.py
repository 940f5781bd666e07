"""The disk cache: used by a second process, safe against damage, other versions and unwritable folders."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from kernels import kernel, machine_code

import scancc as sc
from scancc.backends import disk_cache
from scancc.backends.llvm import library
from scancc.backends.machine_code import MachineCode
from scancc.errors import CacheWarning
from scancc.ir.loop import Buffer, Const, Store, const_int

PROGRAM = """
import numpy as np, scancc as sc
f = sc.scan_compile(lambda x, h, w: np.tanh(x + h @ w))
x, w = np.ones((20, 40)), np.full((40, 40), 0.01)
print(repr(float(f(x, np.zeros(40), w).sum())), f.lower(x, np.zeros(40), w).compiled.code.cached)
"""


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SCANCC_CACHE_DIR", str(tmp_path / "kernels"))
    monkeypatch.setattr(disk_cache, "_warned", set())
    return tmp_path / "kernels"


def process() -> list[str]:
    root = Path(__file__).parent.parent.parent
    path = os.pathsep.join([str(root), str(root / "runtime")])
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True,
                          env=os.environ | {"PYTHONPATH": path})  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def code(constant: float) -> MachineCode:
    x = Buffer("x", np.dtype("f8"), (const_int(1),), "output")
    made = machine_code(kernel([x], [Store(x, (const_int(0),), Const(constant, x.dtype))]))
    assert callable(made.call)  # it is compiled when it is asked for
    return made


def test_a_second_process_loads_what_the_first_compiled(cache):
    first, second = process(), process()
    assert first == [second[0], "False"] and second[1] == "True"


def test_two_processes_at_once(cache):
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: process()[0], range(4)))
    assert len(set(answers)) == 1
    assert [p.suffix for p in cache.iterdir()] == [disk_cache.SUFFIX]


@pytest.mark.parametrize("damage", [lambda b: b[:100], lambda b: b"", lambda b: b[:-1] + bytes([b[-1] ^ 1])])
def test_damage_is_said_once_and_repaired(cache, damage):
    code(1.5)
    (file,) = cache.iterdir()
    file.write_bytes(damage(file.read_bytes()))
    with pytest.warns(CacheWarning, match="damaged and was compiled again"):
        again = code(1.5)
    assert not again.cached
    x = np.zeros(1)
    assert again.call(x) == 0 and x[0] == 1.5
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert code(1.5).cached


def test_foreign_data_is_compiled_instead(cache):
    code(2.5)
    (file,) = cache.iterdir()
    disk_cache.store(file.stem, b"\nnot object code")
    with pytest.warns(CacheWarning, match="could not be loaded"):
        again = code(2.5)
    assert not again.cached
    x = np.zeros(1)
    assert again.call(x) == 0 and x[0] == 2.5


def test_a_file_under_the_name_of_another_kernel_is_damaged(cache):
    code(2.5)
    (other,) = cache.iterdir()
    code(3.5)
    (file,) = set(cache.iterdir()) - {other}
    file.write_bytes(other.read_bytes())
    with pytest.warns(CacheWarning, match="damaged and was compiled again"):
        again = code(3.5)
    x = np.zeros(1)
    assert not again.cached and again.call(x) == 0 and x[0] == 3.5
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert code(3.5).cached and code(2.5).cached


def test_files_hold_object_code(cache):
    """Nothing that a process would run to read it."""
    code(1.25)
    (file,) = cache.iterdir()
    needs, _, content = file.read_bytes()[disk_cache.DIGEST :].partition(b"\n")
    assert needs == b"" and content.startswith(b"\x7fELF" if sys.platform == "linux" else b"")


def test_a_folder_that_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SCANCC_CACHE_DIR", str(tmp_path / "file" / "kernels"))
    monkeypatch.setattr(disk_cache, "_warned", set())
    with pytest.warns(CacheWarning, match="not kept"):
        code(3.5)
    x = np.zeros(1)
    assert code(3.5).call(x) == 0 and x[0] == 3.5


def test_off(monkeypatch):
    monkeypatch.setenv("SCANCC_CACHE_DIR", "")
    assert disk_cache.directory() is None
    assert not code(4.5).cached and not code(4.5).cached


def changed(monkeypatch, what: str, tmp_path: Path) -> None:
    match what:
        case "version":
            monkeypatch.setattr(sc, "__version__", "9.9")
        case "llvmlite":
            monkeypatch.setattr(disk_cache.llvmlite, "__version__", "9.9")
        case "llvm":
            monkeypatch.setattr(disk_cache, "llvm_version_info", (99, 0, 0))
        case "name":
            monkeypatch.setenv("NUMBA_CPU_NAME", "x86-64-v3")
        case "features":
            monkeypatch.setenv("NUMBA_CPU_FEATURES", "+avx")
        case "text of the back end":
            shutil.copytree(Path(library.__file__).parent, tmp_path / "llvm")
            monkeypatch.setattr(disk_cache, "__file__", str(tmp_path / "disk_cache.py"))
            with open(tmp_path / "llvm" / "ops.py", "a") as file:
                file.write("# another\n")


@pytest.fixture
def anew():
    """Find out again which versions there are; after the test, too."""
    yield disk_cache._versions.cache_clear
    disk_cache._versions.cache_clear()


@pytest.mark.parametrize("what", ["version", "llvmlite", "llvm", "name", "features", "text of the back end"])
def test_versions_and_the_processor_are_part_of_the_key(cache, monkeypatch, what, tmp_path, anew):
    before = disk_cache.key_of("source")
    assert disk_cache.key_of("source") == before != disk_cache.key_of("source", "")
    with monkeypatch.context() as patch:
        changed(patch, what, tmp_path)
        anew()
        assert disk_cache.key_of("source") != before
    anew()
    assert disk_cache.key_of("source") == before
