"""The figures of the compile-time benchmark as a table and as a picture."""

from __future__ import annotations

import html
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import geometric_mean
from typing import TYPE_CHECKING, Any

from compile_clock import PARTS
from rich.table import Table

from scancc.cli import plots
from scancc.cli.tables import wide_console

if TYPE_CHECKING:
    from compile_time import Measured
    from matplotlib.figure import Figure

SERIES = ("statements", "where", "where-gradient", "chain", "scans-stacked", "mlstm-gradient")


def tell(m: Measured) -> None:
    """One line as soon as a row is known."""
    own, other = (_seconds(m.seconds(name)) for name in ("scancc", "jax"))
    notes = "".join(f"   {n}" for n in m.notes)
    print(f"{m.name:36} scancc {own:>7}   jax {other:>7}{notes}", file=sys.stderr, flush=True)


def show(found: Sequence[Measured], before: Sequence[Measured]) -> None:
    """A row a program, then the mean and the worst of the ratios."""
    console = wide_console()
    head, rows = cells(found, before)
    table = Table(title="first call, CPU seconds", title_justify="left")
    for i, title in enumerate(head):
        table.add_column(title, justify="left" if i in (0, len(head) - 1) else "right", no_wrap=i == 0)
    for row in rows:
        table.add_row(*row)
    console.print(table)
    for m in found:
        for note in m.notes:
            console.print(f"note: {m.name}: {note}", markup=False, highlight=False)
    for line in summary(found, before):
        console.print(line, markup=False, highlight=False)


def cells(found: Sequence[Measured], before: Sequence[Measured]) -> tuple[list[str], list[list[str]]]:
    """The heads of the columns, and a row a program."""
    earlier = {m.name: m.seconds("scancc") for m in before}
    head = ["program", "scancc", *(["before", "faster"] if before else []), "jax", "ratio", *PARTS, "MB", "jax MB",
            "slowest pass"]  # fmt: skip
    rows = []
    for m in found:
        own, was = m.seconds("scancc"), earlier.get(m.name)
        figures = (m.samples.get("scancc") or [{}])[0]
        row = [m.name, _seconds(own)]
        if before:
            row += [_seconds(was), f"{was / own:.2g}x" if was and own else "-"]
        row += [_seconds(m.seconds("jax")), f"{m.ratio:.2f}" if m.ratio else "-"]
        row += [_seconds(figures.get("parts", {}).get(part)) for part in PARTS]
        row += [_megabytes(m, "scancc"), _megabytes(m, "jax")]
        slowest = sorted(figures.get("slowest", {}).items(), key=lambda pair: -pair[1])
        row.append(f"{slowest[0][0]} {_seconds(slowest[0][1])}" if slowest else "-")
        rows.append(row)
    return head, rows


def summary(found: Sequence[Measured], before: Sequence[Measured]) -> list[str]:
    lines = []
    counted = [m for m in found if m.ratio is not None and not m.failed]
    if counted:
        worst = max(counted, key=lambda m: m.ratio or 0.0)
        ahead = sum((m.ratio or 0.0) <= 1 for m in counted)
        mean = geometric_mean([m.ratio for m in counted if m.ratio])
        lines.append(f"scancc / jax: geometric mean {mean:.2f}, worst {worst.ratio:.2f} ({worst.name}); "
                     f"scancc takes less in {ahead} of {len(counted)}")  # fmt: skip
    over = [m.name for m in found if any(n.startswith("scancc: over") for n in m.notes)]
    if over:
        lines.append(f"scancc took longer than the limit, and is in no mean: {', '.join(over)}")
    earlier = {m.name: m.seconds("scancc") for m in before}
    gains = [was / now for m in found if (was := earlier.get(m.name)) and (now := m.seconds("scancc"))]
    if gains:
        lines.append(f"before / now: geometric mean {geometric_mean(gains):.2f} over {len(gains)} rows, "
                     f"{min(gains):.2f} to {max(gains):.2f}")  # fmt: skip
    total = [sum(m.seconds(name) or 0.0 for m in found) for name in ("scancc", "jax")]
    lines.append(f"in all: scancc {total[0]:.1f} s, jax {total[1]:.1f} s")
    return lines


def _seconds(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.2f}" if value < 100 else f"{value:.0f}"


def _megabytes(m: Measured, library: str) -> str:
    peaks = [figures["peak_mb"] for figures in m.samples.get(library, ()) if "peak_mb" in figures]
    return f"{max(peaks):.0f}" if peaks else "-"


# -- the picture -------------------------------------------------------------------------------------------------------


def check(path: Path | None) -> None:
    """Raises before anything is measured where a picture could not be written."""
    if path is not None:
        plots.check_path(path)


def plot(path: Path, found: Sequence[Measured], before: Sequence[Measured]) -> None:
    """A picture, or a page that has the table as well."""
    figure = lines(found, before)
    if path.suffix != ".html":
        if figure is None:
            raise SystemExit(f"--plot {path}: nothing was measured at two sizes or more")
        figure.savefig(path, dpi=160, metadata=None if path.suffix == ".png" else {})
        return
    head, rows = cells(found, before)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(c)}</td>" for c in row) + "</tr>" for row in rows)
    told = "".join(f"<p>{html.escape(line)}</p>" for line in summary(found, before))
    picture = f"<figure>{plots._svg(figure)}</figure>" if figure is not None else ""
    path.write_text(
        "<!doctype html><html lang='en'><meta charset='utf-8'><meta name='viewport' content='width=device-width'>"
        f"<title>scancc: first calls</title><style>{plots.CSS}</style><h1>First calls, CPU seconds</h1>{told}{picture}"
        f"<table><tr>{''.join(f'<th>{html.escape(h)}</th>' for h in head)}</tr>{body}</table></html>\n",
        encoding="utf-8",
    )  # fmt: skip


def lines(found: Sequence[Measured], before: Sequence[Measured]) -> Figure | None:
    """Seconds over size, a panel a series that was measured at two sizes or more; dashed: before."""
    from matplotlib import pyplot, rc_context

    shown = [s for s in SERIES if len(_points(found, s, "scancc")) > 1]
    if not shown:
        return None
    columns = min(3, len(shown))
    height = -(-len(shown) // columns)
    with rc_context(plots.STYLE):
        figure, axes = pyplot.subplots(height, columns, squeeze=False, layout="constrained",
                                       figsize=(3.6 * columns, 2.7 * height))  # fmt: skip
        for ax in axes.flat[len(shown) :]:
            ax.set_visible(False)
        for ax, series in zip(axes.flat, shown, strict=False):
            _panel(ax, series, found, before)
    return figure


def _panel(ax: Any, series: str, found: Sequence[Measured], before: Sequence[Measured]) -> None:
    ax.set_title(series, fontsize=9, loc="left", color="#1f2430")
    for label, rows, library, colour, style in (("jax", found, "jax", plots.MUTED, "-"),
                                                ("scancc, before", before, "scancc", plots.BEHIND, "--"),
                                                ("scancc", found, "scancc", plots.AHEAD, "-")):  # fmt: skip
        points = _points(rows, series, library)
        if points:
            ax.loglog(*zip(*points, strict=True), style, marker="o", markersize=3, color=colour, label=label,
                      linewidth=2 if label == "scancc" else 1)  # fmt: skip
    sizes = sorted({size for name in ("scancc", "jax") for size, _ in _points(found, series, name)})
    ax.set_xticks(sizes, [f"{size:,}" for size in sizes])
    ax.yaxis.set_major_formatter("{x:g}")
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_minor_formatter("")  # labels between powers of ten would lie on one another
    ax.set_xlabel("heads" if series.startswith("mlstm") else "loops" if series.startswith("scans") else "statements")
    ax.set_ylabel("CPU seconds of the first call")
    ax.grid(True, which="major", color="#eceef1")
    ax.legend(frameon=False, fontsize=6.5)


def _points(rows: Sequence[Measured], series: str, library: str) -> list[tuple[int, float]]:
    """(size, seconds) in order of size."""
    points = [(m.size or int(m.name.split("/")[1]), s) for m in rows
              if m.name.split("/")[0] == series and (s := m.seconds(library)) is not None]  # fmt: skip
    return sorted(points)
