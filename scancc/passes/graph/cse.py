"""Common subexpressions: equal ops on equal operands become one node, scans included.

    before   %2 = exp %x; %3 = exp %x; %4 = add %2 %3
    after    %2 = exp %x; %4 = add %2 %2

Two nodes are equal when op, operands, type and attributes are; constants when their bits are, scans when the text of
their bodies is. Every op but the effects is pure, and those are numbered: nothing else can tell nodes apart.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np

from scancc.ir.graph import Graph, Node, ScanSpec, map_bodies, rewrite
from scancc.ir.printer import show


def cse(graph: Graph) -> Graph:
    known: dict[Hashable, Node] = {}

    def unify(node: Node) -> Node | None:
        node = map_bodies(node, cse)
        if node.op == "input":
            return node
        return known.setdefault(_key(node), node)

    return rewrite(graph, unify)


def _key(node: Node) -> Hashable:
    return node.op, node.args, node.type, tuple((k, _value(v)) for k, v in node.attrs.items())


def _value(value: Any) -> Hashable:
    match value:
        case np.ndarray():
            return value.dtype, value.shape, value.tobytes()
        case ScanSpec():
            named = (value.sequences, value.carries, value.nonseqs, value.outputs)
            return named, tuple(value.body.results), show(value.body)
        case Graph():
            return show(value)
        case _:
            found: Hashable = value
            return found
