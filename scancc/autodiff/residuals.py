"""Values of the forward body in the backward body of a scan: from a history, kept by the forward loop, or made again.

What is cheap is computed again. What is expensive and depends on a carry is one more output of the forward loop. What
depends on sequences alone is computed again too: `hoist` takes it out of both loops, and `cse` makes one of it. A loop
within the step whose rows are rows of a carry, as in tables that are filled row by row, is not run again either: its
own history is there.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from scancc.autodiff.arithmetic import fresh, integer_sub, rows_there
from scancc.autodiff.reverse import Kept, keeping
from scancc.ir import build
from scancc.ir.closed import with_lengths
from scancc.ir.graph import EFFECT, Graph, Node, ScanSpec, Sequence, map_bodies, operands, rebuild, spec_of
from scancc.ir.names import fresh_name
from scancc.ir.ops import OPS
from scancc.ir.types import INT, Dim, Type

LEAVES = frozenset({"const", "tap", "read", "step"})  # of a body


class ForwardValues:
    """The part of a backward scan that reads what the forward one computed."""

    scan: Node
    spec: ScanSpec
    value: dict[str, Node]
    steps: Node
    kept: Kept
    order: list[Node]
    forward: set[Node]
    carried: set[Node]  # what depends on a carry
    carry_of: dict[Node, str]
    part_of: dict[Node, tuple[Node, int]]  # what inner loops make of a carry's new value: which, and the first row
    sequences: dict[Sequence, Node]
    nonseqs: dict[str, Node]
    leaves: dict[tuple[str, int], Node]
    copies: dict[Node, Node]
    taken: set[str]
    labels: dict[str, str]  # names of sequences by what they are
    reads: dict[str, Node]

    def in_the_backward_body(self, results: dict[str, Node], inner: Kept) -> Graph:
        """The derivatives with forward values replaced by what stands for them on the way back."""
        for n in self._needed(results.values()):
            if self._loop_of(n) is not None:
                new = self._inner_history(n)
            else:
                new = self.copy(n) if n in self.forward else rebuild(n, self.copies)
            self.copies[n] = without_effects(keeping(new, inner.get(n, {})))
        body = Graph((), {name: self.copies[r] for name, r in results.items()})
        body, more = with_lengths(body, self.value, self.taken)
        self.nonseqs |= more
        return body

    def _needed(self, roots: Iterable[Node]) -> list[Node]:
        """Nodes to be made, operands first; below a forward value that is read from memory nothing is needed."""
        order: list[Node] = []
        done: set[Node] = set()
        for root in roots:
            stack = [(root, False)]
            while stack:
                n, expanded = stack.pop()
                if n in done:
                    continue
                if expanded:
                    done.add(n)
                    order.append(n)
                    continue
                stack.append((n, True))
                if not (n in self.forward and self.stored(n)):
                    stack += [(a, False) for a in reversed(self._needs(n)) if a not in done]
        return order

    def _needs(self, n: Node) -> list[Node]:
        loop = self._loop_of(n)
        if loop is not None:
            return [operands(loop)[n.attrs["name"]], self._rows_of(n)]
        return [*n.args, *(d.define for d in n.type.shape if isinstance(d, Dim) and d.define is not None)]

    # -- loops within the step ---------------------------------------------------------------------------------
    def _parts(self) -> dict[Node, tuple[Node, int]]:
        found: dict[Node, tuple[Node, int]] = {}
        for whole in self.carry_of:
            first = 0
            for part in whole.args if whole.op == "concatenate" and whole.attrs["axis"] == 0 else ():
                if not part.type.is_static:
                    break
                if part.op == "get":
                    found.setdefault(part, (whole, first))
                first += int(part.type.shape[0])  # type: ignore[arg-type]
        return found

    def _loop_of(self, n: Node) -> Node | None:
        """The loop of the forward step whose history `n` is, if its rows are part of a carry."""
        if n.op != "get" or n.attrs["view"] != "history" or n.args[0] not in self.forward or not n.type.is_static:
            return None
        (carry,) = (c for c in spec_of(n.args[0]).carries if c.name == n.attrs["name"])
        return n.args[0] if carry.depth == 1 and not carry.rows and self._rows_of(n) in self.part_of else None

    def _rows_of(self, history: Node) -> Node:
        """The trace that belongs to a history, as the forward step has it."""
        loop, name = history.args[0], history.attrs["name"]
        return next((n for n in self.part_of if n.args[0] is loop and n.attrs["name"] == name
                     and n.attrs["view"] == "trace"), history)  # fmt: skip

    def _inner_history(self, n: Node) -> Node:
        first = self.copies[operands(n.args[0])[n.attrs["name"]]]
        rows = self.copies[self._rows_of(n)]
        return build.concatenate([build.reshape(first, (1, *n.type.shape[1:])), rows], 0, n.loc)

    def stored(self, n: Node) -> bool:
        """Whether the backward loop reads a forward value from memory instead of computing it again."""
        known = n in self.carry_of or n in self.part_of
        return n.op in LEAVES or known or self.worth_keeping(n)

    def worth_keeping(self, n: Node) -> bool:
        op = OPS[n.op]
        expensive = op.expensive and op.kind in ("elementwise", "contract", "linalg")
        return expensive and n.type.is_static and n in self.carried

    def copy(self, n: Node) -> Node:
        match n.op:
            case "const":
                return n
            case "step":
                last = self.nonseq("last_step", integer_sub(self.steps, 1), INT)
                return build.make("subtract", last, build.make("step", loc=n.loc), loc=n.loc)
            case "read":
                return self.nonseq(n.attrs["name"], self.value[n.attrs["name"]], n.type)
            case "tap":
                return self.past(n)
        if n in self.carry_of:
            return self.history(self.carry_of[n], 0, n.type)
        if n in self.part_of:
            whole, start = self.part_of[n]
            rows = self.history(self.carry_of[whole], 0, whole.type)
            return build.rows(rows, build.integer(start), n.type.shape[0], n.loc)
        if self.worth_keeping(n):
            return self.keep(n)
        return rebuild(n, self.copies)

    def past(self, tap: Node) -> Node:
        name, offset = tap.attrs["name"], tap.attrs["offset"]
        sequence = self.spec.sequence(name)
        if sequence is None:
            return self.history(name, -offset, tap.type)
        x = self.value[name]
        count = rows_there(x, self.steps, sequence.reach)
        unused = integer_sub(build.dim_of(x, 0), count)
        if unused.op != "const" or unused.attrs["value"] != 0:
            x = build.rows(x, build.integer(0), build.dim_from(count, fresh("used")))
        back = build.make("flip", x, loc=tap.loc, axes=(0,))
        return self.sequence(name, back, max(0, *sequence.taps) - offset, tap.type, key=f"x:{name}")

    def history(self, name: str, back: int, row: Type) -> Node:
        whole = build.history(self.scan, name)
        return self.sequence(f"{name}_past", build.make("flip", whole, axes=(0,)), back, row, key=f"h:{name}")

    def keep(self, n: Node) -> Node:
        """The forward loop keeps a value of every step."""
        found = next((o for o in self.spec.outputs if self.spec.body.results[o] is n), None)
        name = found or f"kept_{n.op}_{self.order.index(n)}"
        if found is None:
            self.kept.setdefault(self.scan, {})[name] = n
        type_ = n.type.with_shape((build.steps_dim(self.scan), *n.type.shape))
        rows = build.make("get", self.scan, loc=n.loc, type=type_, name=name, view="trace")
        return self.sequence(name, build.make("flip", rows, axes=(0,)), 0, n.type)

    def sequence(self, name: str, rows: Node, offset: int, row: Type, key: str | None = None) -> Node:
        """A leaf of the backward body: row `offset` of a sequence that is added to it."""
        key = key or f"s:{name}"
        label = self.labels.get(key)
        if label is None:
            label = self.labels[key] = fresh_name(name, self.taken)
            self.sequences[Sequence(label, (offset,))] = rows
        if (label, offset) not in self.leaves:
            old = next(s for s in self.sequences if s.name == label)
            if offset not in old.taps:
                new = {s if s is not old else replace(s, taps=tuple(sorted({*s.taps, offset}))): x
                       for s, x in self.sequences.items()}  # fmt: skip
                self.sequences = new
            self.leaves[label, offset] = build.make("tap", type=row, name=label, offset=offset)
        return self.leaves[label, offset]

    def nonseq(self, name: str, value: Node, type_: Type) -> Node:
        if name not in self.reads:
            label = fresh_name(name, self.taken)
            self.nonseqs[label] = value
            self.reads[name] = build.make("read", type=type_, name=label)
        return self.reads[name]


def without_effects(node: Node) -> Node:
    """A loop or branch that is run again must not print again."""

    def strip(g: Graph) -> Graph:
        results = {n: r for n, r in g.results.items() if not n.startswith(EFFECT)}
        return g if len(results) == len(g.results) else Graph(g.inputs, results)

    return map_bodies(node, strip) if node.op in ("scan", "cond") else node
