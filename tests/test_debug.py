"""Prints, checks, the values of single steps, and where NaNs come from; compiled and interpreted alike."""

import numpy as np
import pytest

import scancc as sc
from scancc.errors import CheckError, NanError
from scancc.ir.parser import parse
from scancc.ir.printer import show

MODES = ["compiled", "interpret"]


@pytest.mark.parametrize("mode", MODES)
def test_prints_every_step(mode, capfd):
    def step(x, y):
        h = 0.5 * y + x
        sc.debug_print("h={} x={x:.2f} pair={p}", h, x=x, p=np.stack([h, x]))
        return h

    have = sc.scan(step, np.arange(3.0), 0.0, mode=mode)
    np.testing.assert_allclose(have, [0, 1, 2.5])
    assert capfd.readouterr().out.splitlines() == [
        "h=0.0 x=0.00 pair=[0. 0.]", "h=1.0 x=1.00 pair=[1. 1.]", "h=2.5 x=2.00 pair=[2.5 2. ]",
    ]  # fmt: skip


@pytest.mark.parametrize("mode", MODES)
def test_a_failed_check_names_step_line_and_values(mode):
    def step(x, y):
        h = 0.5 * y + x
        sc.check(h < 5, "h is {}, x {x}", h, x=x)
        return h

    np.testing.assert_allclose(sc.scan(step, np.arange(3.0), 0.0, mode=mode), [0, 1, 2.5])
    with pytest.raises(CheckError) as found:
        sc.scan(step, np.arange(3.0, 9), 0.0, mode=mode)
    text = str(found.value)
    assert text.startswith("h is 5.5, x 4.0\n  at step 1\n") and 'sc.check(h < 5, "h is {}, x {x}", h, x=x)' in text
    assert "test_debug.py" in text and "^^^" in text


@pytest.mark.parametrize("mode", MODES)
def test_checks_happen_though_nobody_reads_what_they_check(mode):
    @sc.jit
    def f(xs):
        def step(x, y):
            sc.check(x >= 0, "negative")
            return x + y, x * 2

        ys, dead = sc.scan(step, xs, [0.0, None])
        sc.check(xs[0] != 7, "seven")
        return xs[:1]

    assert f(np.array([1.0, 2.0]), mode=mode) == 1
    with pytest.raises(CheckError, match=r"negative \(compared: -2.0\)\n  at step 1"):
        f(np.array([1.0, -2.0]), mode=mode)
    with pytest.raises(CheckError, match="seven"):
        f(np.array([7.0]), mode=mode)


@pytest.mark.parametrize("mode", MODES)
def test_nested_loops_and_branches(mode, capfd):
    def outer(x, y):
        def inner(z):
            sc.check(z < 3, "z is {} of {}", z, x)  # arrays: all of their elements
            return z + x

        sc.cond(x[0] > 1, lambda: (sc.debug_print("above"), x)[1], lambda: (sc.debug_print("below"), x)[1])
        return sc.scan(inner, None, y, n_steps=2)[-1]

    with pytest.raises(CheckError, match=r"z is \[2. 4.\] of \[1. 2.\]\n  at step 1, 0\n"):
        sc.scan(outer, np.ones((4, 2)) * [1, 2], np.zeros(2), mode=mode)
    assert capfd.readouterr().out == "below\nbelow\n"


def test_equal_effects_are_not_merged_and_graphs_round_trip(capfd):
    @sc.jit
    def f(x):
        for _ in range(2):
            sc.debug_print("x is {}", x)
        ys = sc.scan(lambda x: (sc.debug_print('a "quoted" {}', x), sc.check(x > 0, "x"), x)[2], x)
        return ys.sum()

    f(np.array([1.0]))
    assert capfd.readouterr().out == 'x is [1.]\nx is [1.]\na "quoted" 1.0\n'
    text = show(f.trace(np.array([1.0])).graph, "f")
    assert show(parse(text), "f") == text


def test_a_failed_run_writes_nothing_back():
    total = sc.shared(1.0)

    def step(x):
        sc.check(x < 3, "x")
        return x, {total: total + x}

    with pytest.raises(CheckError):
        sc.scan(step, np.arange(5.0))
    assert total.get_value() == 1
    sc.scan(step, np.arange(3.0))
    assert total.get_value() == 4


def test_outside_of_steps_they_happen_at_once(capfd):
    sc.debug_print("{:.1f}", 0.25)
    assert capfd.readouterr().out == "0.2\n"
    sc.check(np.array([True]), "fine")
    with pytest.raises(CheckError, match="x is 3"):
        sc.check(False, "x is {}", 3)


def test_messages_that_do_not_fit():
    with pytest.raises(ValueError, match="does not fit its values"):
        sc.debug_print("{} {}", 1)
    with pytest.raises(ValueError, match="does not fit its values"):
        sc.scan(lambda x: (sc.debug_print("{:d}", x), x)[1], np.ones(3))


def test_nan_finder():
    def step(x, y):
        inside = sc.scan(lambda z: np.sqrt(z - x), None, 2.0, n_steps=2)[-1]
        return y * 0.9 + np.where(x > 100, inside, np.log(x))

    compiled = sc.scan_compile(step)
    with sc.debug_nans():
        assert np.isfinite(compiled(np.array([0.5, 0.25]), 0.0)).all()
        with pytest.raises(NanError) as found:
            compiled(np.array([0.5, -3.0, -4.0]), 0.0)
    assert "log makes a NaN, in step 1 of scan 'step'" in str(found.value) and "operands are -3." in str(found.value)
    assert "np.log(x)" in str(found.value)
    assert np.isnan(compiled(np.array([-3.0]), 0.0)).all()  # off again
    with sc.debug_nans():  # NaNs that came in are nobody's fault
        assert np.isnan(compiled(np.array([0.5]), np.nan)).all()


def test_nan_finder_on_functions_and_shared_variables():
    state = sc.shared(0.0)
    f = sc.jit(lambda x: (x * 2, sc.scan(lambda: (state - 1, {state: np.sqrt(state - 1)}), n_steps=1))[0])
    with sc.debug_nans(), pytest.raises(NanError, match=r"sqrt makes a NaN, in step 0"):
        f(np.ones(2))
    assert state.get_value() == 0


def test_trace_of_steps():
    def step(x, y):
        return 0.5 * y + np.log(x)

    with sc.trace_steps() as steps:
        sc.scan(step, np.array([1.0, 2.0, 4.0]), 3.0, mode="interpret")
    *inner, program = steps
    assert [s.steps for s in inner] == [(0,), (1,), (2,)] and program.steps == ()
    text = str(steps[1])
    assert text.startswith("scan step, step 1\n") and "tap y[-1]" in text and "test_debug.py" in text
    taps = {n.attrs["name"]: v for n, v in steps[1].values.items() if n.op == "tap"}
    assert taps == {"x": 2.0, "y": 1.5}
