"""Checks from end to end: files of a user, a process that compiles for a fixed processor, a baseline on disk."""

from __future__ import annotations

import json

import pytest

from scancc.checking import baseline as files
from scancc.checking.baseline import Baseline
from scancc.checking.compare import SLACK, compare, judge_value, status
from scancc.checking.figures_process import Answer, figures_for
from scancc.checking.run import Request, check
from scancc.cli.loading import UsageError
from scancc.static import processors

MODEL = """
import numpy as np
import scancc as sc

@sc.scan_compile
def ar2(x, y2, y1, a, b):
    return x + a * y1 + b * y2

@sc.scan_compile
def rnn(x, h, W):
    return np.tanh(x + h @ W)

@sc.jit
def last(x, k):
    return sc.scan(lambda v, s: np.tanh(v + s), x, 0.0)[-1] * k

@sc.scan_compile
def without_examples(x):
    return x

def scancc_example_inputs():
    return {
        "ar2": dict(sequences=np.ones(50), outputs_info=[dict(initial=np.zeros(2), taps=[-2, -1])],
                    non_sequences=[0.5, 0.2]),
        "rnn": dict(sequences=np.ones((9, 64), "f4"), outputs_info=[np.zeros(64, "f4")],
                    non_sequences=[np.ones((64, 64), "f4")]),
        "last": (np.ones(9), 0.5),
    }
"""
x86 = pytest.mark.skipif(not processors.is_x86(), reason="machine code is analysed on x86-64 only")


@pytest.fixture
def model(tmp_path):
    (tmp_path / "models").mkdir()
    path = tmp_path / "models" / "model.py"
    path.write_text(MODEL)
    (tmp_path / "models" / "other.py").write_text("raise SystemExit('must not be imported')\n")
    return path


def request(model, *subjects, **options):
    return Request(tuple(map(str, subjects)), model.parent.parent / "b.json", timed=False, **options)


def verdicts(findings):
    return {(f.subject.rpartition(":")[2], f.figure): f.verdict for f in findings if f.verdict != "ok"}


@x86
def test_a_change_is_found_and_an_update_accepts_it(model, monkeypatch):
    first = check(request(model, model.parent, update=True))
    assert set(verdicts(first).values()) == {"new"} and status(first) == 0
    assert {f.note for f in first} == {"added to the baseline"}
    stored = (model.parent.parent / "b.json").read_text()
    data = json.loads(stored)
    assert set(data["static"]) == {f"models/model.py:{n}" for n in ("ar2", "rnn", "last")}
    assert data["made_with"]["cpu"] == "x86-64-v3"
    assert data["static"]["models/model.py:rnn"]["hot"]["vector_bits"] == 256

    # Another directory, another processor in the environment, another seed of hashes: nothing changes.
    monkeypatch.chdir(model.parent)
    monkeypatch.setenv("NUMBA_CPU_NAME", "generic")
    monkeypatch.setenv("NUMBA_OPT", "0")
    monkeypatch.setenv("PYTHONHASHSEED", "77")
    again = check(request(model))
    assert verdicts(again) == {} and len(again) > 30 and status(again) == 0
    check(request(model, model, update=True))
    assert (model.parent.parent / "b.json").read_text() == stored

    text = MODEL.replace("@sc.scan_compile\ndef ar2", "@sc.scan_compile(strict_fp=True)\ndef ar2")
    text = text.replace("def last(", "def gone(").replace('        "last": (np.ones(9), 0.5),\n', "")
    model.write_text(text.replace("np.tanh(x + h @ W)", "np.tanh(x + h @ W.reshape(7))"))
    changed = check(request(model))
    assert status(changed) == 1
    found = verdicts(changed)
    assert found["ar2", "vector width"] == "regression" and found["ar2", "critical path"] == "regression"
    assert found["last", "figures"] == "gone"
    assert found["rnn", "figures"] == "regression"  # it does not compile any more
    assert any("reshape" in f.note for f in changed if f.subject.endswith("rnn"))

    check(request(model, update=True))
    accepted = check(request(model))
    assert set(verdicts(accepted)) == {("rnn", "figures")}
    assert "models/model.py:last" not in files.read(model.parent.parent / "b.json").static


@x86
def test_machine_code_is_for_the_named_processor(model):
    old, new = (figures_for([f"{model}:rnn"], model.parent, cpu) for cpu in ("x86-64-v2", "x86-64-v4"))
    assert (old.made_with["cpu"], new.made_with["cpu"]) == ("x86-64-v2", "x86-64-v4")
    assert old.figures["model.py:rnn"]["loop_calls"] == ["fmaf"]  # it has no multiply-add of its own
    assert new.figures["model.py:rnn"]["hot"]["vector_bits"] == 512


@pytest.mark.parametrize(
    ("change", "word"),
    [({"machine": "aarch64", "cpu": "aarch64"}, "architecture"), ({"cpu": "x86-64-v4"}, "processor")],
)
def test_other_machine_code_is_not_compared_and_the_status_says_so(change, word):
    figures = {"allocations": 0, "beside": None, "hot": None, "launches": 0, "loop_calls": [], "loops": 1,
               "ops": {"add": 2}, "statements": 5, "step_ops": {"add": 1}, "steps_per_iteration": None,
               "storage_bytes": 80, "transfers": 0}  # fmt: skip
    here = {"machine": "x86-64", "cpu": "x86-64-v3"}
    baseline = Baseline(here, {"m.py:f": figures})
    found = compare(baseline, Answer(here | change, {"m.py:f": figures}))
    (left_out,) = (f for f in found if f.verdict == "not compared")
    assert word in left_out.note and left_out.figure == "machine code"
    assert not {f.figure for f in found} & {"allocations", "calls", "instructions"} and status(found) == 3
    worse = compare(baseline, Answer(here | change, {"m.py:f": figures | {"storage_bytes": 88}}))
    assert status(worse) == 1  # what needs no machine code is compared


@pytest.mark.parametrize(
    ("figure", "before", "after", "verdict"),
    [
        ("instructions", 100, 110, "ok"),
        ("instructions", 100, 111, "regression"),
        ("instructions", 9, 11, "ok"),
        ("instructions", 9, 12, "regression"),
        ("instructions", 100, 80, "better"),
        ("critical path", 4.0, 4.2, "ok"),
        ("critical path", 4.0, 4.5, "regression"),
        ("storage", 800, 801, "regression"),
        ("storage", 800, 8, "better"),
        ("vector width", 256, 128, "regression"),
        ("vector width", 256, 512, "better"),
        ("spills", 0, 1, "regression"),
        ("spills", 2, 2, "ok"),
        ("beside steps: vector width", 256, 64, "regression"),
    ],
)
def test_slack(figure, before, after, verdict):
    found, rule = judge_value(figure, before, after)
    assert found == verdict and rule


def test_loops_are_compared_for_the_same_work():
    """Twice the code that makes twice the steps is no regression, and one that only looks short is."""
    hot = {"instructions": 40, "vector_bits": 64, "spills": 0, "critical_path_cycles": 8.0, "throughput_cycles": 7.0,
           "stride_bytes": 16}  # fmt: skip
    twice = {k: v if k == "vector_bits" else 2 * v for k, v in hot.items()}
    rest = {"allocations": 0, "beside": None, "launches": 0, "loop_calls": [], "loops": 1, "ops": {}, "statements": 5,
            "step_ops": {}, "storage_bytes": 80, "transfers": 0}  # fmt: skip
    tools = {"machine": "x86-64", "cpu": "x86-64-v3"}
    for steps in ((2, 4), (None, None)):
        sides = [rest | {"hot": h, "steps_per_iteration": s} for h, s in zip((hot, twice), steps, strict=True)]
        there, back = (compare(Baseline(tools, {"f": a}), Answer(tools, {"f": b})) for a, b in (sides, sides[::-1]))
        assert {f.verdict for f in there} == {f.verdict for f in back} == {"ok"}
    half = rest | {"hot": hot | {"stride_bytes": 8}, "steps_per_iteration": None}
    found = compare(Baseline(tools, {"f": sides[0]}), Answer(tools, {"f": half}))
    assert {f.figure for f in found if f.verdict == "regression"} == {"instructions", "critical path", "throughput"}


def test_every_figure_has_a_rule():
    assert all(s.rule for s in SLACK.values()) and SLACK["instructions"].rule == "at most 10% more, or 2"


@pytest.mark.parametrize(
    ("subjects", "options", "text"),
    [
        ([], {}, "there is no baseline"),
        ([], {"update": True}, "nothing to check"),
        (["{model}:ar3"], {"update": True}, "did you mean ar2?"),
        (["{model}:without_examples"], {"update": True}, "the types of the arguments are not known"),
        (["{folder}/empty.py"], {"update": True}, "no compiled function with example inputs"),
        (["{folder}/stops.py"], {"update": True}, "by signal"),
        (["{folder}/raises.py"], {"update": True}, "ModuleNotFoundError: No module named 'not_there'"),
        (["{model}"], {"update": True, "cpu": "z80"}, "--cpu: the processor 'z80' is not known"),
    ],
)
def test_what_is_wrong_is_said(model, subjects, options, text):
    (model.parent / "empty.py").write_text("import scancc\n")
    (model.parent / "stops.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGILL)\n")
    (model.parent / "raises.py").write_text("import not_there\n")
    with pytest.raises(UsageError) as raised:
        check(request(model, *(s.format(model=model, folder=model.parent) for s in subjects), **options))
    assert text in str(raised.value)


@pytest.mark.parametrize("text", ["", "[]", '{"version": 99}', '{"version": 1, "static": {"a.py:f": 3}}'])
def test_damaged_baselines(tmp_path, text):
    path = tmp_path / "b.json"
    path.write_text(text)
    with pytest.raises(UsageError, match="--update"):
        files.read(path)
    files.write(path, Baseline({"cpu": "x86-64-v3"}, {"m.py:f": {"loops": 1}}, {}))
    assert files.read(path) == Baseline({"cpu": "x86-64-v3"}, {"m.py:f": {"loops": 1}}, {})
    assert list(tmp_path.iterdir()) == [path]


@x86
def test_part_of_a_baseline_is_not_mixed_with_another_processor(model):
    check(request(model, model, update=True))
    with pytest.raises(UsageError, match="update all of its subjects at once, or pass --cpu x86-64-v3"):
        check(request(model, f"{model}:ar2", update=True, cpu="x86-64-v2"))
