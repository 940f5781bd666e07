"""The user's source beside the IR that came of it: every statement of the IR stands at the line it was traced from.

A statement that has no line of its own (a tap, a non-sequence, a constant) stands at that of its first reader, one that
has no reader at that of what it reads.
"""

from __future__ import annotations

import ast
import linecache
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import PurePath

from scancc.ir.graph import Graph, Loc, Node, ScanSpec, body_graphs, dependencies, spec_of
from scancc.ir.printer import ordered, show_type, show_value, statement, word

LONG_FUNCTION = 80  # lines; of longer ones only the innermost function is shown
Place = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement of the IR. `scope` names the scans around it, `anchor` is what a picture calls it."""

    scope: str
    anchor: str
    text: str


@dataclass(slots=True)
class Line:
    number: int
    text: str
    statements: list[Statement] = field(default_factory=list)


@dataclass(slots=True)
class Passage:
    """Consecutive lines of a file; a passage without lines holds what came from no source that can be read."""

    file: str
    lines: list[Line]

    @property
    def name(self) -> str:
        return PurePath(self.file).name


def beside(graph: Graph) -> list[Passage]:
    """The functions that a program was traced from, with its IR."""
    found = list(_statements(graph, "", "", None))
    wanted: dict[str, set[int]] = {}
    for place, _ in found:
        if place is not None:
            wanted.setdefault(place[0], set()).add(place[1])
    passages = [p for file, lines in wanted.items() for p in _passages(file, lines)]
    by_place = {(p.file, line.number): line for p in passages for line in p.lines}
    rest = Line(0, "")
    for place, s in found:
        target = by_place.get(place, rest) if place is not None else rest
        target.statements.append(s)
    return passages + ([Passage("", [rest])] if rest.statements else [])


def _statements(graph: Graph, scope: str, path: str, outside: Place | None) -> Iterator[tuple[Place | None, Statement]]:
    """Every statement of a block and of those in it, with its place. `outside` is the place of the scan around."""
    order, _ = ordered(graph)
    number = {node: f"%{i}" for i, node in enumerate(order)}
    at: dict[Node, Place | None] = {}
    for node in reversed(order):
        own = _place(node.loc)
        if own is not None:
            at[node] = own
        for need in dependencies(node):
            if need.loc is None and at.get(node) is not None:
                at[need] = at[node]  # the last one that is set is the first reader
    for node in order:
        if at.get(node) is None:
            at[node] = next((at[a] for a in node.args if at.get(a) is not None), outside)
        place = at[node]
        anchor = f"{path}{number[node][1:]}"
        if not body_graphs(node):
            text = f"{number[node]}: {show_type(node.type)} = {statement(node, number)}"
            yield place, Statement(scope, anchor, text)
            continue
        for k, text in enumerate(_heads(node, number)):
            yield place, Statement(scope, anchor if k == 0 else "", text)
        if node.op == "scan":
            inner = f"{scope}/{spec_of(node).name}".lstrip("/")
            yield from _statements(spec_of(node).body, inner, f"{anchor}-", place)
        else:
            for name, branch in (("then", node.attrs["then"]), ("else", node.attrs["orelse"])):
                yield from _statements(branch, f"{scope}/{name}".lstrip("/"), f"{anchor}-{name}-", place)
    last = max((p for n in graph.results.values() if (p := at.get(n)) is not None), default=outside)
    results = ", ".join(f"{word(name)} = {number[node]}" for name, node in graph.results.items())
    yield last, Statement(scope, "", f"return {results}")


def _heads(node: Node, number: dict[Node, str]) -> list[str]:
    """A scan or a cond without its bodies, as in the printed IR."""
    args = [number[a] for a in node.args]
    if node.op == "cond":
        names = [f"nonseq {word(n)}" for n in node.attrs["names"]]
        head, parts, tail = f"{number[node]} = cond {args[0]}", names, []
    else:
        spec: ScanSpec = spec_of(node)
        head = f"{number[node]} = scan {word(spec.name)} steps {args[0]}"
        head += f" in {spec.strategy}" if spec.strategy != "steps" else ""
        parts = [*(f"sequence {word(s.name)} taps {show_value(s.taps)}" for s in spec.sequences),
                 *(f"carry {word(c.name)} taps {show_value(c.taps)}" for c in spec.carries),
                 *(f"nonseq {word(n)}" for n in spec.nonseqs)]  # fmt: skip
        tail = [f"output {word(n)}" for n in spec.outputs]
    return [head, *(f"  {p} = {a}" for p, a in zip(parts, args[1:], strict=True)), *(f"  {t}" for t in tail)]


def _place(loc: Loc | None) -> Place | None:
    return None if loc is None else (loc.file, loc.line)


def _passages(file: str, wanted: set[int]) -> list[Passage]:
    """The functions of a file that the wanted lines lie in, or the lines alone where there are none."""
    lines = linecache.getlines(file)
    if not lines:
        return []
    spans = _spans("".join(lines))
    shown: set[int] = set()
    for number in wanted:
        around = sorted((s for s in spans if s[0] <= number <= s[1]), key=lambda s: s[1] - s[0], reverse=True)
        start, end = next((s for s in around if s[1] - s[0] < LONG_FUNCTION), (number, number))
        shown |= set(range(start, min(end, len(lines)) + 1))
    passages: list[Passage] = []
    for number in sorted(shown):
        if number > len(lines):
            continue
        line = Line(number, lines[number - 1].rstrip("\n"))
        if passages and passages[-1].lines[-1].number == number - 1:
            passages[-1].lines.append(line)
        else:
            passages.append(Passage(file, [line]))
    return passages


def _spans(text: str) -> list[tuple[int, int]]:
    """First and last line of every function, decorators included, and of every statement outside of functions."""
    try:
        tree = ast.parse(text)
    except SyntaxError:  # an edited file, or a notebook cell with magics
        return []
    spans = []
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
            spans.append((first, node.end_lineno or node.lineno))
    spans += [(s.lineno, s.end_lineno or s.lineno) for s in tree.body if not isinstance(s, ast.ClassDef)]
    return spans
