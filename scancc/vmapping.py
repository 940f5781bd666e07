"""`sc.vmap`: a function of one row becomes one of a batch of rows, computed together."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from scancc.batching.loops import batch
from scancc.errors import ScanTypeError, ScanValueError, ShapeError, UnsupportedError
from scancc.frontend.calling import call
from scancc.frontend.fits import may_be_equal, same
from scancc.frontend.location import here, name_of
from scancc.frontend.pytrees import LEAF, NONE, flatten, unflatten
from scancc.frontend.tracer import as_stored, number_of, tracing, unwrap, wrap
from scancc.gradients import naming
from scancc.ir import build
from scancc.ir.graph import Node, topological
from scancc.ir.types import Dim, show_shape
from scancc.transformed import Transformed


def vmap(fn: Callable, in_axes: Any = 0, out_axes: Any = 0) -> Transformed:
    """`fn` for every row of a batch: the results are those of a Python loop over the rows, stacked.

    `in_axes` says along which axis the rows of an argument lie; None: all rows share it. It is one number for all
    arguments, or a tuple with one entry an argument, which may be a container like the argument; rows of arguments
    that are given by name lie along the first axis. `out_axes` says the same of the results. Scans become one loop
    for all rows. A row takes its own branches and leaves its own loops: what it does not do has no effect, neither an
    error nor a check, nor anything on a derivative. A loop that rows leave at different steps gives outputs with
    zeros after the end of each row, where the function returns them.

    Raises ValueError for axes that are not there and for batches of different sizes, and NotImplementedError where a
    shared variable would be updated for every row.
    """

    def run(*args: Any, **given: Any) -> Any:
        with naming():
            return _vmap(fn, args, given, in_axes, out_axes)

    return Transformed(fn, vmap, run, in_axes, out_axes)


def _vmap(fn: Callable, args: tuple, given: dict[str, Any], in_axes: Any, out_axes: Any) -> Any:
    each = in_axes if isinstance(in_axes, (tuple, list)) else (in_axes,) * len(args)
    if len(each) != len(args):
        raise ScanValueError(f"in_axes has {len(each)} entries for {len(args)} arguments", here())
    names = tuple(given)
    args, each = (*args, *given.values()), (*each, *(0 for _ in names))
    parts = [flatten(a) for a in args]
    axes_of = [_spread(axes, parts[i][1], f"in_axes[{i}]") for i, axes in enumerate(each)]
    whole = [[unwrap(v) if axis is None else _moved(unwrap(v), axis, i)
              for v, axis in zip(values, axes, strict=True)]
             for i, ((values, _), axes) in enumerate(zip(parts, axes_of, strict=True))]  # fmt: skip
    length, batched = _equally_long(whole, axes_of)
    leaves: dict[Node, Node] = {}
    rows: list[Any] = []
    for nodes, (values, tree), axes in zip(whole, parts, axes_of, strict=True):
        inner = []
        for node, v, axis in zip(nodes, values, axes, strict=True):
            if axis is None:
                inner.append(wrap(node, number_of(v)))
                continue
            node = next(batched)
            first = build.make("index", node, loc=here(), axis=0, position=0)
            row = build.make("alias", first, loc=here())
            leaves[row] = node
            inner.append(wrap(row))
        rows.append(unflatten(tree, inner))
    scope = tracing()
    effects, updates = len(scope.effects), dict(scope.updates)
    count = len(rows) - len(names)
    results, tree = flatten(call(fn, *rows[:count], **dict(zip(names, rows[count:], strict=True))))
    nodes = [as_stored(r) for r in results]
    _check_updates(fn, leaves, [n for s, n in scope.updates.items() if updates.get(s) is not n])
    done = scope.effects[effects:]
    made = batch([*nodes, *done], leaves, length, scope.root.together)
    scope.effects[effects:] = dict.fromkeys(made.value[n] for n in done)
    out = []
    for node, axis in zip(nodes, _spread(out_axes, tree, "out_axes"), strict=True):
        value = made.value[node]
        if axis is None:
            if node in made.batched:
                raise ScanValueError("out_axes is None for a result that differs from row to row", here(),
                                     fix="give the axis along which its rows are stacked")  # fmt: skip
            out.append(wrap(value))
            continue
        value = made.whole(node)
        out.append(wrap(_to_axis(value, axis)))
    return unflatten(tree, out)


def _equally_long(
    whole: list[list[Node]], axes_of: list[list[int | None]]
) -> tuple[int | Dim, Iterator[Node]]:  # fmt: skip
    """The number of rows, and the arguments that have as many, in their order."""
    found = [(i, n) for i, (nodes, axes) in enumerate(zip(whole, axes_of, strict=True))
             for n, axis in zip(nodes, axes, strict=True) if axis is not None]  # fmt: skip
    if not found:
        raise ScanValueError("no argument has an axis for the batch", here(), fix="give in_axes that are not all None")
    lengths = [n.type.shape[0] for _, n in found]
    length = next((d for d in lengths if isinstance(d, int)), lengths[0])
    for i, n in found:
        if not may_be_equal((n.type.shape[0],), (length,)):
            raise ShapeError(f"argument {i} has {n.type.shape[0]} rows, another one {length}", here(), context="vmap")
    nodes = same([n for _, n in found], [[(k, 0) for k in range(len(found))]])
    return nodes[0].type.shape[0], iter(nodes)


def _check_updates(fn: Callable, leaves: dict[Node, Node], updated: list[Node]) -> None:
    """Updates of shared variables happen once, not for every row."""
    if any(n in leaves for n in topological(updated)):
        raise UnsupportedError(f"{name_of(fn, 'the function')} updates a shared variable in what is computed for every "
                               "row of a batch", here(), fix="do so with all of the batch, outside of sc.vmap")


def _spread(axes: Any, tree: Any, name: str) -> list[int | None]:
    """One axis a leaf: from one number for all of them, or a container of the same structure."""
    count = _leaves_of(tree)
    if axes is None or isinstance(axes, int):
        return [axes] * count
    if isinstance(axes, dict) and isinstance(tree, tuple) and tree[0] == "dict" and set(axes) == set(tree[1]):
        return [a for k, t in zip(tree[1], tree[2], strict=True) for a in _spread(axes[k], t, name)]
    if isinstance(axes, (list, tuple)) and isinstance(tree, tuple) and len(axes) == len(tree[2]):
        return [a for x, t in zip(axes, tree[2], strict=True) for a in _spread(x, t, name)]
    raise ScanTypeError(f"{name} is {axes!r}, which does not fit the structure it belongs to", here(),
                        fix="give a number, None, or a container with one entry a part")


def _leaves_of(tree: Any) -> int:
    if tree in (LEAF, NONE):
        return int(tree == LEAF)
    return sum(map(_leaves_of, tree[2]))


def _moved(x: Node, axis: int, i: int) -> Node:
    rank = x.type.ndim
    if not -rank <= axis < rank:
        raise ScanValueError(f"the axis of the batch is {axis}, but argument {i} has shape "
                             f"{show_shape(x.type.shape)}", here(),
                             fix="pass None in in_axes for what all rows share")
    axis %= rank
    if axis == 0:
        return x
    return build.make("transpose", x, loc=here(), perm=(axis, *(a for a in range(rank) if a != axis)))


def _to_axis(x: Node, axis: int) -> Node:
    rank = x.type.ndim
    if not -rank <= axis < rank:
        raise ScanValueError(f"out_axes is {axis} for a result of {rank} axes", here())
    axis %= rank
    perm = (*range(1, axis + 1), 0, *range(axis + 1, rank))
    return x if axis == 0 else build.make("transpose", x, loc=here(), perm=perm)


