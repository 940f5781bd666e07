"""What is known of step counts and sequence lengths before a program runs."""

from __future__ import annotations

import numpy as np

from scancc.ir.graph import Graph, Node, Sequence, operands, spec_of
from scancc.ir.loop import INT64, Op
from scancc.ir.ops import OPS
from scancc.ir.types import Dim

# Ops on integers that the host does just as a kernel does them.
EXACT = frozenset(
    "add subtract multiply floor_divide remainder minimum maximum where cast "
    "less less_equal greater greater_equal equal not_equal".split()
)


# Ops on float64 whose result is the only one there is, whoever computes it. Sums and products are not among them: a
# kernel may contract those.
ROUNDED = frozenset({"sqrt", "ceil", "floor", "cast"})


def exact(e: Op) -> bool:
    """Whether the host may compute a length by this operation: so that a kernel, which does it again, has the same."""
    kinds = {x.dtype.kind for x in (e, *e.args)}
    if kinds <= {*"iub"}:
        return e.name in EXACT
    floats = {x.dtype for x in (e, *e.args) if x.dtype.kind not in "iub"}
    return e.name in ROUNDED and floats == {FLOAT64} and (e.name != "cast" or e.dtype in (FLOAT64, INT64))


FLOAT64 = np.dtype(np.float64)
SAME_ROWS = frozenset({"flip", "slice", "transpose", "rows", "alias", "stop_gradient"})  # their rows are those of x


def steps_fit(scan: Node) -> bool:
    """Whether every sequence of a scan is known to have the rows that its step count asks for."""
    value = operands(scan)
    return all(long_enough(scan.args[0], value[s.name], s) for s in spec_of(scan).sequences)


def long_enough(steps: Node, rows: Node, sequence: Sequence) -> bool:
    """Whether the step count is known to fit; otherwise an unread sequence stays, for the check when it runs."""
    known = slack(steps, rows)
    return known is not None and known >= sequence.reach


def slack(steps: Node, rows: Node) -> int | None:
    """A k with steps <= max(0, len(rows) - k), or None."""
    length = rows.type.shape[0]
    if isinstance(length, Dim) and length.define is not None:
        found = _slack_of(length.define, steps)
        if found is not None:
            return found
    match steps.op:
        case "const":
            if int(steps.attrs["value"]) == 0:
                return 1 << 62  # no step reads anything
            return length - int(steps.attrs["value"]) if isinstance(length, int) else None
        case "dim":
            return 0 if steps.args[0].type.shape[steps.attrs["axis"]] == length else None
        case "subtract" if steps.args[1].op == "const":
            inner = slack(steps.args[0], rows)
            return None if inner is None else inner + int(steps.args[1].attrs["value"])
        case "minimum":
            return max((s for a in steps.args if (s := slack(a, rows)) is not None), default=None)
        case "maximum" if steps.args[1].op == "const" and int(steps.args[1].attrs["value"]) == 0:
            return slack(steps.args[0], rows)
        case _:
            return None


def _slack_of(length: Node, steps: Node) -> int | None:
    """The same for a length that was computed from the steps, or from the rows that there are."""
    if length is steps:
        return 0
    if length.op == "add" and length.args[0] is steps and length.args[1].op == "const":
        return int(length.args[1].attrs["value"])
    if length.op == "dim" and length.attrs["axis"] == 0:
        return slack(steps, length.args[0])
    if length.op == "minimum":
        found = [_slack_of(a, steps) for a in length.args]
        return None if None in found else min(k for k in found if k is not None)
    return None


def never_negative(steps: Node) -> bool:
    """Whether a step count is known not to be below 0."""
    match steps.op:
        case "const":
            return bool(steps.attrs["value"] >= 0)
        case "dim" | "get":
            return True
        case "maximum":
            return any(never_negative(a) for a in steps.args)
        case "minimum":
            return all(never_negative(a) for a in steps.args)
        case _:
            return False


def scanned_inputs(graph: Graph) -> dict[Node, int]:
    """Inputs with an axis that is the sequence of a scan: its length stays open, so that it never compiles anything."""
    pending = [(operands(n)[s.name], 0) for n in graph.nodes() if n.op == "scan" for s in spec_of(n).sequences]
    found: dict[Node, int] = {}
    while pending:
        node, axis = pending.pop()
        if node in found:
            continue
        found[node] = axis
        if node.op in SAME_ROWS or OPS[node.op].kind == "elementwise":
            below = node.attrs["perm"][axis] if node.op == "transpose" else axis
            pending += [(a, below) for a in node.args if a.type.ndim == node.type.ndim]
    return {n: axis for n, axis in found.items() if n.op == "input"}
