"""An explanation as one HTML page that holds all it needs: no scripts, nothing from elsewhere, light and dark."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from scancc.ir.printer import show_type
from scancc.report import highlight
from scancc.report.beside import Line, Passage
from scancc.report.explanation import Explanation
from scancc.report.graph import picture
from scancc.report.headline import headline
from scancc.report.limits import verdict
from scancc.report.storage import show_bytes
from scancc.report.styles import PAGE, SCOPE, stylesheet
from scancc.report.svg import svg

SECTIONS = ("picture", "source", "passes", "storage", "limits", "kernel", "assembly")
HEADINGS = {
    "picture": "The step", "source": "Source and IR", "passes": "What the passes did", "storage": "Storage",
    "limits": "Limits", "kernel": "Kernel", "assembly": "Hot loop",
}  # fmt: skip
LONG_TEXT = 400  # lines of a kernel that is folded away at first


def page(e: Explanation) -> str:
    """The whole document."""
    parts = {name: text for name in SECTIONS if (text := "\n".join(_section(name, e)))}
    links = "".join(f'<a href="#{name}">{HEADINGS[name]}</a>' for name in parts)
    body = "\n".join(f'<section id="{name}" aria-labelledby="{name}-heading">\n<h2 id="{name}-heading">{HEADINGS[name]}'
                     f"</h2>\n{text}\n</section>" for name, text in parts.items())  # fmt: skip
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="color-scheme" content="light dark">
<title>{escape(e.title)}: what scancc made of it</title>
<style>{stylesheet()}{PAGE}</style>
</head>
<body class="{SCOPE} page">
<main class="sheet">
{_header(e)}
<nav aria-label="Sections">{links}</nav>
{_cards(e)}
{_hints(e)}
{body}
</main>
</body>
</html>
"""


def fragment(e: Explanation) -> str:
    """What Jupyter shows: the head, the picture, storage and passes, in an element with a style sheet of its own.

    It has no ids, so that several of them may stand in one document.
    """
    parts = [_header(e), _cards(e), _hints(e), *_picture(e, linked=False)]
    for name in ("storage", "passes"):
        inside = "\n".join(_section(name, e))
        if inside:
            parts.append(f"<details><summary>{HEADINGS[name]}</summary>{inside}</details>")
    parts.append(f"<details><summary>{HEADINGS['kernel']}</summary>{_code(e.kernel, 'python', 'Kernel')}</details>")
    return f'<div class="{SCOPE} compact"><style>{stylesheet()}</style>\n{"".join(parts)}</div>'


def _section(name: str, e: Explanation) -> Iterator[str]:
    match name:
        case "picture":
            return _picture(e)
        case "source":
            return _source(e.passages)
        case "passes":
            return _passes(e)
        case "storage":
            return _storage(e)
        case "limits":
            return _limits(e)
        case "kernel":
            return _kernel(e)
        case _:
            return _assembly(e)


def _header(e: Explanation) -> str:
    options = e.made.options
    flags = [name for name in ("strict_fp", "fastmath") if getattr(options, name)]
    flags += [] if options.optimize else ["optimize=False"]
    target = {"cpu": "for the CPU", "cuda": "for CUDA"}[options.target]
    where = f"{e.place}, " if e.place else ""
    lead = f"{where}compiled {target}" + (f" with {', '.join(flags)}" if flags else "")
    strategy = "".join(f"<p>{escape(line)}</p>" for line in e.strategy)
    return f'<header><h1>{escape(e.title)}</h1><p class="lead">{escape(lead)}</p>{strategy}</header>'


def _cards(e: Explanation) -> str:
    items = "".join(f"<li><b>{escape(number)}</b><span>{escape(what)}</span></li>" for number, what in headline(e))
    return f'<ul class="cards">{items}</ul>' if items else ""


def _hints(e: Explanation) -> str:
    items = "".join(f"<li><b>{escape(h.title)}.</b> {escape(seen)} {escape(h.advice)}</li>" for h, seen in e.hints)
    return f'<h2>Hints</h2><ul class="hints">{items}</ul>' if items else ""


# -- picture and source ------------------------------------------------------------------------------------------
def _picture(e: Explanation, linked: bool = True) -> Iterator[str]:
    drawing = picture(e.made.graph if e.made.stages else e.made.stored, {} if e.made.stages else e.made.plan)
    if drawing is None:
        yield "<p>The step is too large for a picture that could be read.</p>"
        return
    label = f"Graph of {e.title}: values flow downwards, taps are dashed arrows back to the top"
    focus = ' tabindex="0" role="group" aria-label="Picture, scrolls sideways"'
    yield f'<div class="wide"{focus}>{svg(drawing, label, anchor if linked else None)}</div>'
    if drawing.arrows or any(d.arrows for b in drawing.boxes for d in b.inner):
        back = ('<li class="back"><i></i>read by a later step</li>'
                '<li class="chain"><i></i>waits for the step before</li>')  # fmt: skip
    else:
        back = ""
    yield f'<ul class="legend"><li><i></i>a value</li>{back}<li class="in"><i></i>comes in from outside</li></ul>'


def anchor(statement: str) -> str:
    """The id of a statement of the IR."""
    return f"ir-{statement}"


def _source(passages: Sequence[Passage]) -> Iterator[str]:
    yield ('<p class="small">Every statement stands beside the line that it was traced from. Those of a scan are the '
           "steps' own, numbered anew in each body.</p>")  # fmt: skip
    for passage in passages:
        if passage.file:
            yield f"<h3>{escape(passage.name)}</h3>"
        code = highlight.lines_of("\n".join(line.text for line in passage.lines), "python")
        rows = "".join(_row(line, html) for line, html in zip(passage.lines, code, strict=False))
        yield f'<div class="wide beside">{rows}</div>'


def _row(line: Line, html: str) -> str:
    shown, scope = [], None
    for s in line.statements:
        if s.scope != scope:
            scope = s.scope
            shown.append(f'<div class="scope">{escape(scope or "around the scans")}</div>')
        name = f' id="{escape(anchor(s.anchor))}"' if s.anchor else ""
        text = highlight.lines_of(s.text, "python")[0]
        shown.append(f"<pre{name}>{text}</pre>")
    number = str(line.number) if line.number else ""
    return (f'<div><div class="line"><span>{number}</span><pre><code>{html}</code></pre></div>'
            f'<div class="ir">{"".join(shown)}</div></div>')  # fmt: skip


# -- tables ------------------------------------------------------------------------------------------------------
def _table(head: Sequence[str], rows: Sequence[Sequence[str]], numbers: Sequence[int]) -> str:
    """Cells are HTML; `numbers` are columns that are set to the right."""
    def cell(tag: str, k: int, text: str, more: str = "") -> str:
        kind = ' class="number"' if k in numbers else ""
        return f"<{tag}{kind}{more}>{text}</{tag}>"

    top = "".join(cell("th", k, escape(h), ' scope="col"') for k, h in enumerate(head))
    body = ""
    for first, *rest in rows:
        named = cell("th", 0, first, ' scope="row"')
        others = "".join(cell("td", k, text) for k, text in enumerate(rest, 1))
        body += f"<tr>{named}{others}</tr>"
    return (f'<div class="wide" tabindex="0" role="group" aria-label="Table"><table><thead><tr>{top}</tr></thead>'
            f"<tbody>{body}</tbody></table></div>")  # fmt: skip


def _passes(e: Explanation) -> Iterator[str]:
    rows = []
    for c in (*e.changes, *e.loop_changes):
        did = "".join(f"<li>{escape(d)}</li>" for d in c.did)
        rows.append((f"<code>{escape(c.name)}</code>", f"<ul>{did}</ul>", c.ops, f"{1e3 * c.seconds:.1f}"))
    if rows:
        yield _table(("Pass", "What it did", "Ops", "ms"), rows, (2, 3))
    if e.unchanged:
        names = ", ".join(f"<code>{escape(n)}</code>" for n in e.unchanged)
        yield f'<p class="small">Nothing to do for {names}.</p>'


def _storage(e: Explanation) -> Iterator[str]:
    rows = []
    for k in e.kept:
        total = "depends on the run" if k.total is None else "none" if not k.total else show_bytes(k.total)
        rows.append((f"<code>{escape(k.name)}</code>", escape(k.scan), f"<code>{escape(show_type(k.row))}</code>",
                     escape(str(k.storage)), show_bytes(k.a_step) if k.a_step else "", total))  # fmt: skip
    if rows:
        yield _table(("Result", "Scan", "Row", "Kept", "A step", "Memory"), rows, (4, 5))
    if e.as_written is not None and e.stored is not None:
        yield (f'<p class="small">With every state and output kept, as written: {show_bytes(e.as_written)}. '
               f"All buffers of a call, as compiled: {show_bytes(e.stored)}.</p>")  # fmt: skip


def _limits(e: Explanation) -> Iterator[str]:
    if not e.limits:
        return
    bars = [(limit.name, limit.ns, "bar least" if k == 0 else "bar") for k, limit in enumerate(e.limits)]
    if e.measured is not None and e.measured.ns is not None:
        bars.append(("measured", e.measured.ns, "bar measured"))
    longest = max(ns for _, ns, _ in bars)
    rows = "".join(
        f'<span class="name">{escape(name)}</span><span class="track"><div class="{kind}" '
        f'style="width:{100 * ns / longest:.1f}%"></div></span><b>{ns:.3g} ns</b>' for name, ns, kind in bars
    )
    yield f"<p>{escape(verdict(e.limits, e.measured))}</p>"
    yield f'<div class="wide"><div class="bars">{rows}</div></div>'
    told = "".join(f"<li><b>{escape(limit.name)}</b>: {limit.cycles:.3g} cycles a step; {escape(limit.why)}</li>"
                   for limit in e.limits)  # fmt: skip
    yield f'<ul class="small">{told}</ul>'


# -- code --------------------------------------------------------------------------------------------------------
def _code(text: str, language: str, label: str) -> str:
    inside = highlight.block(text, language)
    return (f'<div class="wide" tabindex="0" role="group" aria-label="{escape(label)}"><pre><code>{inside}</code></pre>'
            "</div>")  # fmt: skip


def _kernel(e: Explanation) -> Iterator[str]:
    lines = e.kernel.count("\n")
    yield '<p class="small">The generated Python, which numba compiles. Comments name the lines of the step.</p>'
    code = _code(e.kernel, "python", "Kernel")
    yield f"<details><summary>{lines} lines</summary>{code}</details>" if lines > LONG_TEXT else code


def _assembly(e: Explanation) -> Iterator[str]:
    if e.figures is None or e.figures.hot is None:
        return
    hot = e.figures.hot
    facts = [f"{hot.instructions} instructions", f"{hot.spills} loads and stores of the stack",
             f"critical path {hot.critical_path_cycles:g} cycles",
             f"throughput {hot.throughput_cycles:g} cycles an iteration"]  # fmt: skip
    if hot.calls:
        facts.append(f"calls {', '.join(hot.calls)}")
    yield f'<p class="small">{escape("; ".join(facts))}; machine code for {escape(e.figures.cpu)}.</p>'
    yield _code(hot.text, "gas", "Assembly of the hot loop")
