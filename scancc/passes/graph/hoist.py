"""Takes out of a loop what does not depend on its carries.

    before   scan rnn { h = tanh (add (matmul (tap x[0]) (read U)) (matmul (tap h[-1]) (add (read W) (read V)))) }
    after    %5 = add %W %V; %6 = matmul %X %U          one matrix product for all steps
             scan rnn { h = tanh (add (tap hoisted_matmul[0]) (matmul (tap h[-1]) (read hoisted_add))) }

Two kinds of work move. What depends on non-sequences only is computed once and becomes a non-sequence. Expensive work
that depends on one row of one sequence is computed for all rows at once and becomes a sequence: matrix products, and
element-wise functions that are vectorised over time; not those of many lanes, which are vectorised where they are.
Cheap ops on top of it stay in the loop and cost no memory.

A hoisted sequence takes memory that grows with the number of steps: none is made whose rows are more than
MAX_GROWTH times as large as those it is computed from. Nothing moves that could fail (an index out of bounds), since
a loop of zero steps fails nowhere, and no sequence work leaves a loop that may stop early, or one whose derivatives
have a budget of memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from scancc.batching.rules import RULES, Batch
from scancc.ir import build
from scancc.ir.graph import (
    Graph,
    Node,
    ScanSpec,
    Sequence,
    dependencies,
    map_bodies,
    operands,
    rebuild,
    rewrite,
    spec_of,
    substitute,
    topological,
    with_attrs,
)
from scancc.ir.names import fresh_name
from scancc.ir.ops import OPS
from scancc.ir.types import Shape, Type
from scancc.passes.graph.bodies import of_loops
from scancc.passes.sizes import FEW_LANES, in_registers

MAX_GROWTH = 64
PREFIX = "hoisted_"
Tap = tuple[str, int]
SEVERAL: frozenset[Tap] = frozenset({("", 0), ("", 1)})


def are_lanes(row: Shape) -> bool:
    """Whether a row is one of so many lanes that they run in tiles (`tile_lanes`)."""
    return len(row) == 1 and isinstance(row[0], int) and row[0] > FEW_LANES


def is_worth(n: Node) -> bool:
    """Whether work on the rows of a sequence is better done for all of them at once."""
    kind = OPS[n.op].kind
    if kind == "contract":
        return not (in_registers(n.type) and all(in_registers(a.type) for a in n.args))
    # Loops over lanes are vectorised where they are, in tiles, and need no memory for what they compute. Shorter rows,
    # and those with more axes, may be computed anew for every sum over them.
    return OPS[n.op].expensive and kind == "elementwise" and not are_lanes(n.type.shape)


@of_loops
def hoist(graph: Graph, worth: Callable[[Node], bool] = is_worth) -> Graph:
    """`worth`: which work on sequences is taken out; that on non-sequences is in any case."""

    def rule(node: Node) -> Node | None:
        node = map_bodies(node, lambda body: hoist(body, worth))
        return _hoist_scan(node, worth) if node.op == "scan" else node

    return rewrite(graph, rule)


@dataclass(frozen=True)
class Varies:
    """What a node of the body depends on: nothing that varies, the rows of sequences, or carries and the step."""

    taps: frozenset[Tap] = frozenset()
    carried: bool = False

    @property
    def invariant(self) -> bool:
        return not self.taps and not self.carried


def _hoist_scan(node: Node, worth: Callable[[Node], bool]) -> Node:
    spec = spec_of(node)
    order = spec.body.nodes()
    varies = _classify(spec, order)
    users: dict[Node, list[Node]] = {}
    for n in order:
        for a in n.args:
            users.setdefault(a, []).append(n)
    results = set(spec.body.results.values())
    invariants = _invariants(order, varies, users, results)
    stays = spec.has_until or spec.backward.budget is not None
    rows = [] if stays else _sequence_work(order, varies, users, worth)
    return _move(node, invariants, rows) if invariants or rows else node


def _classify(spec: ScanSpec, order: list[Node]) -> dict[Node, Varies]:
    sequences = {s.name for s in spec.sequences}
    varies: dict[Node, Varies] = {}
    for n in order:
        if n.op == "tap" and n.attrs["name"] in sequences:
            varies[n] = Varies(frozenset({(n.attrs["name"], n.attrs["offset"])}))
        elif n.op in ("read", "const", "iota"):
            varies[n] = Varies()
        elif n.op in ("tap", "step") or not _never_fails(n):
            varies[n] = Varies(carried=True)
        else:
            parts = [varies[a] for a in n.args]
            taps = frozenset[Tap]().union(*(p.taps for p in parts))
            # Only what depends on one tap moves: of more, two are as good as all.
            varies[n] = Varies(taps if len(taps) < 2 else SEVERAL, any(p.carried for p in parts))
    return varies


def _never_fails(n: Node) -> bool:
    """Ops that can be evaluated where they were not asked for."""
    if n.op in ("scan", "cond", "get", "wrap_index", "expect", "rows", "take", "put", "check", "print"):
        return False
    if n.op in ("reduce_min", "reduce_max", "argmin", "argmax", "index"):
        return n.args[0].type.is_static
    return True


def _invariants(
    order: list[Node], varies: dict[Node, Varies], users: dict[Node, list[Node]], results: set[Node]
) -> list[Node]:
    """The topmost invariant nodes that compute something."""
    found: dict[Node, None] = {}
    for n in order:
        if not varies[n].invariant or OPS[n.op].kind == "leaf":
            continue
        if n in results or any(not varies[u].invariant for u in users.get(n, [])):
            while n.op in ("broadcast_to", "reshape", "cast") and _grows(n):
                n = n.args[0]
            if n not in found and _computes(n):
                found[n] = None
    return list(found)


def _grows(n: Node) -> bool:
    return n.op != "cast" and (n.type.size or 2) >= (n.args[0].type.size or 1)


def _computes(n: Node) -> bool:
    """Whether there is arithmetic below: views alone cost nothing in the loop."""
    stack = [n]
    while stack:
        m = stack.pop()
        if OPS[m.op].kind not in ("leaf", "view"):
            return True
        stack += m.args
    return False


def _sequence_work(
    order: list[Node], varies: dict[Node, Varies], users: dict[Node, list[Node]],
    worth: Callable[[Node], bool],
) -> list[Node]:  # fmt: skip
    """The topmost expensive nodes that depend on one tap of one sequence."""
    chosen: dict[Node, None] = {}
    covered: set[Node] = set()
    batchable: dict[Node, bool] = {}
    for n in order:
        known = varies[n].invariant or n.op == "tap"
        batchable[n] = known or (n.op in RULES and n.type.is_static and all(batchable[a] for a in n.args))
    bytes_of = {frozenset({(n.attrs["name"], n.attrs["offset"])}): _row_bytes(n.type) for n in order if n.op == "tap"}
    for n in reversed(order):
        v = varies[n]
        if n in covered:
            covered |= set(n.args)
            continue
        if v.carried or len(v.taps) != 1 or not worth(n) or not batchable[n]:
            continue
        top = _narrower(n, varies, users)
        if not batchable[top] or _row_bytes(top.type) > MAX_GROWTH * bytes_of[v.taps]:
            continue
        chosen[top] = None
        covered |= set(n.args)
    return list(chosen)


def _narrower(n: Node, varies: dict[Node, Varies], users: dict[Node, list[Node]]) -> Node:
    """A later node of the same kind with smaller rows: the sum of a row is cheaper to keep than the row."""
    while len(users.get(n, [])) == 1:
        (user,) = users[n]
        if varies[user] != varies[n] or user.op not in RULES or _row_bytes(user.type) >= _row_bytes(n.type):
            break
        n = user
    return n


def _row_bytes(t: Type) -> int:
    return (t.size or 1) * t.dtype.itemsize


def _move(node: Node, invariants: Iterable[Node], rows: Iterable[Node]) -> Node:
    """The scan with each of these nodes computed before the loop and handed in under a new name."""
    spec = spec_of(node)
    value = operands(node)
    taken = {*spec.operand_names(), *spec.outputs}
    outer: dict[Node, Node] = {n: value[n.attrs["name"]] for n in spec.body.nodes() if n.op == "read"}
    inner: dict[Node, Node] = {}
    nonseqs: dict[str, Node] = {}
    sequences: dict[Sequence, Node] = {}
    for n in invariants:
        name = fresh_name(PREFIX + n.op, taken)
        nonseqs[name] = _outside(n, outer)
        inner[n] = build.make("read", type=n.type, name=name, loc=n.loc)
    for n in rows:
        name = fresh_name(PREFIX + n.op, taken)
        position, hoisted = _batched(spec, value, n, outer)
        sequences[Sequence(name, (position,))] = hoisted
        inner[n] = build.make("tap", type=n.type, name=name, offset=position, loc=n.loc)
    mapping = substitute(spec.body.results.values(), inner)
    body = Graph((), {k: mapping[v] for k, v in spec.body.results.items()})
    changed = replace(
        spec,
        sequences=(*spec.sequences, *sequences),
        nonseqs=(*spec.nonseqs, *nonseqs),
        body=body,
    )
    args = (
        node.args[0],
        *(value[s.name] for s in spec.sequences),
        *sequences.values(),
        *(value[c.name] for c in spec.carries),
        *(value[n] for n in spec.nonseqs),
        *nonseqs.values(),
    )
    return with_attrs(Node("scan", args, node.type, node.attrs, node.loc), spec=changed)


def _outside(n: Node, outer: dict[Node, Node]) -> Node:
    """An invariant node of the body as a node of the graph around the loop."""
    pending = [n]
    while pending:
        m = pending[-1]
        missing = [x for x in dependencies(m) if x not in outer] if m not in outer else []
        if missing:
            pending += missing
            continue
        pending.pop()
        if m not in outer:
            outer[m] = rebuild(m, outer)
    return outer[n]


def _batched(spec: ScanSpec, value: dict[str, Node], n: Node, outer: dict[Node, Node]) -> tuple[int, Node]:
    """The rows of `n` for all rows of its sequence, and the tap at which the loop reads them."""
    below = topological([n])
    tap = next(m for m in below if m.op == "tap")
    sequence = spec.sequence(tap.attrs["name"])
    assert sequence is not None
    source = value[sequence.name]
    # A reversed sequence is a view: the work is done on what lies in memory, and its result reversed.
    backwards = source.op == "flip" and source.attrs["axes"] == (0,)
    if backwards:
        source = source.args[0]
    b = Batch(source.type.shape[0], {**{m: outer[m] for m in below if m in outer}, tap: source}, {tap})
    rows = b.run(n)
    if backwards:
        rows = build.make("flip", rows, loc=n.loc, axes=(0,))
    return tap.attrs["offset"] + sequence.lead, rows
