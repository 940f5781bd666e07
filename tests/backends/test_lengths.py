"""Lengths that the program knows are constants of the machine code."""

from __future__ import annotations

import numpy as np
from kernels import kernel, machine_code

import scancc as sc
from scancc.backends import disk_cache
from scancc.ir.loop import INT64, Buffer, Load, Op, Store, Var, const_int

R = np.random.default_rng(0)


def test_rows_that_cannot_meet_are_not_compared():
    def last(x, y0):
        return sc.scan(lambda x, y2, y1: x + 0.5 * y1 - 0.3 * y2, x, [dict(initial=y0, taps=[-2, -1])])[-1]

    x, y0 = R.normal(size=(9, 1000)), R.normal(size=(2, 1000))
    f = sc.jit(last)
    assert np.allclose(f(x, y0), f(x, y0, mode="interpret"), rtol=1e-12)
    assert "memcheck" not in f.lower(x, y0).llvm()


def test_lengths_that_are_known_and_those_that_are_not():
    """No argument of the kernel says how far the rows of a matrix are apart that has 40 of each step."""

    f = sc.jit(lambda x, h: sc.scan(lambda x, h: h @ x, x, h))
    made = f.lower(R.normal(size=(3, 40, 40)), R.normal(size=40)).compiled
    assert [v.name for v, _, _ in made.lowered.lengths] == [*made.code.lengths] == ["n_x"]
    head = next(line for line in made.code.llvm().splitlines() if line.startswith("define"))
    assert head.count("i64 %") == 1


def test_lengths_are_not_negative():
    """LLVM is told so of those that are given, with the values that they have."""
    x, m = Buffer("x", INT64, (Var("m", INT64),), "output"), Var("m", INT64)
    negative = Op("less", (m, const_int(0)), np.dtype(bool))
    body = [Store(x, (const_int(0),), Op("where", (negative, const_int(1), const_int(2)), INT64))]
    told, untold = (machine_code(kernel([x, m], body), lengths=names).llvm() for names in (["m"], []))
    assert "select" in untold and "select" not in told


def test_lengths_are_part_of_the_key(tmp_path, monkeypatch):
    """Kernels of the same text that differ in a length alone."""
    monkeypatch.setenv("SCANCC_CACHE_DIR", str(tmp_path))
    m = Var("m", INT64)
    for n in (2, 3):
        x, y = np.arange(6.0).reshape(-1, n), np.zeros(1)
        assert second_row((m, const_int(n)), [m]).call(x, len(x), y) == 0
        assert y[0] == n
    assert len(list(disk_cache.files())) == 2


def test_lengths_that_the_host_computes_are_part_of_the_key(tmp_path, monkeypatch):
    monkeypatch.setenv("SCANCC_CACHE_DIR", str(tmp_path))
    m = Var("m", INT64)
    for n in (2, 3):
        x, y = np.arange(6.0).reshape(-1, n), np.zeros(1)
        computed = Op("add", (m, const_int(n - len(x))), INT64)
        assert second_row((m, Var("n", INT64)), [m], definitions={"n": computed}).call(x, len(x), y) == 0
        assert y[0] == n
    assert len(list(disk_cache.files())) == 2


def second_row(shape, lengths, **more):
    """The first element of the second row of a matrix."""
    x, y = Buffer("x", np.dtype("f8"), shape, "input"), Buffer("y", np.dtype("f8"), (const_int(1),), "output")
    made = kernel([x, *lengths, y], [Store(y, (const_int(0),), Load(x, (const_int(1), const_int(0))))])
    return machine_code(made, lengths=[v.name for v in lengths], **more)
