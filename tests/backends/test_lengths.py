"""Lengths that the program knows are constants of the machine code."""

from __future__ import annotations

import numba
import numpy as np

import scancc as sc
from scancc.backends import disk_cache
from scancc.backends.machine_code import MachineCode
from scancc.passes.pipeline import Options

R = np.random.default_rng(0)


def test_rows_that_cannot_meet_are_not_compared():
    def last(x, y0):
        return sc.scan(lambda x, y2, y1: x + 0.5 * y1 - 0.3 * y2, x, [dict(initial=y0, taps=[-2, -1])])[-1]

    x, y0 = R.normal(size=(9, 1000)), R.normal(size=(2, 1000))
    f = sc.jit(last)
    assert np.allclose(f(x, y0), f(x, y0, mode="interpret"), rtol=1e-12)
    assert "memcheck" not in f.lower(x, y0).llvm()


def test_lengths_that_are_known_and_those_that_are_not():
    f = sc.jit(lambda x, h: sc.scan(lambda x, h: h @ x, x, h))
    code = f.lower(R.normal(size=(3, 40, 40)), R.normal(size=40)).compiled.code
    assert (None, 40, 40) in code.lengths.values()
    g = sc.jit(lambda x: sc.scan(lambda x: x.sum(), x))
    assert not g.lower(R.normal(size=9)).compiled.code.lengths


def test_lengths_are_part_of_the_key(tmp_path, monkeypatch):
    monkeypatch.setenv("SCANCC_CACHE_DIR", str(tmp_path))
    source = "def k(x, y):\n    y[0] = x[1, 0]\n    return 0\n"
    signature = numba.float64[:, ::1], numba.float64[::1]
    for n in (2, 3):
        x, y = np.arange(6.0).reshape(-1, n), np.zeros(1)
        code = MachineCode(source, "k", signature, Options(), lengths={0: (None, n)})
        code.call(x, y)
        assert y[0] == n
    assert len(list(disk_cache.files())) == 2
