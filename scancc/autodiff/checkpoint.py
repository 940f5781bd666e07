"""Reverse mode through a scan whose history is not kept: some states are, and the steps between are made again.

    before   scan s of n steps                                          d: the derivative of what is read of it
    after    get s y every                   the states before steps 0, L, 2 L, ...
             scan s_segments of n / L steps  the last segment first:
             { scan s from the state kept, L steps, with its history; its way back (`reverse_scan.py`) }

The memory is that of n / L states and of the history of L steps; every step is made twice. With L = sqrt(n) both are
smallest. Where the number of steps is not known before the loop ends (`until`), L comes from the most that there can
be, up to LONGEST of them.

A. Griewank, A. Walther: "Algorithm 799: revolve" (ACM TOMS 26, 2000) for the trade in general.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from scancc.autodiff.arithmetic import fresh, integer_add, integer_sub, named_as, number_of, pad, rows_there, total
from scancc.autodiff.reverse import Kept, with_kept
from scancc.autodiff.rules import differentiable
from scancc.autodiff.zeros import Flow
from scancc.ir import build
from scancc.ir.graph import (
    EFFECT,
    STRIDE,
    UNTIL,
    Backward,
    Carry,
    Graph,
    Node,
    ScanSpec,
    Sequence,
    operands,
    spec_of,
    substitute,
)
from scancc.ir.names import fresh_name
from scancc.ir.ops import OPS
from scancc.ir.types import INT, Dim, Type

LONGEST = 1 << 20  # steps that the square root is taken of, where a condition ends the loop


def within(steps: Node, step: int, budget: int) -> Node:
    """Whether the whole history fits."""
    return build.make("less_equal", build.make("multiply", steps, build.integer(step)), build.integer(budget))


def sizes_of(spec: ScanSpec) -> tuple[int, int]:
    """Bytes of a state that is kept, and of what one step of a segment leaves in memory until the way back is made:
    its new state, expensive values, by the rules of `residuals.py` or as work that is done for all steps of the
    segment, and derivatives of as many numbers, of which the derivatives of weights are made after the loop."""
    rows = {c.name: (spec.body.results[c.name].type.size or 1) * spec.body.results[c.name].type.dtype.itemsize
            for c in spec.carries}  # fmt: skip
    state = sum(rows[c.name] * c.depth for c in spec.carries)
    made = [n for n in spec.body.nodes() if OPS[n.op].kind in ("contract", "linalg")
            or (OPS[n.op].expensive and OPS[n.op].kind == "elementwise")]  # fmt: skip
    expensive = sum((n.type.size or 1) * n.type.dtype.itemsize for n in made)
    return max(1, state), max(1, sum(rows.values()) + 2 * expensive)


class Segments:
    """The way back in segments, under construction."""

    def __init__(self, scan: Node, active: set[Node], kept: Kept) -> None:
        self.scan, self.active = scan, active
        self.spec: ScanSpec = spec_of(scan)
        self.value = operands(scan)
        self.steps = build.length(scan, scan.loc)
        self.plan(kept)
        self.taken: set[str] = {*self.spec.operand_names(), *self.spec.outputs}
        self.nonseqs: dict[str, Node] = {}
        self.sequences: dict[Sequence, Node] = {}
        self.carries: dict[Carry, Node] = {}
        self.results: dict[str, Node] = {}
        self.outputs: list[str] = []

    def plan(self, kept: Kept) -> None:
        """How many steps a segment has, and which states the forward loop keeps."""
        self.stride = kept.setdefault(self.scan, {}).setdefault(STRIDE, self._stride())
        self.count = self.segments(self.steps)

    def _stride(self) -> Node:
        wanted = self.spec.backward.checkpoint
        if isinstance(wanted, int):
            return build.integer(wanted)
        steps = self.scan.args[0]
        if self.spec.has_until:
            steps = build.make("minimum", steps, build.integer(LONGEST))
        root = build.make("ceil", build.make("sqrt", build.cast(steps, "float64")))
        return build.make("maximum", build.cast(root, "int64"), build.integer(1))

    def segments(self, steps: Node) -> Node:
        ahead = integer_sub(integer_add(steps, self.stride), 1)
        return build.make("floor_divide", ahead, self.stride)

    def read(self, name: str, value: Node) -> Node:
        """A value of the graph around, in the body."""
        label = fresh_name(name, self.taken)
        self.nonseqs[label] = value
        return build.make("read", type=local(value.type), name=label)

    def build(
        self, rows: dict[str, Node], last: dict[tuple[str, int], Node], initial_rows: dict[str, Node], flow: Flow
    ) -> list[Node | None]:
        """`flow` is what is known of all derivatives that come in, or go from one step to another."""
        from scancc.autodiff.reverse_scan import reverse_scan

        spec = self.spec
        stride, steps = self.read("stride", self.stride), self.read("steps", self.steps)
        segment = build.make("subtract", self.read("last_segment", integer_sub(self.count, 1)), build.make("step"))
        first = build.make("multiply", segment, stride)
        count = build.make("minimum", stride, build.make("subtract", steps, first))
        # The forward loop of one segment.
        windows: dict[str, Node] = {}
        for s in spec.sequences:
            length = build.dim_from(integer_add(count, s.reach), fresh("window"))
            windows[s.name] = build.rows(self.read(s.name, self.value[s.name]), first, length, self.scan.loc)
        initials = self.initials(segment)
        nonseqs = {n: self.read(n, self.value[n]) for n in spec.nonseqs if n != STRIDE}
        inner, given = of_one_segment(self.scan, count, first, windows, initials, nonseqs)
        # What comes in: at the end of the segment from those after it, in between from outside.
        varying = self.varying()
        reads: list[tuple[Node, Node]] = []
        adjoint: dict[str, str] = {}
        for c in spec.carries:
            if c.name not in varying:
                continue
            adjoint[c.name] = label = fresh_name(f"d_{c.name}", self.taken)
            start = self.start(c, last)
            self.carries[Carry(label, (-1,))] = start
            d = build.make("tap", type=local(start.type), name=label, offset=-1)
            reads.append(((build.state if c.rows else build.final)(inner, c.name), d))
        for name, d in rows.items():
            number, length = number_of(d), build.steps_dim(inner)
            part = (build.rows(self.read(f"d_{name}_rows", d), first, length) if number is None
                    else build.broadcast_to(number, (length, *d.type.shape[1:])))  # fmt: skip
            reads.append((build.trace(inner, name), part))
        operand = {x for name, x in given.items() if self.value[name] in self.active
                   and differentiable(x.type.dtype)} | {initials[c] for c in adjoint}  # fmt: skip
        inner_kept: Kept = {}
        flows = {get: flow for get, _ in reads}
        found = dict(zip(given, reverse_scan(inner, reads, operand, inner_kept, None, flows)[1:], strict=False))
        for c in spec.carries:
            if c.name in adjoint:
                sent = found[c.name]
                shape = local(self.start_type(c))
                self.results[adjoint[c.name]] = build.zeros(shape) if sent is None else build.reshape(sent, shape.shape)
        sums: dict[str, str] = {}
        for name in nonseqs:
            sent = found[name]
            if sent is not None:
                sums[name] = label = fresh_name(f"d_{name}", self.taken)
                self.carries[Carry(label, (-1,))] = build.zeros(self.value[name].type)
                tap = build.make("tap", type=nonseqs[name].type, name=label, offset=-1)
                self.results[label] = build.make("add", tap, named_as(sent, tap.type))
        parts: dict[str, str] = {}
        for s in spec.sequences:
            sent = found[s.name]
            if sent is not None:
                parts[s.name] = label = fresh_name(f"d_{s.name}", self.taken)
                self.outputs.append(label)
                width = build.dim_from(integer_add(self.stride, s.reach), fresh("width"))
                window = build.zeros(self.value[s.name].type.with_shape((width, *self.value[s.name].type.shape[1:])))
                at = build.make("iota", type=Type(INT.dtype, (sent.type.shape[0],)), shape=(sent.type.shape[0],))
                empty = self.read("window", window)
                self.results[label] = build.make("put", empty, at, sent, axis=0, mode="set")
        mapping = with_kept(self.results.values(), inner_kept)
        body = Graph((), {name: mapping[r] for name, r in self.results.items()})
        outer = ScanSpec(fresh(f"{spec.name}_segments"), tuple(self.sequences), tuple(self.carries),
                         tuple(self.nonseqs), tuple(self.outputs), body)  # fmt: skip
        node = build.scan(outer, (self.count, *self.sequences.values(), *self.carries.values(), *self.nonseqs.values()),
                          self.scan.loc)  # fmt: skip
        return self.outgoing(node, adjoint, sums, parts, initial_rows)

    def varying(self) -> set[str]:
        from scancc.autodiff.reverse import depending

        names = {n for n, x in self.value.items() if x in self.active and differentiable(x.type.dtype)}
        order = self.spec.body.nodes()
        while True:
            leaves = [n for n in order if n.op in ("tap", "read") and n.attrs["name"] in names]
            reached = depending(order, leaves)
            more = {c.name for c in self.spec.carries if self.spec.body.results[c.name] in reached} - names
            if not more:
                return names
            names |= more

    def initials(self, segment: Node) -> dict[str, Node]:
        return {c.name: self.state(c) for c in self.spec.carries}

    def state(self, c: Carry) -> Node:
        """The state that a segment starts from."""
        kept = build.samples(self.scan, c.name, self.stride, self.scan.loc)
        label = fresh_name(f"{c.name}_kept", self.taken)
        self.sequences[Sequence(label, (0,))] = build.make("flip", kept, axes=(0,))
        row = local(kept.type.with_shape(kept.type.shape[1:]))
        tap = build.make("tap", type=row, name=label, offset=0)
        return tap if c.rows else build.make("index", tap, axis=0, position=0)

    def start_type(self, c: Carry) -> Type:
        t = self.value[c.name].type
        return t.with_shape((c.depth, *t.shape[1:])) if c.rows else t

    def start(self, c: Carry, last: dict[tuple[str, int], Node]) -> Node:
        """What the last rows get from outside of the loop."""
        given = {j: d for (name, j), d in last.items() if name == c.name}
        if not given:
            return build.zeros(self.start_type(c))
        if not c.rows:
            return given[1]
        row = self.start_type(c)
        row = row.with_shape(row.shape[1:])
        parts = [build.reshape(given.get(j) or build.zeros(row), (1, *row.shape)) for j in range(c.depth, 0, -1)]
        return build.concatenate(parts, 0, None, fresh("start"))

    def outgoing(
        self, node: Node, adjoint: dict[str, str], sums: dict[str, str], parts: dict[str, str],
        initial_rows: dict[str, Node],
    ) -> list[Node | None]:  # fmt: skip
        found: dict[str, Node | None] = dict.fromkeys(self.spec.operand_names())
        for s in self.spec.sequences:
            if s.name in parts:
                found[s.name] = self.rows_of(node, parts[s.name], s)
        for c in self.spec.carries:
            terms: list[Node | None] = [build.final(node, adjoint[c.name])] if c.name in adjoint else []
            whole = initial_rows.get(c.name)
            if whole is not None:
                some = build.rows(whole, build.integer(0), c.depth)
                terms.append(some if c.rows else build.make("index", some, axis=0, position=0))
            d = total(terms)
            if d is not None and c.rows:
                rest = integer_sub(build.dim_of(self.value[c.name], 0), c.depth)
                d = pad(d, 0, build.integer(0), rest)
            found[c.name] = d
        for name, label in sums.items():
            found[name] = build.final(node, label)
        return [None, *found.values()]

    def rows_of(self, node: Node, name: str, s: Sequence) -> Node:
        """Windows side by side are the rows of the sequence; where they overlap, both are summed."""
        x = self.value[s.name]
        windows = build.make("flip", build.trace(node, name), axes=(0,))
        stride, count, reach = self.stride, self.count, s.reach
        inner = x.type.shape[1:]
        whole = build.dim_from(build.make("multiply", count, stride), fresh("segments"))

        def columns(start: Node, size: Node) -> Node:
            turned = build.make("transpose", windows, perm=(1, 0, *range(2, windows.type.ndim)))
            some = build.rows(turned, start, build.dim_from(size, fresh("columns")))
            return build.make("transpose", some, perm=(1, 0, *range(2, windows.type.ndim)))

        main = windows if not reach else columns(build.integer(0), stride)
        line = build.reshape(main, (whole, *inner))
        used = rows_there(x, self.steps, reach)
        length = build.dim_from(used, fresh("used"))
        if not reach:
            return pad(build.rows(line, build.integer(0), length), 0, build.integer(0),
                       integer_sub(build.dim_of(x, 0), used))  # fmt: skip
        # A window reads `reach` rows of those after it: shifted by a segment, in segments of their own width.
        over = columns(stride, build.integer(reach))
        ends = build.make("multiply", build.make("add", build.make("iota", type=Type(INT.dtype, (over.type.shape[0],)),
                          shape=(over.type.shape[0],)), build.integer(1)), stride)  # fmt: skip
        offsets = build.make("add", build.reshape(ends, (over.type.shape[0], 1)),
                             build.const(np.arange(reach)[None, :], "int64"))  # fmt: skip
        line = pad(line, 0, build.integer(0), build.integer(reach))
        line = build.make("put", line, offsets, over, axis=0, mode="add")
        return pad(build.rows(line, build.integer(0), length), 0, build.integer(0),
                   integer_sub(build.dim_of(x, 0), used))  # fmt: skip


def of_one_segment(
    scan: Node, count: Node, first: Node, windows: dict[str, Node], initials: dict[str, Node], nonseqs: dict[str, Node]
) -> tuple[Node, dict[str, Node]]:
    """The forward loop of a segment, which counts its steps from `first` and neither stops nor prints."""
    spec = spec_of(scan)
    results = {n: r for n, r in spec.body.results.items() if n != UNTIL and not n.startswith(EFFECT)}
    taken = {*spec.operand_names(), *results}
    label = fresh_name("first", taken)
    steps = [n for n in spec.body.nodes() if n.op == "step"]
    changes = {n: build.make("add", n, build.make("read", type=INT, name=label), loc=n.loc) for n in steps}
    mapping: dict[Node, Node] = substitute(results.values(), changes)
    names = tuple(nonseqs) + ((label,) if steps else ())
    body = Graph((), {n: mapping[r] for n, r in results.items()})
    inner = replace(spec, name=fresh(f"{spec.name}_segment"), nonseqs=names, body=body, backward=Backward())
    given = {**windows, **initials, **nonseqs}
    extra = (first,) if steps else ()
    return build.scan(inner, (count, *given.values(), *extra), scan.loc), given


def local(t: Type) -> Type:
    """The type of a value of the graph around as a body has it: lengths by their names alone."""
    return t.with_shape(tuple(Dim(d.name, d.hint) if isinstance(d, Dim) else d for d in t.shape))
