"""What README.md and docs/ show is what runs: blocks of Python, commands, and links."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from scancc.cli import main

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
SLOW = ("bench", "check")  # they time for a minute; tests of their own run them


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.S)


def commands() -> list[list[str]]:
    text = "\n".join(blocks("sh")).replace("\\\n", " ")
    lines = [shlex.split(line, comments=True) for line in text.splitlines()]
    return [words[1:] for words in lines if words[:1] == ["scancc"]]


def test_blocks_of_python_run_one_after_the_other():
    names: dict = {}
    for block in blocks("python"):
        exec(block, names)
    assert names["y"].shape == (1000,) and np.isfinite([names["value"], names["da"], names["db"]]).all()


@pytest.mark.parametrize("command", [c for c in commands() if c[0] not in SLOW], ids=lambda c: c[0])
def test_commands_work(command, tmp_path, monkeypatch):
    step, example, *_ = blocks("python")
    (tmp_path / "model.py").write_text(step + example)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    assert main(command) == 0
    written = [command[i + 1] for i, word in enumerate(command) if word in ("-o", "--html")]
    assert all(Path(name).stat().st_size for name in written)


def test_commands_write_different_files():
    written = [c[i + 1] for c in commands() for i, word in enumerate(c) if word in ("-o", "--html", "--plot", "--save")]
    assert len(written) == len(set(written)) >= 3


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_to_files(page):
    for target in re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8")):
        assert target.startswith(("http://", "https://")) or (page.parent / target).exists(), target
