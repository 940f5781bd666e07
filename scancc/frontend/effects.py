"""Checks and prints as effects of the scope that is being traced."""

from __future__ import annotations

from typing import Any

from scancc.frontend.location import here
from scancc.frontend.tracer import tracing
from scancc.ir import build
from scancc.ir.graph import Node


def add_effect(op: str, *nodes: Node, message: str, names: tuple[str, ...] = (), **attrs: Any) -> None:
    """A check of the first node, or a print, with the rest as the values of its message."""
    scope = tracing()
    site = len(scope.root.sites)
    scope.root.sites.append(here())
    scope.effects.append(build.make(op, *nodes, loc=here(), message=message, names=names, site=site, **attrs))


def add_check(condition: Node, *nodes: Node, message: str, names: tuple[str, ...] = ()) -> None:
    """Demand a truth value when the kernel runs."""
    add_effect("check", condition, *nodes, message=message, names=names, error="check")
