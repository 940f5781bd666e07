"""Reverse mode through a scan: a scan over the executed steps, last first.

    before   scan s carry y taps [-1] = %y0, sequence x = %X, nonseq a { y = a y[-1] + x[0] }     d: that of y's trace
    after    scan s_back sequence d_y = flip d, sequence y_past = flip (get s y history), nonseq a
             carry d_y_1 taps [-1] = 0        what step t sends to y[-1], read one reversed step later
             carry d_a                        the sum over all steps
             { l = d_y[0] + d_y_1[-1];  d_y_1 = a l;  d_a = d_a[-1] + l y_past[1];  output d_x_0 = l }

There is one adjoint carry a tap: what step t sends to y[-k] belongs to the row made k steps earlier, so it is read
back k reversed steps later. What is left of them after the last reversed step belongs to the initial rows. The
derivative with respect to the last rows of a trace, or the final value, is an initial value of these carries.

The backward body uses values of the forward one. The history of a carry is read as a sequence; a value that is
expensive and depends on a carry is kept by the forward loop (`kept`); everything else is computed again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

import numpy as np

from scancc.autodiff.arithmetic import constant, fresh, integer_sub, number_of, pad, rows_there, total, where
from scancc.autodiff.checkpoint import Segments
from scancc.autodiff.overlap import Overlap, Share, overlaps, rows_of
from scancc.autodiff.residuals import ForwardValues
from scancc.autodiff.reverse import Kept, depending
from scancc.autodiff.rules import differentiable
from scancc.autodiff.step_flow import StepFlow
from scancc.autodiff.zeros import ANY, Flow
from scancc.ir import build
from scancc.ir.graph import (
    STRIDE,
    Carry,
    Node,
    ScanSpec,
    Sequence,
    operands,
    spec_of,
    topological,
)
from scancc.ir.names import fresh_name
from scancc.ir.types import INT, Type


def reverse_scan(
    node: Node, reads: list[tuple[Node, Node]], active: set[Node], kept: Kept, beyond: Beyond | None = None,
    flow: dict[Node, Flow] | None = None,
) -> list[Node | None]:  # fmt: skip
    """Derivatives with respect to the operands of a scan, from those of what is read of it.

    `flow` says what is known of what is read, and afterwards of what was found, as far as it is known.
    Where several operands are parts of one array, that of the array may go to `beyond` instead.
    """
    from scancc.autodiff.geometric import reverse_powers

    powers = reverse_powers(node, reads, active, kept)
    if powers is not None:
        return powers
    wanted = spec_of(node).backward
    back = BackwardScan(node, active, kept, beyond)
    if wanted.window is not None:
        from scancc.autodiff.window import Windowed

        back = Windowed(node, active, kept, beyond)
    back.incoming(reads, {} if flow is None else flow)
    if wanted.checkpoint == "binomial" or wanted.budget is not None:
        from scancc.autodiff.binomial import Binomial

        return Binomial(node, active, kept).build(back.rows, back.last, back.initial_rows, back.flow_within())
    if wanted.checkpoint is not None:
        return Segments(node, active, kept).build(back.rows, back.last, back.initial_rows, back.flow_within())
    found = back.build()
    if flow is not None:
        flow |= {d: back.flow_out[n] for n, d in zip(back.value, found[1:], strict=True)
                 if d is not None and n in back.flow_out}  # fmt: skip
    return found


@dataclass(frozen=True, slots=True)
class Beyond:
    """The graph around a scan: `add` takes derivatives of its nodes, of which `wrt` are what is differentiated by."""

    add: Callable[[Node, Node], None]
    wrt: frozenset[Node]


@dataclass
class BackwardScan(ForwardValues, StepFlow):
    """The backward scan under construction."""

    scan: Node
    active: set[Node]
    kept: Kept
    beyond: Beyond | None = None
    rows: dict[str, Node] = field(default_factory=dict)  # derivatives of traces, by result
    row_flow: dict[str, Flow] = field(default_factory=dict)  # what is known of them
    last_flow: dict[tuple[str, int], Flow] = field(default_factory=dict)
    flow_out: dict[str, Flow] = field(default_factory=dict)  # of what is found, by operand
    last: dict[tuple[str, int], Node] = field(default_factory=dict)  # of the row made k steps before the end
    sequences: dict[Sequence, Node] = field(default_factory=dict)
    nonseqs: dict[str, Node] = field(default_factory=dict)
    leaves: dict[tuple[str, int], Node] = field(default_factory=dict)
    copies: dict[Node, Node] = field(default_factory=dict)  # forward body nodes in the backward body

    def __post_init__(self) -> None:
        self.spec: ScanSpec = spec_of(self.scan)
        self.value = operands(self.scan)
        self.steps = build.length(self.scan, self.scan.loc)
        self.reversed_steps = self.steps
        truncate = self.spec.backward.truncate
        if truncate is not None:
            self.reversed_steps = build.make("minimum", self.steps, build.integer(truncate))
        self.taken: set[str] = set()  # names of the backward scan
        self.order = self.spec.body.nodes()
        self.forward = set(self.order)
        self.labels: dict[str, str] = {}  # names of sequences by what they are
        self.reads: dict[str, Node] = {}
        self.initial_rows: dict[str, Node] = {}  # derivatives of histories that were read whole
        carries = {c.name for c in self.spec.carries}
        self.carried: set[Node] = set()  # what depends on a carry
        for n in self.order:
            if (n.op == "tap" and n.attrs["name"] in carries) or any(a in self.carried for a in n.args):
                self.carried.add(n)
        self.carry_of: dict[Node, str] = {}
        for c in self.spec.carries:
            self.carry_of.setdefault(self.spec.body.results[c.name], c.name)
        self.part_of = self._parts()

    # -- what comes in ---------------------------------------------------------------------------------------
    def incoming(self, reads: Iterable[tuple[Node, Node]], flow: dict[Node, Flow]) -> None:
        """Sort what is read of the scan into derivatives of whole traces and of single rows near the end."""
        for get, d in reads:
            self.flow = flow.get(get, ANY)  # of the one that is being sorted
            if get.op == "index":
                self.row(get.args[0], -get.attrs["position"], d, get)
                continue
            name, view = get.attrs["name"], get.attrs["view"]
            carry = self.spec.carry(name)
            if view == "final":
                self.add_last(name, 1, d)
            elif view == "trace":
                self.add_rows(name, d)
            elif view == "every":
                assert carry is not None
                self.with_samples(carry, d)
            elif view in ("history", "state"):
                assert carry is not None
                self.with_past(carry, get, d)
            elif view.startswith(("last", "tail")):
                self.add_rows(name, self.at_the_end(get, d))

    def row(self, trace: Node, back: int, d: Node, index: Node) -> None:
        carry = self.spec.carry(trace.attrs["name"])
        if carry is not None and back <= carry.depth:
            self.add_last(carry.name, back, d)
        else:
            before = integer_sub(self.steps, back)
            row = build.reshape(d, (1, *d.type.shape), d.loc)
            self.flow = self.flow.either(Flow(masked=True))
            self.add_rows(trace.attrs["name"], pad(row, 0, before, build.integer(back - 1)))

    def at_the_end(self, get: Node, d: Node) -> Node:
        self.flow = self.flow.either(Flow(masked=True))
        return pad(d, 0, integer_sub(self.steps, build.dim_of(d, 0)), build.integer(0))

    def with_past(self, carry: Carry, get: Node, d: Node) -> None:
        """History and state hold initial rows too: those go to the oldest rows of the adjoint carry by themselves."""
        if get.attrs["view"] == "state":
            for k in range(1, carry.depth + 1):
                row = build.make("index", d, loc=get.loc, axis=0, position=carry.depth - k)
                self.add_last(carry.name, k, row)
            return
        self.with_history(carry, d)

    def with_history(self, carry: Carry, d: Node) -> None:
        rows = build.rows(d, build.integer(carry.depth), build.steps_dim(self.scan))
        self.add_rows(carry.name, rows)
        known = self.initial_rows.get(carry.name)
        self.initial_rows[carry.name] = d if known is None else build.make("add", known, d)

    def with_samples(self, carry: Carry, d: Node) -> None:
        """States kept every so many steps are rows of the history. Of those that were not kept the derivative is 0."""
        count, stride = d.type.shape[0], self.value[STRIDE]
        if stride.type.ndim:
            before = build.make("subtract", build.make("cumsum", stride, axis=0), stride)
            first = build.make("minimum", before, self.steps)
        else:
            number = build.make("iota", type=INT.with_shape((count,)), shape=(count,))
            first = build.make("multiply", number, stride)
        at = build.make("add", build.reshape(first, (count, 1)), build.const(np.arange(carry.depth)[None], "int64"))
        whole = build.zeros(build.history(self.scan, carry.name).type)
        self.flow = self.flow.either(Flow(masked=True))
        self.with_history(carry, build.make("put", whole, at, d, axis=0, mode="add"))

    def add_rows(self, name: str, d: Node) -> None:
        self.rows[name] = d if name not in self.rows else build.make("add", self.rows[name], d)
        self.row_flow[name] = self.flow.plus(self.row_flow.get(name))

    def add_last(self, name: str, back: int, d: Node) -> None:
        key = (name, back)
        self.last[key] = d if key not in self.last else build.make("add", self.last[key], d)
        self.last_flow[key] = self.flow.plus(self.last_flow.get(key))

    # -- the backward scan -----------------------------------------------------------------------------------
    def build(self) -> list[Node | None]:
        self.taps = taps = self.adjoint_taps()
        carries: dict[Carry, Node] = {}
        adjoint: dict[tuple[str, int], str] = {}
        for name, k in taps:
            new = fresh_name(f"d_{name}_{k}", self.taken)
            adjoint[name, k] = new
            carries[Carry(new, (-k,))] = self.start(name, k)
        seeds = self.seeds(adjoint)
        wanted = [n for n in self.order if n in self.variable]
        found, inner = self.pulled_back(seeds, wanted, adjoint)
        results: dict[str, Node] = {}
        outputs: list[str] = []
        sums: dict[str, str] = {}
        parts: dict[tuple[str, int], str] = {}
        shares: list[Share] = []
        for leaf, d in found.items():
            name = leaf.attrs["name"]
            if leaf.op == "read":
                if d is None:
                    continue
                sums[name] = new = fresh_name(f"d_{name}", self.taken)
                carries[Carry(new, (-1,))] = build.zeros(self.value[name].type)
                before = build.make("tap", type=leaf.type, name=new, offset=-1)
                results[new] = build.make("add", before, d, loc=leaf.loc)
            elif self.spec.sequence(name) is not None:
                if d is None:
                    continue
                shares.append(self.share(name, leaf.attrs["offset"], d))
        sent = self.sent(adjoint, found, inner)
        together, apart = overlaps(shares, (*sent.values(), *results.values()))
        for group in together:
            carries |= group.within(self.taken)
            outputs.append(group.name)
            results |= group.results()
        for s in apart:
            parts[s.operand, s.tap] = new = fresh_name(f"d_{s.operand}", self.taken)
            outputs.append(new)
            results[new] = s.d
        results |= sent
        body = self.in_the_backward_body(results, inner)
        spec = ScanSpec(
            fresh(f"{self.spec.name}_back"), tuple(self.sequences), tuple(carries), tuple(self.nonseqs),
            tuple(outputs), body,
        )  # fmt: skip
        args = (self.reversed_steps, *self.sequences.values(), *carries.values(), *self.nonseqs.values())
        node = build.scan(spec, args, self.scan.loc)
        return self.outgoing(node, adjoint, sums, parts, together)

    def share(self, name: str, tap: int, d: Node) -> Share:
        """What a tap of a sequence sends, and of which rows of what array."""
        sequence = self.spec.sequence(name)
        assert sequence is not None
        whole = frozenset(self.value.values()) if self.beyond is None else self.beyond.wrt
        rows = rows_of(self.value[name], whole)
        return Share(name, tap, d, replace(rows, first=rows.first + tap + sequence.lead))

    def seeds(self, adjoint: dict[tuple[str, int], str]) -> dict[Node, Node]:
        """Derivatives with respect to the results of a step: from outside, and from the steps that read them."""
        seeds: dict[Node, Node] = {}
        for name, result in self.spec.body.results.items():
            if name not in self.relevant:
                continue
            terms = [self.incoming_row(name, result)] if name in self.rows else []
            terms += [build.make("tap", type=result.type, name=new, offset=-k)
                      for (y, k), new in adjoint.items() if y == name]  # fmt: skip
            d = total(terms)
            if d is not None:
                seeds[result] = d if result not in seeds else build.make("add", seeds[result], d)
        return seeds

    def sent(
        self, adjoint: dict[tuple[str, int], str], found: dict[Node, Node | None], inner: Kept
    ) -> dict[str, Node]:
        """What a step sends to the rows that it read: the adjoint carries. Zeros where nothing flows through a tap."""
        by_tap = {(n.attrs["name"], -n.attrs["offset"]): d for n, d in found.items() if n.op == "tap" and d is not None}
        return {new: by_tap.get(key) or build.zeros(self.spec.body.results[key[0]].type)
                for key, new in adjoint.items()}  # fmt: skip

    def adjoint_taps(self) -> list[tuple[str, int]]:
        """Taps of carries that need an adjoint: the carry varies with what is differentiated, and somebody reads it."""
        spec = self.spec
        varying = {n for n, x in self.value.items() if x in self.active and differentiable(x.type.dtype)}
        while True:
            leaves = [n for n in self.order if n.op in ("tap", "read") and n.attrs["name"] in varying]
            reached = depending(self.order, leaves)
            more = {c.name for c in spec.carries if spec.body.results[c.name] in reached} - varying
            if not more:
                break
            varying |= more
        self.variable = set(leaves)
        self.relevant = set(self.rows) | {name for name, _ in self.last}
        taps: set[tuple[str, int]] = set()
        pending = list(self.relevant)
        while pending:
            for leaf in topological([spec.body.results[pending.pop()]]):
                name = leaf.attrs["name"] if leaf.op == "tap" and leaf in self.variable else None
                if name is None or spec.carry(name) is None:
                    continue
                taps.add((name, -leaf.attrs["offset"]))
                if name not in self.relevant:
                    self.relevant.add(name)
                    pending.append(name)
        self.relevant = {n for n in self.relevant if spec.body.results[n] in reached or n in varying}
        for name, back in self.last:
            carry = spec.carry(name)
            if carry is not None and name in self.relevant and not any(y == name and k >= back for y, k in taps):
                taps.add((name, carry.depth))
        return sorted(taps)

    def start(self, name: str, k: int) -> Node:
        """Initial rows of the adjoint of tap -k: what the last rows get from outside of the loop."""
        row = self.spec.body.results[name].type
        shape = self.value[name].type.shape[1:] if self.spec.carry(name).rows else self.value[name].type.shape  # type: ignore[union-attr]
        type_ = Type(row.dtype, shape)
        if k > 1 and not any((name, j) in self.last for j in range(1, k + 1)):
            return build.zeros(type_.with_shape((k, *type_.shape)))
        rows = []
        for j in range(1, k + 1):
            d = self.last.get((name, j))
            # The smallest tap that reaches the row takes it; the adjoint of tap -k starts k rows before the end.
            mine = d is not None and not any(
                y == name and j <= other < k for y, other in self.taps
            )
            rows.append(d if mine and d is not None else build.zeros(type_))
        if k == 1:
            return rows[0]
        parts = [build.reshape(r, (1, *type_.shape)) for r in rows]
        if all(r.op != "add" and (name, j) not in self.last for j, r in enumerate(rows, 1)):
            return build.zeros(type_.with_shape((k, *type_.shape)))
        return build.concatenate(parts, 0, None, fresh("start"))

    def incoming_row(self, name: str, result: Node) -> Node:
        number = number_of(self.rows[name])
        if number is not None and result.type.is_static:
            return build.broadcast_to(number, result.type.shape, result.loc)
        return self.sequence(f"d_{name}", build.make("flip", self.rows[name], axes=(0,)), 0, result.type)

    # -- what goes out -----------------------------------------------------------------------------------------
    def outgoing(
        self, back: Node, adjoint: dict[tuple[str, int], str], sums: dict[str, str],
        parts: dict[tuple[str, int], str], together: list[Overlap],
    ) -> list[Node | None]:  # fmt: skip
        found: dict[str, Node | None] = {}
        for s in self.spec.sequences:
            terms: list[Node | None] = []
            for k in s.taps:
                if (s.name, k) in parts:
                    terms.append(self.rows_of(back, parts[s.name, k], s, k))
            found[s.name] = total(terms)
        for group in together:
            left = {name: self.newest_first(self.arrived(back, name, k), k) for name, k in group.delays().items()}
            complete = build.make("flip", build.trace(back, group.name), axes=(0,))
            d = group.of_base(complete, left, integer_sub(self.steps, self.reversed_steps), self.reversed_steps)
            operand = next((n for n, x in self.value.items() if x is group.base), None)
            if operand is not None:
                found[operand] = total((found.get(operand), d))
            else:
                assert self.beyond is not None
                self.beyond.add(group.base, d)
        for c in self.spec.carries:
            found[c.name] = self.of_initial(back, c, adjoint)
        for name in self.spec.nonseqs:
            found[name] = build.final(back, sums[name]) if name in sums else None
        return [None, *(found[name] for name in self.spec.operand_names())]

    def rows_of(self, back: Node, name: str, s: Sequence, k: int) -> Node:
        """Derivatives with respect to the rows that one tap read, among zeros for those that it did not."""
        rows = build.make("flip", build.trace(back, name), axes=(0,))
        x = self.value[s.name]
        skipped = integer_sub(self.steps, self.reversed_steps)
        before = rows_there(x, skipped, k + s.lead)
        after = integer_sub(integer_sub(build.dim_of(x, 0), before), self.reversed_steps)
        return pad(rows, 0, before, after)

    def of_initial(self, back: Node, c: Carry, adjoint: dict[tuple[str, int], str]) -> Node | None:
        """Row j of the initial value is time j - depth: what tap -k of the first k steps sent there."""
        taps = [(k, new) for (name, k), new in adjoint.items() if name == c.name]
        value = self.value[c.name]
        given = self.initial_rows.get(c.name)
        if not c.rows:
            first = None if given is None else build.make("index", given, axis=0, position=0)
            return total([self.if_whole(self.arrived(back, taps[0][1], 1)) if taps else None, first])
        terms: list[Node | None] = []
        for k, new in taps:
            sent = self.arrived(back, new, k)
            # The last reversed step is step 0, which read time -k.
            sent = self.newest_first(sent, k)
            rows = integer_sub(build.dim_of(value, 0), c.depth)
            terms.append(pad(self.if_whole(sent), 0, build.integer(c.depth - k), rows))
        if given is not None:
            rest = integer_sub(build.dim_of(value, 0), c.depth)
            terms.append(pad(build.rows(given, build.integer(0), c.depth), 0, build.integer(0), rest))
        return total(terms)

    def arrived(self, back: Node, name: str, k: int) -> Node:
        """What an adjoint carry of tap -k holds after the last reversed step."""
        return build.final(back, name) if k == 1 else build.state(back, name)

    def newest_first(self, sent: Node, k: int) -> Node:
        return build.reshape(sent, (1, *sent.type.shape)) if k == 1 else build.make("flip", sent, axes=(0,))

    def if_whole(self, sent: Node) -> Node:
        """What reached the initial rows: nothing where the way back ended before them."""
        if self.reversed_steps is self.steps:
            return sent
        return where(build.make("equal", self.steps, self.reversed_steps), sent, constant(0, sent))
