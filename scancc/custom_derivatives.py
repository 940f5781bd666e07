"""`sc.custom_vjp` and `sc.custom_jvp`: functions with derivatives of the user's own."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any

from scancc.autodiff.custom import CustomRule
from scancc.autodiff.rules import differentiable
from scancc.errors import ScanTypeError, ScanValueError
from scancc.frontend.calling import call
from scancc.frontend.location import here, name_of, of_function
from scancc.frontend.numpy_shapes import broadcast_to
from scancc.frontend.pytrees import describe, flatten, unflatten
from scancc.frontend.scope import Scope, entered
from scancc.frontend.tracer import Tracer, is_traced, tracing, unwrap, wrap
from scancc.ir import build
from scancc.ir.graph import Graph, Node, substitute, topological
from scancc.ir.types import INT

# Functions whose rules are being traced: there they are the functions themselves, which derivatives go through.
_INSIDE: ContextVar[frozenset[int]] = ContextVar("inside", default=frozenset())


class _Custom:
    """A function and the rule for its derivative. Called on arrays, or by its own rule, it is the function itself."""

    kind = ""

    def __init__(self, fn: Callable) -> None:
        self.fn = fn
        self.rules: tuple[Callable, ...] = ()
        functools.update_wrapper(self, fn, updated=())

    def __call__(self, *args: Any, **given: Any) -> Any:
        if given:
            args = self._by_position(args, given)
        leaves, tree = flatten(args)
        if not self.rules:
            raise ScanValueError(f"{name_of(self.fn, 'the function')} has no rule for its derivative yet", here(),
                                 fix="call .defvjp(forward, backward) or .defjvp(rule) first")
        if not is_traced(*leaves) or id(self) in _INSIDE.get():
            return call(self.fn, *args)
        inputs = [unwrap(v) for v in leaves]
        values, out_tree = flatten(call(self.fn, *unflatten(tree, [wrap(n) for n in inputs])))
        outputs = [unwrap(v) for v in values]
        outer = tracing()
        scope = Scope(f"{outer.name}_rule", parent=outer, strict=outer.strict)
        token = _INSIDE.set(_INSIDE.get() | {id(self)})
        try:
            with entered(scope):
                results = self.trace(inputs, tree, outputs, out_tree)
        finally:
            _INSIDE.reset(token)
        captured = list(scope.captures)
        names = {read.attrs["name"]: f"in{len(inputs) + i}" for i, read in enumerate(scope.captures.values())}
        rule = CustomRule(name_of(self.fn, "function"), self.kind, len(outputs), len(inputs), _renamed(results, names))
        attrs = MappingProxyType({"rule": rule})
        node = Node("custom", (*outputs, *inputs, *captured), INT, attrs, here())
        gets = [build.make("get", node, loc=here(), type=o.type, name=f"out{i}", view="branch")
                for i, o in enumerate(outputs)]  # fmt: skip
        return unflatten(out_tree, [wrap(g) for g in gets])

    def _by_position(self, args: tuple, given: dict[str, Any]) -> tuple:
        """Arguments in the order of the parameters, as the rules get them."""
        name = name_of(self.fn, "the function")
        try:
            bound = inspect.signature(self.fn).bind(*args, **given)
        except TypeError as e:
            raise ScanTypeError(f"{name}: {e}", here()) from None
        bound.apply_defaults()
        if bound.kwargs:
            raise ScanTypeError(f"{name} has parameters that are given by name only: {', '.join(bound.kwargs)}",
                                of_function(self.fn), "a rule gets the arguments by position")  # fmt: skip
        return bound.args

    def trace(self, inputs: list[Node], tree: Any, outputs: list[Node], out_tree: Any) -> dict[str, Node]:
        raise NotImplementedError


def _renamed(results: dict[str, Node], names: dict[str, str]) -> Graph:
    reads = [n for n in topological(results.values()) if n.op == "read" and n.attrs["name"] in names]
    changes = {n: build.make("read", type=n.type, name=names[n.attrs["name"]]) for n in reads}
    mapping = substitute(results.values(), changes)
    return Graph((), {k: mapping[v] for k, v in results.items()})


def _leaf(name: str, node: Node) -> Tracer:
    return wrap(build.make("read", type=node.type, name=name))


class custom_vjp(_Custom):  # noqa: N801  # used as a decorator
    """A function with its own rule for reverse mode::

        @sc.custom_vjp
        def clip_gradient(x): return x
        clip_gradient.defvjp(lambda x: (x, None), lambda kept, d: (np.clip(d, -1, 1),))

    `forward(*args)` returns the value and whatever the way back needs; `backward(kept, d)` returns a tuple with one
    derivative an argument (None: zero), each of its argument's structure. Forward mode raises an error.
    """

    kind = "vjp"

    def defvjp(self, forward: Callable, backward: Callable) -> custom_vjp:
        self.rules = (forward, backward)
        return self

    def trace(self, inputs: list[Node], tree: Any, outputs: list[Node], out_tree: Any) -> dict[str, Node]:
        forward, backward = self.rules
        args = unflatten(tree, [_leaf(f"in{i}", n) for i, n in enumerate(inputs)])
        returned = call(forward, *args)
        if not isinstance(returned, tuple) or len(returned) != 2:
            raise ScanTypeError("the forward rule returns a pair: the value, and what the way back needs",
                                of_function(forward))
        ds = unflatten(out_tree, [_leaf(f"d{i}", n) for i, n in enumerate(outputs)])
        given = call(backward, returned[1], ds)
        if not isinstance(given, tuple) or len(given) != len(args):
            raise ScanTypeError(f"the backward rule returned {given!r} for {len(args)} arguments",
                                of_function(backward), "it returns a tuple with one derivative an argument")
        found: dict[str, Node] = {}
        count = 0
        for part, arg in zip(given, args, strict=True):
            leaves, structure = flatten(arg)
            parts, got = ([None] * len(leaves), structure) if part is None else flatten(part)
            if got != structure:
                raise ScanTypeError(f"the backward rule returned {describe(got)} for an argument {describe(structure)}",
                                    of_function(backward))
            for value in parts:
                like = inputs[count].type
                node = build.zeros(like) if value is None or not differentiable(like.dtype) else unwrap(value)
                found[f"g{count}"] = build.cast(broadcast_to(wrap(node), like.shape).node, like.dtype)
                count += 1
        return found


class custom_jvp(_Custom):  # noqa: N801
    """A function with its own rule for derivatives, in forward and in reverse mode::

        @sc.custom_jvp
        def log1pexp(x): return np.log1p(np.exp(x))
        log1pexp.defjvp(lambda primals, tangents: (log1pexp(*primals), tangents[0] * sc.expit(*primals)))

    The rule returns the value and its tangent, which must be linear in the tangents given.
    """

    kind = "jvp"

    def defjvp(self, rule: Callable) -> custom_jvp:
        self.rules = (rule,)
        return self

    def trace(self, inputs: list[Node], tree: Any, outputs: list[Node], out_tree: Any) -> dict[str, Node]:
        (rule,) = self.rules
        args = unflatten(tree, [_leaf(f"in{i}", n) for i, n in enumerate(inputs)])
        ts = unflatten(tree, [_leaf(f"t{i}", n) for i, n in enumerate(inputs)])
        returned = call(rule, args, ts)
        if not isinstance(returned, tuple) or len(returned) != 2:
            raise ScanTypeError("the rule returns a pair: the value and its tangent", of_function(rule))
        leaves, structure = flatten(returned[1])
        if structure != out_tree:
            raise ScanTypeError(f"the rule returned the tangent {describe(structure)} of a value {describe(out_tree)}",
                                of_function(rule))
        found: dict[str, Node] = {}
        for i, (value, like) in enumerate(zip(leaves, outputs, strict=True)):
            node = build.cast(unwrap(value), like.type.dtype)
            found[f"t_out{i}"] = broadcast_to(wrap(node), like.type.shape).node
        return found
