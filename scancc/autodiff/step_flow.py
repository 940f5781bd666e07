"""What is known of the derivatives within a backward loop (`zeros.py`), where steps send some to one another."""

from __future__ import annotations

from scancc.autodiff.arithmetic import named_as, total
from scancc.autodiff.reverse import Kept, pullback
from scancc.autodiff.zeros import ANY, Flow, behind
from scancc.ir.graph import Node, ScanSpec


class StepFlow:
    """The part of a backward scan that takes the pullback of a step."""

    spec: ScanSpec
    steps: Node
    reversed_steps: Node
    order: list[Node]
    rows: dict[str, Node]
    row_flow: dict[str, Flow]
    last_flow: dict[tuple[str, int], Flow]
    flow_out: dict[str, Flow]
    initial_rows: dict[str, Node]

    def pulled_back(
        self, seeds: dict[Node, Node], wanted: list[Node], adjoint: dict[tuple[str, int], str]
    ) -> tuple[dict[Node, Node | None], Kept]:
        """The pullback of a step. What is known of adjoint carries is what is known of what steps send, and of what
        the last step receives: found by assuming that of the last step first."""
        carried = {(name, k): self.start_flow(name, k) for name, k in adjoint}
        while True:
            inner: Kept = {}
            flow = self.seed_flow(carried)
            found = by_leaf(wanted, pullback(seeds, wanted, inner, flow, in_a_step=True))
            sent = {(n.attrs["name"], -n.attrs["offset"] if n.op == "tap" else 0): flow[n] for n in wanted if n in flow}
            more = {key: f.either(sent.get(key, Flow())) for key, f in carried.items()}
            if more == carried:
                break
            carried = more
        some = self.reversed_steps is not self.steps
        for n in wanted:
            if n in flow:
                name, tap = n.attrs["name"], n.attrs.get("offset", 0)
                known = flow[n] if n.op == "read" and not some else flow[n].either(Flow(masked=some or tap != 0))
                self.flow_out[name] = known.either(self.flow_out.get(name, Flow()))
        for (name, _), f in carried.items():
            self.flow_out[name] = ANY if name in self.initial_rows else f.either(Flow(masked=True))
        return found, inner

    def flow_within(self) -> Flow:
        """Of all that comes in, and of all that one step may send to another."""
        found = Flow()
        for flow in (*self.row_flow.values(), *self.last_flow.values()):
            found = found.either(flow)
        for n in self.order:
            found = found.either(ANY if n.op in ("scan", "cond", "custom") else behind(n, Flow()))
        return found

    def start_flow(self, name: str, k: int) -> Flow:
        """What the last step receives of those after it is 0, which is no choice: all that it reads is there."""
        found = Flow()
        for (result, back), flow in self.last_flow.items():
            if result == name and back <= k:
                found = found.either(flow)
        return found

    def seed_flow(self, carried: dict[tuple[str, int], Flow]) -> dict[Node, Flow]:
        """Of the derivatives with respect to the results of a step."""
        flow: dict[Node, Flow] = {}
        for name, result in self.spec.body.results.items():
            terms = [self.row_flow[name]] if name in self.rows and name in self.row_flow else []
            terms += [f for (y, _), f in carried.items() if y == name]
            for f in terms:
                flow[result] = f.plus(flow.get(result))
        return flow


def by_leaf(leaves: list[Node], derivatives: list[Node | None]) -> dict[Node, Node | None]:
    """One node a tap or read: a body may have several that read the same."""
    first: dict[tuple, Node] = {}
    found: dict[Node, Node | None] = {}
    for leaf, d in zip(leaves, derivatives, strict=True):
        known = first.setdefault((leaf.op, leaf.attrs["name"], leaf.attrs.get("offset")), leaf)
        found[known] = d if known not in found else total((found[known], d))
    return {leaf: None if d is None else named_as(d, leaf.type) for leaf, d in found.items()}
