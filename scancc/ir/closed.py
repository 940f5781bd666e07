"""Bodies of loops know of a length only what the arrays have that they read.

    before   nonseq x = %0: f64[n];  body %1 = broadcast_to 0 shape=[n]; ...         x is not read any more
    after    nonseq broadcast_to = %2, which is broadcast_to 0 shape=[n] around the loop;  body %1 = read broadcast_to

Zeros like an array, say, outlive the last use of the array itself.
"""

from __future__ import annotations

from collections.abc import Mapping

from scancc.ir import build
from scancc.ir.graph import Graph, Node, mentioned_dims, substitute, with_attrs
from scancc.ir.names import fresh_name
from scancc.ir.types import Dim


def with_lengths(body: Graph, operands: Mapping[str, Node], taken: set[str]) -> tuple[Graph, dict[str, Node]]:
    """The same body, with constants read from around the loop whose lengths no array has that it reads; these operands.

    `operands`: arrays that have the lengths, read or not; `taken`: names of the loop, to which new ones are added.
    """
    nodes = body.nodes()
    known = {d.name for n in nodes if n.op in ("tap", "read") for d in mentioned_dims(n)}
    around = build.lengths_of(operands.values())
    changes: dict[Node, Node] = {}
    more: dict[str, Node] = {}
    for n in nodes:
        unknown = any(d.define is None and d.name not in known for d in mentioned_dims(n))
        outside = _outside(n, around) if unknown and n.op in ("broadcast_to", "iota") else None
        if outside is not None:
            name = fresh_name(n.op, taken)
            more[name] = outside
            changes[n] = build.make("read", type=n.type, name=name)
    if not changes:
        return body, {}
    mapping = substitute(body.results.values(), changes)
    return Graph((), {name: mapping[r] for name, r in body.results.items()}), more


def _outside(n: Node, lengths: Mapping[str, Dim]) -> Node | None:
    """A constant as the graph around has it, which has these lengths; None if it is none there."""
    shape = tuple(lengths.get(d.name, d) if isinstance(d, Dim) else d for d in n.type.shape)
    if any(a.op != "const" for a in n.args) or any(isinstance(d, Dim) and d.name not in lengths for d in shape):
        return None
    return with_attrs(Node(n.op, n.args, n.type.with_shape(shape), n.attrs, n.loc), shape=shape)
