"""Derivatives of NumPy functions that contain scans, as functions: `grad`, `vjp`, `jvp` and what is made of them.

They work on functions of pytrees. Called on arrays they run compiled, and equal calls share a program; called on traced
values they become part of the function being compiled, so they nest: `grad(grad(f))`, a gradient inside of a step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from scancc.autodiff.arithmetic import NAMES
from scancc.autodiff.forward import pushforward
from scancc.autodiff.reverse import Kept, pullback, with_kept
from scancc.autodiff.rules import differentiable
from scancc.calls import compiled_call
from scancc.errors import ScanTypeError, ScanValueError, ShapeError
from scancc.frontend.calling import call
from scancc.frontend.fits import expect, may_be_equal
from scancc.frontend.location import here, name_of, of_function
from scancc.frontend.operators import ArrayOperators
from scancc.frontend.pytrees import flatten, paths, unflatten
from scancc.frontend.tracer import as_stored, is_traced, number_of, tracing, unwrap, wrap
from scancc.ir import build
from scancc.ir.graph import Node, topological
from scancc.ir.types import show_shape, widened
from scancc.transformed import Transformed


@contextmanager
def naming() -> Iterator[None]:
    token = NAMES.set(lambda name: tracing().root.unique(name))
    try:
        yield
    finally:
        NAMES.reset(token)


def stop_gradient(x: Any) -> Any:
    """`x` (a pytree of arrays), taken as a constant by derivatives."""
    leaves, tree = flatten(x)
    if not is_traced(*leaves):
        return x
    return unflatten(tree, [wrap(build.make("stop_gradient", unwrap(v), loc=here())) for v in leaves])


class Derived(Transformed):
    """A function made of the derivatives of another one."""


def value_and_grad(
    fn: Callable, argnums: int | tuple[int, ...] = 0, has_aux: bool = False, holomorphic: bool = False
) -> Derived:
    """A function that returns `(fn(*args), gradient)`; the gradient is that of `grad`.

    With `has_aux` `fn` returns a pair (value, anything else), and the result is `((value, anything else), gradient)`.
    """

    def run(*args: Any, **given: Any) -> Any:
        with naming():
            return _value_and_grad(fn, args, given, argnums, has_aux, holomorphic)

    return Derived(fn, value_and_grad, run, argnums, has_aux, holomorphic)


def grad(
    fn: Callable, argnums: int | tuple[int, ...] = 0, has_aux: bool = False, holomorphic: bool = False
) -> Derived:
    """The gradient of a function whose value is one real number, with respect to argument `argnums` (or several).

    Arguments are pytrees of arrays, by position or by name; `argnums` counts those by position. The gradient has the
    structure, shapes and dtypes of the argument. A tuple of
    `argnums` gives a tuple. With `has_aux` `fn` returns a pair, and the result is `(gradient, second part)`. Of a
    complex argument the gradient is that of JAX: the derivative of the real value with respect to the real part minus
    i times that with respect to the imaginary part; `holomorphic=True` gives complex derivatives.

    Raises TypeError for arguments that are not floating point, ValueError where the value is not a scalar or does not
    depend on an argument at all.
    """

    def run(*args: Any, **given: Any) -> Any:
        with naming():
            value, g = _value_and_grad(fn, args, given, argnums, has_aux, holomorphic)
            return (g, value[1]) if has_aux else g

    return Derived(fn, grad, run, argnums, has_aux, holomorphic)


def _value_and_grad(
    fn: Callable, args: tuple, given: dict[str, Any], argnums: int | tuple[int, ...], has_aux: bool, holomorphic: bool
) -> Any:  # fmt: skip
    numbers = _numbers(fn, argnums, len(args))
    chosen = [args[i] for i in numbers]
    _check_floating(fn, chosen, numbers, holomorphic)
    marked = _Marked(chosen)
    full = list(args)
    for i, tree in zip(numbers, marked.trees, strict=True):
        full[i] = tree
    returned = call(fn, *full, **given)
    aux: Any = None
    if has_aux:
        if not isinstance(returned, tuple) or len(returned) != 2:
            raise ScanTypeError(f"with has_aux {name_of(fn, 'the function')} returns a pair, not {returned!r}",
                                of_function(fn))
        returned, aux = returned
    value = _scalar(fn, returned, holomorphic)
    _check_connected(fn, value, marked, numbers)
    kept: Kept = {}
    found = pullback({value: build.const(1, value.type.dtype)}, marked.nodes, kept)
    derivatives = marked.whole(found)
    aux_leaves, aux_tree = flatten(aux)
    aux_nodes = [unwrap(v) for v in aux_leaves]
    mapping = with_kept([value, *aux_nodes, *derivatives], kept)
    trees = marked.unflatten([wrap(mapping[d]) for d in derivatives])
    result = wrap(mapping[value])
    g = trees[0] if isinstance(argnums, int) else tuple(trees)
    return ((result, unflatten(aux_tree, [wrap(mapping[a]) for a in aux_nodes])), g) if has_aux else (result, g)


class _Marked:
    """Arguments under new identities: what derivatives are taken with respect to."""

    def __init__(self, trees: list[Any]) -> None:
        self.parts = [flatten(t) for t in trees]
        self.nodes = [build.make("alias", unwrap(v), loc=here()) for leaves, _ in self.parts for v in leaves]
        numbers = [number_of(v) for leaves, _ in self.parts for v in leaves]
        self.trees = self.unflatten([wrap(n, k) for n, k in zip(self.nodes, numbers, strict=True)])

    def unflatten(self, leaves: list[Any]) -> list[Any]:
        rest = iter(leaves)
        return [unflatten(tree, [next(rest) for _ in part]) for part, tree in self.parts]

    def whole(self, derivatives: list[Node | None]) -> list[Node]:
        """Zeros where nothing depends on it."""
        return [build.zeros(n.type) if d is None else d for n, d in zip(self.nodes, derivatives, strict=True)]


def _numbers(fn: Callable, argnums: int | tuple[int, ...], count: int) -> list[int]:
    numbers = [argnums] if isinstance(argnums, int) else list(argnums)
    for i in numbers:
        if not -count <= i < count:
            raise ScanValueError(f"argnums is {argnums}, but {name_of(fn, 'the function')} was called with {count} "
                                 f"argument{'s' * (count != 1)}", here())
    return [i % count for i in numbers]


def _check_floating(fn: Callable, trees: list[Any], numbers: list[int], holomorphic: bool = False) -> None:
    for tree, i in zip(trees, numbers, strict=True):
        for leaf, path in zip(flatten(tree)[0], paths(tree, ""), strict=True):
            dtype = unwrap(leaf).type.dtype
            if not differentiable(dtype):
                raise ScanTypeError(
                    f"the derivative with respect to argument {i}{path} of {name_of(fn, 'the function')} is asked for, "
                    f"which is {dtype}", here(), "derivatives are with respect to floating-point numbers",
                    "pass it as float64, or leave it out of argnums",
                )  # fmt: skip
            if holomorphic and dtype.kind != "c":
                raise ScanTypeError(f"holomorphic=True, but argument {i}{path} is {dtype}", here(),
                                    "holomorphic derivatives are with respect to complex numbers")


def _scalar(fn: Callable, returned: Any, holomorphic: bool) -> Node:
    name = name_of(fn, "the function")
    leaves, _ = flatten(returned)
    if len(leaves) != 1 or not isinstance(leaves[0], (ArrayOperators, np.ndarray, np.generic, int, float, complex)):
        raise ScanTypeError(f"{name} returned {returned!r}", of_function(fn), "a gradient is that of one number",
                            "return further values with has_aux=True")
    value = unwrap(leaves[0])
    if value.type.shape != ():
        raise ScanValueError(f"{name} returned an array of shape {show_shape(value.type.shape)}",
                             value.loc or of_function(fn), "a gradient is that of one number",
                             "reduce it, for example with .sum(), or use sc.jacrev")
    wanted = "c" if holomorphic else "f"
    if value.type.dtype.kind != wanted:
        raise ScanTypeError(f"{name} returned {value.type.dtype}", value.loc or of_function(fn),
                            f"a {'holomorphic derivative' if holomorphic else 'gradient'} is that of a "
                            f"{'complex' if holomorphic else 'real floating-point'} number",
                            "use holomorphic=True, or return a real part" if value.type.dtype.kind == "c" else "")
    return value


def _check_connected(fn: Callable, value: Node, marked: _Marked, numbers: list[int]) -> None:
    if isinstance(fn, Derived):
        return  # a derivative may be constant: that is no mistake
    below = set(topological([value]))
    rest = iter(marked.nodes)
    for (leaves, _), i in zip(marked.parts, numbers, strict=True):
        nodes = [next(rest) for _ in leaves]
        if nodes and not any(n in below for n in nodes):
            raise ScanValueError(f"the value of {name_of(fn, 'the function')} does not depend on argument {i}",
                                 of_function(fn), "a gradient is with respect to what the value depends on",
                                 "leave it out of argnums")


def vjp(fn: Callable, *primals: Any, has_aux: bool = False) -> Any:
    """`(fn(*primals), pull)`: `pull(d)` maps the derivative with respect to the value to those of all arguments.

    `d` has the structure, shapes and dtypes of the value; the result of `pull` is a tuple with one entry an argument.
    With `has_aux` `fn` returns a pair, and the result is `(value, pull, second part)`. Called outside of a compiled
    function, `pull` computes the value again.
    """

    def run(primals: tuple, d: Any, wanted: bool) -> Any:
        with naming():
            return _vjp(fn, primals, d, has_aux, wanted)

    name = name_of(fn, "function")
    value = compiled_call(lambda *p: call(fn, *p), name, ("value", fn), *primals)
    value, aux = value if has_aux else (value, None)

    def pull(d: Any) -> Any:
        return compiled_call(lambda p, d: run(p, d, True), f"{name}_vjp", ("vjp", fn, has_aux), primals, d)

    return (value, pull, aux) if has_aux else (value, pull)


def _vjp(fn: Callable, primals: tuple, d: Any, has_aux: bool, wanted: bool) -> Any:
    _check_floating(fn, list(primals), list(range(len(primals))))
    marked = _Marked(list(primals))
    returned = call(fn, *marked.trees)
    leaves, tree = flatten(returned[0] if has_aux else returned)
    given, given_tree = flatten(d)
    if given_tree != tree:
        raise ScanTypeError("the derivative given to a pullback has another structure than the value", here(),
                            fix="give it the containers, and the arrays in them, that the function returned")
    seeds: dict[Node, Node] = {}
    for value, part in zip(map(unwrap, leaves), map(unwrap, given), strict=True):
        if not differentiable(value.type.dtype):
            continue
        if not may_be_equal(part.type.shape, value.type.shape):
            raise ShapeError(f"the derivative given to a pullback is {part.type}, the value {value.type}", here())
        part = build.cast(expect(part, value.type.shape), value.type.dtype)
        seeds[value] = part if value not in seeds else build.make("add", seeds[value], part)
    kept: Kept = {}
    derivatives = marked.whole(pullback(seeds, marked.nodes, kept))
    mapping = with_kept(derivatives, kept)
    return tuple(marked.unflatten([wrap(mapping[x]) for x in derivatives]))


def jvp(fn: Callable, primals: Any, tangents: Any, has_aux: bool = False) -> Any:
    """`(fn(*primals), tangent)`: the value and its derivative in the direction `tangents`, in one pass forward.

    `primals` and `tangents` are tuples with one entry an argument, of equal structure and shapes. Raises ValueError
    where there are not as many of one as of the other.
    """

    def run(primals: tuple, tangents: tuple) -> Any:
        with naming():
            return _jvp(fn, primals, tangents, has_aux)

    if len(primals) != len(tangents):
        raise ScanValueError(f"{len(primals)} primals and {len(tangents)} tangents", here(),
                             "there is one tangent an argument")
    return compiled_call(run, f"{name_of(fn, 'function')}_jvp", ("jvp", fn, has_aux), tuple(primals), tuple(tangents))


def _jvp(fn: Callable, primals: tuple, tangents: tuple, has_aux: bool) -> Any:
    _check_floating(fn, list(primals), list(range(len(primals))))
    marked = _Marked(list(primals))
    given: dict[Node, Node] = {}
    leaves = [v for t in tangents for v in flatten(t)[0]]
    if len(leaves) != len(marked.nodes):
        raise ScanTypeError("tangents have another structure than primals", here(),
                            fix="give each argument a tangent with the same containers and shapes")
    for node, t in zip(marked.nodes, map(unwrap, leaves), strict=True):
        if t.type.ndim != node.type.ndim:
            raise ScanValueError(f"a tangent is {t.type}, its argument {node.type}", here())
        given[node] = build.cast(t, node.type.dtype)
    returned = call(fn, *marked.trees)
    returned, aux = returned if has_aux else (returned, None)
    values, tree = flatten(returned)
    aux_values, aux_tree = flatten(aux)
    nodes = [as_stored(v) for v in (*values, *aux_values)]
    new, found = pushforward(nodes, given)
    nothing = (build.zeros(n.type.with_dtype(widened(n.type.dtype))) for n in new)
    out = [zero if t is None else t for zero, t in zip(nothing, found, strict=True)][: len(values)]
    result = unflatten(tree, [wrap(n) for n in new[: len(values)]]), unflatten(tree, [wrap(t) for t in out])
    return (*result, unflatten(aux_tree, [wrap(n) for n in new[len(values) :]])) if has_aux else result


def linearize(fn: Callable, *primals: Any) -> tuple[Any, Callable]:
    """`(fn(*primals), push)`: `push(*tangents)` is the derivative at `primals` in a direction.

    There is one tangent an argument, of its structure and shapes; the derivative has those of the value.
    """
    value = compiled_call(lambda *p: call(fn, *p), name_of(fn, "function"), ("value", fn), *primals)
    return value, lambda *tangents: jvp(fn, primals, tangents)[1]


def hvp(fn: Callable, primals: Any, tangents: Any) -> Any:
    """The Hessian of a function of one number times a direction, without the Hessian: forward mode of the gradient.

    `primals` and `tangents` are tuples with one entry an argument, of equal structure and shapes. The result is one
    such entry, or a tuple of them for several arguments. Errors are those of `grad`.
    """
    primals, tangents = tuple(primals), tuple(tangents)
    numbers = tuple(range(len(primals)))
    found = jvp(grad(fn, numbers), primals, tangents)[1]
    return found[0] if len(primals) == 1 else found
