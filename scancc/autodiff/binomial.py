"""Checkpointing with fewer states than segments: they are kept where they are worth most.

    before   segments of L steps, the last first, from the states kept before each (`checkpoint.py`)
    after    get s y every                    s states at the binomial places, which the forward loop comes by
             scan s_segments                  carries a stack of s states, with the segment that each is the start of:
             { scan s_forward until the stack's top is this segment's start: from the top, m segments of steps forward,
               and push; one segment's history and its way back; pop }

m is `split_steps` of the segments up to this one and the states that are left (`runtime/scancc_runtime/revolve.py`):
no other places of s states make fewer steps again. The stack has one row more than states: that of the segment
itself. Where a condition ends the loop the places are not known before: the way back begins with the initial
state alone.

A. Griewank, A. Walther: "Algorithm 799: revolve" (ACM TOMS 26, 2000).
"""

from __future__ import annotations

from scancc.autodiff.arithmetic import fresh, integer_add, integer_sub
from scancc.autodiff.checkpoint import LONGEST, Segments, local, of_one_segment, sizes_of, within
from scancc.autodiff.reverse import Kept
from scancc.ir import build
from scancc.ir.graph import STRIDE, UNTIL, Carry, Graph, Node, ScanSpec
from scancc.ir.names import fresh_name
from scancc.ir.types import INT

COPIES = 5  # of every state that is kept: where the forward loop leaves it, and in two stacks, with the ones being made
PLACES = 48  # bytes that the places of a state take beside it


class Binomial(Segments):
    """The way back in segments whose initial states are made from a stack of some."""

    def plan(self, kept: Kept) -> None:
        spec = self.spec
        most = self.scan.args[0]
        if spec.has_until:
            most = build.make("minimum", most, build.integer(LONGEST))
        most = build.make("maximum", most, build.integer(1))
        self.stride, states = self._sizes(most)
        self.count = self.segments(self.steps)
        self.states = build.make("minimum", states, build.make("maximum", self.count, build.integer(1)))
        self.rows = build.dim_from(integer_add(self.states, 1), fresh("kept"))
        self.places, gaps = self._places()
        if not spec.has_until:
            kept.setdefault(self.scan, {}).setdefault(STRIDE, gaps)
        self.gaps = gaps

    def _sizes(self, most: Node) -> tuple[Node, Node]:
        """Steps of a segment and states that are kept: both the same, and no step made more than three times, or
        half of the budget for each."""
        budget = self.spec.backward.budget
        if budget is None:
            double = build.cast(build.make("multiply", most, build.integer(2)), "float64")
            both = build.cast(build.make("ceil", build.make("cbrt", double)), "int64")
            return both, both
        state, step = sizes_of(self.spec)
        stride, states = max(1, budget // (2 * step)), max(1, budget // (2 * (COPIES * state + PLACES)) - 1)
        fits = within(most, step, budget)
        return (build.make("where", fits, most, build.integer(stride)),
                build.make("where", fits, build.integer(1), build.integer(states)))  # fmt: skip

    def _places(self) -> tuple[Node, Node]:
        """The segments that the first states are the start of, and the steps between these, for the forward loop."""
        count, states, far = self.count, self.states, build.make("maximum", self.steps, build.integer(1))
        names = ("count", "states", "stride", "far")
        read = {n: build.make("read", type=INT, name=n) for n in names}
        place = build.make("tap", type=INT, name="place", offset=-1)
        left = build.make("subtract", read["count"], place)
        free = build.make("subtract", read["states"], build.make("step"))
        more = build.make("logical_and", build.make("greater", left, build.integer(1)),
                          build.make("greater", free, build.integer(0)))  # fmt: skip
        ahead = build.make("split_steps", left, free)
        results = {
            "place": build.make("where", more, build.make("add", place, ahead), read["count"]),
            "at": place,
            "gap": build.make("where", more, build.make("multiply", ahead, read["stride"]), read["far"]),
        }
        spec = ScanSpec(fresh("places"), (), (Carry("place", (-1,)),), names, ("at", "gap"), Graph((), results))
        steps = integer_add(self.states, 1)
        scan = build.scan(spec, (steps, build.integer(0), count, states, self.stride, far), self.scan.loc)
        shape = (self.rows,)
        return build.reshape(build.trace(scan, "at"), shape), build.reshape(build.trace(scan, "gap"), shape)

    def initials(self, segment: Node) -> dict[str, Node]:
        """The states that the segment starts from: those at the top of the stack, once it is the segment's."""
        top, place = self._carry("top", self._first_top()), self._carry("place", self._first_places())
        stacks = {c.name: self._carry(f"{c.name}_stack", self._first_stack(c)) for c in self.spec.carries}
        walk, names = self._walk(segment, top, place, stacks)
        top_name, place_name, stack_names = names
        found = build.final(walk, top_name)
        self.results[top.attrs["name"]] = build.make("subtract", found, build.integer(1))
        self.results[place.attrs["name"]] = build.final(walk, place_name)
        initials: dict[str, Node] = {}
        for c in self.spec.carries:
            stack = build.final(walk, stack_names[c.name])
            self.results[stacks[c.name].attrs["name"]] = stack
            state = build.make("take", stack, found, axis=0)
            initials[c.name] = state if c.rows else build.make("index", state, axis=0, position=0)
        return initials

    def _carry(self, name: str, start: Node) -> Node:
        label = fresh_name(name, self.taken)
        self.carries[Carry(label, (-1,))] = start
        return build.make("tap", type=local(start.type), name=label, offset=-1)

    def _first_top(self) -> Node:
        if self.spec.has_until:
            return build.integer(0)
        kept = build.make("less", self.places, build.broadcast_to(self.count, self.places.type.shape))
        number = build.make("reduce_sum", build.cast(kept, "int64"), axes=(0,))
        return build.make("maximum", integer_sub(number, 1), build.integer(0))

    def _first_places(self) -> Node:
        return build.zeros(self.places.type) if self.spec.has_until else self.places

    def _first_stack(self, c: Carry) -> Node:
        if not self.spec.has_until:
            return build.samples(self.scan, c.name, self.gaps, self.scan.loc)
        row = self.spec.body.results[c.name].type
        state = build.rows(self.value[c.name], build.integer(0), c.depth) if c.rows else self.value[c.name]
        whole = build.zeros(row.with_shape((self.rows, c.depth, *row.shape)))
        first = build.reshape(state, (c.depth, *row.shape))
        return build.make("put", whole, build.integer(0), first, axis=0, mode="set")

    def _walk(
        self, segment: Node, top: Node, place: Node, stacks: dict[str, Node]
    ) -> tuple[Node, tuple[str, str, dict[str, str]]]:
        """The loop that pushes until the top is the state before `segment`: no step where it is."""
        spec, taken = self.spec, set(self.spec.operand_names())
        nonseqs: dict[str, Node] = {}
        carries: dict[Carry, Node] = {}

        def read(name: str, value: Node) -> Node:
            label = fresh_name(name, taken)
            nonseqs[label] = value
            return build.make("read", type=local(value.type), name=label)

        def carried(name: str, value: Node) -> Node:
            label = fresh_name(name, taken)
            carries[Carry(label, (-1,))] = value
            return build.make("tap", type=local(value.type), name=label, offset=-1)

        at, places = carried("top", top), carried("place", place)
        kept = {name: carried(f"{name}_stack", s) for name, s in stacks.items()}
        here, target = build.make("take", places, at, axis=0), read("segment", segment)
        left = build.make("add", build.make("subtract", target, here), build.integer(1))
        free = build.make("subtract", read("states", self.read("states", self.states)), at)
        ahead = build.make("split_steps", left, free)
        stride = read("stride", self.read("stride", self.stride))
        first, count = build.make("multiply", here, stride), build.make("multiply", ahead, stride)
        windows = {}
        for s in spec.sequences:
            length = build.dim_from(integer_add(count, s.reach), fresh("window"))
            windows[s.name] = build.rows(read(s.name, self.read(s.name, self.value[s.name])), first, length)
        initials = {}
        for c in spec.carries:
            row = build.make("take", kept[c.name], at, axis=0)
            initials[c.name] = row if c.rows else build.make("index", row, axis=0, position=0)
        given = {n: read(n, self.read(n, self.value[n])) for n in spec.nonseqs if n != STRIDE}
        forward, _ = of_one_segment(self.scan, count, first, windows, initials, given)
        above = build.make("add", at, build.integer(1))
        there = build.make("add", here, ahead)
        results = {
            at.attrs["name"]: above,
            places.attrs["name"]: build.make("put", places, above, there, axis=0, mode="set"),
            UNTIL: build.make("equal", there, target),
        }
        for c in spec.carries:
            state = build.state(forward, c.name) if c.rows else build.final(forward, c.name)
            row_type = kept[c.name].type.with_shape(kept[c.name].type.shape[1:])
            results[kept[c.name].attrs["name"]] = build.make(
                "put", kept[c.name], above, build.reshape(state, row_type.shape), axis=0, mode="set"
            )
        walk = ScanSpec(fresh(f"{spec.name}_forward"), (), tuple(carries), tuple(nonseqs), (), Graph((), results))
        steps = build.make("subtract", segment, build.make("take", place, top, axis=0))
        node = build.scan(walk, (steps, *carries.values(), *nonseqs.values()), self.scan.loc)
        return node, (at.attrs["name"], places.attrs["name"], {n: k.attrs["name"] for n, k in kept.items()})
