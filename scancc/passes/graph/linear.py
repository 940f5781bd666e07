"""Steps that are linear in their taps: y = rest + sum of coefficient * y[-k], the parts free of all carries."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from scancc.ir import build
from scancc.ir.graph import Node, ScanSpec
from scancc.ir.ops import OPS

MOST_TERMS = 32  # of a sum that are looked at for what cancels
Tap = tuple[str, int]  # carry and offset, below 0
# The part without the carries (None: there is none) and the coefficient of each tap.
Parts = tuple[Node | None, dict[Tap, Node]]


def is_scalar_code(spec: ScanSpec) -> bool:
    """Whether a body only computes numbers by element-wise ops that cannot fail."""
    return not any(OPS[n.op].kind not in ("leaf", "elementwise") or n.type.shape or n.op == "wrap_index"
                   for n in spec.body.nodes())  # fmt: skip


def linear_parts(spec: ScanSpec, varying: bool) -> dict[str, Parts | None]:
    """The parts of each carry's next value, None where it is not linear. `varying`: coefficients may differ by step."""
    carried: dict[Node, bool] = {}
    varies: dict[Node, bool] = {}
    parts: dict[Node, Parts | None] = {}
    names = {c.name for c in spec.carries}
    for n in spec.body.nodes():
        carried[n] = n.op == "tap" and n.attrs["name"] in names or any(carried[a] for a in n.args)
        varies[n] = not varying and (n.op in ("tap", "step") or any(varies[a] for a in n.args))
        parts[n] = _parts(n, parts, carried, varies) if carried[n] else (n, {})
    return {c.name: parts[spec.body.results[c.name]] for c in spec.carries}


def _parts(node: Node, known: dict[Node, Parts | None], carried: dict[Node, bool], varies: dict[Node, bool]) -> Any:
    if node.op == "tap":
        return None, {(node.attrs["name"], node.attrs["offset"]): build.const(1, node.type.dtype, node.loc)}
    if any(known[x] is None for x in node.args):
        return None
    if node.op == "negative":
        return _map(known[node.args[0]], lambda x: build.make("negative", x, loc=node.loc))
    if node.op in ("add", "subtract"):
        left, right = node.args
        a, b = known[left], known[right]
        assert a is not None and b is not None
        if node.op == "subtract":
            b = _map(b, lambda x: build.make("negative", x, loc=node.loc))
        coefficients = dict(a[1])
        for k, c in b[1].items():
            coefficients[k] = build.make("add", coefficients[k], c, loc=node.loc) if k in coefficients else c
        if a[0] is not None and b[0] is not None and _cancel(a[0], b[0]):
            return None  # (y + C) - C rounds y, which is what it is for
        rest = a[0] if b[0] is None else b[0] if a[0] is None else build.make("add", a[0], b[0], loc=node.loc)
        return rest, coefficients
    if node.op in ("multiply", "divide"):
        x, factor = node.args
        if node.op == "multiply" and carried[factor]:
            x, factor = factor, x
        if carried[factor] or varies[factor] or node.op == "divide" and node.type.dtype.kind != "f":
            return None
        one = node.op == "multiply"  # times a coefficient of 1 is the factor itself
        return _map(known[x], lambda x: factor if one and is_one(x) else build.make(node.op, x, factor, loc=node.loc))
    return None


def _cancel(a: Node, b: Node) -> bool:
    """Whether a term of one sum is that of another one, taken away."""
    one, other = _terms(a), _terms(b)
    return any(_same(x.args[0], y) for p, q in ((one, other), (other, one)) for x in p if x.op == "negative" for y in q)


def _terms(x: Node) -> list[Node]:
    """The last ones of a sum, as it is written."""
    stack, found = [x], list[Node]()
    while stack and len(found) < MOST_TERMS:
        x = stack.pop()
        if x.op == "add":
            stack += x.args
        else:
            found.append(x)
    return found


def _same(x: Node, y: Node) -> bool:
    return x is y or (x.op == y.op == "const" and x.attrs["value"].tobytes() == y.attrs["value"].tobytes())


def is_one(x: Node) -> bool:
    return x.op == "const" and not x.type.shape and bool(x.attrs["value"] == 1)


def _map(parts: Any, change: Callable[[Node], Node]) -> Parts:
    rest, coefficients = parts
    return None if rest is None else change(rest), {k: change(c) for k, c in coefficients.items()}
