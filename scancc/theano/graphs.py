"""Graphs of symbolic variables: replacing parts, and finding what they need."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scancc.errors import ScanTypeError
from scancc.frontend.location import here
from scancc.frontend.operators import ArrayOperators
from scancc.frontend.scope import SYMBOLIC, entered
from scancc.frontend.tracer import Tracer, unwrap
from scancc.ir import build
from scancc.ir.graph import Node, substitute


def node_of(value: Any) -> Node:
    """The node of a symbolic variable, a shared variable, or a constant."""
    with entered(SYMBOLIC):
        return unwrap(value)


def pairs(given: Any) -> list[tuple[Any, Any]]:
    """A dict or a list of pairs as pairs."""
    if not given:
        return []
    return list(given.items()) if isinstance(given, Mapping) else [(a, b) for a, b in given]


def substitution(old: Any, new: Any) -> tuple[Node, Node]:
    """`old` -> `new`, cast to its dtype where that is exact."""
    a, b = node_of(old), node_of(new)
    if a.type.ndim != b.type.ndim:
        raise ScanTypeError(f"a variable of {a.type.ndim} axes cannot stand for one of {b.type.ndim}", here())
    return a, build.cast(b, a.type.dtype)


def clone(output: Any, replace: Any = None, **_: Any) -> Any:
    """A copy of a graph (or list of graphs) with variables replaced: `replace` is a dict or a list of pairs."""
    changes = dict(substitution(a, b) for a, b in pairs(replace))
    outputs = output if isinstance(output, (list, tuple)) else [output]
    nodes = [node_of(o) for o in outputs]
    mapping = substitute(nodes, changes)
    made = [Tracer(mapping[n], SYMBOLIC) for n in nodes]
    return made if isinstance(output, (list, tuple)) else made[0]


def is_variable(value: Any) -> bool:
    return isinstance(value, ArrayOperators)
