"""The fixture `scancc_perf` as a user's tests meet it, in pytest runs of their own."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]
ROOT = Path(__file__).parent.parent.parent

MODEL = """
import numpy as np
import scancc as sc

def test_model(scancc_perf):
    f = sc.scan_compile(lambda x, y2, y1: x + 0.5 * y1 + 0.2 * y2, strict_fp={strict}, name="ar2")
    found = scancc_perf.check(f, np.ones(50), [dict(initial=np.zeros(2), taps=[-2, -1])])
    assert found or {update}
"""


@pytest.fixture
def run(pytester, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), str(ROOT / "runtime")]))
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # those of others take time to load
    pytester.makeconftest('pytest_plugins = ["scancc.pytest_plugin"]')

    def made(*options: str, strict: bool = False):
        update = "--scancc-perf-update" in options
        pytester.makepyfile(test_model=MODEL.format(strict=strict, update=update))
        return pytester.runpytest_subprocess("-p", "no:cacheprovider", *options)

    return made


def test_a_regression_fails_the_test(run, pytester):
    result = run()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*does not know test_model.py::test_model::ar2", "help: pytest --scancc-perf-update"])
    run("--scancc-perf-update").assert_outcomes(passed=1)
    baseline = json.loads((pytester.path / "scancc-baseline.json").read_text())
    assert list(baseline["static"]) == ["test_model.py::test_model::ar2"] and not baseline["timed"]
    run().assert_outcomes(passed=1)
    result = run("--scancc-perf-timed")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*does not know the times of test_model.py::test_model::ar2",
                                 "help: pytest --scancc-perf-update --scancc-perf-timed"])  # fmt: skip
    result = run(strict=True)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*| regression |*vector width*"])


def test_the_baseline_may_lie_elsewhere(run, pytester):
    pytester.makeini("[pytest]\nscancc_perf_baseline = perf/b.json\n")
    run("--scancc-perf-update").assert_outcomes(passed=1)
    assert (pytester.path / "perf" / "b.json").exists()
    run().assert_outcomes(passed=1)


def test_other_processors_are_told_apart(run, pytester):
    run("--scancc-perf-update").assert_outcomes(passed=1)
    file = pytester.path / "scancc-baseline.json"
    data = json.loads(file.read_text())
    data["made_with"]["cpu"] = "another"
    data["static"]["test_other.py::test::f"] = data["static"]["test_model.py::test_model::ar2"]
    file.write_text(json.dumps(data))
    result = run("-rs")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["*not compared*"])
    run("--scancc-perf-update").assert_outcomes(failed=1)
