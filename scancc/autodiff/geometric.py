"""Reverse mode through a scan that multiplies by the same number at every step: two scans without a history.

    y[n] = y[0] f^n        with respect to y[0]: d f^n, the same loop started from d
                           with respect to f:    d n (y[0] f^(n-1)), the same loop with a step less, times n

where d is the derivative with respect to the last row, and nothing else of the scan has one. The factor f is made of
values that do not change. As every row receives the same part of f's derivative, the sum over all steps is n times it;
`passes/loops/geometric_loops.py` makes powers of both loops.
"""

from __future__ import annotations

from dataclasses import replace

from scancc.autodiff.arithmetic import constant, fresh, integer_sub, mul, reduce_to, total, where
from scancc.autodiff.reverse import Kept, pullback
from scancc.autodiff.rules import RULES, differentiable
from scancc.ir import build
from scancc.ir.graph import Node, operands, spec_of, substitute, topological


def factor_of(scan: Node) -> Node | None:
    """What the only state of a scan is multiplied by at every step, as a value of its body; None for other scans."""
    spec = spec_of(scan)
    if len(spec.carries) != 1 or spec.sequences or set(spec.body.results) != {spec.carries[0].name}:
        return None
    (carry,), result = spec.carries, spec.body.results[spec.carries[0].name]
    if carry.rows or result.op != "multiply" or result.type.dtype.kind != "f" or result.type != scan_start(scan).type:
        return None
    for state, factor in (result.args, result.args[::-1]):
        same = state.op == "tap" and state.attrs["name"] == carry.name and state.type == result.type
        if same and all(n.op in ("read", "const") or n.op in RULES for n in topological([factor])):
            return factor
    return None


def scan_start(scan: Node) -> Node:
    return operands(scan)[spec_of(scan).carries[0].name]


def reverse_powers(
    scan: Node, reads: list[tuple[Node, Node]], active: set[Node], kept: Kept
) -> list[Node | None] | None:
    """Derivatives with respect to the operands of a scan; None where it is not such a one, or more of it is read."""
    factor, asked = factor_of(scan), spec_of(scan).backward
    if factor is None or asked.truncate is not None or asked.window is not None:
        return None
    if not all(_is_last(get) for get, _ in reads):
        return None
    d = total([d for _, d in reads])
    assert d is not None
    value, steps = operands(scan), scan.args[0]
    name, start = spec_of(scan).carries[0].name, scan_start(scan)
    found: dict[str, Node | None] = {}
    if start in active:
        found[name] = _again(scan, "back", steps, d)
    leaves = {n: value[n.attrs["name"]] for n in topological([factor]) if n.op == "read"}
    wrt = {n: x for n, x in value.items() if x in leaves.values() and x in active and differentiable(x.type.dtype)}
    if wrt:
        none = build.make("equal", steps, build.integer(0))  # a negative count stays one, which is an error
        fewer = where(none, build.integer(0), integer_sub(steps, 1))
        product = mul(build.cast(steps, d.type.dtype), _again(scan, "before", fewer, start))
        part = reduce_to(mul(d, where(none, constant(0, d), product)), factor.type)
        outside = substitute([factor], leaves)[factor]
        found |= dict(zip(wrt, pullback({outside: part}, list(wrt.values()), kept), strict=True))
    return [None, *(found.get(n) for n in spec_of(scan).operand_names())]


def _is_last(get: Node) -> bool:
    if get.op == "index":
        return bool(get.attrs["position"] == -1)
    return bool(get.attrs["view"] == "final")


def _again(scan: Node, what: str, steps: Node, start: Node) -> Node:
    """The last state of the same loop over other steps, from another start."""
    spec = spec_of(scan)
    name = spec.carries[0].name
    values = {**operands(scan), name: start}
    args = (steps, *(values[n] for n in spec.operand_names()))
    return build.final(build.scan(replace(spec, name=fresh(f"{spec.name}_{what}")), args, scan.loc), name)
