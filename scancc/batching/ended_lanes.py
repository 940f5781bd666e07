"""Loops whose lanes end at different steps: which state says that a lane still runs, and what it leaves behind.

    carry y = %y0 [lanes]  carry running = %on [lanes]
      y = where running[-1] (f y[-1]) y[-1];  running = running[-1] and not (y > 2);  until = not (any running)

Batching makes them so: the loop ends with its last lane, and those that ended before change nothing any more. A lane by
itself may then leave as soon as it ends. Whether that is right is seen from the body alone: with `running` false every
carry has to stay as it is, and every output has to be zero.
"""

from __future__ import annotations

from collections.abc import Iterator

from scancc.ir.graph import UNTIL, Graph, Node, ScanSpec, operands, spec_of, users
from scancc.ir.ops import OPS

# What a value is while its lane has ended: zeros, or the last value of a carry. Anything else is None.
ZERO = ""
Idle = str | None


def running_lanes(spec: ScanSpec) -> str | None:
    """The carry that is true for the lanes that go on, or None where lanes do not end by themselves."""
    if not spec.has_until:
        return None
    ends = spec.body.results[UNTIL]
    if ends.op not in ("logical_not", "invert") or ends.args[0].op != "reduce_any":
        return None
    goes_on = ends.args[0].args[0]
    if goes_on.type.ndim != 1:
        return None
    name = next((c.name for c in spec.carries if c.taps == (-1,) and spec.body.results[c.name] is goes_on), None)
    if name is None:
        return None
    idle: dict[Node, Idle] = {}
    for n in spec.body.nodes():
        idle[n] = _idle(n, idle, name)
    kept = all(idle[spec.body.results[c.name]] == (ZERO if c.name == name else c.name) for c in spec.carries)
    return name if kept and all(idle[spec.body.results[o]] == ZERO for o in spec.outputs) else None


def _idle(n: Node, idle: dict[Node, Idle], running: str) -> Idle:
    """What an op makes of idle operands. A sum with zero may turn -0.0 into 0.0, and nothing else."""
    if n.op == "tap":
        newest = n.attrs["offset"] == -1
        return ZERO if n.attrs["name"] == running and newest else n.attrs["name"] if newest else None
    if n.op == "const":
        return None if n.attrs["value"].any() else ZERO
    known = [idle[a] for a in n.args]
    match n.op:
        case "where":
            if known[0] == ZERO or known[1] == known[2]:
                return known[2]
        case "logical_and" | "bitwise_and" if ZERO in known:
            return ZERO
        case "add" | "logical_or" | "bitwise_or" if ZERO in known:
            other = 1 - known.index(ZERO)
            return known[other] if n.args[other].type == n.type else None
        case "cast":
            return ZERO if known == [ZERO] else None
        case _ if OPS[n.op].kind == "view" and len(known) == 1:
            return ZERO if known == [ZERO] else None
    return None


def steps_of_each(scan: Node, running: str) -> Node | None:
    """The steps that each lane may make, where the loop makes those of the longest and every lane counts its own:

        scan steps (reduce_max %n)   carry made = %0   carry running = less 0 %n   nonseq limit = %n
          made = made[-1] + running[-1];  running = ... and made < limit
    """
    spec, values, steps = spec_of(scan), operands(scan), scan.args[0]
    if steps.op != "reduce_max" or steps.attrs["axes"] != (0,):
        return None
    each, start = steps.args[0], values[running]
    if start.op != "less" or start.args[1] is not each or not is_all(start.args[0], False):
        return None
    for test in _conjuncts(spec.body.results[running]):
        if test.op != "less" or test.args[1].op != "read" or values[test.args[1].attrs["name"]] is not each:
            continue
        count = test.args[0]
        made = next((c.name for c in spec.carries if spec.body.results[c.name] is count), None)
        if made is not None and count.op == "add" and is_all(values[made], False):
            terms = {(a.args[0] if a.op == "cast" else a) for a in count.args}
            if {(a.op, a.attrs.get("name"), a.attrs.get("offset")) for a in terms} == {
                ("tap", made, -1), ("tap", running, -1)
            }:  # fmt: skip
                return each
    return None


def _conjuncts(x: Node) -> Iterator[Node]:
    pending = [x]
    while pending:
        x = pending.pop()
        if x.op in ("logical_and", "bitwise_and"):
            pending += x.args
        else:
            yield x


def is_all(x: Node, value: bool) -> bool:
    """Whether all elements are seen to be true, or false, or numbers that are."""
    while x.op in ("broadcast_to", "reshape"):
        x = x.args[0]
    return x.op == "const" and bool((x.attrs["value"].astype(bool) == value).all())


def shown(graph: Graph) -> dict[Node, list[str]]:
    """The gets of a graph that are results as they are, or with their axes in another order, and nothing else: by get,
    the labels of these results."""
    readers = users(graph)
    labels: dict[Node, list[str]] = {}
    for label, r in graph.results.items():
        labels.setdefault(r, []).append(label)
    found: dict[Node, list[str]] = {}
    for n in graph.nodes():
        if n.op != "get":
            continue
        reads = readers.get(n, [])
        if all(u.op == "transpose" and u in labels and not readers.get(u) for u in reads):
            found[n] = [*labels.get(n, []), *(label for u in reads for label in labels[u])]
    return found
