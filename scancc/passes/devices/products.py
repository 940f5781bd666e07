"""Matrix products beside loops, which a device makes in tiles, as stages of their own.

    xs @ u before a loop, with xs [steps, batch, 256] and u [256, 512]: all rows of xs at once

A product in a loop belongs to the step's threads. One outside has work for all of them, and what limits it is how often
an element is read: a tile's rows and columns are read once into a block's own memory and used for the whole tile.
"""

from __future__ import annotations

from dataclasses import dataclass

from scancc.ir.graph import Graph, Node

FEWEST = 32  # columns, and terms of a sum, that are worth a tile
FEWEST_ROWS = 64


@dataclass(frozen=True)
class Product:
    """`node` is left[..., k] times right[k, n], with one row for each element of the axes before the last."""

    node: Node
    left: Node
    right: Node
    flipped: bool  # `right` is [n, k]

    @property
    def terms(self) -> int:
        return int(self.right.type.shape[self.flipped])  # type: ignore[arg-type]  # lengths are known

    @property
    def columns(self) -> int:
        return int(self.right.type.shape[not self.flipped])  # type: ignore[arg-type]


def is_wide(node: Node) -> bool:
    """Whether a node is a product with a matrix of floats in 32 or 64 bits that is large enough for tiles."""
    if node.op not in ("matmul", "einsum") or len(node.args) != 2:
        return False
    if node.op == "einsum" and not _is_product(node.attrs["subscripts"]):
        return False
    left, right = node.args
    same = {left.type.dtype, right.type.dtype, node.type.dtype}
    lengths = right.type.shape if right.type.ndim == 2 else (0,)
    wide = all(isinstance(n, int) and n >= FEWEST for n in lengths)
    return wide and len(same) == 1 and node.type.dtype.name in ("float32", "float64")


def product_of(node: Node) -> Product | None:
    """The product that a node is, of many rows."""
    inner = node.args[0] if node.op == "reshape" else node
    if not is_wide(inner):
        return None
    left, right = inner.args
    if inner is not node and left.op == "reshape":  # rows that were put one below the other, and are taken apart again
        left = left.args[0]
    flipped = right.op == "transpose" and right.type.ndim == 2 and right.attrs["perm"] == (1, 0)
    found = Product(node, left, right.args[0] if flipped else right, flipped)
    rows = left.type.size
    many = rows is None or rows // found.terms >= FEWEST_ROWS
    return found if many and left.type.ndim > 1 and left.type.shape[:-1] == node.type.shape[:-1] else None


def lone_product(graph: Graph) -> Product | None:
    """The product of two inputs that a whole graph is."""
    results = list(graph.results.values())
    found = product_of(results[0]) if len(results) == 1 else None
    return found if found is not None and found.left.op == found.right.op == "input" else None


def _is_product(subscripts: str) -> bool:
    """Whether the last axis of the one and the first of the other are summed over, and nothing else is moved."""
    both, _, result = subscripts.partition("->")
    left, _, right = both.partition(",")
    return len(right) == 2 and left[-1:] == right[0] and result == left[:-1] + right[1] and right[1] not in left
