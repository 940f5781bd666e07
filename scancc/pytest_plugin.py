"""A pytest plugin: the fixture `scancc_perf` holds compiled functions against a baseline beside the tests.

    pytest_plugins = ["scancc.pytest_plugin"]          # in the conftest.py at the root

    def test_ar2_stays_fast(scancc_perf):
        scancc_perf.check(model.ar2, sequences=x, outputs_info=[...], non_sequences=[0.5, 0.2])

Static figures are compared at every run, times too with `--scancc-perf-timed`. `--scancc-perf-update` writes what would
be compared into the baseline: `scancc-baseline.json` beside the test's file, or the ini option `scancc_perf_baseline`.

It is no entry point, which would have pytest import numba at every start, whether a test asks for the fixture or not.
Machine code is that of the processor that runs the tests, so its figures are compared on equal processors only;
`scancc check` compiles for a fixed one.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from scancc.checking.baseline import Baseline
    from scancc.checking.finding import Finding

FILE = "scancc-baseline.json"


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("scancc", "performance of compiled scans")
    group.addoption("--scancc-perf-update", action="store_true", help="write the figures of this run into baselines")
    group.addoption("--scancc-perf-timed", action="store_true", help="compare times, too")
    parser.addini("scancc_perf_baseline", f"the baseline's file, from the ini-file's folder (default: {FILE} "
                  "beside the test)", default="")  # fmt: skip


@pytest.fixture
def scancc_perf(request: pytest.FixtureRequest) -> ScanccPerf:
    """Compare compiled functions with a baseline: `scancc_perf.check(function, *arguments, **arguments by name)`."""
    given = request.config.getini("scancc_perf_baseline")
    beside = Path(request.path).parent / FILE
    file = Path(request.config.rootpath, given) if given else beside
    update, timed = (bool(request.config.getoption(f"--scancc-perf-{o}")) for o in ("update", "timed"))
    return ScanccPerf(file, request.node.nodeid.replace("\\", "/"), update, timed)


class ScanccPerf:
    """What the fixture gives to a test."""

    def __init__(self, file: Path, test: str, update: bool, timed: bool) -> None:
        self.file, self.test, self.update, self.timed = file, test, update, timed

    def check(self, function: Any, *args: Any, name: str | None = None, **kwargs: Any) -> list[Finding]:
        """Hold a function under @scan_compile or @jit against the baseline, on these arguments.

        `name` tells several functions of one test apart; it is the function's own by default. Returns the findings.
        Fails the test where something got worse or the baseline does not know the function, skips it where figures
        cannot be compared (another processor or architecture) and nothing else got worse.
        """
        from scancc.checking.reports import markdown

        key = f"{self.test}::{name or function.name}"
        findings = self._findings(key, function, args, kwargs)
        if self.update:
            return findings
        verdicts = {f.verdict for f in findings}
        new = {f.kind for f in findings if f.verdict == "new"}
        if new:
            what = "the times of " if new == {"timed"} else ""
            options = "--scancc-perf-update" + (" --scancc-perf-timed" if self.timed else "")
            pytest.fail(f"{self.file} does not know {what}{key}\nhelp: pytest {options}", pytrace=False)
        if "regression" in verdicts:
            pytest.fail(markdown(findings), pytrace=False)
        if verdicts & {"undecided", "not compared"}:
            pytest.skip(markdown(findings))
        return findings

    def _findings(self, key: str, function: Any, args: tuple, kwargs: dict[str, Any]) -> list[Finding]:
        from scancc.checking import baseline as files
        from scancc.checking.compare import compare
        from scancc.checking.figures_process import Answer
        from scancc.static.figures import figures_of
        from scancc.static.processors import current, is_x86, machine

        before = files.read(self.file) if self.file.exists() else files.Baseline()
        made_with = files.tools(current() if is_x86() else machine())
        found = Answer(made_with, {key: files.record(figures_of(function.lower(*args, **kwargs)))})
        findings = compare(before, found)
        timed = self._timed(key, function, args, kwargs, before) if self.timed else []
        if self.update:
            if set(before.static) - {key} and before.cpu != made_with["cpu"]:
                pytest.fail(f"{self.file} is for {before.cpu}, this is {made_with['cpu']}\n"
                            "help: remove the file, and update all of its tests here", pytrace=False)  # fmt: skip
            before.made_with = made_with
            before.static |= found.figures
            files.write(self.file, before)
        return findings + timed

    def _timed(
        self, key: str, function: Any, args: tuple, kwargs: dict[str, Any], before: Baseline
    ) -> list[Finding]:
        from scancc.checking.sampling import Plan, Times, sample
        from scancc.checking.timed import judge_entries, processor, record_entries, signature

        def sampler(labels: Any, plan: Plan) -> Times:  # in this process: what a test builds has no file to be run from
            return sample(lambda: {key: lambda: function(*args, **kwargs)}, plan)

        inputs = {key: signature((args, kwargs))}
        if self.update:
            before.timed.setdefault(processor(), {}).update(record_entries(inputs, sampler))
            return []
        return judge_entries(inputs, before.timed, sampler)
