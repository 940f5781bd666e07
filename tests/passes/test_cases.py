"""Text cases: each `tests/cases/<pass>/<case>.scan` is a program, `<case>.after.scan` what the pass makes of it.

Both are run by the interpreter on random inputs and must agree; a text alone proves nothing. `--force-regen` writes
the expected texts anew: read the difference before committing it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from scancc import interpreter
from scancc.ir.graph import Graph
from scancc.ir.parser import parse
from scancc.ir.printer import show
from scancc.ir.types import Dim
from scancc.ir.verify import verify
from scancc.passes.pipeline import PIPELINE, Options

CASES = Path(__file__).parent.parent / "cases"
FILES = sorted(p for p in CASES.glob("*/*.scan") if not p.name.endswith(".after.scan"))
PASSES = {p.name: p for p in PIPELINE}
TOLERANCE = {"float32": {"rtol": 1e-5, "atol": 1e-6}}


def inputs_of(graph: Graph, rows: int, seed: int) -> dict[str, np.ndarray]:
    """Random inputs; every run-time length is `rows`, every integer scalar 3."""
    rng = np.random.default_rng(seed)
    found = {}
    for node in graph.inputs:
        shape = tuple(rows if isinstance(d, Dim) else d for d in node.type.shape)
        whole = node.type.dtype.kind in "iu"
        found[node.attrs["name"]] = np.full(shape, 3, node.type.dtype) if whole else (
            rng.normal(size=shape).astype(node.type.dtype)
        )
    return found


def test_every_pass_has_a_case():
    tested = {p.parent.name for p in FILES}
    assert tested >= {p.name.removesuffix("_again") for p in PIPELINE}


@pytest.mark.parametrize("path", FILES, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_case(path, file_regression):
    graph = parse(path.read_text())
    verify(graph)
    after = PASSES[path.parent.name].run(graph, Options())
    verify(after, path.parent.name)
    file_regression.check(show(after) + "\n", fullpath=path.with_suffix(".after.scan"))
    for rows in (3, 4, 9):
        given = inputs_of(graph, rows, rows)
        for key, want in interpreter.run(graph, given).items():
            have = interpreter.run(after, given)[key]
            # float32: a product of matrices is rounded in another order than one for each row, by some BLAS libraries.
            np.testing.assert_allclose(have, want, **TOLERANCE.get(str(want.dtype), {"rtol": 1e-12}))
            assert (have.dtype, have.shape) == (want.dtype, want.shape)


@pytest.mark.parametrize("path", FILES, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_pass_changes_nothing_the_second_time(path):
    step = PASSES[path.parent.name]
    once = step.run(parse(path.read_text()), Options())
    assert show(step.run(once, Options())) == show(once)
