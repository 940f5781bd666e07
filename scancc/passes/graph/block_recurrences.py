"""Marks linear recurrences with constant coefficients: they are solved in blocks, not step by step.

    before   scan s steps %n ...          y = add(add(x, multiply(b, y[-2])), multiply(a, y[-1]))
    after    scan s steps %n in blocks    the same body

Such a scan has one scalar carry, whose next value is u + sum_k a_k y[-k]: u free of carries, every a_k the same at all
steps, and all taps from -1 to the deepest read (a coefficient that is not there must not become a zero, which times an
infinity is NaN). Rounding differs in the last bits, so `strict_fp` leaves the pass out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from scancc.ir.graph import Graph, Node, ScanSpec, operands, rewrite, spec_of, with_attrs
from scancc.passes.graph.bodies import of_loops
from scancc.passes.graph.linear import is_scalar_code, linear_parts

MAX_TAPS = 3  # beyond, the step-by-step loop is as fast: it has enough to do while it waits
MIN_STEPS = 64
BLOCKS = "blocks"


@dataclass(frozen=True)
class Linear:
    """y = rest + sum of coefficients[k] * y[-k]; all nodes of the body. None as a coefficient is 1."""

    rest: Node
    coefficients: dict[int, Node]


@of_loops
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
    if not is_scalar_code(spec):
        return None
    found = linear_parts(spec, varying=False)[carry.name]
    if found is None or found[0] is None or {k for _, k in found[1]} != set(carry.taps):
        return None
    return Linear(found[0], {-k: c for (_, k), c in found[1].items()})


def _in_memory_order(node: Node) -> bool:
    """Whether the loop over the free part would be vectorised: rows of arrays, not values made on the way."""
    return all(x.type.ndim == 1 for name, x in operands(node).items() if spec_of(node).sequence(name))
