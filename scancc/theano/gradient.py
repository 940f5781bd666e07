"""`theano.grad` and its kin: derivatives of symbolic graphs.

`wrt` may be any variable of the graph, shared variables included. In a step, a derivative with respect to a
non-sequence sees the graph outside of the loop, so that the usual Theano spelling of a Jacobian works:

    scan(lambda i, y, x: T.grad(y[i], x), sequences=T.arange(y.shape[0]), non_sequences=[y, x])
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

from scancc.autodiff.forward import pushforward
from scancc.autodiff.reverse import Kept, pullback, with_kept
from scancc.autodiff.rules import differentiable
from scancc.batching.loops import batch
from scancc.errors import ScanTypeError, ScanValueError
from scancc.frontend.location import here
from scancc.frontend.scope import SYMBOLIC, Scope, current, entered
from scancc.frontend.tracer import tracing, unwrap, wrap
from scancc.gradients import naming, stop_gradient
from scancc.ir import build
from scancc.ir.graph import Node, rebuild, substitute, topological
from scancc.jacobians import basis


class DisconnectedInputError(ScanValueError):
    """The cost does not depend on what it is differentiated with respect to."""


def grad(cost: Any, wrt: Any, consider_constant: Any = None, disconnected_inputs: str = "raise",
         add_names: bool = True, known_grads: Any = None, return_disconnected: str = "zero") -> Any:  # fmt: skip
    """The gradient of a scalar with respect to a variable, or a list with one entry for each of several.

    `consider_constant` lists variables that no derivative flows through; `disconnected_inputs` is 'raise', 'warn' or
    'ignore'; `known_grads` maps variables to derivatives with respect to them and may stand for the cost (None).
    """
    with _building():
        seeds: dict[Node, Node] = {}
        if cost is not None:
            node = unwrap(cost)
            if node.type.shape != ():
                raise ScanTypeError(f"the cost has {node.type.ndim} axes", here(), "a gradient is that of one number",
                                    "reduce it, for example with .sum()")
            if not differentiable(node.type.dtype):
                raise ScanTypeError(f"the cost is {node.type.dtype}", here(), "a gradient is that of a real number")
            seeds[node] = build.const(1, node.type.dtype)
        for variable, d in dict(known_grads or {}).items():
            seeds[unwrap(variable)] = unwrap(d)
        return _for_each(wrt, lambda nodes: _gradients(seeds, nodes, consider_constant, disconnected_inputs))


def jacobian(expression: Any, wrt: Any, consider_constant: Any = None, disconnected_inputs: str = "raise") -> Any:
    """The derivatives of a vector (or scalar), one row a component of it, with respect to each of `wrt`."""
    with _building():
        value = unwrap(expression)
        if value.type.ndim > 1:
            raise ScanTypeError(f"the expression has {value.type.ndim} axes", here(), "a Jacobian is that of a vector",
                                "flatten it, for example with .flatten()")
        if value.type.ndim == 0:
            return grad(expression, wrt, consider_constant, disconnected_inputs)

        def rows(nodes: list[Node]) -> list[Node]:
            unit = unwrap(basis(wrap(value)))
            row = build.make("alias", build.make("index", unit, axis=0, position=0))
            found = _gradients({value: row}, nodes, consider_constant, disconnected_inputs)
            made = batch(found, {row: unit}, unit.type.shape[0])
            return [made.whole(g) for g in found]

        return _for_each(wrt, rows)


def hessian(cost: Any, wrt: Any, consider_constant: Any = None, disconnected_inputs: str = "raise") -> Any:
    """The second derivatives of a scalar with respect to a vector, or to each vector of a list."""

    def one(x: Any) -> Any:
        if x.ndim != 1:
            raise ScanTypeError(f"wrt has {x.ndim} axes", here(), "a Hessian is with respect to vectors")
        return jacobian(grad(cost, x, consider_constant, disconnected_inputs), x, consider_constant, "ignore")

    return [one(x) for x in wrt] if isinstance(wrt, (list, tuple)) else one(wrt)


def Rop(f: Any, wrt: Any, eval_points: Any, **_: Any) -> Any:  # noqa: N802
    """The Jacobian of `f` times a direction: forward mode."""
    with _building():
        variables, points = ([v] if not isinstance(v, (list, tuple)) else list(v) for v in (wrt, eval_points))
        given = {unwrap(v): unwrap(p) for v, p in zip(variables, points, strict=True)}
        values, tangents = pushforward([unwrap(x) for x in _listed(f)], given)
        found = [wrap(build.zeros(v.type) if t is None else t) for v, t in zip(values, tangents, strict=True)]
        return found if isinstance(f, (list, tuple)) else found[0]


def Lop(f: Any, wrt: Any, eval_points: Any, consider_constant: Any = None, disconnected_inputs: str = "raise") -> Any:  # noqa: N802
    """A direction times the Jacobian of `f`: reverse mode."""
    with _building():
        seeds = {unwrap(x): unwrap(d) for x, d in zip(_listed(f), _listed(eval_points), strict=True)}
        return _for_each(wrt, lambda nodes: _gradients(seeds, nodes, consider_constant, disconnected_inputs))


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value]


@contextmanager
def _building() -> Iterator[None]:
    with nullcontext() if current() is not None else entered(SYMBOLIC), naming():
        yield


def _for_each(wrt: Any, run: Any) -> Any:
    found = [wrap(g) for g in run([unwrap(x) for x in _listed(wrt)])]
    return type(wrt)(found) if isinstance(wrt, (list, tuple)) else found[0]


def _gradients(seeds: dict[Node, Node], wrt: list[Node], constant: Any, disconnected: str) -> list[Node]:
    for x in wrt:
        if not differentiable(x.type.dtype):
            raise ScanTypeError(f"the derivative with respect to {_named(x)} is asked for, which is {x.type.dtype}",
                                here(), "derivatives are with respect to floating-point numbers")
    seeds = _unfolded(tracing(), seeds, wrt)
    if constant:
        stopped = {unwrap(c): unwrap(c) for c in _listed(constant)}
        stopped = {n: build.make("stop_gradient", n) for n in stopped}
        mapping = substitute(seeds, stopped)
        seeds = {mapping[n]: d for n, d in seeds.items()}
    below = set(topological(seeds))
    for x in wrt:
        if x not in below and disconnected == "raise":
            raise DisconnectedInputError(f"the cost does not depend on {_named(x)}", here(),
                                         "a gradient is with respect to what the cost depends on",
                                         "leave it out, or pass disconnected_inputs='ignore'")  # fmt: skip
    kept: Kept = {}
    found = pullback(seeds, wrt, kept)
    whole = [build.zeros(x.type) if g is None else g for x, g in zip(wrt, found, strict=True)]
    mapping = with_kept(whole, kept)
    return [mapping[g] for g in whole]


def _unfolded(scope: Scope, seeds: dict[Node, Node], wrt: Sequence[Node]) -> dict[Node, Node]:
    """In a step: non-sequences that depend on others outside of the loop are computed inside, from these."""
    below = topological(seeds)
    parent = scope.parent
    if parent is None or all(x in below for x in wrt):
        return seeds
    origin = {**{read: outer for outer, read in scope.captures.items()}, **scope.origins}
    mapping = {origin[x]: x for x in wrt if x in origin}
    changes: dict[Node, Node] = {}
    for read in (n for n in below if n in origin and n not in wrt):
        order = topological([origin[read]])
        for n in order:
            if n in mapping:
                continue
            if any(a in mapping and mapping[a] is not scope.captures.get(a) for a in n.args):
                for a in n.args:
                    if a not in mapping:
                        mapping[a] = scope.bring(a, parent)
                mapping[n] = rebuild(n, mapping)
        if origin[read] in mapping:
            changes[read] = mapping[origin[read]]
    if not changes:
        return seeds
    new = substitute(seeds, changes)
    return {new[n]: d for n, d in seeds.items()}


def _named(x: Node) -> str:
    return f"'{x.attrs['name']}'" if "name" in x.attrs else f"a value of {x.op}"


disconnected_grad = zero_grad = stop_gradient
