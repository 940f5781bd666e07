"""Truncated back-propagation through time: what a step's result receives flows back through k steps at most.

What has flowed back through j steps is kept apart from what has flowed through any other number: adjoint carries have
one row an age, 1 to k. A step sends row j on as row j + 1, all ages at once (the pullback of the step, batched); what
has come through k steps may still arrive at an initial value, but goes through no further step. Parameters receive the
sum over all ages.

R. J. Williams, J. Peng: "An efficient gradient-based algorithm for on-line training of recurrent network trajectories"
(Neural Computation 2, 1990).
"""

from __future__ import annotations

from scancc.autodiff.arithmetic import fresh, integer_sub, pad, total
from scancc.autodiff.reverse import Kept, pullback
from scancc.autodiff.reverse_scan import BackwardScan
from scancc.autodiff.step_flow import by_leaf
from scancc.autodiff.zeros import Flow
from scancc.ir import build
from scancc.ir.graph import Node


class Windowed(BackwardScan):
    @property
    def window(self) -> int:
        assert self.spec.backward.window is not None
        return self.spec.backward.window

    def add_last(self, name: str, back: int, d: Node) -> None:
        """Rows near the end are rows like all others: they are as young as these."""
        row = build.reshape(d, (1, *d.type.shape), d.loc)
        self.flow = self.flow.either(Flow(masked=True))
        self.add_rows(name, pad(row, 0, integer_sub(self.steps, back), build.integer(back - 1)))

    def start(self, name: str, k: int) -> Node:
        type_ = self.value[name].type
        row = type_.shape[1:] if self.spec.carry(name).rows else type_.shape  # type: ignore[union-attr]
        ages = (self.window, *row)
        return build.zeros(type_.with_shape(ages if k == 1 else (k, *ages)))

    def seeds(self, adjoint: dict[tuple[str, int], str]) -> dict[Node, Node]:
        self.ages: dict[Node, Node] = {}  # by result: what it receives, one row an age, 0 to k - 1
        for name, result in self.spec.body.results.items():
            if name not in self.relevant:
                continue
            young = self.incoming_row(name, result) if name in self.rows else build.zeros(result.type)
            rows = [build.reshape(young, (1, *result.type.shape))]
            old = result.type.with_shape((self.window, *result.type.shape))
            sent = total([build.make("tap", type=old, name=new, offset=-k)
                          for (y, k), new in adjoint.items() if y == name])  # fmt: skip
            if self.window > 1:
                rows.append(_first(build.zeros(old) if sent is None else sent, self.window - 1))
            stack = build.concatenate(rows, 0, None, fresh("ages"))
            self.ages[result] = stack if result not in self.ages else build.make("add", self.ages[result], stack)
        return {r: build.make("reduce_sum", stack, axes=(0,)) for r, stack in self.ages.items()}

    def sent(
        self, adjoint: dict[tuple[str, int], str], found: dict[Node, Node | None], inner: Kept
    ) -> dict[str, Node]:
        from scancc.batching.loops import batch

        taps = [n for n in found if n.op == "tap" and (n.attrs["name"], -n.attrs["offset"]) in adjoint]
        one = {r: build.make("alias", build.zeros(r.type)) for r in self.ages}
        every = [n for n in self.order if n in self.variable and n.op == "tap"]
        sent = by_leaf(every, pullback(one, every, inner, in_a_step=True))
        parts = [sent[n] for n in taps]
        ages = {one[r]: stack for r, stack in self.ages.items()}
        made = batch([p for p in parts if p is not None], ages, self.window)
        results: dict[str, Node] = {}
        for key, new in adjoint.items():
            part = next((p for n, p in zip(taps, parts, strict=True)
                         if (n.attrs["name"], -n.attrs["offset"]) == key), None)  # fmt: skip
            row = self.spec.body.results[key[0]].type
            none = build.zeros(row.with_shape((self.window, *row.shape)))
            results[new] = none if part is None else made.whole(part)
        return results

    def arrived(self, back: Node, name: str, k: int) -> Node:
        """The sum over all ages."""
        return build.make("reduce_sum", super().arrived(back, name, k), axes=(0 if k == 1 else 1,))


def _first(x: Node, count: int) -> Node:
    rest = (None,) * (x.type.ndim - 1)
    return build.make("slice", x, type=x.type.with_shape((count, *x.type.shape[1:])), starts=(None, *rest),
                      stops=(count, *rest), steps=(None, *rest))  # fmt: skip
