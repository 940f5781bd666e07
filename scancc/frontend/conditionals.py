"""`sc.cond`: one of two branches, chosen when the kernel runs. Only the branch taken is evaluated."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from scancc.errors import ScanTypeError, ScanValueError, UnsupportedError
from scancc.frontend.calling import call
from scancc.frontend.location import here
from scancc.frontend.operators import ArrayOperators
from scancc.frontend.returns import Returned, parse_return
from scancc.frontend.scope import Scope, current, entered
from scancc.frontend.tracer import Tracer, is_traced, tracing, unwrap, wrap
from scancc.ir import build
from scancc.ir.graph import Graph, Node
from scancc.ir.types import INT


def cond(predicate: Any, true_fn: Callable, false_fn: Callable, *operands: Any) -> Any:
    """`true_fn(*operands)` where `predicate` (one truth value) holds, else `false_fn(*operands)`.

    Both branches return one array, or a tuple, list or dict of them, with the same structure and shapes; dtypes are
    promoted. Outside of a step this is Python's `if`. `sc.where` evaluates both sides and chooses by element.

    Raises TypeError or ValueError naming what the branches return where that differs.
    """
    if current() is None and not is_traced(predicate):
        return true_fn(*operands) if predicate else false_fn(*operands)
    if not isinstance(predicate, ArrayOperators):
        return call(true_fn if np.asarray(predicate).item() else false_fn, *operands)
    test = truth_value(predicate)
    form: list[Returned] = []

    def join(a: tuple[Returned, list[Node]], b: tuple[Returned, list[Node]]) -> dict[str, tuple[Node, Node]]:
        form.append(a[0])
        names = _names(a[0], b[0])
        return dict(zip(names, zip(a[1], b[1], strict=True), strict=True))

    given = [x if isinstance(x, Tracer) else wrap(unwrap(x)) for x in operands]
    branches = (lambda: _branch(true_fn, given)), (lambda: _branch(false_fn, given))
    values = list(add_cond(test, branches, join).values())
    (returned,) = form
    if returned.keys is not None:
        return dict(zip(returned.keys, values, strict=True))
    return values[0] if returned.single else tuple(values)


def truth_value(predicate: Any) -> Node:
    """The node of one truth value."""
    test = unwrap(predicate)
    if test.type.size == 1:
        test = build.reshape(test, (), here())
    if test.type.shape != ():
        raise ScanTypeError(f"the predicate of sc.cond has shape {test.type.shape}", here(),
                            "a predicate is one truth value", "use sc.where to choose by element")
    if test.type.dtype.kind != "b":
        test = build.make("not_equal", test, build.const(0, test.type.dtype), loc=here())
    return test


def add_cond(
    test: Node,
    branches: tuple[Callable[[], Any], Callable[[], Any]],
    join: Callable[[Any, Any], dict[str, tuple[Node, Node]]],
) -> dict[str, Tracer]:
    """A conditional of two branches, each traced once: `join` makes pairs of results by name of what they returned.

    It is called where the nodes of both are at hand, and raises where the branches do not fit.
    """
    outer = tracing()
    scope = Scope(f"{outer.name}_branch", parent=outer, strict=outer.strict)
    with entered(scope):
        then = branches[0]()
        effects = [scope.effect_results()]
        scope.effects.clear()
        orelse = branches[1]()
        effects.append(scope.effect_results())
        if scope.updates:
            raise UnsupportedError("a branch of sc.cond updates a shared variable", here(),
                                   fix="choose the new value with sc.cond, and update outside")
        results = {name: _results(name, a, b) for name, (a, b) in join(then, orelse).items()}
    graphs = [Graph((), effects[i] | {n: pair[i] for n, pair in results.items()}) for i in (0, 1)]
    captured = tuple(read.attrs["name"] for read in scope.captures.values())
    attrs = {"names": captured, "then": graphs[0], "orelse": graphs[1]}
    node = Node("cond", (test, *scope.captures), INT, attrs, here())
    if any(effects):
        outer.effects.append(build.effects(node))
    return {
        n: wrap(build.make("get", node, loc=here(), type=graphs[0].results[n].type, name=n, view="branch"))
        for n in results
    }


def _branch(fn: Callable, operands: list[Tracer]) -> tuple[Returned, list[Node]]:
    returned = parse_return(call(fn, *operands), fn)
    if returned.until is not None:
        raise ScanTypeError("a branch of sc.cond returned sc.until", here(), fix="return it from the step itself")
    return returned, [unwrap(v) for v in returned.values]


def _names(a: Returned, b: Returned) -> list[str]:
    if (a.single, a.keys, len(a.values)) != (b.single, b.keys, len(b.values)):
        def form(r: Returned) -> str:
            return "one array" if r.single else f"a dict of {list(r.keys)}" if r.keys else f"{len(r.values)} arrays"

        raise ScanValueError(f"one branch of sc.cond returns {form(a)}, the other {form(b)}", here(),
                             "both branches return the same structure")
    return [f"result_{i}" for i in range(len(a.values))]


def _results(name: str, a: Node, b: Node) -> tuple[Node, Node]:
    if a.type.shape != b.type.shape:
        what = "returns" if name.startswith("result_") else f"has `{name}` as"
        raise ScanValueError(f"one branch of sc.cond {what} {a.type}, the other {b.type}", here(),
                             "both branches return the same shapes", "broadcast one of them with np.broadcast_to")
    dtype = np.result_type(a.type.dtype, b.type.dtype)
    return build.cast(a, dtype, here()), build.cast(b, dtype, here())
