"""Jacobians and Hessians: forward or reverse mode for all basis vectors at once, as one batched program."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from scancc.autodiff.arithmetic import fresh
from scancc.autodiff.shapes import iota
from scancc.errors import ScanTypeError
from scancc.frontend.calling import call
from scancc.frontend.location import here
from scancc.frontend.pytrees import flatten, unflatten
from scancc.frontend.tracer import Tracer, unwrap, wrap
from scancc.gradients import Derived, jvp, naming, vjp
from scancc.ir import build
from scancc.vmapping import vmap


def jacfwd(fn: Callable, argnums: int | tuple[int, ...] = 0) -> Derived:
    """The Jacobian of `fn` by forward mode, one column a component of the argument: best for few arguments.

    For a value of shape S and an argument of shape T it has shape (*S, *T). Values and arguments may be pytrees: the
    result has the structure of the value, with that of the argument at every leaf.
    """

    def run(*args: Any, **named: Any) -> Any:
        with naming():
            return _jacobian(args, argnums, lambda given, put: _forward(_with(fn, named), given, put))

    return Derived(fn, jacfwd, run, argnums)


def jacrev(fn: Callable, argnums: int | tuple[int, ...] = 0) -> Derived:
    """The Jacobian of `fn` by reverse mode, one row a component of the value: best for few values. As `jacfwd`."""

    def run(*args: Any, **named: Any) -> Any:
        with naming():
            return _jacobian(args, argnums, lambda given, put: _reverse(_with(fn, named), given, put))

    return Derived(fn, jacrev, run, argnums)


def _with(fn: Callable, named: dict[str, Any]) -> Callable:
    """A function of its positional arguments alone."""
    return functools.partial(fn, **named) if named else fn


def hessian(fn: Callable, argnums: int | tuple[int, ...] = 0) -> Derived:
    """The matrix of second derivatives of a function of one number: forward mode of its reverse mode.

    For an argument of shape T it has shape (*T, *T).
    """
    return Derived(fn, hessian, jacfwd(jacrev(fn, argnums), argnums)._run, argnums)


def _jacobian(args: tuple, argnums: int | tuple[int, ...], made: Callable) -> Any:
    numbers = [argnums] if isinstance(argnums, int) else list(argnums)

    def put(values: tuple) -> tuple:
        full = list(args)
        for i, v in zip(numbers, values, strict=True):
            full[i] = v
        return tuple(full)

    given = tuple(args[i] for i in numbers)
    leaves = [wrap(unwrap(v)) for part in given for v in flatten(part)[0]]
    if any(v.dtype.kind != "f" for v in leaves):
        raise ScanTypeError("a Jacobian with respect to numbers that are not real floating point", here(),
                            fix="pass them as float64, or leave them out of argnums")
    columns, out_tree = made(given, put)
    # columns[value leaf][argument leaf]
    single = isinstance(argnums, int)
    trees = [flatten(part)[1] for part in given]
    found = []
    for row in columns:
        rest = iter(row)
        parts = [unflatten(t, [next(rest) for _ in flatten(p)[0]]) for t, p in zip(trees, given, strict=True)]
        found.append(parts[0] if single else tuple(parts))
    return unflatten(out_tree, found)


def _forward(fn: Callable, given: tuple, put: Callable) -> tuple[list[list[Any]], Any]:
    parts = [flatten(p) for p in given]
    leaves = [wrap(unwrap(v)) for values, _ in parts for v in values]
    columns: list[list[Any]] = []
    tree: Any = None

    def with_leaf(values: list[Any]) -> tuple:
        rest = iter(values)
        return tuple(unflatten(t, [next(rest) for _ in vs]) for vs, t in parts)

    for k, x in enumerate(leaves):
        def push(t: Any, k: int = k) -> Any:
            zeros = [np.zeros_like(v) if j != k else t for j, v in enumerate(leaves)]
            return jvp(lambda *v: call(fn, *put(v)), with_leaf(leaves), with_leaf(zeros))[1]

        tangent = vmap(push, out_axes=-1)(basis(x))
        values, tree = flatten(tangent)
        columns.append([_split_last(v, x) for v in values])
    return [list(row) for row in zip(*columns, strict=True)], tree


def _reverse(fn: Callable, given: tuple, put: Callable) -> tuple[list[list[Any]], Any]:
    value = call(fn, *put(given))
    outputs, tree = flatten(value)
    outputs = [wrap(unwrap(v)) for v in outputs]
    rows: list[list[Any]] = []
    for k, y in enumerate(outputs):
        def pull(d: Any, k: int = k) -> Any:
            ds = [np.zeros_like(v) if j != k else d for j, v in enumerate(outputs)]
            return vjp(lambda *v: call(fn, *put(v)), *given)[1](unflatten(tree, ds))

        found = vmap(pull)(basis(y))
        rows.append([_split_first(v, y) for v in flatten(found)[0]])
    return rows, tree


def basis(x: Tracer) -> Tracer:
    """The unit vectors of the space of `x`, each with its shape."""
    node = unwrap(x)
    size = build.integer(1)
    for axis in range(node.type.ndim):
        n = build.dim_of(node, axis)
        both = size.op == n.op == "const"
        size = (build.integer(int(size.attrs["value"]) * int(n.attrs["value"])) if both
                else n if size.op == "const" and int(size.attrs["value"]) == 1 else build.make("multiply", size, n))
    count = build.dim_from(size, fresh("basis"))
    line = iota(size) if not isinstance(count, int) else build.const(np.arange(count))
    unit = build.make("equal", build.reshape(line, (count, 1)), build.reshape(line, (1, count)))
    return wrap(build.reshape(build.cast(unit, node.type.dtype), (count, *node.type.shape)))


def _split_last(v: Tracer, x: Tracer) -> Tracer:
    node, like = unwrap(v), unwrap(x)
    return wrap(build.reshape(node, (*node.type.shape[:-1], *like.type.shape)))


def _split_first(v: Tracer, y: Tracer) -> Tracer:
    node, like = unwrap(v), unwrap(y)
    return wrap(build.reshape(node, (*like.type.shape, *node.type.shape[1:])))


