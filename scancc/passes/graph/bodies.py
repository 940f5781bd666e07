"""Passes that do something with loops: most bodies have none of their own, and need not be gone through for it."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec

from scancc.ir.graph import Graph

P = ParamSpec("P")


def of_loops(transform: Callable[Concatenate[Graph, P], Graph]) -> Callable[Concatenate[Graph, P], Graph]:
    """The pass, which leaves a graph without loops as it is."""

    @wraps(transform)
    def run(graph: Graph, /, *args: P.args, **kwargs: P.kwargs) -> Graph:
        return transform(graph, *args, **kwargs) if graph.has_loops else graph

    return run
