"""Marks linear recurrences with constant coefficients: they are solved in blocks, not step by step.

    before   scan s steps %n ...          y = add(add(x, multiply(b, y[-2])), multiply(a, y[-1]))
    after    scan s steps %n in blocks    the same body

Such a scan has one scalar carry, whose next value is u + sum_k a_k y[-k]: u free of carries, every a_k the same at all
steps, and all taps from -1 to the deepest read (a coefficient that is not there must not become a zero, which times an
infinity is NaN). Rounding differs in the last bits, so `strict_fp` leaves the pass out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from scancc.ir import build
from scancc.ir.graph import Graph, Node, ScanSpec, operands, rewrite, spec_of, with_attrs
from scancc.ir.ops import OPS

MAX_TAPS = 3  # beyond, the step-by-step loop is as fast: it has enough to do while it waits
MIN_STEPS = 64
BLOCKS = "blocks"


@dataclass(frozen=True)
class Linear:
    """y = rest + sum of coefficients[k] * y[-k]; all nodes of the body. None as a coefficient is 1."""

    rest: Node
    coefficients: dict[int, Node]


def block_recurrences(graph: Graph) -> Graph:
    """Only loops at the top: a table is made for each, which an inner loop would make again at every outer step."""

    def mark(node: Node) -> Node | None:
        if node.op != "scan" or spec_of(node).strategy == BLOCKS:
            return None
        steps = node.args[0]
        if steps.op == "const" and int(steps.attrs["value"]) < MIN_STEPS:
            return None
        found = linear_recurrence(spec_of(node))
        if found is None or not _in_memory_order(node):
            return None
        return with_attrs(node, spec=replace(spec_of(node), strategy=BLOCKS))

    return rewrite(graph, mark)


def linear_recurrence(spec: ScanSpec) -> Linear | None:
    """The coefficients of a scan that is a linear recurrence, or None."""
    if len(spec.carries) != 1 or spec.outputs or spec.has_until:
        return None
    (carry,) = spec.carries
    result = spec.body.results[carry.name]
    if result.type.shape or result.type.dtype.name not in ("float32", "float64"):
        return None
    if carry.depth > MAX_TAPS or set(carry.taps) != set(range(-carry.depth, 0)):
        return None
    order = spec.body.nodes()
    if any(OPS[n.op].kind not in ("leaf", "elementwise") or n.type.shape or n.op == "wrap_index" for n in order):
        return None
    carried: dict[Node, bool] = {}
    varies: dict[Node, bool] = {}
    for n in order:
        tap = n.op == "tap" and n.attrs["name"] == carry.name
        carried[n] = tap or any(carried[a] for a in n.args)
        varies[n] = n.op in ("tap", "step") or any(varies[a] for a in n.args)
    found = _decompose(order, carried, varies)[result]
    if found is None or found[0] is None or set(found[1]) != set(range(1, carry.depth + 1)):
        return None
    return Linear(found[0], found[1])


Parts = tuple[Node | None, dict[int, Node]]


def _decompose(order: list[Node], carried: dict[Node, bool], varies: dict[Node, bool]) -> dict[Node, Parts | None]:
    """By node: the part without the carry and the coefficient of each tap; None where it is not linear."""
    parts: dict[Node, Parts | None] = {}
    for n in order:
        parts[n] = _parts(n, parts, carried, varies) if carried[n] else (n, {})
    return parts


def _parts(node: Node, known: dict[Node, Parts | None], carried: dict[Node, bool], varies: dict[Node, bool]) -> Any:
    if node.op == "tap":
        return None, {-node.attrs["offset"]: build.const(1, node.type.dtype, node.loc)}
    if any(known[x] is None for x in node.args):
        return None
    if node.op == "negative":
        return _map(known[node.args[0]], lambda x: build.make("negative", x, loc=node.loc))
    if node.op in ("add", "subtract"):
        left, right = node.args
        a, b = known[left], known[right]
        assert a is not None and b is not None
        if node.op == "subtract":
            b = _map(b, lambda x: build.make("negative", x, loc=node.loc))
        coefficients = dict(a[1])
        for k, c in b[1].items():
            coefficients[k] = build.make("add", coefficients[k], c, loc=node.loc) if k in coefficients else c
        rest = a[0] if b[0] is None else b[0] if a[0] is None else build.make("add", a[0], b[0], loc=node.loc)
        return rest, coefficients
    if node.op in ("multiply", "divide"):
        x, factor = node.args
        if node.op == "multiply" and carried[factor]:
            x, factor = factor, x
        if carried[factor] or varies[factor]:
            return None
        one = node.op == "multiply"  # times a coefficient of 1 is the factor itself
        return _map(known[x], lambda x: factor if one and _is_one(x) else build.make(node.op, x, factor, loc=node.loc))
    return None


def _is_one(x: Node) -> bool:
    return x.op == "const" and not x.type.shape and bool(x.attrs["value"] == 1)


def _map(parts: Any, change: Callable[[Node], Node]) -> Parts:
    rest, coefficients = parts
    return None if rest is None else change(rest), {k: change(c) for k, c in coefficients.items()}


def _in_memory_order(node: Node) -> bool:
    """Whether the loop over the free part would be vectorised: rows of arrays, not values made on the way."""
    return all(x.type.ndim == 1 for name, x in operands(node).items() if spec_of(node).sequence(name))
