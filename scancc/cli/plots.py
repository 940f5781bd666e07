"""Figures of `scancc bench` as pictures: speed-up bars, and time per step against the number of steps."""

from __future__ import annotations

import html
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scancc.cli.loading import UsageError
from scancc.cli.tables import ratio, seconds, threads_of
from scancc.measure import Result, peer_of
from scancc.summary import SpeedUp, speed_ups

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SUFFIXES = (".png", ".svg", ".pdf", ".html")
AHEAD, AHEAD_GRADIENT, BEHIND = "#0f766e", "#74b9b2", "#c2410c"
MUTED = "#8a8f98"
NAMES = {"c": "C", "numba": "Numba, by hand", "jax": "JAX", "pytensor": "PyTensor", "torch": "PyTorch",
         "numpy": "NumPy", "scipy": "SciPy", "python": "Python loop"}  # fmt: skip
LIBRARIES = ("scipy", "pandas", "statsmodels", "arch")  # one panel: each takes part in a few workloads only
STYLE: Any = {"font.size": 8, "axes.spines.top": False, "axes.spines.right": False, "axes.edgecolor": "#c8ccd2",
         "xtick.color": "#50555e", "ytick.color": "#50555e", "svg.hashsalt": "scancc"}  # fmt: skip


def check_path(path: Path) -> None:
    """Raises UsageError for a kind of file that is not written, ImportError without matplotlib: before any timing."""
    if path.suffix not in SUFFIXES:
        raise UsageError(f"--plot {path}: choose a name that ends in {', '.join(SUFFIXES)}")
    try:
        import matplotlib  # noqa: F401
    except ImportError as e:
        raise ImportError("plots need matplotlib: pip install 'scancc[bench]'") from e


def write_plot(path: Path, results: Sequence[Result], record: Mapping[str, Any]) -> None:
    """The bars and, where a workload was timed at several lengths, the lines: pictures, or a page with the tables."""
    figures = [f for f in (bars(results, caption(record)), lines(results)) if f is not None]
    if path.suffix == ".html":
        path.write_text(page(figures, results, record), encoding="utf-8")
        return
    for i, figure in enumerate(figures):
        where = path if i == 0 else path.with_stem(f"{path.stem}-lengths")
        figure.savefig(where, dpi=160, metadata=None if path.suffix == ".png" else {})


def caption(record: Mapping[str, Any]) -> str:
    """The processor and the versions that the figures hold for."""
    versions = record["versions"]
    named = [f"{p} {versions[p]}" for p in ("numba", "jax", "pytensor", "torch") if versions.get(p)]
    versions_named = f"Python {record['python']}, {', '.join(named)}"
    return f"{record['processor']}, {threads_of(record)}, {versions_named}; medians of interleaved repeats"


# -- bars --------------------------------------------------------------------------------------------------------------


def bars(results: Sequence[Result], note: str) -> Figure | None:
    """A panel a peer, a row a workload: how many times the time of scancc the peer takes, on a logarithmic axis."""
    from matplotlib import pyplot, rc_context

    found = speed_ups(results)
    if not found:
        return None
    rows = list(dict.fromkeys(_row(s) for s in found))
    panels = _panels(found)
    with rc_context(STYLE):
        height = 0.9 + 0.26 * len(rows)
        figure, axes = pyplot.subplots(1, len(panels), sharey=True, squeeze=False, layout="constrained",
                                       figsize=(1.8 + 1.55 * len(panels), height))  # fmt: skip
        for ax, (title, shown) in zip(axes[0], panels.items(), strict=True):
            _panel(ax, title, shown, rows)
        figure.supxlabel(
            "time of the peer / time of scancc   (dark: forward, light: gradient, orange: the peer is faster)\n" + note,
            fontsize=7, color="#50555e",
        )  # fmt: skip
    return figure


def _row(s: SpeedUp) -> str:
    return s.workload.replace("-gradient", "")


def _panels(found: Sequence[SpeedUp]) -> dict[str, list[SpeedUp]]:
    """Peers by the number of workloads they are in; the libraries together and last, the fastest of each row."""
    peers = dict.fromkeys(s.peer for s in found)
    sizes = {p: sum(s.peer == p for s in found) for p in peers if p not in LIBRARIES}
    panels = {NAMES.get(p, p): [s for s in found if s.peer == p] for p in sorted(sizes, key=lambda p: -sizes[p])}
    libraries = [s for s in found if s.peer in LIBRARIES]
    rest = list({(s.workload, s.gradient): s for s in sorted(libraries, key=lambda s: -s.ratio)}.values())
    if rest:
        one = NAMES.get(rest[0].peer, rest[0].peer)
        panels["SciPy, pandas, ..." if len({s.peer for s in libraries}) > 1 else one] = rest
    return panels


def _panel(ax: Axes, title: str, shown: Sequence[SpeedUp], rows: list[str]) -> None:
    ax.set_title(title, fontsize=9, loc="left", color="#1f2430")
    ax.set_xscale("log")
    ax.axvline(1, color="#50555e", linewidth=0.8)
    both = {_row(s) for s in shown if s.gradient} & {_row(s) for s in shown if not s.gradient}
    largest = max([*(s.ratio for s in shown), 2.0])
    for s in shown:
        shift = (0.2 if s.gradient else -0.2) if _row(s) in both else 0.0
        y, thickness = rows.index(_row(s)) + shift, 0.36 if _row(s) in both else 0.5
        colour = BEHIND if s.ratio < 1 else AHEAD_GRADIENT if s.gradient else AHEAD
        ax.barh(y, s.ratio - 1, left=1, height=thickness, color=colour)
        ax.text(max(s.ratio, 1) * 1.08, y, f"{s.ratio:.2g}×" if s.ratio < 100 else f"{s.ratio:.0f}×", va="center",
                fontsize=6, color="#1f2430")  # fmt: skip
    ax.set_ylim(len(rows) - 0.5, -0.5)
    ax.set_xlim(min([0.8, *(0.8 * s.ratio for s in shown)]), largest * (largest**0.45))
    ax.set_yticks(range(len(rows)), rows)
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    ax.set_axisbelow(True)
    ax.xaxis.grid(True, color="#eceef1")
    ax.xaxis.set_major_formatter(lambda v, _: f"{v:g}")
    ax.xaxis.set_minor_formatter("")  # labels between powers of ten would lie on one another


# -- lines -------------------------------------------------------------------------------------------------------------


def lines(results: Sequence[Result]) -> Figure | None:
    """Time per step against steps, a panel a workload that was timed at two lengths or more."""
    from matplotlib import pyplot, rc_context

    series: dict[str, list[Result]] = {}
    for r in results:
        if r.steps and r.timings:
            series.setdefault(r.workload.rpartition("/")[0] or r.workload, []).append(r)
    shown = {name: sorted(rs, key=lambda r: r.steps or 0) for name, rs in series.items()
             if len({r.steps for r in rs}) > 1}  # fmt: skip
    if not shown:
        return None
    columns = min(3, len(shown))
    with rc_context(STYLE):
        figure, axes = pyplot.subplots(-(-len(shown) // columns), columns, squeeze=False, layout="constrained",
                                       figsize=(4.4 * columns, 3.0 * -(-len(shown) // columns)))  # fmt: skip
        for ax in axes.flat[len(shown) :]:
            ax.set_visible(False)
        for ax, (name, rs) in zip(axes.flat, shown.items(), strict=False):
            _lines(ax, name, rs)
    return figure


def _lines(ax: Axes, name: str, results: Sequence[Result]) -> None:
    ax.set_title(name, fontsize=9, loc="left", color="#1f2430")
    ends = []
    for implementation in dict.fromkeys(t.implementation for r in results for t in r.timings):
        points = [(r.steps, t.per_step_ns) for r in results for t in r.timings
                  if t.implementation == implementation and t.per_step_ns is not None]  # fmt: skip
        own = peer_of(implementation) == "scancc"
        xs, ys = zip(*points, strict=True)
        ax.loglog(xs, ys, marker="o", markersize=3, color=AHEAD if own else MUTED, linewidth=2 if own else 1,
                  zorder=3 if own else 2)  # fmt: skip
        ends.append((ys[-1], xs[-1], implementation, own))
    _label_ends(ax, ends)
    ax.set_xlabel("steps")
    ax.set_ylabel("ns per step")
    ax.grid(True, which="major", color="#eceef1")


def _label_ends(ax: Axes, ends: list[tuple[float, int, str, bool]]) -> None:
    """Names beside the last points, moved apart where they would cover one another."""
    low, high = ax.get_ylim()
    gap = (high / low) ** 0.055
    last = low
    for y, x, name, own in sorted(ends):
        last = max(y, last * gap) if last > low else y
        ax.annotate(name, (x, y), (x * 1.25, last), fontsize=6.5, va="center", color=AHEAD if own else "#50555e",
                    fontweight="bold" if own else "normal", annotation_clip=False)  # fmt: skip
    left, right = ax.get_xlim()
    ax.set_xlim(left, right * (right / left) ** 0.45)


# -- a page ------------------------------------------------------------------------------------------------------------


def page(figures: Sequence[Figure], results: Sequence[Result], record: Mapping[str, Any]) -> str:
    """One page with everything in it: pictures as SVG, tables of all figures, and where they were measured."""
    pictures = "".join(f"<figure>{_svg(f)}</figure>" for f in figures)
    tables = "".join(_table(r) for r in results)
    return (
        "<!doctype html><html lang='en'><meta charset='utf-8'><meta name='viewport' content='width=device-width'>"
        f"<title>scancc bench</title><style>{CSS}</style><h1>scancc bench</h1><p>{html.escape(caption(record))}</p>"
        f"{pictures}{tables}</html>\n"
    )


CSS = (
    "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:75rem;padding:0 1rem;color:#1f2430;"
    "background:#fff}figure{margin:1.5rem 0;overflow-x:auto}svg{max-width:100%;height:auto}"
    "table{border-collapse:collapse;margin:.5rem 0 2rem;font-variant-numeric:tabular-nums}"
    "th,td{padding:.2rem .8rem;text-align:right;border-bottom:1px solid #eceef1}"
    "th:first-child,td:first-child{text-align:left}h2{font-size:1.05rem;margin-bottom:0}.own{font-weight:600}"
)


def _svg(figure: Figure) -> str:
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None})
    made = text.getvalue()
    return made[made.index("<svg") :]


def _table(result: Result) -> str:
    head = ("implementation", "ns/step", "median", f"ratio to {result.reference} (95 %)", "first call", "rel. diff.")
    rows = []
    for t in sorted(result.timings, key=lambda t: t.median_s):
        cells = (t.implementation, "-" if t.per_step_ns is None else f"{t.per_step_ns:,.4g}", seconds(t.median_s),
                 ratio(t, result.reference), "-" if t.first_call_s is None else seconds(t.first_call_s),
                 "-" if t.relative is None else f"{t.relative:.1e}")  # fmt: skip
        mark = " class='own'" if t.implementation == result.reference else ""
        rows.append(f"<tr{mark}>" + "".join(f"<td>{html.escape(c)}</td>" for c in cells) + "</tr>")
    notes = "".join(f"<p>{html.escape(n)}</p>" for n in result.notes)
    title = f"{result.workload}, {result.steps:,} steps" if result.steps else result.workload
    return (f"<h2>{html.escape(title)}</h2><table><tr>" + "".join(f"<th>{html.escape(h)}</th>" for h in head)
            + f"</tr>{''.join(rows)}</table>{notes}")  # fmt: skip

