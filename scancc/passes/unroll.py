"""How large the arrays are that a program holds as scalars: small ones where the program would be large.

Short arrays are fastest as scalars, one statement for each element, until there are too many of them: then a kernel of
loops over rows compiles in a fraction of the time, and runs as fast or faster, since its rows become vectors.

    S = f * S + i * outer(k, v)      16 heads: 16 of each scalar in a row of f, i and their derivatives; a loop of 16
"""

from __future__ import annotations

from dataclasses import dataclass

from scancc.ir.graph import Graph, graphs_within
from scancc.ir.loop import For, Stmt
from scancc.ir.walk import operations, statements
from scancc.passes.lower import Lowered, lower
from scancc.passes.sizes import REGISTER_ELEMENTS, unrolled_up_to
from scancc.passes.storage.plan_taps import Plan, plan_taps

# Operations of a program as it is lowered. Measured on gradients (CPU seconds of the first call, one core with
# AVX-512): of an mLSTM with 16 heads (4,000) 6.5 as scalars and 0.9 with rows, of three bodies (3,100) 1.9 and 1.2, of
# an HMM of 16 states (4,300) 2.7 and 0.7; of a Kalman filter 4 x 2 (2,550) 1.7 and 0.9, but as scalars it runs 7 %
# faster.
BUDGET = 2600
LOOP = 12  # operations that a loop counts for: LLVM turns each into vectors, with a rest of its own
SIZES = (REGISTER_ELEMENTS, 8, 4, 1)


@dataclass(frozen=True, slots=True)
class Unrolled:
    """A program with arrays of up to so many elements as scalars: its storage, and its loops."""

    elements: int
    plan: Plan
    lowered: Lowered


def unroll(graph: Graph, name: str, sizes: tuple[int, ...] = SIZES) -> Unrolled:
    """With the largest size that keeps the kernel within the budget, or the one that makes it least."""
    found: list[tuple[int, Unrolled]] = []
    for size in _that_differ(graph, sizes):
        with unrolled_up_to(size):
            plan = plan_taps(graph, behind=True)
            made = Unrolled(size, plan, lower(graph, plan, name))
        count = _cost(made.lowered.kernel.body)
        if count <= BUDGET:
            return made
        found.append((count, made))
    return min(found, key=lambda pair: pair[0])[1]


def _that_differ(graph: Graph, sizes: tuple[int, ...]) -> list[int]:
    """The first, and those below which there are arrays that the size before it would take."""
    lengths = {size for g in graphs_within(graph) for n in g.nodes() if (size := n.type.size) is not None}
    return [size for size, before in zip(sizes, (None, *sizes), strict=False)
            if before is None or any(size < n <= before for n in lengths)]  # fmt: skip


def _cost(block: list[Stmt]) -> int:
    return operations(block) + LOOP * sum(isinstance(s, For) for s in statements(block))
