"""Random steps with nested control flow: what Python computes, in every way that a function is handed over."""

import control_flow
import numpy as np
import pytest

# Programs of each kind that are compiled; more of them are run by the interpreter, which is cheap.
KINDS = {
    "branches": {"if", "logic", "return", "helper"},
    "loops": {"if", "for", "while", "jump"},
    "arrays": {"if", "for", "store", "table"},
    "everything": control_flow.FEATURES,
    "arrays by several names": control_flow.MORE,
}


@pytest.mark.parametrize("kind", KINDS)
def test_interpreted(kind):
    assert control_flow.check(range(14), ["interpret"], KINDS[kind]) == []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", ["scan", "jit"])
def test_compiled(way, kind):
    assert control_flow.check(range(20, 22), [way], KINDS[kind]) == []


@pytest.mark.parametrize("way", ["grad", "grad of a step"])
def test_derivatives(way):
    assert control_flow.check(range(30, 33), [way], control_flow.FEATURES) == []


def test_programs_take_different_ways():
    """The generator makes programs of all statements, which are finite, whose rows differ, and the same ones each time."""
    texts = [control_flow.program(seed).source for seed in range(60)]
    assert texts == [control_flow.program(seed).source for seed in range(60)]
    for word in ("if", "elif", "else", "while", "for", "break", "continue", "return np", "and", "or", "not", "TABLE[",
                 "GRID[", "out[", "max(", "math.", "helper("):  # fmt: skip
        assert sum(word in t for t in texts) >= 5, word
    values = [[float(p.run(t, x)) for t, x in zip(control_flow.THETAS, control_flow.ROWS, strict=True)]
              for p in map(control_flow.program, range(20))]  # fmt: skip
    assert np.isfinite(values).all() and (np.ptp(values, 1) > 0).sum() >= 15
