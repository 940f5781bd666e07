"""Layered drawings: boxes in rows from top to bottom, links between them as smooth curves.

After Sugiyama, Tagawa and Toda 1981: every link goes down by one or more layers, long links pass through points of
their own in the layers between, the order within a layer is that of the middles of the neighbours, and positions are
the least-squares ones that keep the order and the gaps. Lengths are CSS pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

GAP = 20.0  # between two boxes of a layer
THIN = 14.0  # between two links that pass a layer side by side
LEVEL = 34.0  # between two layers
ORDERINGS = 12  # sweeps that put layers in order
PLACINGS = 40  # sweeps that place boxes


@dataclass(eq=False, slots=True)
class Item:
    """A box, or a point of a long link (of no size). `x` is the middle, `y` the upper edge."""

    width: float
    height: float
    layer: int
    x: float = 0.0
    y: float = 0.0
    point: bool = False
    above: list[tuple[Item, float, float]] = field(default_factory=list)  # item, end there, end here: from the middles
    below: list[tuple[Item, float, float]] = field(default_factory=list)


@dataclass(eq=False, slots=True)
class Wire:
    """A link from the lower edge of an item to the upper edge of a deeper one, at offsets from their middles."""

    source: Item
    target: Item
    start: float = 0.0
    end: float = 0.0
    via: list[Item] = field(default_factory=list)  # points in the layers between


def arrange(items: Sequence[Item], wires: Sequence[Wire]) -> tuple[float, float]:
    """Set the places of all items, the leftmost at 0 and the first layer at 0; returns width and height."""
    layers: list[list[Item]] = [[] for _ in range(1 + max((i.layer for i in items), default=0))]
    for item in items:
        layers[item.layer].append(item)
    for wire in wires:
        _thread(wire, layers)
    _order(layers)
    _place(layers, wires)
    _spread(wires)
    left = min((i.x - i.width / 2 for layer in layers for i in layer), default=0.0)
    right = max((i.x + i.width / 2 for layer in layers for i in layer), default=0.0)
    y = 0.0
    for layer in layers:
        height = max((i.height for i in layer), default=0.0)
        for item in layer:
            item.x -= left
            item.y = y if not item.point else y + height / 2
            if item.point:
                item.height = 0.0
        y += height + LEVEL
    return right - left, max(0.0, y - LEVEL)


def _thread(wire: Wire, layers: list[list[Item]]) -> None:
    """Points of a link in the layers that it passes."""
    last, start = wire.source, wire.start
    for layer in range(wire.source.layer + 1, wire.target.layer):
        point = Item(0.0, 0.0, layer, point=True)
        layers[layer].append(point)
        wire.via.append(point)
        last.below.append((point, 0.0, start))
        point.above.append((last, start, 0.0))
        last, start = point, 0.0
    last.below.append((wire.target, wire.end, start))
    wire.target.above.append((last, start, wire.end))


def _order(layers: list[list[Item]]) -> None:
    """Few crossings: items go by the mean position of their neighbours above, then below, and so on."""
    best, fewest = [list(layer) for layer in layers], _crossings(layers)
    for sweep in range(ORDERINGS):
        down = sweep % 2 == 0
        for layer in layers if down else reversed(layers):
            place = {i: k for other in layers for k, i in enumerate(other)}

            def middle(item: Item, down: bool = down, place: dict[Item, int] = place) -> float:
                near = item.above if down else item.below
                if not near:
                    return place[item]
                return sum(place[n] + off / max(n.width, 1.0) for n, off, _ in near) / len(near)

            layer.sort(key=middle)
        crossings = _crossings(layers)
        if crossings < fewest:
            best, fewest = [list(layer) for layer in layers], crossings
    for layer, ordered in zip(layers, best, strict=True):
        layer[:] = ordered


def _crossings(layers: list[list[Item]]) -> int:
    total = 0
    for upper, lower in zip(layers, layers[1:], strict=False):
        place = {i: k for k, i in enumerate(lower)}
        ends = [place[n] + off / max(n.width, 1.0) for i in upper
                for n, off, start in sorted(i.below, key=lambda link: link[2])]  # fmt: skip
        total += sum(a > b for k, a in enumerate(ends) for b in ends[k + 1 :])
    return total


def _place(layers: list[list[Item]], wires: Sequence[Wire]) -> None:
    chain = {point: wire.via for wire in wires for point in wire.via}
    for layer in layers:
        x = 0.0
        for k, item in enumerate(layer):
            x += _apart(layer[k - 1], item) if k else 0.0
            item.x = x
    for sweep in range(PLACINGS):
        near: Callable[[Item], list[tuple[Item, float, float]]]
        if sweep >= PLACINGS // 2:
            order, near = layers if sweep % 2 else layers[::-1], lambda i: i.above + i.below
        elif sweep % 2 == 0:
            order, near = layers, lambda i: i.above or i.below
        else:
            order, near = layers[::-1], lambda i: i.below or i.above
        for layer in order:
            wanted, weights = [], []
            for item in layer:
                pull = [(n.x + there - here, 4.0 if n.point else 1.0) for n, there, here in near(item)]
                if item.point:  # long links are straight where they can be
                    points = chain.get(item, [item])
                    pull.append((sum(p.x for p in points) / len(points), 4.0 * len(points)))
                weight = sum(w for _, w in pull)
                wanted.append(sum(x * w for x, w in pull) / weight if pull else item.x)
                weights.append(weight or 0.1)
            gaps = [_apart(a, b) for a, b in zip(layer, layer[1:], strict=False)]
            for item, x in zip(layer, nearest(wanted, weights, gaps), strict=True):
                item.x = x


def _spread(wires: Sequence[Wire]) -> None:
    """Links that meet at the middle of an edge end, and begin, side by side in the order of where they come from."""
    into: dict[Item, list[Wire]] = {}
    out: dict[Item, list[Wire]] = {}
    for wire in wires:
        if wire.end == 0.0:
            into.setdefault(wire.target, []).append(wire)
        if wire.start == 0.0:
            out.setdefault(wire.source, []).append(wire)
    for item, group in into.items():
        group.sort(key=lambda w: (w.via[-1] if w.via else w.source).x)
        for wire, offset in zip(group, _offsets(len(group), item.width), strict=True):
            wire.end = offset
    for item, group in out.items():
        group.sort(key=lambda w: (w.via[0] if w.via else w.target).x)
        for wire, offset in zip(group, _offsets(len(group), item.width), strict=True):
            wire.start = offset


def _offsets(count: int, width: float) -> list[float]:
    step = min(18.0, 0.7 * width / max(count, 1))
    return [(k - (count - 1) / 2) * step for k in range(count)]


def _apart(a: Item, b: Item) -> float:
    gap = THIN if a.point or b.point else GAP
    return a.width / 2 + b.width / 2 + gap


def nearest(wanted: Sequence[float], weights: Sequence[float], gaps: Sequence[float]) -> list[float]:
    """The x with the least sum of weights (x - wanted)^2 where x[i + 1] - x[i] >= gaps[i]: isotonic regression."""
    shift, shifts = 0.0, [0.0]
    for gap in gaps:
        shift += gap
        shifts.append(shift)
    pools: list[tuple[float, float, int]] = []  # mean, weight, members
    for x, w, s in zip(wanted, weights, shifts, strict=False):
        mean, weight, members = x - s, w, 1
        while pools and pools[-1][0] > mean:
            before, heavy, more = pools.pop()
            mean = (mean * weight + before * heavy) / (weight + heavy)
            weight, members = weight + heavy, members + more
        pools.append((mean, weight, members))
    flat = [mean for mean, _, members in pools for _ in range(members)]
    return [x + s for x, s in zip(flat, shifts, strict=False)]


def curve(wire: Wire) -> list[tuple[float, float]]:
    """The points that a link passes, from the lower edge of its source to the upper edge of its target."""
    return [(wire.source.x + wire.start, wire.source.y + wire.source.height),
            *((p.x, p.y) for p in wire.via),
            (wire.target.x + wire.end, wire.target.y)]  # fmt: skip
