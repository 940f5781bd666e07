"""Marks recurrences whose steps can be put together before they are applied: a device need not run them in turn.

    before   scan s steps %n ...            y = add(multiply(a, y[-1]), b)
    after    scan s steps %n in prefix      the same body

A step that is a function of a simple form, as y -> a y + b, is given by a few numbers; those of two steps in a row
follow from those of each. This operation is associative, so runs of steps are put together in any grouping (Blelloch,
"Prefix sums and their applications", 1990). Forms: affine in up to three numbers (taps and carries together), sums,
products, extremes, logaddexp, bit operations; and what `associative_scan` is told. Rounding differs from the loop's:
floats are marked on their own account only where errors cannot grow, that is where steps do not stretch differences.
Where the state is an array, each of its elements may be such a recurrence: a few lanes of many steps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from scancc import interpreter
from scancc.batching.lanes import lanes_of
from scancc.ir import build
from scancc.ir.graph import ASSOCIATIVE, PREFIX, Graph, Node, ScanSpec, operands, rebuild, rewrite, spec_of, with_attrs
from scancc.ir.types import Dim, Type
from scancc.passes.graph.bodies import of_loops
from scancc.passes.graph.linear import Tap, is_one, is_scalar_code, linear_parts

MOST_STATES = 3
FEWEST_STEPS = 1024
MOST_LANES = 4096  # with more of them, a thread a lane keeps a device busy
OPERATIONS = frozenset(
    "add multiply maximum minimum fmax fmin logaddexp bitwise_and bitwise_or bitwise_xor logical_and logical_or "
    "logical_xor".split()
)


@dataclass(frozen=True)
class Monoid:
    """Steps as numbers. `element`: those of one step, of the body; `combine`: those of two runs of steps, the earlier
    one first; `apply`: the state (by carry and offset) after a run that began with a given state."""

    form: str
    element: tuple[Node, ...]
    combine: Callable[[list[Node], list[Node]], list[Node]]
    apply: Callable[[list[Node], dict[Tap, Node]], dict[Tap, Node]]
    reliable: bool  # whether errors of rounding stay as small as those of the loop


@of_loops
def mark_prefixes(graph: Graph, always: bool = False) -> Graph:
    """Loops at the top. `always`: also where errors may grow."""
    for scan in [n for n in graph.nodes() if n.op == "scan" and spec_of(n).strategy != PREFIX]:
        new = _marked(graph, scan, always)
        if new is not None:
            return mark_prefixes(new, always)
    return graph


def _marked(graph: Graph, scan: Node, always: bool) -> Graph | None:
    """The graph with one scan marked. What is read of its last step is then read of all values."""
    gets = [n for n in graph.nodes() if n.op == "get" and n.args[0] is scan]
    steps = scan.args[0]
    if any(g.attrs["view"] not in ("trace", "history", "final") for g in gets):
        return None
    if steps.op == "const" and int(steps.attrs["value"]) < FEWEST_STEPS:
        return None
    monoid = prefix_of(scan) or prefix_of_lanes(scan)
    if monoid is None or not (monoid.reliable or always):
        return None
    mapping: dict[Node, Node] = {}
    for n in graph.nodes():
        new = rebuild(n, mapping)
        if n is scan:
            new = with_attrs(new, spec=replace(spec_of(scan), strategy=PREFIX))
        elif n in gets and n.attrs["view"] == "final":
            rows = build.history(mapping[scan], n.attrs["name"], n.loc)
            new = build.make("index", rows, loc=n.loc, axis=0, position=-1)
        mapping[n] = new
    return Graph(graph.inputs, {k: mapping[v] for k, v in graph.results.items()})


def keep_prefixes(graph: Graph) -> Graph:
    """Marks go from loops that other passes have given another form."""

    def check(node: Node) -> Node | None:
        if node.op != "scan" or spec_of(node).strategy not in (PREFIX, ASSOCIATIVE):
            return None
        if spec_of(node).strategy == PREFIX and (prefix_of(node) or prefix_of_lanes(node)) is not None:
            return None
        return with_attrs(node, spec=replace(spec_of(node), strategy="steps"))

    return rewrite(graph, check)


def prefix_of(node: Node) -> Monoid | None:
    """The form of a scan's steps, or None."""
    spec = spec_of(node)
    if not spec.carries or spec.has_until or spec.effects or not is_scalar_code(spec):
        return None
    found = _associative(node, spec)
    if found is not None:
        return found
    kinds = {spec.body.results[c.name].type.dtype for c in spec.carries}
    if len(kinds) != 1 or next(iter(kinds)).kind not in "fiub":
        return None
    return _operation(spec) or _affine(spec)


def prefix_of_lanes(node: Node) -> Monoid | None:
    """The same for each of a few lanes that do not depend on one another, as a diagonal matrix keeps them."""
    spec, steps = spec_of(node), node.args[0]
    if all(r.type.ndim == 0 for r in spec.body.results.values()) or not _many_steps(steps):
        return None
    operand = {a: Node("input", (), _measured(a.type), {"name": f"in{i}"}, a.loc)  # type: ignore[arg-type]
               for i, a in enumerate(dict.fromkeys(node.args)) if not _is_constant(a)}  # fmt: skip
    alone = Node("scan", tuple(operand.get(a, a) for a in node.args), node.type, node.attrs, node.loc)
    results = {name: build.trace(alone, name) for name in (*(c.name for c in spec.carries), *spec.outputs)
               if spec.body.results[name].type.ndim}  # fmt: skip
    lanes = lanes_of(Graph(tuple(operand.values()), results))
    if lanes is None or _length(lanes.count) > MOST_LANES:
        return None
    scans = [n for n in lanes.graph.nodes() if n.op == "scan"]
    return prefix_of(scans[0]) if len(scans) == 1 else None


def _many_steps(steps: Node) -> bool:
    """As far as the call that was traced tells: what few lanes would wait for."""
    if steps.op == "const":
        return int(steps.attrs["value"]) >= FEWEST_STEPS
    return steps.op == "dim" and _length(steps.args[0].type.shape[steps.attrs["axis"]]) >= FEWEST_STEPS


def _length(d: int | Dim) -> int:
    return (d.hint or 0) if isinstance(d, Dim) else d


def _measured(t: Type) -> Type:
    return t.with_shape(tuple(Dim(d.name, d.hint) if isinstance(d, Dim) else d for d in t.shape))


def _is_constant(x: Node) -> bool:
    return all(n.op in ("const", "broadcast_to") for n in Graph((), {"": x}).nodes())


# -- one operation ------------------------------------------------------------------------------------------------


def _operation(spec: ScanSpec) -> Monoid | None:
    """y = op(y[-1], x) with x free of y."""
    if len(spec.carries) != 1 or spec.carries[0].taps != (-1,):
        return None
    (carry,) = spec.carries
    result = spec.body.results[carry.name]
    if result.op not in OPERATIONS:
        return None
    taps = [a for a in result.args if a.op == "tap" and a.attrs["name"] == carry.name]
    rest = [a for a in result.args if a not in taps]
    if len(taps) != 1 or len(rest) != 1 or _depends(rest[0], carry.name) or rest[0].type != result.type:
        return None
    op = result.op

    def combine(left: list[Node], right: list[Node]) -> list[Node]:
        return [build.make(op, left[0], right[0], loc=result.loc)]

    def apply(run: list[Node], state: dict[Tap, Node]) -> dict[Tap, Node]:
        return {(carry.name, -1): build.make(op, state[carry.name, -1], run[0], loc=result.loc)}

    return Monoid(op, (rest[0],), combine, apply, True)


def _depends(node: Node, name: str) -> bool:
    stack, seen = [node], set()
    while stack:
        n = stack.pop()
        if n in seen:
            continue
        seen.add(n)
        if n.op == "tap" and n.attrs["name"] == name:
            return True
        stack += n.args
    return False


# -- affine steps ---------------------------------------------------------------------------------------------------


def _affine(spec: ScanSpec) -> Monoid | None:
    """The state is a vector of all taps, a step multiplies it by a matrix and adds a vector."""
    states = [(c.name, -k) for c in spec.carries for k in range(1, c.depth + 1)]
    size = len(states)
    parts = linear_parts(spec, varying=True)
    dtype = spec.body.results[spec.carries[0].name].type.dtype
    if size > MOST_STATES or any(p is None for p in parts.values()) or dtype.kind == "b":
        return None
    zero, one = build.const(0, dtype), build.const(1, dtype)
    matrix: list[list[Node]] = []
    vector: list[Node] = []
    for name, offset in states:
        if offset < -1:
            matrix.append([one if s == (name, offset + 1) else zero for s in states])
            vector.append(zero)
            continue
        rest, coefficients = parts[name]  # type: ignore[misc]
        matrix.append([coefficients.get(s, zero) for s in states])
        vector.append(zero if rest is None else rest)
    element = (*(a for row in matrix for a in row), *vector)

    def split(numbers: list[Node]) -> tuple[list[list[Node]], list[Node]]:
        return [list(numbers[i * size : (i + 1) * size]) for i in range(size)], list(numbers[size * size :])

    def times(m: list[list[Node]], v: list[Node]) -> list[Node]:
        return [_sum([_product(a, x) for a, x in zip(row, v, strict=True)]) for row in m]

    def combine(left: list[Node], right: list[Node]) -> list[Node]:
        (a, u), (b, v) = split(left), split(right)
        columns = [times(b, [row[j] for row in a]) for j in range(size)]
        joint = [_sum([x, y]) for x, y in zip(times(b, u), v, strict=True)]
        return [columns[j][i] for i in range(size) for j in range(size)] + joint

    def apply(run: list[Node], state: dict[Tap, Node]) -> dict[Tap, Node]:
        a, u = split(run)
        new = [_sum([x, y]) for x, y in zip(times(a, [state[s] for s in states]), u, strict=True)]
        return dict(zip(states, new, strict=True))

    return Monoid(f"affine in {size} number{'s' * (size > 1)}", element, combine, apply,
                  dtype.kind in "iu" or _contracts(matrix))  # fmt: skip


def _is_zero(x: Node) -> bool:
    return x.op == "const" and not x.type.shape and bool(x.attrs["value"] == 0)


def _product(a: Node, b: Node) -> Node:
    """a * b; a coefficient that is not there stays away, whatever it is multiplied by."""
    if _is_zero(a) or _is_zero(b):
        return a if _is_zero(a) else b
    return b if is_one(a) else a if is_one(b) else build.make("multiply", a, b)


def _sum(terms: list[Node]) -> Node:
    total = terms[0]
    for t in terms[1:]:
        total = t if _is_zero(total) else total if _is_zero(t) else build.make("add", total, t)
    return total


def _contracts(matrix: list[list[Node]]) -> bool:
    """Whether no step makes a difference between two states larger, as far as the program tells."""
    if len(matrix) == 1:
        return _size_at_most_one(matrix[0][0])
    values = [[_constant(a) for a in row] for row in matrix]
    if any(v is None for row in values for v in row):
        return False
    return bool(np.max(np.abs(np.linalg.eigvals(np.array(values, float)))) < 1)


def _constant(x: Node) -> float | None:
    """The value of a coefficient that is made of constants."""
    if any(n.op != "const" for n in _leaves(x)):
        return None
    return float(interpreter.run(Graph((), {"": x}), {})[""])


def _size_at_most_one(x: Node) -> bool:
    known = _constant(x)
    if known is not None:
        return abs(known) <= 1
    match x.op:
        case "expit" | "tanh" | "sin" | "cos" | "sign":
            return True
        case "subtract":
            return is_one(x.args[0]) and _in_unit_interval(x.args[1])
        case "negative" | "absolute" | "sqrt":
            return _size_at_most_one(x.args[0])
        case "multiply":
            return all(map(_size_at_most_one, x.args))
        case "where":
            return all(map(_size_at_most_one, x.args[1:]))
        case _:
            return False


def _in_unit_interval(x: Node) -> bool:
    known = _constant(x)
    if known is not None:
        return 0 <= known <= 1
    match x.op:
        case "subtract":
            return is_one(x.args[0]) and _in_unit_interval(x.args[1])
        case "expit":
            return True
        case "multiply":
            return all(map(_in_unit_interval, x.args))
        case _:
            return False


# -- what a user calls associative --------------------------------------------------------------------------------


def _associative(node: Node, spec: ScanSpec) -> Monoid | None:
    """The loop that `associative_scan` makes: where(first, x, fn(before, x)) for every leaf."""
    if spec.strategy not in (ASSOCIATIVE, PREFIX):
        return None
    value = operands(node)
    flags = [c.name for c in spec.carries if spec.body.results[c.name].op == "const"
             and spec.body.results[c.name].type.dtype.kind == "b" and value[c.name].op == "const"]  # fmt: skip
    others = [c.name for c in spec.carries if c.name not in flags]
    if len(flags) != 1 or any(c.taps != (-1,) for c in spec.carries) or spec.outputs and not others:
        return None
    rows: dict[str, Node] = {}
    after: dict[str, Node] = {}
    for name in others:
        choice = spec.body.results[name]
        if choice.op != "where" or choice.args[0].op != "tap" or choice.args[0].attrs["name"] != flags[0]:
            return None
        rows[name], after[name] = choice.args[1], choice.args[2]
    leaves = {n for a in after.values() for n in _leaves(a)}
    known = {n for n in leaves if n.op == "tap" and n.attrs["name"] in others}
    if any(n not in rows.values() and n.op not in ("read", "const") for n in leaves - known):
        return None  # a row is used in another form than the one that is scanned

    def combine(left: list[Node], right: list[Node]) -> list[Node]:
        place = dict(zip(others, left, strict=True))
        mapping = {n: place[n.attrs["name"]] for n in known}
        mapping |= {rows[name]: r for name, r in zip(others, right, strict=True)}
        return [_replaced(after[name], mapping) for name in others]

    def apply(run: list[Node], state: dict[Tap, Node]) -> dict[Tap, Node]:
        found = {(name, -1): x for name, x in zip(others, run, strict=True)}
        return found | {(flags[0], -1): build.const(False, "bool")}

    return Monoid("associative, as told", tuple(rows[n] for n in others), combine, apply, True)


def _leaves(node: Node) -> set[Node]:
    return {n for n in Graph((), {"": node}).nodes() if not n.args}


def _replaced(node: Node, mapping: dict[Node, Node]) -> Node:
    made = dict(mapping)
    for n in Graph((), {"": node}).nodes():
        if n not in made:
            made[n] = rebuild(n, made)
    return made[node]
