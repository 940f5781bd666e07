"""The recurrences of the benchmarks, forward and gradient, as machine code for compute capability 8.0 or 9.0."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest
from test_offline import without_simulator

BENCH = Path(__file__).parents[2] / "bench"
PROGRAM = """
import json, sys
from pathlib import Path
from scancc.backends.cuda.offline import resources
from scancc.checking.subjects import targets_of

folder, part, parts = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
targets = targets_of([folder], Path("."))
files = sorted({t.file for t in targets})
assert len(files) >= 20
# Four states by two observations, all of whose derivatives are alive at once: more doubles than a thread has registers.
TOO_LARGE = ("kalman_4x2_gradient",)
# What is in another: the forward loop of the simple network in its gradient, two gated networks in the third.
ELSEWHERE = ("rnn", "gru", "gru_gradient", "lstm_gradient")
found = {}
mine = [t for t in targets if files.index(t.file) % parts == part and t.name not in TOO_LARGE + ELSEWHERE]
for number, target in enumerate(mine):
    program = target.program(None).compiled
    for k, launch in enumerate(getattr(program, "stages", [program])):
        text = launch.ptx((8, 0))  # which a device of 9.0 takes, too
        cc = ((8, 0), (9, 0))[(number + k) % 2]  # each takes as long as all that came before
        r = resources(text, cc, launch.most_registers)
        found[f"{target.name} {k} {cc[0]}.{cc[1]}"] = launch.compilation.strategy, vars(r)
print(json.dumps(found))
"""
STATIC = 48 * 1024
PARTS = 2


@pytest.mark.skipif(importlib.util.find_spec("numba_cuda") is None, reason="PTX needs the extra 'cuda'")
@pytest.mark.parametrize("part", range(PARTS))
def test_resources(part):
    """Nothing lands in local memory; blocks with barriers and threads without."""
    run = without_simulator(PROGRAM, str(BENCH), str(part), str(PARTS), SCANCC_TARGET="cuda")
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout.splitlines()[-1])
    assert len(found) >= 16
    for label, (strategy, r) in found.items():
        assert (r["stack"], r["spill_stores"], r["spill_loads"]) == (0, 0, 0), (label, r)
        assert 0 < r["registers"] <= 255, label
        assert r["shared"] <= STATIC, label
        assert strategy in ("lane", "thread") or r["barriers"] > 0 or strategy == "grid", (label, strategy)

