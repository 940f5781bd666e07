"""Checks that a graph keeps the rules of the scan IR. A breach is a bug in the compiler: it is shown in the IR.

    VerificationError: after pass 'hoist': 1 fault
      program main
        %0: f64[n] = input x
        %1: f32[n] = exp %0  <-- exp gives f64[n]

The rules: graphs are acyclic and closed; every op has its operands and attributes; stated types are those that the
op table infers; the roles of a scan (sequences, carries, non-sequences, outputs) fit its operands and its body.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from scancc.errors import VerificationError
from scancc.ir.graph import (
    EFFECT,
    STRIDE,
    UNTIL,
    Graph,
    Node,
    ScanSpec,
    body_graphs,
    dependencies,
    mentioned_dims,
    operands,
    spec_of,
)
from scancc.ir.ops import OPS, ShapeMismatch, infer
from scancc.ir.printer import show
from scancc.ir.types import BOOL, INT, Dim, Shape, Type, supported

Faults = dict[Node, str]
BODY_LEAVES = frozenset({"tap", "read", "step", "const", "iota", "dim"})


def verify(graph: Graph, after: str = "", known: set[Node] | None = None) -> None:
    """Raises VerificationError, with the IR annotated at every fault. `after` names the pass that made the graph.

    `known`: nodes that were found right before, to which those of this graph are added. A node never changes, so only
    its place in the graph is looked at again: after a pass that changed little there is little to do.
    """
    faults: Faults = {}
    _graph(graph, faults, None, set() if known is None else known)
    if faults:
        where = f"after pass '{after}': " if after else ""
        count = f"{len(faults)} fault{'s' * (len(faults) > 1)}"
        text = "\n".join("  " + line for line in show(graph, marks=faults).splitlines())
        raise VerificationError(f"{where}{count}\n{text}")


def _graph(graph: Graph, faults: Faults, role: ScanSpec | Node | None, known: set[Node]) -> None:
    """One graph: of a program (role None), of a scan's body, or of a branch."""
    cycle = _in_a_cycle(graph)
    if cycle is not None:
        faults[cycle] = "depends on itself"
        return
    dims: dict[str, Node] = {}
    for node in graph.nodes():
        fresh = node not in known
        fault = (_node(node) if fresh else None) or _leaf(node, graph, role) or _dims(node, dims)
        if fault:
            faults.setdefault(node, fault)
        if not fresh:
            continue
        # A scan is often wrong because of its body: that fault is the one to see.
        intact = set(OPS[node.op].attrs) <= set(node.attrs) if node.op in OPS else False
        for body in body_graphs(node) if intact else ():
            _graph(body, faults, spec_of(node) if node.op == "scan" else node, known)
        known.add(node)


def _in_a_cycle(graph: Graph) -> Node | None:
    done: set[Node] = set()
    for root in graph.results.values():
        open_: set[Node] = set()
        stack: list[tuple[Node, bool]] = [(root, False)]
        while stack:
            node, leaving = stack.pop()
            if leaving:
                open_.discard(node)
                done.add(node)
            elif node in open_:
                return node
            elif node not in done:
                open_.add(node)
                stack.append((node, True))
                for n in dependencies(node):
                    if n not in done:
                        stack.append((n, False))
    return None


def _node(node: Node) -> str | None:
    """Op, arity, attributes and type of one node."""
    op = OPS.get(node.op)
    if op is None:
        return f"there is no op {node.op!r}"
    if op.arity is not None and len(node.args) != op.arity:
        return f"{node.op} takes {op.arity} operands, not {len(node.args)}"
    if set(node.attrs) != set(op.attrs):
        return f"the attributes of {node.op} are {', '.join(op.attrs) or 'none'}, not {', '.join(node.attrs) or 'none'}"
    if not supported(node.type.dtype):
        return f"dtype {node.type.dtype} is not one of the IR"
    bundle = next((a for a in node.args if a.op in ("scan", "cond", "custom")), None)
    if bundle is not None and node.op != "get":
        return f"a {bundle.op} is read by get only"
    if op.rule is not None:
        try:
            inferred = infer(node.op, [a.type for a in node.args], node.attrs)
        except (ShapeMismatch, IndexError, ValueError) as e:
            return str(e)
        if not _same_type(inferred, node.type):
            return f"{node.op} gives {inferred}"
    check = CHECKS.get(node.op)
    return check(node) if check else _elementwise(node) if op.kind == "elementwise" else None


def _elementwise(node: Node) -> str | None:
    dtypes = {a.type.dtype for a in node.args}
    if len(dtypes) > 1:
        return f"operands have dtypes {', '.join(sorted(d.name for d in dtypes))}"
    return None


def _where(node: Node) -> str | None:
    condition, a, b = node.args
    if condition.type.dtype != BOOL.dtype or a.type.dtype != b.type.dtype:
        return "where takes a bool and two operands of one dtype"
    return None


def _variate(node: Node) -> str | None:
    key, *parameters = node.args
    if key.type.dtype != np.uint64 or any(p.type.dtype != np.float64 for p in parameters):
        return "a variate takes a key in uint64 and parameters in float64"
    return None


def _const(node: Node) -> str | None:
    value = node.attrs["value"]
    if not isinstance(value, np.ndarray) or (value.dtype, value.shape) != (node.type.dtype, node.type.shape):
        return "the value is not of the stated type"
    return None


def _index(node: Node) -> str | None:
    axis, position = node.attrs["axis"], node.attrs["position"]
    shape = node.args[0].type.shape
    if not 0 <= axis < len(shape):
        return f"there is no axis {axis}"
    d = shape[axis]
    return f"position {position} of {d}" if isinstance(d, int) and not -d <= position < d else None


def _reshape(node: Node) -> str | None:
    old, new = node.args[0].type.size, node.type.size
    return f"{old} elements do not fill {new}" if old is not None and new is not None and old != new else None


def _scan(node: Node) -> str | None:
    spec = spec_of(node)
    if len(node.args) != 1 + len(spec.operand_names()):
        return f"{len(spec.operand_names())} operands are named, {max(0, len(node.args) - 1)} given"
    names = (*spec.operand_names(), *spec.outputs)
    if len(set(names)) != len(names):
        return "two roles have one name"
    if not _same_type(node.args[0].type, INT):
        return f"the step count is {node.args[0].type}"
    wanted = {*(c.name for c in spec.carries), *spec.outputs, *((UNTIL,) if spec.has_until else ()), *spec.effects}
    if set(spec.body.results) != wanted:
        return f"the body returns {sorted(spec.body.results)}, not {sorted(wanted)}"
    if spec.body.inputs:
        return "a body has no inputs"
    if spec.has_until and not _same_type(spec.body.results[UNTIL].type, BOOL):
        return f"the stopping condition is {spec.body.results[UNTIL].type}"
    value = operands(node)
    for s in spec.sequences:
        if value[s.name].type.ndim == 0:
            return f"sequence {s.name} is a scalar"
    for c in spec.carries:
        row, initial = spec.body.results[c.name].type, value[c.name].type
        if not c.taps or max(c.taps) >= 0:
            return f"carry {c.name} has taps {c.taps}"
        if c.rows and (not initial.ndim or (isinstance(initial.shape[0], int) and initial.shape[0] < c.depth)):
            return f"carry {c.name} needs {c.depth} initial rows"
        step = initial.with_shape(initial.shape[1:]) if c.rows else initial
        if not _same_type(step, row):
            return f"carry {c.name} starts as {step} and goes on as {row}"
    return None


def _cond(node: Node) -> str | None:
    if len(node.args) != 1 + len(node.attrs["names"]):
        return f"{len(node.attrs['names'])} operands are named, {max(0, len(node.args) - 1)} given"
    if not _same_type(node.args[0].type, BOOL):
        return f"the condition is {node.args[0].type}"
    then, orelse = node.attrs["then"].results, node.attrs["orelse"].results
    then, orelse = ({k: v for k, v in g.items() if not k.startswith(EFFECT)} for g in (then, orelse))
    if set(then) != set(orelse):
        return f"one branch returns {sorted(then)}, the other {sorted(orelse)}"
    for name in then:
        if not _same_type(then[name].type, orelse[name].type):
            return f"{name} is {then[name].type} in one branch and {orelse[name].type} in the other"
    return None


def _get(node: Node) -> str | None:
    source, name, view = node.args[0], node.attrs["name"], node.attrs["view"]
    if view == "effects":
        return None if not name and source.op in ("scan", "cond") else "effects are those of a scan or a cond"
    if source.op == "custom":
        known = {f"out{i}": a for i, a in enumerate(source.args)}
        return None if view == "branch" and name in known else f"a custom has no {view} of {name!r}"
    if source.op == "cond":
        known = source.attrs["then"].results
        return None if view == "branch" and name in known else f"a cond has no {view} of {name!r}"
    if source.op != "scan":
        return f"get reads a scan or a cond, not {source.op}"
    spec = spec_of(source)
    if view == "length":
        return None if name == "" and _same_type(node.type, INT) else "a length is a scalar i64 without a name"
    if name not in spec.body.results or name == UNTIL:
        return f"the scan has no result {name!r}"
    row = spec.body.results[name].type
    if view == "final":
        if spec.carry(name) is None:
            return f"{name} has no final value: it is not a carry"
        return None if _same_type(node.type, row) else f"the final value is {row}"
    if view in ("history", "state") and spec.carry(name) is None:
        return f"{name} has no {view}: it is not a carry"
    if view == "every":
        if spec.carry(name) is None or STRIDE not in spec.nonseqs:
            return f"{name} has no samples: it is not a carry, or the scan has no stride"
        return None if node.type.ndim > 1 and _same_type(node.type.with_shape(node.type.shape[2:]), row) else f"{row}"
    kind, _, rows = view.partition(" ")
    if not (kind in ("trace", "history", "state") and not rows) and not (kind in ("last", "tail") and rows.isdigit()):
        return f"there is no view {view!r}"
    if not node.type.ndim or not _same_type(node.type.with_shape(node.type.shape[1:]), row):
        return f"rows are {row}"
    return None


def _check(node: Node) -> str | None:
    if not node.args or not _same_type(node.args[0].type, BOOL):
        return "a check takes one truth value"
    return None


CHECKS = {"where": _where, "const": _const, "index": _index, "reshape": _reshape, "scan": _scan, "cond": _cond,
          "get": _get,
          "cast": lambda node: None, "wrap_index": _elementwise, "log_gamma_variate": _variate,
          "poisson_variate": _variate, "binomial_variate": _variate, "check": _check}  # fmt: skip


def _leaf(node: Node, graph: Graph, role: ScanSpec | Node | None) -> str | None:
    """Leaves belong to their graph: nothing of an outer one is used but by name."""
    if OPS[node.op].kind != "leaf":
        return None
    if role is None:
        if node.op in ("tap", "read", "step"):
            return f"{node.op} outside of a body"
        return "not among the inputs of the program" if node.op == "input" and node not in graph.inputs else None
    if node.op not in BODY_LEAVES or (isinstance(role, Node) and node.op in ("tap", "step")):
        return f"a {'branch' if isinstance(role, Node) else 'body'} has no {node.op}"
    if node.op == "read":
        known = role.attrs["names"] if isinstance(role, Node) else role.nonseqs
        return None if node.attrs["name"] in known else f"there is no non-sequence {node.attrs['name']!r}"
    if node.op == "tap" and isinstance(role, ScanSpec):
        return _tap(node, role)
    return None


def _tap(node: Node, spec: ScanSpec) -> str | None:
    name, offset = node.attrs["name"], node.attrs["offset"]
    carry = spec.carry(name)
    source = carry or spec.sequence(name)
    if source is None:
        return f"there is no sequence or carry {name!r}"
    if offset not in source.taps:
        return f"{name} has taps {source.taps}"
    following = spec.body.results.get(name)
    if carry is not None and following is not None and not _same_type(node.type, following.type):
        return f"{name} goes on as {following.type}"
    return None


def _dims(node: Node, defined: dict[str, Node]) -> str | None:
    """One name is one length."""
    for d in mentioned_dims(node):
        if d.define is None:
            continue
        known = defined.setdefault(d.name, d.define)
        if known is not d.define and not _both_length(known, d.define):
            return f"dimension {d.name} is defined twice"
        if not _same_type(d.define.type, INT):
            return f"dimension {d.name} is defined by {d.define.type}"
    return None


def _both_length(a: Node, b: Node) -> bool:
    """One length asked for twice, as that of a scan or arithmetic on it: `cse` makes one node of both."""
    if a is b or (a.op == b.op == "const" and bool(np.array_equal(a.attrs["value"], b.attrs["value"]))):
        return True
    if a.op != b.op or len(a.args) != len(b.args) or not a.args or dict(a.attrs) != dict(b.attrs):
        return False
    if a.op == "dim":  # an axis has one length, whatever array it is asked of
        return bool(a.args[0].type.shape[a.attrs["axis"]] == b.args[0].type.shape[b.attrs["axis"]])
    return all(x is y if a.op == "get" else _both_length(x, y) for x, y in zip(a.args, b.args, strict=True))


def _same_type(a: Type, b: Type) -> bool:
    """Equal but for lengths known at run time only, which may go by several names."""
    return a.dtype == b.dtype and len(a.shape) == len(b.shape) and all(_pairs(a.shape, b.shape))


def _pairs(a: Shape, b: Shape) -> Iterator[bool]:
    for x, y in zip(a, b, strict=True):
        yield x == y or isinstance(x, Dim) or isinstance(y, Dim)
