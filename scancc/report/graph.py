"""The picture of a program before it is drawn: boxes, links, and the arrows of taps, with their places.

    box     ::= port        a value that comes into a step from outside: a sequence, or what was computed before
              | tap         a past value of a carry, or a row of a sequence
              | op          a piece of work, in the notation of `expressions.py`
              | scan | cond a frame around the drawing of a body
              | result      what a step, or the program, returns
    link                    a value, always downwards
    arrow                   from a result back to a tap of it, as many steps later

Constants, non-sequences and inputs are written in the boxes that read them. Boxes `wait` that lie on a way from a tap
of a carry to the next value of a carry: nothing of them can start before the step before is done.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from scancc.ir.graph import UNTIL, Graph, Node, body_graphs, dependencies, operands, spec_of
from scancc.ir.printer import ordered, show_type
from scancc.passes.storage.plan_taps import Storage
from scancc.report.expressions import Expressions, tap_text
from scancc.report.layout import Item, Wire, arrange
from scancc.report.storage import row_bytes, show_bytes, steps_of

MOST_BOXES = 300  # of a drawing that somebody could still read
CHARACTER, SMALL = 7.3, 6.3  # widths of the characters of a text and of a note
PAD = 12.0  # inside a box, left and right
TALL, LOW = 40.0, 26.0  # boxes with a note and without one
TITLE, MARGIN = 44.0, 18.0  # of a frame
LANE = 13.0  # between two arrows side by side

Plan = Mapping[tuple[Node, str], Storage]


@dataclass(eq=False, slots=True)
class Box:
    kind: str
    text: str
    note: str = ""
    anchor: str = ""
    waits: bool = False
    title: str = ""  # of a frame, or what is said of a box that is looked at closely
    inner: list[Drawing] = field(default_factory=list)
    item: Item = field(default_factory=lambda: Item(0.0, 0.0, 0))
    ports: dict[str, float] = field(default_factory=dict)  # where links end on a frame, from its middle
    exits: dict[str, float] = field(default_factory=dict)  # where they begin


@dataclass(eq=False, slots=True)
class Link:
    source: Box
    target: Box
    wire: Wire
    waits: bool = False
    first: bool = False  # only read before the first step: the initial value of a carry


@dataclass(eq=False, slots=True)
class Arrow:
    """Back from a result to a tap of it, `steps` later."""

    result: Box
    tap: Box
    steps: int


@dataclass(eq=False, slots=True)
class Drawing:
    caption: str = ""
    boxes: list[Box] = field(default_factory=list)
    links: list[Link] = field(default_factory=list)
    arrows: list[Arrow] = field(default_factory=list)
    width: float = 0.0
    height: float = 0.0
    core: float = 0.0  # width without the lanes of arrows

    @property
    def room(self) -> float:
        """Height of the lanes above, and of those below."""
        return (len(self.arrows) + 1) * LANE if self.arrows else 0.0

    def size(self) -> int:
        return sum(1 + sum(d.size() for d in b.inner) for b in self.boxes)


def picture(graph: Graph, plan: Plan) -> Drawing | None:
    """The drawing of a program after the passes; None where it would have more than MOST_BOXES boxes."""
    pending, count = [graph], 0
    while pending:
        g = pending.pop()
        for node in g.nodes():
            pending += body_graphs(node)
            count += 1
    if count > 4 * MOST_BOXES:  # most are written inside of others
        return None
    drawing = _Block(graph, plan, "").draw({})
    return drawing if drawing.size() <= MOST_BOXES else None


class _Block:
    """One graph on its way to a drawing."""

    def __init__(self, graph: Graph, plan: Plan, path: str, scan: Node | None = None) -> None:
        self.graph, self.plan, self.path, self.scan = graph, plan, path, scan
        self.numbers = {node: i for i, node in enumerate(ordered(graph)[0])}
        self.words = Expressions(graph, self.numbers)
        self.boxes: dict[Node, Box] = {}
        self.drawing = Drawing()
        self.waiting = _waiting(graph, scan)

    def draw(self, ports: Mapping[str, str]) -> Drawing:
        """`ports`: notes of the operands that come in visibly, by name."""
        entrances = {name: self._add(Box("port", name, note)) for name, note in ports.items()}
        self._taps(entrances)
        for node in self.words.drawn:
            if node.op in ("scan", "cond"):
                self.boxes[node] = self._add(self._frame(node))
            else:
                text = self.words.whole(node)
                box = Box("op", text, f"%{self.numbers[node]}  {show_type(node.type)}", self.anchor(node),
                          node in self.waiting, _title(node))  # fmt: skip
                self.boxes[node] = self._add(box)
            self._links_to(node, entrances)
        self._results(entrances)
        self._finish()
        return self.drawing

    def anchor(self, node: Node) -> str:
        return f"{self.path}{self.numbers[node]}"

    def _add(self, box: Box) -> Box:
        if not box.inner:
            width = max(CHARACTER * len(box.text), SMALL * len(box.note)) + 2 * PAD
            box.item = Item(width, TALL if box.note else LOW, 0)
        self.drawing.boxes.append(box)
        return box

    def _link(self, source: Box, target: Box, start: float = 0.0, end: float = 0.0, first: bool = False) -> None:
        known = any(k.source is source and k.target is target and k.wire.start == start and k.wire.end == end
                    for k in self.drawing.links)  # fmt: skip
        if not known:
            waits = source.waits and target.waits and not first
            self.drawing.links.append(Link(source, target, Wire(source.item, target.item, start, end), waits, first))

    def _taps(self, entrances: dict[str, Box]) -> None:
        """Boxes of the taps that are read, the oldest first; every one has a link from its port, if there is one."""
        if self.scan is None:
            return
        spec = spec_of(self.scan)
        read = {(n.attrs["name"], n.attrs["offset"]): n for n in self.graph.nodes() if n.op == "tap"}
        for s in spec.sequences:
            for k in s.taps:
                node = read.get((s.name, k))
                if node is not None:
                    row = f"row t{k:+d} of sequence {s.name}" if k else f"row t of sequence {s.name}"
                    box = Box("tap", tap_text(s.name, k), show_type(node.type), self.anchor(node), title=row)
                    self.boxes[node] = self._add(box)
                    if s.name in entrances:
                        self._link(entrances[s.name], box)
        for c in spec.carries:
            for k in sorted(c.taps):
                node = read.get((c.name, k))
                if node is not None:
                    held = _held(self.plan.get((self.scan, c.name)), k)
                    past = f"{c.name} of {-k} step{'s' * (k < -1)} ago, {held}"
                    box = Box("tap", tap_text(c.name, k), f"{show_type(node.type)}, {held}", self.anchor(node),
                              node in self.waiting, past)  # fmt: skip
                    self.boxes[node] = self._add(box)
                    if c.name in entrances:
                        self._link(entrances[c.name], box, first=True)

    def _frame(self, node: Node) -> Box:
        path = f"{self.anchor(node)}-"
        if node.op == "cond":
            named = dict(zip(node.attrs["names"], node.args[1:], strict=True))
            visible = self._visible(named)
            inner = []
            for caption, graph in (("then", node.attrs["then"]), ("else", node.attrs["orelse"])):
                drawing = _Block(graph, self.plan, f"{path}{caption}-").draw(visible)
                drawing.caption = caption
                inner.append(drawing)
            return _framed(Box("cond", f"cond on {self.words.of(node.args[0])}", "one of the two branches is computed",
                               self.anchor(node), node in self.waiting, inner=inner))  # fmt: skip
        spec = spec_of(node)
        visible = self._visible(operands(node), tuple(s.name for s in spec.sequences))
        block = _Block(spec.body, self.plan, path, node)
        drawing = block.draw(visible)
        return _framed(Box("scan", f"scan {spec.name}", _about(node, visible), self.anchor(node),
                           node in self.waiting, inner=[drawing]))  # fmt: skip

    def _visible(self, named: Mapping[str, Node], always: tuple[str, ...] = ()) -> dict[str, str]:
        """Operands of a frame that get a port: sequences, and what comes from a box."""
        found = {}
        for name, value in named.items():
            boxed = any(s in self.boxes or s.op == "get" for s in self.words.sources([value]))
            if name in always or boxed:
                source = self.words.of(value)
                told = "" if source == name or source.startswith("%") else f"{source}  "
                found[name] = f"{told}{show_type(value.type)}"
        return found

    def _links_to(self, node: Node, entrances: dict[str, Box]) -> None:
        target = self.boxes[node]
        if node.op in ("scan", "cond"):
            names = spec_of(node).operand_names() if node.op == "scan" else node.attrs["names"]
            for name, value in zip(names, node.args[1:], strict=True):
                if name in target.ports:
                    self._connect([value], target, target.ports[name], entrances)
            if node.op == "cond":
                self._connect([node.args[0]], target, 0.0, entrances)
        else:
            self._connect(node.args, target, 0.0, entrances)

    def _connect(self, values: Iterable[Node], target: Box, end: float, entrances: dict[str, Box]) -> None:
        for source in self.words.sources(values):
            if source in self.boxes:
                self._link(self.boxes[source], target, 0.0, end)
            elif source.op == "get" and source.args[0] in self.boxes:
                box = self.boxes[source.args[0]]
                self._link(box, target, box.exits.get(source.attrs["name"], 0.0), end)
            elif source.op == "read" and source.attrs["name"] in entrances:
                self._link(entrances[source.attrs["name"]], target, 0.0, end)

    def _results(self, entrances: dict[str, Box]) -> None:
        for name, node in self.graph.results.items():
            if self.path == "" and node.op == "get" and node.args[0].op == "scan":
                continue  # the result of the step says it
            storage = None if self.scan is None else self.plan.get((self.scan, name))
            label = name if self.scan is None else f"{name}[t]"
            if name == UNTIL:
                label, note = "until", "stop after this step if it holds"
            elif name.startswith("!"):
                label, note = {"check": "check", "print": "print"}.get(node.op, "effect"), self.words.of(node)
            elif storage is not None:
                size = row_bytes(node.type)
                note = f"{storage}" + (f", {show_bytes(size)} a step" if storage.trace else "")
            else:
                note = f"{self.words.of(node)}  {show_type(node.type)}"
            box = self._add(Box("result", label, note, waits=node in self.waiting, title=f"result {name}"))
            self._connect([node], box, 0.0, entrances)
            if self.scan is not None:
                self._arrows(name, box)

    def _arrows(self, name: str, box: Box) -> None:
        assert self.scan is not None
        carry = spec_of(self.scan).carry(name)
        for node, tap in list(self.boxes.items()):
            if carry is not None and node.op == "tap" and node.attrs["name"] == name:
                self.drawing.arrows.append(Arrow(box, tap, -node.attrs["offset"]))

    def _finish(self) -> None:
        """Layers: ports, taps, work as early as its operands allow, results last; then places."""
        drawing = self.drawing
        into: dict[Box, list[Box]] = {}
        for link in drawing.links:
            into.setdefault(link.target, []).append(link.source)
        for box in drawing.boxes:  # in the order in which values are computed
            floor = {"port": 0, "tap": 1}.get(box.kind, 2)
            box.item.layer = max([floor, *(b.item.layer + 1 for b in into.get(box, ()))])
        last = 1 + max((b.item.layer for b in drawing.boxes if b.kind != "result"), default=0)
        for box in drawing.boxes:
            if box.kind == "result":
                box.item.layer = last
        used = sorted({b.item.layer for b in drawing.boxes})
        for box in drawing.boxes:
            box.item.layer = used.index(box.item.layer)
        items, wires = [b.item for b in drawing.boxes], [k.wire for k in drawing.links]
        for tap in {a.tap: None for a in drawing.arrows}:  # nothing stands in the way of an arrow from above
            if tap.item.layer:
                items.append(Item(0.0, 0.0, 0, point=True))
                wires.append(Wire(items[-1], tap.item))
        drawing.core, height = arrange(items, wires)
        room = drawing.room
        for item in {i for k in drawing.links for i in k.wire.via} | {b.item for b in drawing.boxes}:
            item.y += room
        drawing.width = drawing.core + (LANE * (len(drawing.arrows) + 1) if drawing.arrows else 0.0)
        drawing.height = height + 2 * room


def _framed(box: Box) -> Box:
    """Size of a frame, and where links end on it."""
    total = sum(d.width for d in box.inner) + MARGIN * (len(box.inner) - 1)
    captions = 20.0 if any(d.caption for d in box.inner) else 0.0
    width = max(total, CHARACTER * len(box.text), SMALL * len(box.note)) + 2 * MARGIN
    height = TITLE + captions + max(d.height for d in box.inner) + MARGIN
    box.item = Item(width, height, 0)
    left = -total / 2
    for drawing in box.inner:
        for b in drawing.boxes:
            if b.kind == "port":
                box.ports.setdefault(b.text, left + b.item.x)
            if b.kind == "result":
                box.exits.setdefault(b.title.removeprefix("result "), left + b.item.x)
        left += drawing.width + MARGIN
    return box


def _about(node: Node, visible: Mapping[str, str]) -> str:
    """What is said of a scan under its name: its steps, and what it reads that has no port."""
    spec, steps = spec_of(node), steps_of(node)
    parts = [f"{steps:,} steps" if steps is not None else "steps known at run time"]
    if spec.has_until:
        parts = [f"at most {parts[0]}"]
    if spec.strategy != "steps":
        parts.append(f"run in {spec.strategy}")
    unseen = [n for n in spec.nonseqs if n not in visible]
    if unseen:
        parts.append(f"every step reads {', '.join(unseen)}")
    return "; ".join(parts)


def _held(storage: Storage | None, offset: int) -> str:
    if storage is None or storage.taps is None:
        return "kept"
    if -offset <= storage.short or storage.taps == "registers":
        return "in registers"
    return {"trace": "in the trace", "ring": "in a ring buffer", "table": "changed in place"}[storage.taps]


def _title(node: Node) -> str:
    return f"{node.op}, line {node.loc.line}" if node.loc else node.op


def _waiting(graph: Graph, scan: Node | None) -> set[Node]:
    """Nodes on a way from a tap of a carry to the next value of a carry."""
    if scan is None:
        return set()
    carries = {c.name for c in spec_of(scan).carries}
    order = graph.nodes()
    after: set[Node] = set()
    for n in order:
        tap = n.op == "tap" and n.attrs["name"] in carries
        if tap or any(d in after for d in dependencies(n)):
            after.add(n)
    before = {node for name, node in graph.results.items() if name in carries}
    for n in reversed(order):
        if n in before:
            before.update(n.args)
    return after & before
