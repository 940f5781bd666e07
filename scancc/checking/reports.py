"""Findings of a check as text: for a terminal, for GitHub Actions, for CI systems that read JUnit's XML, for programs.

What was found to be as before is counted only, but for JUnit and JSON, which list every figure.
"""

from __future__ import annotations

import io
import json
import sys
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict

from rich.console import Console
from rich.table import Table
from rich.text import Text

from scancc.checking.compare import status
from scancc.checking.finding import Finding, Verdict

ORDER: tuple[Verdict, ...] = ("regression", "undecided", "not compared", "gone", "better", "new", "ok")
STYLES: Mapping[Verdict, str] = {"regression": "bold red", "undecided": "yellow", "not compared": "yellow",
                                 "gone": "dim", "better": "green", "new": "cyan", "ok": ""}  # fmt: skip
COMMANDS: Mapping[Verdict, str] = {"regression": "error", "undecided": "warning", "not compared": "warning",
                                   "gone": "notice", "better": "notice"}  # fmt: skip
WIDTH = 140  # columns of a table that is no terminal's


def summary(findings: Sequence[Finding]) -> str:
    """How many figures of how many functions came out how: "2 regressions, 40 ok in 5 functions"."""
    counts = Counter(f.verdict for f in findings)
    plural = {"regression": "regressions"}
    parts = [f"{counts[v]} {plural.get(v, v) if counts[v] != 1 else v}" for v in ORDER if counts[v]]
    functions = len({f.subject for f in findings})
    return f"{', '.join(parts) or 'nothing'} in {functions} function{'' if functions == 1 else 's'}"


def shown(findings: Sequence[Finding]) -> list[Finding]:
    """What a reader has to see, the worst first."""
    told = [f for f in findings if f.verdict != "ok"]
    return sorted(told, key=lambda f: (ORDER.index(f.verdict), f.subject))


def value(x: float | int | str | None) -> str:
    return "-" if x is None else f"{x:.4g}" if isinstance(x, float) else str(x)


def rich_report(findings: Sequence[Finding]) -> str:
    out = io.StringIO()
    terminal = sys.stdout.isatty()
    console = Console(file=out, force_terminal=terminal, width=None if terminal else WIDTH)
    rows = shown(findings)
    if rows:
        table = Table(show_lines=False)
        for header in ("verdict", "function", "figure", "before", "now", "why"):
            table.add_column(header, justify="right" if header in ("before", "now") else "left", overflow="fold")
        for f in rows:
            cells = (f.subject, f.figure, value(f.before), value(f.after), f.note)
            table.add_row(Text(f.verdict, STYLES[f.verdict]), *map(Text, cells))
        console.print(table)
    console.print(Text(summary(findings)))
    return out.getvalue()


def github(findings: Sequence[Finding]) -> str:
    """Workflow commands: annotations at the files, and a line that sums up."""
    lines = []
    for f in shown(findings):
        if f.verdict not in COMMANDS:
            continue
        file = f.subject.rpartition(":")[0]
        title = f"scancc check: {f.verdict}"
        text = f"{f.subject}: {f.figure}: {value(f.before)} -> {value(f.after)}" + (f" ({f.note})" if f.note else "")
        place = f"file={_escaped(file, ':,')}," if file else ""
        lines.append(f"::{COMMANDS[f.verdict]} {place}title={_escaped(title, ':,')}::{_escaped(text)}")
    return "\n".join([*lines, f"scancc check: {summary(findings)}"]) + "\n"


def _escaped(text: str, more: str = "") -> str:
    """As GitHub's commands want it: percent signs and line ends, in properties colons and commas, too."""
    for c in "%\r\n" + more:
        text = text.replace(c, f"%{ord(c):02X}")
    return text


def junit(findings: Sequence[Finding]) -> str:
    """A test case for every figure; what could not be told is skipped."""
    failed = sum(f.verdict == "regression" for f in findings)
    skipped = sum(f.verdict in ("undecided", "not compared", "gone") for f in findings)
    counts = {"tests": str(len(findings)), "failures": str(failed), "skipped": str(skipped), "errors": "0"}
    root = ElementTree.Element("testsuites", counts)
    suite = ElementTree.SubElement(root, "testsuite", {"name": "scancc check", **counts})
    for f in findings:
        case = ElementTree.SubElement(suite, "testcase", {"classname": _legal(f.subject), "name": _legal(f.figure)})
        text = _legal(f"{value(f.before)} -> {value(f.after)}" + (f"; {f.note}" if f.note else ""))
        if f.verdict == "regression":
            ElementTree.SubElement(case, "failure", {"type": f.kind, "message": text})
        elif f.verdict in ("undecided", "not compared", "gone"):
            ElementTree.SubElement(case, "skipped", {"message": f"{f.verdict}: {text}"})
        elif f.verdict != "ok":
            ElementTree.SubElement(case, "system-out").text = f"{f.verdict}: {text}"
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _legal(text: str) -> str:
    """Without the control characters that XML cannot hold, not even escaped."""
    return "".join(c if c in "\t\n" or ord(c) >= 32 else "?" for c in text)


def json_report(findings: Sequence[Finding]) -> str:
    """{"status": exit status, "summary": text, "findings": [...]}."""
    made = {"status": status(list(findings)), "summary": summary(findings), "findings": [asdict(f) for f in findings]}
    return json.dumps(made, indent=1) + "\n"


def markdown(findings: Sequence[Finding]) -> str:
    """For a comment or a job summary."""
    lines = [f"**scancc check**: {summary(findings)}", ""]
    rows = shown(findings)
    if rows:
        lines += ["| verdict | function | figure | before | now | why |", "|---|---|---|---:|---:|---|"]
        for f in rows:
            cells = (f.verdict, f"`{f.subject}`", f.figure, value(f.before), value(f.after), f.note)
            lines.append("| " + " | ".join(c.replace("|", "\\|").replace("\n", " ") for c in cells) + " |")
    return "\n".join(lines) + "\n"


FORMATS: Mapping[str, Callable[[Sequence[Finding]], str]] = {
    "rich": rich_report,
    "github": github,
    "junit": junit,
    "json": json_report,
    "markdown": markdown,
}
