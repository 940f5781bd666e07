"""Step functions into scan ops.

`add_scan` traces the step once in a scope of its own and adds a scan node to the current scope. When a carry's
initial value has to be promoted to the dtype that the step returns, the step is traced again.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from scancc.errors import CarryShapeError, CarryTypeError, ScanTypeError, ScanValueError
from scancc.frontend import pytrees
from scancc.frontend.calling import call
from scancc.frontend.fits import as_int64, at_least
from scancc.frontend.location import of_function
from scancc.frontend.returns import Returned, parse_return
from scancc.frontend.scan_arguments import OutputArgument, ScanArguments
from scancc.frontend.scope import SYMBOLIC, Scope, entered
from scancc.frontend.shared import Shared
from scancc.frontend.tracer import Tracer, as_stored, tracing, unwrap
from scancc.ir import build
from scancc.ir.graph import NOTHING_ASKED, RESERVED, UNTIL, Backward, Carry, Graph, Node, ScanSpec, Sequence, substitute
from scancc.ir.types import Dim, Shape, Type, is_half, show_shape


@dataclass(frozen=True, slots=True)
class TracedScan:
    node: Node
    names: tuple[str, ...]  # results in the order of the step's outputs
    keys: tuple[str, ...] | None
    single: bool
    updates: dict[Shared, Node]  # shared variables after the last step
    stored: dict[str, np.dtype]  # results that are stored with 16 bits

    @property
    def tree(self) -> pytrees.Tree:
        """The container of results that the step returned."""
        if not self.names:
            return pytrees.NONE  # a step that only updates shared variables
        leaves = (pytrees.LEAF,) * len(self.names)
        if self.keys is not None:
            return "dict", self.keys, leaves
        return pytrees.LEAF if len(leaves) == 1 else ("tuple", len(leaves), leaves)

    def trace(self, name: str) -> Node:
        """All rows of a result."""
        node = build.trace(self.node, name)
        return build.cast(node, self.stored[name]) if name in self.stored else node


def add_scan(
    fn: Callable, args: ScanArguments, name: str, strict: bool = False, publish: bool = True,
    backward: Backward = NOTHING_ASKED, strategy: str = "steps",
) -> TracedScan:
    """Trace `fn` and add the scan to the scope being traced. Raises the errors of the documentation's table.

    Updates of shared variables take effect in that scope, unless `publish` is off and the caller hands them on.
    """
    outer = tracing()
    name = outer.root.unique(name)
    sequences = [_sequence_operand(s.value, s.taps, args.go_backwards) for s in args.sequences]
    initials: dict[str, Node] = {o.name: _initial(o, outer) for o in args.outputs or () if o.initial is not None}
    nonseqs = [(n, unwrap(v)) for n, v in args.non_sequences]
    steps = _steps(args, sequences)
    while True:
        body, traced = _in_a_scope(fn, name, outer, strict, args, sequences, initials, nonseqs)
        promoted = _promotions(fn, args, initials, traced.results)
        if not promoted:
            break
        initials |= promoted
    carries = [Carry(o.name, tuple(sorted(o.taps))) for o in args.outputs or () if o.initial is not None]
    results = traced.results
    for shared, carry in traced.updates.items():
        carries.append(Carry(carry, (-1,)))
        initials[carry] = before = outer.value_of(shared)
        read = body.captures.pop(before, None)
        if read is not None:  # what the step read of the variable is its value before this step's update
            tap = build.make("tap", type=read.type, name=carry, offset=-1, loc=read.loc)
            mapping = substitute(results.values(), {read: tap})
            results = {k: mapping[v] for k, v in results.items()}
    spec = ScanSpec(
        name,
        tuple(Sequence(s.name, tuple(sorted(taps))) for s, (_, taps) in zip(args.sequences, sequences, strict=True)),
        tuple(carries),
        tuple(traced.nonseq_names) + tuple(read.attrs["name"] for read in body.captures.values()),
        tuple(n for n in traced.names if n not in initials),
        Graph((), results),
        strategy,
        backward,
    )
    operands = (steps, *(x for x, _ in sequences), *initials.values(), *(v for _, v in nonseqs), *body.captures)
    node = build.scan(spec, operands, of_function(fn))
    after = {shared: build.final(node, carry) for shared, carry in traced.updates.items()}
    if publish:
        outer.updates |= after
    if spec.effects and outer is not SYMBOLIC:  # a symbolic graph has its effects where it is compiled
        outer.effects.append(build.effects(node))
    return TracedScan(node, tuple(traced.names), traced.returned.keys, traced.returned.single, after, traced.stored)


def _in_a_scope(
    fn: Callable,
    name: str,
    outer: Scope,
    strict: bool,
    args: ScanArguments,
    sequences: list[tuple[Node, tuple[int, ...]]],
    initials: dict[str, Node],
    nonseqs: list[tuple[str, Node]],
) -> tuple[Scope, _TracedStep]:
    body = Scope(name, parent=outer, strict=strict)
    with entered(body):
        return body, _trace_step(fn, args, body, sequences, initials, nonseqs)


def _initial(o: OutputArgument, outer: Scope) -> Node:
    node = unwrap(o.initial)
    return node if o.taps == (-1,) else at_least(node, o.depth, outer.root.unique(f"rows_{o.name}"))


def _sequence_operand(value: Any, taps: tuple[int, ...], backwards: bool) -> tuple[Node, tuple[int, ...]]:
    """Reversal is a view: the reversed sequence read at t+k is the original read at its own step -k."""
    node = unwrap(value)
    if not backwards:
        return node, taps
    return build.make("flip", node, axes=(0,)), tuple(-k for k in taps)


def _steps(args: ScanArguments, sequences: list[tuple[Node, tuple[int, ...]]]) -> Node:
    if args.n_steps is not None:
        node = unwrap(args.n_steps)
        return as_int64(node)
    shortest: Node | None = None
    for s, (node, taps) in zip(args.sequences, sequences, strict=True):
        reach = Sequence(s.name, taps).reach
        rows = build.dim_of(node, 0)
        if reach:
            if rows.op == "const":
                rows = build.integer(max(0, int(rows.attrs["value"]) - reach))
            else:
                rows = build.make("maximum", build.make("subtract", rows, build.integer(reach)), build.integer(0))
        if shortest is None:
            shortest = rows
        elif shortest.op == rows.op == "const":
            shortest = build.integer(min(int(shortest.attrs["value"]), int(rows.attrs["value"])))
        elif not _same_length(shortest, rows):
            shortest = build.make("minimum", shortest, rows)
    assert shortest is not None
    return shortest


def _same_length(a: Node, b: Node) -> bool:
    return a is b or (a.op == b.op == "dim" and a.args[0] is b.args[0] and a.attrs["axis"] == b.attrs["axis"])


@dataclass(slots=True)
class _TracedStep:
    results: dict[str, Node]
    names: list[str]
    nonseq_names: list[str]
    returned: Returned
    updates: dict[Shared, str]  # carries of the shared variables that the step updates
    stored: dict[str, np.dtype]  # outputs that the step returns with 16 bits


def _trace_step(
    fn: Callable,
    args: ScanArguments,
    body: Scope,
    sequences: list[tuple[Node, tuple[int, ...]]],
    initials: dict[str, Node],
    nonseqs: list[tuple[str, Node]],
) -> _TracedStep:
    leaves: list[Tracer] = []
    body.used_names |= RESERVED
    for s, (node, taps) in zip(args.sequences, sequences, strict=True):
        body.used_names.add(s.name)
        row = _inner(node.type.shape[1:])
        leaves += [Tracer(_tap(s.name, k, Type(node.type.dtype, row)), body) for k in taps]
    for o in args.outputs or ():
        body.used_names.add(o.name)
        if o.initial is not None:
            row = _row(o, initials[o.name])
            leaves += [Tracer(_tap(o.name, k, row), body) for k in o.taps]
    nonseq_names = [body.unique(n) for n, _ in nonseqs]
    for name, (_, value) in zip(nonseq_names, nonseqs, strict=True):
        read = build.make("read", type=value.type.with_shape(_inner(value.type.shape)), name=name)
        leaves.append(Tracer(read, body))
        body.origins[read] = value
    _check_arity(fn, args, leaves)
    returned = parse_return(call(fn, *leaves), fn)
    names, results = _results(fn, args, body, returned, initials)
    results = body.effect_results() | results
    if returned.until is not None:
        results[UNTIL] = _condition(returned.until, fn)
    updates: dict[Shared, str] = {}
    given = {shared: unwrap(value) for shared, value in returned.updates.items()}
    for shared, value in {**body.updates, **given}.items():
        updates[shared] = carry = body.unique(shared.name or "shared")
        results[carry] = _new_value(fn, shared, value, body)
    # Loops compute with 32 bits: the cast is done again on what they give, which `narrow_storage` makes good.
    stored = {n: x.type.dtype for n, x in results.items() if is_half(x.type.dtype)}
    results |= {n: build.cast(results[n], np.float32, results[n].loc) for n in stored}
    return _TracedStep(results, names, nonseq_names, returned, updates, stored)


def _check_arity(fn: Callable, args: ScanArguments, leaves: list[Tracer]) -> None:
    """Python's own error would not say which argument of the scan is too much or missing."""
    try:
        signature = inspect.signature(fn)
    except (TypeError, ValueError):  # not every callable tells
        return
    try:
        signature.bind(*leaves)
    except TypeError as e:
        counts = (sum(len(s.taps) for s in args.sequences), sum(len(o.taps) for o in args.outputs or ()),
                  len(args.non_sequences))  # fmt: skip
        roles = ", ".join(f"{n} of {what}" for n, what in
                          zip(counts, ("sequences", "outputs_info", "non_sequences"), strict=True))  # fmt: skip
        values = f"{len(leaves)} value{'s' * (len(leaves) != 1)}"
        raise ScanTypeError(
            f"the step takes {signature}, but the call gives it {values}: {roles}",
            of_function(fn),
            "a step gets a value for each tap of the sequences, then of the outputs, then the non-sequences",
            "an output that reads its own past has an entry dict(initial=..., taps=[...]) in outputs_info; "
            "what is the same at every step goes into non_sequences",
        ) from e


def _new_value(fn: Callable, shared: Shared, node: Node, body: Scope) -> Node:
    """What a step gives a shared variable: of its dtype and shape."""
    assert body.parent is not None
    before = body.parent.value_of(shared).type
    if node.type.ndim != before.ndim or node.type.shape != before.shape and node.type.is_static and before.is_static:
        raise CarryShapeError(
            f"{shared} is updated with a value of shape {show_shape(node.type.shape)}", node.loc or of_function(fn),
            "a shared variable keeps its shape from step to step",
        )  # fmt: skip
    if not np.can_cast(node.type.dtype, before.dtype, "safe"):
        raise CarryTypeError(
            f"{shared} is updated with a value of dtype {node.type.dtype}", node.loc or of_function(fn),
            "a shared variable keeps its dtype", f'return the value with .astype("{before.dtype}")',
        )  # fmt: skip
    return build.cast(node, before.dtype, node.loc)


def _tap(name: str, offset: int, row: Type) -> Node:
    return build.make("tap", type=row, name=name, offset=offset)


def _inner(shape: Shape) -> Shape:
    return tuple(Dim(d.name, d.hint) if isinstance(d, Dim) else d for d in shape)


def _row(o: OutputArgument, initial: Node) -> Type:
    shape = initial.type.shape if o.taps == (-1,) else initial.type.shape[1:]
    return Type(initial.type.dtype, _inner(shape))


def _condition(condition: Any, fn: Callable) -> Node:
    node = unwrap(condition)
    if node.type.shape != ():
        raise ScanTypeError(
            f"the condition of sc.until has shape {show_shape(node.type.shape)}",
            node.loc or of_function(fn), "a stopping condition is one truth value",
            "reduce it with .any() or .all()",
        )  # fmt: skip
    if node.type.dtype.kind == "b":
        return node
    return build.make("not_equal", node, build.const(0, node.type.dtype))


def _results(
    fn: Callable, args: ScanArguments, body: Scope, returned: Returned, initials: dict[str, Node]
) -> tuple[list[str], dict[str, Node]]:
    outputs = args.outputs
    count = len(returned.values)
    if outputs is None:
        outputs = tuple(OutputArgument(f"output_{i}", None, ()) for i in range(count))
    if args.more_outputs:
        outputs += tuple(OutputArgument(f"output_{i}", None, ()) for i in range(len(outputs), count))
    if len(outputs) != count:
        raise ScanValueError(
            f"the step returns {count} output{'s' * (count != 1)}, but outputs_info has {len(outputs)}",
            of_function(fn),
            "outputs_info has one entry for each output of the step",
            "give None for outputs that do not feed back",
        )
    names: list[str] = []
    results: dict[str, Node] = {}
    for i, (o, value) in enumerate(zip(outputs, returned.values, strict=True)):
        name = o.name
        if o.initial is None:
            name = body.unique(returned.keys[i] if returned.keys else f"output_{i}")
        node = as_stored(value) if o.initial is None else unwrap(value)
        if o.initial is not None:
            node = _fit_carry(fn, o, node, _row(o, initials[o.name]))
        names.append(name)
        results[name] = node
    return names, results


def _checked(node: Node, row: Type) -> Node:
    """Lengths known only when the program runs are compared then."""
    pairs = list(zip(node.type.shape, row.shape, strict=False))
    open_ = any(isinstance(a, Dim) or isinstance(b, Dim) for a, b in pairs if a != b)
    if node.type.ndim != row.ndim or not open_:
        return node
    if any(isinstance(a, int) and isinstance(b, int) and a != b for a, b in pairs):
        return node
    return build.make("expect", node, loc=node.loc, shape=row.shape)


def _fit_carry(fn: Callable, o: OutputArgument, node: Node, row: Type) -> Node:
    """The next value of a carry: same shape as before; dtype widened where that is exact."""
    node = _checked(node, row)
    if node.type.shape != row.shape:
        here, want = map(show_shape, (node.type.shape, row.shape))
        raise CarryShapeError(
            f"carry '{o.name}' has shape {want} but the step returns shape {here}",
            node.loc or of_function(fn),
            "a carry must keep its shape from step to step",
            f"pass an initial value of shape {here}, for example np.broadcast_to({o.name}0, {here})"
            if node.type.ndim >= row.ndim
            else f"return an array of shape {want}",
        )
    if node.type.dtype != row.dtype and np.can_cast(node.type.dtype, row.dtype, "safe"):
        return build.cast(node, row.dtype, node.loc)
    return node


def _promotions(
    fn: Callable, args: ScanArguments, initials: dict[str, Node], results: dict[str, Node]
) -> dict[str, Node]:
    """Initial values to be cast before the step is traced again."""
    changes: dict[str, Node] = {}
    for o in args.outputs or ():
        if o.initial is None or results[o.name].type.dtype == initials[o.name].type.dtype:
            continue
        returned, initial = results[o.name].type.dtype, initials[o.name].type.dtype
        if not np.can_cast(initial, returned, "safe"):
            raise CarryTypeError(
                f"carry '{o.name}' is {initial} but the step returns {returned}",
                results[o.name].loc or of_function(fn),
                "a carry must keep its type from step to step",
                f'pass initial as {returned}, or return the value with .astype("{initial}")',
            )
        changes[o.name] = build.cast(initials[o.name], returned)
    return changes
