"""The disk cache: used by a second process, safe against damage, other versions and unwritable folders."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from numba.core import config

import scancc as sc
from scancc.backends import disk_cache
from scancc.backends.machine_code import MachineCode
from scancc.errors import CacheWarning

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
    import numba

    from scancc.passes.pipeline import Options

    source = f"def k(x):\n    x[0] = {constant}\n    return 0\n"
    made = MachineCode(source, "k", (numba.types.Array(numba.float64, 1, "C"),), Options())
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
    import hashlib
    import pickle

    code(2.5)
    (file,) = cache.iterdir()
    payload = pickle.dumps(("not", "a", "kernel"))
    file.write_bytes(hashlib.sha256(payload).digest() + payload)
    with pytest.warns(CacheWarning, match="could not be loaded"):
        assert not code(2.5).cached


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


@pytest.mark.parametrize(
    ("where", "name", "value"),
    [(sc, "__version__", "9.9"), (config, "SLP_VECTORIZE", 1 - config.SLP_VECTORIZE),
     (config, "LOOP_VECTORIZE", 1 - config.LOOP_VECTORIZE)],
)  # fmt: skip
def test_versions_and_settings_are_part_of_the_key(cache, monkeypatch, where, name, value):
    before = disk_cache.key_of("source")
    assert disk_cache.key_of("source") == before != disk_cache.key_of("source", "")
    monkeypatch.setattr(where, name, value)
    disk_cache._environment.cache_clear()
    assert disk_cache.key_of("source") != before
    disk_cache._environment.cache_clear()
