"""Reports of findings: read back by what reads them, and free of what their format would take for its own."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree

import pytest

from scancc.checking.finding import Finding
from scancc.checking.reports import FORMATS, github, json_report, junit, markdown, rich_report, summary

HOSTILE = "a|b: <x> & \"q\" 100%\n::error::x\x07"
FINDINGS = [
    Finding("models/ar2.py:ar2", "instructions", "static", 40, 40, "ok"),
    Finding("models/ar2.py:ar2", "vector width", "static", 512, 64, "regression", "not less"),
    Finding("models/ar2.py:ar2", "time", "timed", 1.25, 1.3, "undecided", "1.040 times the baseline's"),
    Finding("models/rnn.py:rnn", "spills", "static", 4, 0, "better"),
    Finding("models/new.py:f", "figures", "static", None, None, "new", "--update adds it to the baseline"),
    Finding("models/old.py:f", "figures", "static", None, None, "gone"),
    Finding("models/rnn.py:rnn", "calls", "static", "", HOSTILE, "regression", HOSTILE),
]


@pytest.mark.parametrize("name", FORMATS)
def test_texts(name, file_regression):
    file_regression.check(FORMATS[name](FINDINGS[:-1]), extension=f".{name}.txt")


@pytest.mark.parametrize("name", FORMATS)
def test_nothing_to_report(name):
    assert FORMATS[name]([])


def test_summary_counts():
    assert summary(FINDINGS) == "2 regressions, 1 undecided, 1 gone, 1 better, 1 new, 1 ok in 4 functions"
    assert summary([]) == "nothing in 0 functions"


def test_junit_is_read_back():
    root = ElementTree.fromstring(junit(FINDINGS))
    (suite,) = root
    assert suite.attrib == {"name": "scancc check", "tests": "7", "failures": "2", "skipped": "2", "errors": "0"}
    failed = [c for c in suite if c.find("failure") is not None]
    assert [(c.get("classname"), c.get("name")) for c in failed] == [
        ("models/ar2.py:ar2", "vector width"), ("models/rnn.py:rnn", "calls")]  # fmt: skip
    assert "512 -> 64; not less" in failed[0].find("failure").get("message")
    assert len(suite.findall("testcase/skipped")) == 2


def test_json_is_read_back():
    made = json.loads(json_report(FINDINGS))
    assert made["status"] == 1
    assert [Finding(**f) for f in made["findings"]] == FINDINGS


def test_github_commands_are_one_line_each():
    lines = github(FINDINGS).splitlines()
    commands = [line for line in lines if line.startswith("::")]
    assert [c.split(" ")[0] for c in commands] == ["::error", "::error", "::warning", "::notice", "::notice"]
    assert commands[0].startswith("::error file=models/ar2.py,title=scancc check%3A regression::models/ar2.py:ar2")
    assert "100%25%0A::error::x" in commands[1], "what a note says is no command"


def test_tables_keep_their_columns():
    rows = [line for line in markdown(FINDINGS).splitlines() if line.startswith("|")]
    assert len({line.replace("\\|", "").count("|") for line in rows}) == 1
    assert "ar2.py:ar2" in rich_report(FINDINGS) and "\x1b" not in rich_report(FINDINGS)
