"""The page of `scancc explain`: complete in itself, its links lead somewhere, and texts of users are only texts."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser

import numpy as np
import pytest

import scancc as sc
from scancc.report.explanation import explained
from scancc.report.page import fragment, page

X = np.ones(40)


def ar2():
    f = sc.scan_compile(lambda x, y2, y1, a, b: x + a * y1 + b * y2)
    return f.lower(X, [dict(initial=np.zeros(2), taps=[-2, -1])], [0.5, 0.2])


def window():
    return sc.scan_compile(lambda before, now, after: before + now + after).lower([dict(input=X, taps=[-1, 0, 1])])


def nested():
    inner = lambda row: sc.scan(lambda x, s: s + x, row, 0.0)[-1]  # noqa: E731
    return sc.jit(lambda x: sc.scan(lambda row, h: np.tanh(h + inner(row)), x, 0.0)).lower(np.ones((5, 7)))


def ending():
    return sc.jit(lambda x: sc.scan(lambda v, s: (s + v, sc.until(s > 3)), x, 0.0)).lower(X)


def no_scan():
    return sc.jit(lambda x: x + 1).lower(X)


PROGRAMS = [ar2, window, nested, ending, no_scan]


class Checked(HTMLParser):
    """Collects ids and references, and holds tags to being closed."""

    VOID = {"meta", "br", "link", "img", "hr", "input", "col"}

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.feed(text)
        assert not self.open, self.open

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        given = dict(attrs)
        if "id" in given:
            self.ids.append(given["id"])
        for name in ("href", "src", "aria-labelledby"):
            if given.get(name):
                self.links.append(given[name].removeprefix("#") if name != "src" else given[name])
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def svgs(text: str) -> list[ElementTree.Element]:
    return [ElementTree.fromstring(s) for s in re.findall(r"<svg.*?</svg>", text, re.S)]


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda p: p.__name__)
def test_pages_stand_alone(program):
    text = page(explained(program(), "f", code=True))
    seen = Checked(text)
    assert len(set(seen.ids)) == len(seen.ids)
    assert set(seen.links) <= set(seen.ids)
    assert not {"script", "img", "link", "iframe"} & seen.tags
    assert not re.search(r"url\(|@import|https?://(?!www\.w3\.org)", text)


@pytest.mark.parametrize("program", PROGRAMS[:-1], ids=lambda p: p.__name__)
def test_pictures_are_drawn_for_every_scan(program):
    assert svgs(page(explained(program(), "f", code=False)))


def test_every_tap_of_the_state_is_an_arrow_back():
    (picture,) = svgs(page(explained(ar2(), "f", code=False)))
    text = "".join(picture.itertext())
    assert "next step" in text and "2 steps" in text
    assert "y[t-1]" in text and "y[t-2]" in text


def test_texts_of_users_are_escaped():
    def hostile(x, y):
        return np.tanh(x) * (y < 3) + len("<script>alert(1)</script>")  # <b>&amp;

    program = sc.scan_compile(hostile, name="a<b>&c").lower(X, 0.0)
    found = explained(program, "<script>x</script><marquee>", code=False)
    for text in (page(found), fragment(found)):
        assert not {"script", "marquee"} & Checked(text).tags
        assert "&lt;script&gt;x&lt;/script&gt;&lt;marquee&gt;" in text


def test_notebooks_get_a_fragment_without_ids():
    text = ar2()._repr_html_()
    seen = Checked(text)
    assert not seen.ids and "svg" in seen.tags and "body" not in seen.tags
    # Its styles reach nothing else of the notebook.
    styles = re.sub(r"/\*.*?\*/", "", re.findall(r"<style>(.*?)</style>", text, re.S)[0], flags=re.S)
    scope = re.match(r'<div class="([\w-]+)', text).group(1)
    for selector in re.findall(r"(?:^|\})\s*([^{}@]+)\{", styles):
        for one in selector.split(","):
            assert f".{scope}" in one, one
