"""An explanation on the terminal: source beside IR in two columns, then tables."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.rule import Rule
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from scancc.ir.printer import show_type
from scancc.report.beside import Line, Passage
from scancc.report.explanation import Explanation
from scancc.report.headline import headline
from scancc.report.limits import verdict
from scancc.report.storage import show_bytes

BAR = 40  # characters of the longest bar
THEME = "ansi_dark"  # colours of the terminal's own palette


def show(e: Explanation, console: Console) -> None:
    for part in parts(e):
        console.print(part)


def parts(e: Explanation) -> Iterator[RenderableType]:
    yield Text(e.title, "bold")
    yield Text(" · ".join(f"{number} {what}" for number, what in headline(e)), "dim")
    for line in e.strategy:
        yield Text(line)
    for title, content in (("Source and IR", _source(e)), ("What the passes did", _passes(e)), ("Storage", _storage(e)),
                           ("Limits", _limits(e)), ("Hints", _hints(e))):  # fmt: skip
        if content is not None:
            yield Padding(Rule(Text(title, "bold"), align="left", style="dim"), (1, 0, 0, 0))
            yield content


def _table(*columns: tuple[str, bool]) -> Table:
    """Columns by name; those of numbers are set to the right."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name, number in columns:
        table.add_column(name, justify="right" if number else "left", header_style="dim", no_wrap=number)
    return table


def _source(e: Explanation) -> RenderableType:
    return Group(*(_passage(p) for p in e.passages))


def _passage(passage: Passage) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), title=Text(passage.name, "dim"), title_justify="left",
                  show_header=False, expand=True)  # fmt: skip
    table.add_column("line", justify="right", style="dim", no_wrap=True)
    table.add_column("source", ratio=4)
    table.add_column("ir", ratio=6)
    for line in passage.lines:
        table.add_row(str(line.number or ""), code(line.text), _ir(line))
    return table


def code(text: str) -> Text:
    shown = Syntax("", "python", theme=THEME).highlight(text)
    shown.rstrip()
    return shown


def _ir(line: Line) -> Text:
    pieces, scope = [], None
    for s in line.statements:
        if s.scope != scope:
            scope = s.scope
            pieces.append(Text(scope or "around the scans", "dim bold"))
        pieces.append(code(s.text))
    return Text("\n").join(pieces)


def _passes(e: Explanation) -> RenderableType | None:
    table = _table(("pass", False), ("ops", True), ("ms", True), ("what it did", False))
    for c in (*e.changes, *e.loop_changes):
        table.add_row(Text(c.name), c.ops, f"{1e3 * c.seconds:.1f}", Text("\n".join(c.did)))
    nothing = Text(f"nothing to do for {', '.join(e.unchanged)}", "dim") if e.unchanged else Text("")
    return Group(*([table] if table.row_count else []), nothing) if table.row_count or e.unchanged else None


def _storage(e: Explanation) -> RenderableType | None:
    if not e.kept:
        return None
    table = _table(("result", False), ("scan", False), ("row", False), ("kept", False), ("a step", True),
                   ("memory", True))  # fmt: skip
    for k in e.kept:
        total = "depends on the run" if k.total is None else show_bytes(k.total) if k.total else "none"
        table.add_row(Text(k.name), Text(k.scan), Text(show_type(k.row)), str(k.storage),
                      show_bytes(k.a_step) if k.a_step else "", total)  # fmt: skip
    return table


def _limits(e: Explanation) -> RenderableType | None:
    if e.measured is None and not e.limits:
        return None
    bars = [(limit.name, limit.ns, "yellow" if k == 0 else "blue") for k, limit in enumerate(e.limits)]
    if e.measured is not None and e.measured.ns is not None:
        bars.append(("measured", e.measured.ns, "white"))
    longest = max((ns for _, ns, _ in bars), default=1.0)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    for name, ns, style in bars:
        table.add_row(name, Text("█" * max(1, round(BAR * ns / longest)), style), f"{ns:.3g} ns")
    return Group(Text(verdict(e.limits, e.measured)), table)


def _hints(e: Explanation) -> RenderableType | None:
    if not e.hints:
        return None
    return Group(*(Text.assemble("- ", (f"{hint.title}. ", "bold"), f"{seen} {hint.advice}") for hint, seen in e.hints))
