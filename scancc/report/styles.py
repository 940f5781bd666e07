"""The style sheet of pages and of what Jupyter shows: every rule stands under one class, so none reaches out of it.

Colours are variables with a light and a dark value; every text has a contrast of at least 4.5 to 1 on its ground (WCAG
2.1, level AA), which a test computes.
"""

from __future__ import annotations

SCOPE = "scancc-report"
MONO = "ui-monospace,SFMono-Regular,'SF Mono',Menlo,Consolas,'DejaVu Sans Mono',monospace"

COLOURS: dict[str, tuple[str, str]] = {  # light, dark
    "ground": ("#ffffff", "#14171c"),
    "panel": ("#f6f7f9", "#1c2027"),
    "line": ("#dfe3e8", "#323943"),
    "text": ("#1b2230", "#e4e8ee"),
    "muted": ("#5a6473", "#9aa5b4"),
    "accent": ("#0b62c4", "#6db3ff"),
    "wait": ("#b03a06", "#ffa26b"),
    "wait-ground": ("#fff2ea", "#33231a"),
    "port": ("#0b6e57", "#5fd3b4"),
    "port-ground": ("#e9f7f3", "#162c28"),
    "keyword": ("#8a2aa5", "#d7a2ee"),
    "string": ("#1d6f2c", "#93d49c"),
    "number": ("#9a4a00", "#f0b57a"),
    "comment": ("#5e6875", "#94a0af"),
    "good": ("#1d6f2c", "#7ccf8a"),
}

RULES: tuple[tuple[str, str], ...] = (
    ("", "background:var(--ground);color:var(--text);font:15px/1.55 system-ui,-apple-system,'Segoe UI',sans-serif;"
         "text-align:left;-webkit-text-size-adjust:100%"),
    ("*", "box-sizing:border-box"),
    ("h1", "font-size:26px;line-height:1.25;margin:0 0 4px;font-weight:650;letter-spacing:-.01em;"
           "overflow-wrap:anywhere;color:var(--text)"),
    ("h2", "font-size:18px;line-height:1.3;margin:44px 0 6px;font-weight:650;color:var(--text)"),
    ("h3", "font-size:15px;margin:22px 0 6px;font-weight:650;color:var(--text)"),
    ("p", "margin:0 0 12px;max-width:72ch;color:inherit"),
    (".lead, .small", "color:var(--muted)"),
    (".small", "font-size:13px;max-width:88ch"),
    (".wide + .small", "margin-top:10px"),
    ("ul.small", "padding-left:18px"),
    ("code, pre, .mono", f"font-family:{MONO};font-size:12.5px;background:none;color:inherit"),
    ("a", "color:var(--accent);text-underline-offset:2px"),
    ("a:focus-visible, summary:focus-visible, [tabindex]:focus-visible",
     "outline:2px solid var(--accent);outline-offset:2px;border-radius:4px"),
    ("nav", "display:flex;flex-wrap:wrap;gap:4px 18px;margin:16px 0 0;font-size:14px"),
    ("nav a", "text-decoration:none"),
    ("nav a:hover", "text-decoration:underline"),
    # figures at the top
    (".cards", "display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:10px;"
               "margin:22px 0 0;padding:0;list-style:none"),
    (".cards li", "background:var(--panel);border:1px solid var(--line);border-radius:10px;padding:12px 14px;margin:0"),
    (".cards b", "display:block;font-size:21px;font-weight:650;line-height:1.25;font-variant-numeric:tabular-nums"),
    (".cards span", "display:block;color:var(--muted);font-size:13px;line-height:1.4"),
    (".hints", "margin:12px 0 0;padding:0;list-style:none"),
    (".hints li", "border:1px solid var(--line);border-left:4px solid var(--accent);border-radius:8px;"
                  "padding:10px 14px;margin:0 0 8px;max-width:none"),
    (".hints b", "font-weight:650"),
    # wide things scroll on their own
    (".wide", "overflow-x:auto;border:1px solid var(--line);border-radius:10px;background:var(--ground);"
              "margin:10px 0 0"),
    ("pre", "margin:0;padding:12px 14px;line-height:1.5;white-space:pre;tab-size:4;border:0"),
    ("details", "margin:14px 0 0"),
    ("summary", "cursor:pointer;font-weight:600"),
    ("table", "border-collapse:collapse;width:100%;font-size:13.5px;margin:0;border:0"),
    ("th, td", "text-align:left;vertical-align:top;padding:7px 14px;border:0;border-bottom:1px solid var(--line);"
               "background:none;color:inherit"),
    ("tr:last-child > td, tr:last-child > th", "border-bottom:0"),
    ("thead th", "color:var(--muted);font-weight:600;font-size:13px;background:var(--panel);white-space:nowrap"),
    ("tbody th", "font-weight:600"),
    ("td.number, th.number", "text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap"),
    ("td ul", "margin:0;padding:0;list-style:none"),
    # source beside IR
    (".beside", "display:grid;grid-template-columns:minmax(0,1fr) minmax(0,1.15fr)"),
    (".beside > div", "display:contents"),
    (".beside pre", "white-space:pre-wrap;overflow-wrap:anywhere;padding:3px 14px"),
    (".beside > div > *", "border-bottom:1px solid var(--line)"),
    (".beside > div:last-child > *", "border-bottom:0"),
    (".beside .line", "display:grid;grid-template-columns:44px minmax(0,1fr);background:var(--panel)"),
    (".beside .line > span", "color:var(--muted);text-align:right;padding:3px 0;user-select:none;font-size:12px"),
    (".beside .ir", "padding:3px 0;min-height:1px"),
    (".beside .ir pre", "padding:0 14px;padding-left:calc(14px + 2ch);text-indent:-2ch"),
    (".beside pre:target, .beside pre:target *", "background:var(--wait-ground)"),
    (".scope", "color:var(--muted);font-size:11.5px;padding:1px 14px 0;font-weight:600"),
    # bars of limits
    (".bars", "display:grid;grid-template-columns:max-content minmax(80px,1fr) max-content;gap:8px 14px;"
              "align-items:center;padding:16px;font-size:13.5px"),
    (".bars .bar", "height:14px;border-radius:4px;background:var(--accent);min-width:2px"),
    (".bars .bar.measured", "background:var(--text)"),
    (".bars .bar.least", "background:var(--wait)"),
    (".bars .track", "background:var(--panel);border-radius:4px"),
    (".bars b", "font-variant-numeric:tabular-nums;font-weight:600"),
    # tokens of highlighted source
    (".k, .kw", "color:var(--keyword)"),
    (".s", "color:var(--string)"),
    (".m", "color:var(--number)"),
    (".c", "color:var(--comment)"),
    (".f", "color:var(--accent)"),
    # the picture
    (".picture", "display:block;margin:0 auto;height:auto;max-width:100%"),
    (".picture text", f"font-family:{MONO};fill:var(--text);stroke:none"),
    (".picture .text", "font-size:12px;text-anchor:middle"),
    (".picture .note", "font-size:10.5px;fill:var(--muted)"),
    (".picture .box .note", "text-anchor:middle"),
    (".picture .box rect", "fill:var(--ground);stroke:var(--muted);stroke-width:1"),
    (".picture .port rect", "fill:var(--port-ground);stroke:var(--port)"),
    (".picture .tap rect", "fill:var(--port-ground);stroke:var(--port)"),
    (".picture .waits rect", "fill:var(--wait-ground);stroke:var(--wait)"),
    (".picture .result rect", "stroke-width:1.8"),
    (".picture .frame", "fill:var(--panel);stroke:var(--line);stroke-width:1.2"),
    (".picture .title", "font-size:13px;font-weight:700;paint-order:stroke;stroke:var(--panel);stroke-width:5px"),
    (".picture text.note", "paint-order:stroke;stroke:var(--panel);stroke-width:0"),
    (".picture .caption", "font-size:11.5px;font-weight:700;fill:var(--muted)"),
    (".picture .link", "fill:none;stroke:var(--muted);stroke-width:1.2;opacity:.85"),
    (".picture .link.waits", "stroke:var(--wait);stroke-width:1.8;opacity:1"),
    (".picture .link.first", "stroke-dasharray:2 3"),
    (".picture .head", "fill:var(--muted);stroke:none"),
    (".picture .head.waits, .picture .head.tap-head", "fill:var(--wait)"),
    (".picture .tap-arrow", "fill:none;stroke:var(--wait);stroke-width:1.8;stroke-dasharray:6 4"),
    (".picture .steps", "font-size:10.5px;fill:var(--wait);font-weight:600;paint-order:stroke;stroke:var(--panel);"
                        "stroke-width:4px;stroke-linejoin:round"),
    (".picture a:hover rect, .picture a:focus rect", "stroke-width:2.4"),
    (".legend", "display:flex;flex-wrap:wrap;gap:4px 20px;margin:10px 0 0;padding:0;list-style:none;font-size:13px;"
                "color:var(--muted)"),
    (".legend i", "display:inline-block;width:22px;height:0;border-top:2px solid var(--muted);margin:0 7px 4px 0"),
    (".legend .back i", "border-top:2px dashed var(--wait)"),
    (".legend .chain i", "border-top-color:var(--wait)"),
    (".legend .in i", "border-top:0;height:11px;width:16px;border:1px solid var(--port);background:var(--port-ground);"
                      "border-radius:4px;margin-bottom:-1px"),
)  # fmt: skip

NARROW: tuple[tuple[str, str], ...] = (
    (".beside", "grid-template-columns:minmax(0,1fr)"),
    (".beside .line", "border-bottom:0"),
    (".beside .ir", "padding-left:30px"),
    (".bars", "grid-template-columns:minmax(80px,1fr) max-content;gap:4px 12px"),
    (".bars .name", "grid-column:1 / -1;margin-top:6px"),
    ("th, td", "padding:6px 10px"),
    ("h1", "font-size:22px"),
)  # fmt: skip

PAGE = (
    "body{margin:0}"
    f".{SCOPE}.page{{min-height:100vh}}"
    f".{SCOPE} .sheet{{max-width:1180px;margin:0 auto;padding:36px 28px 72px}}"
    f"@media (max-width:640px){{.{SCOPE} .sheet{{padding:22px 14px 48px}}}}"
    "@media print{a{color:inherit}}"
)


def stylesheet() -> str:
    """Colours for light and dark: by what the reader prefers, or by the theme that a notebook says it has."""
    light, dark = (";".join(f"--{n}:{pair[i]}" for n, pair in COLOURS.items()) for i in (0, 1))
    night = f"[data-jp-theme-light='false'] .{SCOPE},.vscode-dark .{SCOPE}"
    day = f"[data-jp-theme-light='true'] .{SCOPE},.vscode-light .{SCOPE}"
    narrow = _rules(NARROW)
    return (
        f".{SCOPE}{{color-scheme:light dark;{light}}}"
        f"@media (prefers-color-scheme:dark){{.{SCOPE}{{{dark}}}}}"
        f"{night}{{color-scheme:dark;{dark}}}{day}{{color-scheme:light;{light}}}"
        f"{_rules(RULES)}@media (max-width:760px){{{narrow}}}"
    )


def _rules(rules: tuple[tuple[str, str], ...]) -> str:
    return "".join(f"{','.join(_scoped(s) for s in selector.split(', '))}{{{text}}}" for selector, text in rules)


def _scoped(selector: str) -> str:
    return f".{SCOPE} {selector}".strip()
