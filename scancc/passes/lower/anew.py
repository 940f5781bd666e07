"""Which arrays loops would compute anew so often, or by so many operations, that they are put into memory first.

    before   for i in 0..n: store s1[i] = f(x[i + 1], x[i]), inlined in s2, that in s3, ...: 2^k operations for sk[i]
    after    every few of them are stored, and the next ones load them

An array of more elements than stay in registers is computed where it is read, element by element. That costs no memory,
but a loop of its own, such as that of a sum, computes it again, and so does a slice that reads it one element further
on. Of a long chain of operations this is most of the work, and the code grows with the square of the program. Storing
a row and loading it again costs about as much as an operation or two.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scancc.ir.graph import Graph, Node
from scancc.ir.ops import OPS
from scancc.passes.sizes import in_registers

DEEPEST = 64  # operations in a row that are not stored in between: lowering follows them by recursion
MOST_AGAIN = 64  # operations that are done again because of one array
COUNTED = 9  # readers: more are as good as many

# Who reads an array, and which of its elements for the first of theirs: those of a loop read the same ones together.
Readers = frozenset[tuple[Any, Any]]


@dataclass(frozen=True, slots=True)
class Anew:
    """By array that is computed where it is read: the readers that compute it one by one."""

    readers: Mapping[Node, int]

    def is_too_much(self, node: Node, depth: int) -> bool:
        """Whether to store an array that takes `depth` operations, one after the other, for each element."""
        if OPS[node.op].kind != "elementwise":
            return False  # views have no work of their own
        return depth > DEEPEST or (self.readers.get(node, 1) - 1) * depth > MOST_AGAIN


def anew(graph: Graph) -> Anew:
    nodes = graph.nodes()
    if all(in_registers(n.type) for n in nodes):
        return Anew({})
    found: dict[Node, Readers] = {}
    for r in graph.results.values():
        found[r] = frozenset({(r.type.shape, ())})  # loops that store results of one shape are one loop
    for n in reversed(nodes):
        readers = found.get(n, frozenset())
        inlined = _is_inlined(n)
        for a in n.args:
            if not in_registers(a.type):
                more = _moved(n, readers) if inlined else frozenset({(n, ())})
                known = found.get(a)
                found[a] = more if known is None else _few(known | more)
    return Anew({n: len(r) for n, r in found.items() if len(r) > 1})


def _is_inlined(n: Node) -> bool:
    return OPS[n.op].kind in ("elementwise", "view") and not in_registers(n.type)


def _moved(n: Node, readers: Readers) -> Readers:
    """Who reads the operand of `n`, whose elements are read by `readers`."""
    if OPS[n.op].kind == "elementwise":
        return readers
    if n.op == "slice" and all(s in (None, 1) for s in n.attrs["steps"]):
        by = tuple(s or 0 for s in n.attrs["starts"])
        return _few(frozenset((who, _further(at, by)) for who, at in readers))
    return _few(frozenset((who, (at, n)) for who, at in readers))


def _further(at: Any, by: tuple[int, ...]) -> Any:
    if at == ():
        at = (0,) * len(by)
    if len(at) == len(by) and all(isinstance(i, int) for i in at):
        return tuple(i + k for i, k in zip(at, by, strict=True))
    return at, by


def _few(readers: Readers) -> Readers:
    return readers if len(readers) <= COUNTED else frozenset(list(readers)[:COUNTED])
