"""What passes over the loops did is told like what those over the graph did, and their loops can be looked at."""

from __future__ import annotations

import numpy as np
import pytest

import scancc as sc
from scancc.errors import ScanValueError
from scancc.ir.loop import show_kernel
from scancc.passes.pipeline import LOOP_PIPELINE
from scancc.report.changes import loop_changes

W = np.ones((128, 128), np.float32)


def power(**options):
    return sc.jit(lambda a, k: sc.scan(lambda r, a: r * a, None, np.ones(3), a, k)[-1], **options).lower(np.ones(3), 9)


def delay_line():
    f = sc.jit(lambda x, y0: sc.scan(lambda x, y: x + 0.5 * y, x, dict(initial=y0, taps=[-1000])).sum())
    return f.lower(np.ones(5000), np.zeros(1000))


def network():
    return sc.jit(lambda h, W: sc.scan(lambda h, W: np.tanh(h @ W), None, h, W, 9)).lower(np.ones((32, 128), "f4"), W)


def table():
    def row(costs, above):
        return sc.scan(lambda c, up, left: c + np.minimum(up, left), [costs, above], 0.0)

    return sc.jit(lambda costs: sc.scan(row, costs, np.zeros(50))[-1]).lower(np.ones((40, 50)))


@pytest.mark.parametrize(("program", "name"), [
    (power, "geometric_loops"), (delay_line, "ring_runs"), (network, "pack_weights"), (table, "skew_rows"),
])  # fmt: skip
def test_what_changes_loops_is_told(program, name):
    found, unchanged = loop_changes(program().compilation)
    did = {c.name: c for c in found}
    assert did[name].ops == "" and did[name].did
    assert {*did, *unchanged} == {step.name for step in LOOP_PIPELINE} and not {*did} & {*unchanged}
    assert f"{name} (" in program().explain()


def test_passes_that_did_not_run_are_not_told():
    found, unchanged = loop_changes(power(strict_fp=True).compilation)
    assert "geometric_loops" not in {*(c.name for c in found), *unchanged}
    assert loop_changes(power(optimize=False).compilation) == ([], ())


def test_loops_after_each_pass():
    program = power()
    assert "power" not in program.loop_ir("lower")
    assert "power" in program.loop_ir("geometric_loops")
    assert program.loop_ir("partial_sums") == program.loop_ir() == show_kernel(program.compilation.lowered.kernel)
    with pytest.raises(ScanValueError, match="no pass over the loops is named 'lunch'"):
        program.loop_ir("lunch")
