"""Carries that a step changes in a few places: `h.at[i].set(v)` without a copy of the rest.

    h = put(put(h[-1], i, v), j, w)      of the old array, and of the one after the first put, only elements are read

The next value is a chain of puts that begins at the tap. Updating in place is right where all that is read of a version
can be read before the next put changes it: readers take few elements (they end in registers), and none of them needs
what that put makes.
"""

from __future__ import annotations

from dataclasses import dataclass

from scancc.ir.graph import Carry, Node, ScanSpec, topological, users
from scancc.passes.sizes import REGISTER_ELEMENTS


@dataclass(frozen=True)
class Update:
    """The puts of a carry, first to last, with what has to be read before each."""

    puts: tuple[Node, ...]
    before: dict[Node, tuple[Node, ...]]


def update_in_place(spec: ScanSpec, carry: Carry) -> Update | None:
    if carry.taps != (-1,):
        return None
    results = spec.body.results
    puts: list[Node] = []
    node = results[carry.name]
    while node.op == "put":
        puts.insert(0, node)
        node = node.args[0]
    taps = [n for n in spec.body.nodes() if n.op == "tap" and n.attrs["name"] == carry.name]
    if not puts or taps != [node] or list(results.values()).count(puts[-1]) != 1:
        return None
    readers = users(spec.body)
    if readers.get(puts[-1]):
        return None
    before: dict[Node, tuple[Node, ...]] = {}
    for version, change in zip([node, *puts[:-1]], puts, strict=True):
        if version in results.values():
            return None
        others = tuple(r for r in dict.fromkeys(readers[version]) if r is not change)
        if change.args.count(version) != 1 or not all(_few(r) and change not in topological([r]) for r in others):
            return None
        before[change] = others
    return Update(tuple(puts), before)


def _few(node: Node) -> bool:
    size = node.type.size
    return node.op in ("take", "index") and size is not None and size <= REGISTER_ELEMENTS
