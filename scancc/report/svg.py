"""A drawing as SVG: plain shapes with classes, without ids or scripts; the style sheet around it has the colours."""

from __future__ import annotations

from collections.abc import Callable
from html import escape

from scancc.report.graph import LANE, MARGIN, TITLE, Arrow, Box, Drawing
from scancc.report.layout import curve

Point = tuple[float, float]
Anchor = Callable[[str], str]
EDGE = 10.0  # around the whole picture
SMALLEST = 0.7  # how far a picture shrinks before it scrolls
ROUND = 8.0  # radius of the corners of arrows


def svg(drawing: Drawing, label: str, anchor: Anchor | None = None) -> str:
    """One `svg` element. `anchor` makes the target of a link of what a box is called in the printed IR."""
    width, height = drawing.width + 2 * EDGE, drawing.height + 2 * EDGE
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="picture" role="img" aria-label="{escape(label)}" '
        f'viewBox="0 0 {_n(width)} {_n(height)}" width="{_n(width)}" height="{_n(height)}" '
        f'style="min-width:{_n(SMALLEST * width)}px">',
        *_drawing(drawing, EDGE, EDGE, anchor),
        "</svg>",
    ]
    return "\n".join(lines)


def _drawing(d: Drawing, x: float, y: float, anchor: Anchor | None) -> list[str]:
    """A drawing with its upper left corner at (x, y): frames, links on them, boxes on top."""
    lines = [f'<g transform="translate({_n(x)} {_n(y)})">']
    frames = [b for b in d.boxes if b.inner]
    for box in frames:
        i = box.item
        lines.append(f'<rect class="frame {box.kind}" x="{_n(i.x - i.width / 2)}" y="{_n(i.y)}" '
                     f'width="{_n(i.width)}" height="{_n(i.height)}" rx="10"/>')  # fmt: skip
    for link in d.links:
        points = curve(link.wire)
        if link.target.inner:  # on to the port inside of the frame
            end = points[-1]
            points.append((end[0], end[1] + _entrance(link.target)))
        if link.source.inner:
            start = points[0]
            points.insert(0, (start[0], start[1] - _exit(link.source)))
        kind = "link" + " waits" * link.waits + " first" * link.first
        lines.append(f'<path class="{kind}" d="{_smooth(points)}"/>')
        lines.append(_head(points[-1], "waits" if link.waits else ""))
    for k, arrow in enumerate(_lanes(d)):
        lines += _arrow(d, arrow, k)
    for box in d.boxes:
        lines += _frame(box, anchor) if box.inner else _box(box, anchor)
    return [*lines, "</g>"]


def _captions(box: Box) -> float:
    return 20.0 if any(d.caption for d in box.inner) else 0.0


def _entrance(frame: Box) -> float:
    """From the upper edge of a frame to its ports."""
    return TITLE + _captions(frame) + (frame.inner[0].room if frame.ports else 0.0)


def _exit(frame: Box) -> float:
    """From the lower edge of the results of a frame to its own."""
    return MARGIN + (frame.inner[0].room if frame.kind == "scan" else 0.0)


def _frame(box: Box, anchor: Anchor | None) -> list[str]:
    i = box.item
    left = i.x - i.width / 2
    x = i.x - (sum(d.width for d in box.inner) + MARGIN * (len(box.inner) - 1)) / 2
    lines = []
    for d in box.inner:
        top = i.y + TITLE
        if d.caption:
            lines.append(f'<text class="caption" x="{_n(x)}" y="{_n(top + 10)}">{escape(d.caption)}</text>')
        lines += _drawing(d, x, top + _captions(box), anchor)
        x += d.width + MARGIN
    lines.append(f'<text class="title" x="{_n(left + MARGIN)}" y="{_n(i.y + 20)}">{escape(box.text)}</text>')
    lines.append(f'<text class="note" x="{_n(left + MARGIN)}" y="{_n(i.y + 35)}">{escape(box.note)}</text>')
    return lines


def _box(box: Box, anchor: Anchor | None) -> list[str]:
    i = box.item
    kind = f"box {box.kind}" + " waits" * box.waits
    radius = i.height / 2 if box.kind in ("port", "result") else 6
    inside = [
        f"<title>{escape(box.title)}</title>" if box.title else "",
        f'<rect x="{_n(i.x - i.width / 2)}" y="{_n(i.y)}" width="{_n(i.width)}" height="{_n(i.height)}" '
        f'rx="{_n(radius)}"/>',
        f'<text class="text" x="{_n(i.x)}" y="{_n(i.y + 17)}">{escape(box.text)}</text>',
        f'<text class="note" x="{_n(i.x)}" y="{_n(i.y + 32)}">{escape(box.note)}</text>' if box.note else "",
    ]
    group = f'<g class="{kind}">{"".join(inside)}</g>'
    if anchor is not None and box.anchor:
        return [f'<a href="#{escape(anchor(box.anchor))}">{group}</a>']
    return [group]


def _lanes(d: Drawing) -> list[Arrow]:
    """Arrows from the inside out: the further right they begin, the shorter their way."""
    return sorted(d.arrows, key=lambda a: (-a.result.item.x, -a.tap.item.x))


def _arrow(d: Drawing, arrow: Arrow, k: int) -> list[str]:
    """Down out of the result, along below everything, up beside it, and into the tap from above."""
    result, tap = arrow.result.item, arrow.tap.item
    same = [a for a in _lanes(d) if a.result is arrow.result]
    spread = min(0.3 * result.width, 26.0) - LANE * same.index(arrow)
    below = d.height - d.room + LANE * (k + 0.8)
    beside = d.core + LANE * (k + 1)
    above = d.room - LANE * (k + 1)
    x = result.x + spread
    points = [(x, result.y + result.height), (x, below), (beside, below), (beside, above), (tap.x, above),
              (tap.x, tap.y)]  # fmt: skip
    text = "next step" if arrow.steps == 1 else f"{arrow.steps} steps on"
    told = f"{arrow.tap.text} is {arrow.result.text} of {arrow.steps} step{'s' * (arrow.steps > 1)} before"
    return [
        f'<path class="tap-arrow" d="{_rounded(points)}"><title>{escape(told)}</title></path>',
        _head(points[-1], "tap-head"),
        f'<text class="steps" x="{_n(tap.x + 7)}" y="{_n(tap.y - 6)}">{text}</text>',
    ]


def _head(at: Point, kind: str) -> str:
    x, y = at
    return f'<path class="head {kind}" d="M{_n(x)} {_n(y)}l-3.5 -7h7z"/>'


def _smooth(points: list[Point]) -> str:
    """A curve through points, vertical in each."""
    text = f"M{_n(points[0][0])} {_n(points[0][1])}"
    for (x0, y0), (x1, y1) in zip(points, points[1:], strict=False):
        if abs(x1 - x0) < 0.5:
            text += f"L{_n(x1)} {_n(y1)}"
        else:
            middle = (y0 + y1) / 2
            text += f"C{_n(x0)} {_n(middle)} {_n(x1)} {_n(middle)} {_n(x1)} {_n(y1)}"
    return text


def _rounded(points: list[Point]) -> str:
    """Straight pieces with round corners."""
    text = f"M{_n(points[0][0])} {_n(points[0][1])}"
    for a, b, c in zip(points, points[1:], points[2:], strict=False):
        r = min(ROUND, _far(a, b) / 2, _far(b, c) / 2)
        start, end = _towards(b, a, r), _towards(b, c, r)
        text += f"L{_n(start[0])} {_n(start[1])}Q{_n(b[0])} {_n(b[1])} {_n(end[0])} {_n(end[1])}"
    return text + f"L{_n(points[-1][0])} {_n(points[-1][1])}"


def _far(a: Point, b: Point) -> float:
    return abs(a[0] - b[0]) + abs(a[1] - b[1])


def _towards(a: Point, b: Point, distance: float) -> Point:
    far = _far(a, b) or 1.0
    return a[0] + (b[0] - a[0]) * distance / far, a[1] + (b[1] - a[1]) * distance / far


def _n(x: float) -> str:
    return f"{x:.1f}".removesuffix(".0")
