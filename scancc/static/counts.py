"""Counts of the scan IR, the loop IR and the generated source, and the bytes that a call allocates."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from scancc.backends.host import host_function
from scancc.ir.graph import Graph, Node, body_graphs, spec_of
from scancc.ir.loop import For, Prefix
from scancc.ir.ops import OPS
from scancc.ir.types import Dim
from scancc.ir.walk import statements
from scancc.passes.pipeline import Compilation


def ops_of(graph: Graph) -> dict[str, int]:
    """Nodes of a graph and of the bodies in it by the name of their op; inputs, taps and constants are not counted."""
    return _counted([graph])


def step_ops_of(graph: Graph) -> dict[str, int]:
    """The same of the bodies of scans alone, those nested in them included."""
    return _counted([spec_of(n).body for n in _nodes([graph], into=lambda n: n.op != "scan") if n.op == "scan"])


def _counted(graphs: list[Graph]) -> dict[str, int]:
    found = Counter(n.op for n in _nodes(graphs) if OPS[n.op].kind != "leaf")
    return dict(sorted(found.items()))


def _nodes(graphs: list[Graph], into: Callable[[Node], bool] = lambda node: True) -> Iterator[Node]:
    """Nodes of graphs and of the bodies in them; not of those of nodes that `into` says no to."""
    pending = list(graphs)
    while pending:
        for node in pending.pop().nodes():
            if into(node):
                pending += body_graphs(node)
            yield node


def step_loops(made: Compilation) -> int:
    """Loops over the steps of a scan in the loop IR; those that run in blocks or in runs of steps count as one each."""
    inner = [s for part in made.stages or (made,) for s in statements(part.lowered.kernel.body)]
    return sum(isinstance(s, Prefix) or (isinstance(s, For) and "steps of" in s.note) for s in inner)


def launches_of(made: Compilation) -> int:
    """Kernels that a call launches on a device, those that transpose arrays first included; 0 on the CPU."""
    if made.options.target == "cpu":
        return 0
    return sum(1 + (len(part.lanes.moved) if part.lanes is not None else 0) for part in made.stages or (made,))


def transfers_of(made: Compilation) -> int:
    """Copies between host and device of a call whose arguments and results are NumPy arrays; 0 on the CPU.

    Of every launch that may fail this is its answer, too.
    """
    if made.options.target == "cpu":
        return 0
    parts = made.stages or (made,)
    arrays = sum(node.type.ndim > 0 for node in made.graph.inputs) + len(made.graph.results)
    return arrays + sum(bool(part.lowered.kernel.failures) for part in parts)


def statements_of(source: str) -> int:
    """Statements of the generated Python, those of nested blocks included."""
    return sum(isinstance(node, ast.stmt) for node in ast.walk(ast.parse(source)))


def storage_bytes(made: Compilation, graph: Graph, given: Mapping[str, Any]) -> int | None:
    """Bytes of all buffers that a call allocates.

    `given` are arguments by input name; those that are missing have the lengths of the call that was traced as
    `graph`. None where a length depends on a number that is not given, or on the course of a loop, and for programs of
    several launches, whose later ones depend on the results of the first.
    """
    if made.stages or made.lowered.kernel.returned:
        return None
    arguments = [_argument(node, graph, given) for node in made.graph.inputs]
    sizes: list[int] = []

    def empty(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        sizes.append(int(np.prod(shape, dtype=np.int64)) * dtype.itemsize)
        return np.broadcast_to(np.zeros((), dtype), shape)  # no memory, whatever the shape

    # The host's part of a call says what it allocates when it runs, with a kernel that does nothing.
    call = host_function(made.graph, made.lowered, lambda *args: 0, lambda code, buffers: None, empty, zeros=empty)
    try:
        call(*arguments)
    except TypeError:  # raised by an unknown number
        return None
    return sum(sizes)


class _Unknown:
    """A number that nobody gave: whatever is computed of it raises TypeError."""


def _argument(node: Node, graph: Graph, given: Mapping[str, Any]) -> np.ndarray:
    name = node.attrs["name"]
    if name in given:
        return np.asarray(given[name])
    like = next((n for n in graph.inputs if n.attrs["name"] == name), node)
    lengths = [d.hint if isinstance(d, Dim) else d for d in like.type.shape]
    if not lengths:
        unknown = np.empty((), object)
        unknown[()] = _Unknown()
        return unknown
    return np.broadcast_to(np.zeros((), node.type.dtype), [1 if n is None else n for n in lengths])
