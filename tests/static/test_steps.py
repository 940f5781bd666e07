"""How many steps an iteration of the hot loop makes, and how many a measured call: one unit for both."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import scancc as sc
from scancc.cli.explain import example_of
from scancc.cli.loading import Target
from scancc.passes.loops.skew_rows import ROWS
from scancc.report.storage import inner_steps
from scancc.static import processors
from scancc.static.figures import figures_of
from scancc.static.hot_loop import rest_lines

x86 = pytest.mark.skipif(not processors.is_x86(), reason="machine code is analysed on x86-64 only")
COSTS = np.ones((40, 50))


@sc.jit
def table(costs):
    def row(costs, above):
        return sc.scan(lambda c, up, left: c + np.minimum(up, left), [costs, above], 0.0)

    return sc.scan(row, costs, np.zeros(50))[-1]


@sc.jit
def map_of(x0, steps):
    return sc.scan(lambda x: 3.9 * x * (1 - x), None, x0, n_steps=steps)[-1]


@sc.jit
def filtered(y, a, b):
    def step(y, m, v):
        gain = (a * v + b) / (a * v + b + 1.0)
        return m + gain * (y - m), (1 - gain) * (a * v + b), np.log(v) + (y - m) ** 2 / v

    _, _, terms = sc.scan(step, y, [0.0, 1.0, None])
    return terms.sum()


@x86
def test_several_rows_are_several_steps():
    program = table.lower(COSTS)
    assert f"all {ROWS} rows" in program.source()
    steps = figures_of(program).steps_per_iteration
    assert steps is not None and steps % ROWS == 0


@x86
def test_scratch_memory_of_some_hundred_steps_moves_by_steps():
    program = filtered.lower(np.ones(900), 0.9, 0.1)
    assert "_chunk" in program.source()
    assert figures_of(program).steps_per_iteration is not None


def made(function, *args):
    module = ModuleType("model")
    module.SCANCC_EXAMPLE_INPUTS = {"f": args}
    return example_of(Target(Path("model.py"), "f", function, module), function.lower(*args))


def test_steps_of_a_call():
    """Those of the innermost loops; arguments of the call tell them, too."""
    assert made(table, COSTS).steps == COSTS.size
    assert made(map_of, 0.3, 700).steps == 700
    assert inner_steps(outer(table, COSTS)) == COSTS.shape[1]


def test_steps_of_a_scan_on_its_own():
    """Its first arguments are no numbers of steps, whatever they are called in the program."""
    logistic = sc.scan_compile(lambda x, r: r * x * (1 - x))
    assert made(logistic, None, 0.3, 3.9, 700).steps == 700


@sc.jit
def triangle(xs):
    return sc.scan(lambda t, y: y + sc.scan(lambda h: 0.5 * h + 1, None, 1.0, n_steps=t)[-1], np.arange(1, 9), xs)


@sc.jit
def stopping(xs):
    def row(x, y):
        return y + sc.scan(lambda h: (0.5 * h + x, sc.until(h < 1)), None, 9.0, n_steps=50)[-1]

    return sc.scan(row, xs, 0.0)


@pytest.mark.parametrize("function, given", [(triangle, 1.0), (stopping, np.ones(8))])
def test_steps_that_differ_from_step_to_step_are_not_counted(function, given):
    assert inner_steps(outer(function, given)) is None
    assert made(function, given).steps is None


def test_the_rest_of_a_group_is_one_loop():
    """A later loop of the same name is no rest."""
    heads = "for g in range(2):  # 4 steps of y at a time", "for t in range(3):  # steps of y"
    source = "".join(f"    {head}\n        pass\n" for head in (*heads, heads[1]))
    assert rest_lines(source) == {3, 4}


def outer(function, *args):
    (scan,) = [n for n in function.lower(*args).compilation.graph.nodes() if n.op == "scan"]
    return scan
