"""Planted regressions of the machine code and of storage: each is found against the figures of the good version.

Both versions are compiled for this machine's processor; the bad one by a compiler with a pass taken out or put in, or
with a back end that writes other instructions, or from a step that a user made worse.
"""

from __future__ import annotations

import numpy as np
import pytest
from scancc_runtime.scalar import ScalarEmitter

import scancc as sc
from scancc import driver
from scancc.backends.llvm import ops
from scancc.checking.baseline import Baseline, record
from scancc.checking.compare import compare, status
from scancc.checking.figures_process import Answer
from scancc.checking.finding import Finding
from scancc.inspection import Inspection
from scancc.ir.loop import INT64, Alloc, Buffer, For, Load, Op, Store, const_int
from scancc.passes import pipeline
from scancc.passes.lower import Lowered
from scancc.static import processors
from scancc.static.figures import figures_of

pytestmark = pytest.mark.skipif(not processors.is_x86(), reason="machine code is analysed on x86-64 only")
X = np.random.default_rng(0).normal(size=500)
W = np.random.default_rng(1).normal(size=(24, 24)) / 8
TOOLS = {"cpu": "this one", "machine": processors.machine()}


def judged(good: Inspection | dict, bad: Inspection) -> dict[str, Finding]:
    """`good` is a program, or a record of its figures."""
    baseline = Baseline(TOOLS, {"f": good if isinstance(good, dict) else record(figures_of(good))})
    findings = compare(baseline, Answer(TOOLS, {"f": record(figures_of(bad))}))
    return {f.figure: f for f in findings}


def worse(good: Inspection | dict, bad: Inspection) -> set[str]:
    found = judged(good, bad)
    assert status(list(found.values())) == 1
    return {f.figure for f in found.values() if f.verdict == "regression"}


@pytest.fixture
def fresh(monkeypatch):
    """Forget compiled programs, so that an equal graph is compiled again by the compiler as it is now."""
    return lambda: monkeypatch.setattr(driver, "COMPILED", driver.Programs())


@pytest.fixture
def without(monkeypatch, fresh):
    def leave_out(*names: str) -> None:
        left_out = []
        for table in ("PIPELINE", "LOOP_PIPELINE"):
            steps = getattr(pipeline, table)
            left_out += [p.name for p in steps if p.name in names]
            monkeypatch.setattr(pipeline, table, tuple(p for p in steps if p.name not in names))
        assert sorted(left_out) == sorted(names)
        fresh()

    return leave_out


@pytest.fixture
def by_the_c_library(monkeypatch, fresh):
    """Kernels that are compiled from now on call the C library for a function."""

    def change(name: str) -> None:
        monkeypatch.setenv("SCANCC_CACHE_DIR", "")  # the source of the kernel stays what it is
        monkeypatch.setitem(ops.WRITERS[name], "f", lambda p, dtype, x: ScalarEmitter(p.b, dtype).libm(name, x))
        fresh()

    return change


@pytest.fixture
def allocating(monkeypatch, fresh):
    """Loops over steps take memory in each of them, from now on, to put there what they store."""

    def planted(lowered: Lowered, options: pipeline.Options) -> Lowered:
        (loop,) = [s for s in lowered.kernel.body if isinstance(s, For)]
        junk = Buffer("junk", np.dtype("f8"), (const_int(3),), "local")
        third = (Op("remainder", (loop.var, const_int(3)), INT64),)
        (store,) = [s for s in loop.body if isinstance(s, Store)]
        at = loop.body.index(store)
        loop.body[at:at] = [Alloc(junk), Store(junk, third, store.expr)]
        store.expr = Load(junk, third)
        return lowered

    def change() -> None:
        last = pipeline.LoopPass("allocate", planted, "")
        monkeypatch.setattr(pipeline, "LOOP_PIPELINE", (*pipeline.LOOP_PIPELINE, last))
        fresh()

    return change


def ar2(strict_fp: bool = False) -> Inspection:
    f = sc.scan_compile(lambda x, y2, y1, a, b: x + a * y1 + b * y2, strict_fp=strict_fp)
    return f.lower(X, [dict(initial=np.zeros(2), taps=[-2, -1])], [1.3, -0.5])


def rnn() -> Inspection:
    f = sc.scan_compile(lambda x, h, U, W: np.tanh(x @ U + h @ W))
    return f.lower(np.ones((50, 24)), np.zeros(24), [W, W])


def last_of_long_tap() -> Inspection:
    step = lambda x, y9, y1: x + 0.3 * y9 + 0.4 * np.tanh(y1)  # noqa: E731
    f = sc.jit(lambda x: sc.scan(step, x, [dict(initial=np.zeros(30), taps=[-30, -1])])[-1])
    return f.lower(X)


def squashed() -> Inspection:
    return sc.scan_compile(lambda x, y: 0.5 * np.tanh(y) + x).lower(X, 0.0)


def columns() -> Inspection:
    return sc.scan_compile(lambda x, y: 0.5 * y + np.exp(x)).lower(np.ones((50, 300)), np.zeros(300))


def turning(states: int) -> Inspection:
    """Every state depends on two of the step before: all of them are alive at once."""

    def step(*values: object) -> tuple:
        x, *s = values
        return tuple(0.6 * s[k] + 0.3 * s[(k * 7 + 3) % states] + x for k in range(states))  # type: ignore[operator]

    return sc.scan_compile(step).lower(X, [0.1 * k for k in range(states)])


# -- what is found --------------------------------------------------------------------------------------------------


def test_lost_blocks_of_a_linear_recurrence(without):
    good = ar2()
    without("block_recurrences", "split_loops")  # which solves such loops, too
    assert {"vector width", "critical path"} <= worse(good, ar2())


def test_lost_vectorisation_by_an_option():
    assert "vector width" in worse(ar2(), ar2(strict_fp=True))


def test_lost_vectorisation_of_a_loop_over_columns(by_the_c_library):
    good = record(figures_of(columns()))
    by_the_c_library("exp")
    assert {"beside steps: vector width", "calls"} <= worse(good, columns())  # it is computed for all rows before


def test_lost_order_of_a_sum(without):
    def made() -> Inspection:
        f = sc.scan_compile(lambda x, y2, y1: x + x * y1 + 0.5 * y2)  # one coefficient changes: no blocks
        return f.lower(X, [dict(initial=np.zeros(2), taps=[-2, -1])])

    good = made()
    without("order_sums", "shorten_chains")  # which would order them again
    found = judged(good, made())
    assert found["critical path"].verdict == "regression" and found["critical path"].before == 4


def test_spilled_carries():
    figures = worse(turning(6), turning(40))
    assert "spills" in figures


def test_matrix_product_that_is_not_hoisted(without):
    good = rnn()
    without("hoist")
    found = worse(good, rnn())
    assert "step ops: matmul" in found and "ops: matmul" not in found


def test_lost_ring(without):
    good = last_of_long_tap()
    without("narrow_views", "shorten")
    found = judged(good, last_of_long_tap())
    assert found["storage"].verdict == "regression"
    assert found["storage"].before == 30 * 8 + 8 and isinstance(found["storage"].after, int)
    assert found["storage"].after > 500 * 8


def test_a_function_of_the_c_library(by_the_c_library):
    good = record(figures_of(squashed()))
    by_the_c_library("tanh")
    found = judged(good, squashed())
    assert found["calls"].verdict == "regression" and "tanh" in str(found["calls"].after)
    assert found["spills"].verdict == "regression"  # its carry and constants go through memory around the call


def test_an_allocation_in_the_loop(allocating):
    good = squashed()
    allocating()
    found = judged(good, squashed())
    assert found["allocations"].verdict == "regression" and found["allocations"].after
    assert "allocate" in str(found["calls"].after)


def test_the_same_thing_computed_twice(without):
    def made() -> Inspection:
        return sc.scan_compile(lambda x, y: np.tanh(x + y) + 0.5 * np.tanh(x + y)).lower(X, 0.0)

    good = made()
    without("cse", "cse_again")
    assert {"step ops: tanh", "step ops: add"} <= worse(good, made())


# -- what is not ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [ar2, rnn, last_of_long_tap, squashed, columns, lambda: turning(12)])
def test_unchanged_code_has_the_same_figures(make, fresh, tmp_path, monkeypatch):
    monkeypatch.setenv("SCANCC_CACHE_DIR", str(tmp_path))
    fresh()
    cold = make()
    assert not cold._on_cpu().code.cached
    fresh()
    warm = make()
    assert warm._on_cpu().code.cached
    monkeypatch.setenv("SCANCC_CACHE_DIR", "")
    fresh()
    again = make()
    figures = [record(figures_of(p)) for p in (cold, warm, again)]
    assert figures[0] == figures[1] == figures[2] and figures[0]["hot"] is not None
    assert {f.verdict for f in judged(cold, warm).values()} == {"ok"}


def test_lines_change_no_machine_code():
    code = rnn()._on_cpu().code
    texts = [t.replace(".Lfunc_begin0:", "") for t in (code.asm(), code.asm_with_lines())]
    plain, lined = ([line.strip() for line in t.splitlines() if line.startswith("\t") and line.strip()[0] != "."]
                    for t in texts)  # fmt: skip
    assert plain == lined and ".loc" in texts[1]
