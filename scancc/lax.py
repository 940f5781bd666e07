"""Loops in the style of `jax.lax`: carries and outputs are pytrees, so that a JAX loop runs by changing its import.

    carry, ys = sc.lax.scan(f, init, xs)          f(carry, x) -> (carry, y)

Outside of compiled functions these compile at the first call for the structure, dtypes and row shapes of their
arguments; inside they are part of the function. Carries may be containers: dict, list, tuple, NamedTuple, dataclass,
None.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from scancc.arrays import as_argument
from scancc.calls import compiled_call
from scancc.errors import CarryShapeError, CarryTypeError, ScanTypeError, ScanValueError
from scancc.frontend.calling import call
from scancc.frontend.conditionals import cond as conditional
from scancc.frontend.location import here, name_of, of_function
from scancc.frontend.pytrees import describe, flatten, paths, unflatten
from scancc.frontend.returns import Until
from scancc.frontend.scan_arguments import OutputArgument, ScanArguments, SequenceArgument, check_steps
from scancc.frontend.scans import add_scan
from scancc.frontend.tracer import is_traced, unwrap, wrap
from scancc.ir import build
from scancc.ir.graph import ASSOCIATIVE
from scancc.ir.names import fresh_name
from scancc.ir.types import show_shape

FOREVER = 1 << 62  # steps of a loop that only its condition ends


def scan(f: Callable, init: Any, xs: Any = None, length: Any = None, reverse: bool = False, unroll: Any = 1) -> Any:
    """Carry a value along the leading axis of `xs`, and collect outputs.

    Equivalent to::

        carry, ys = init, []
        for x in xs:
            carry, y = f(carry, x)
            ys.append(y)
        return carry, np.stack(ys)

    `xs` is a pytree of arrays with one leading length, or None with `length` given. With `reverse` it runs from the
    last row to the first, outputs staying in the order of their rows. `unroll` is accepted and means nothing.

    Raises ValueError for lengths that differ, TypeError or ValueError where `f` returns a carry of another structure,
    dtype or shape, naming the leaf.
    """

    def run(init: Any, xs: Any, length: Any) -> Any:
        return _traced_scan(f, init, xs, length, reverse)

    _check_lengths(xs, length)
    return compiled_call(run, name_of(f, "scan"), ("scan", f, reverse), init, xs, length)


def map(f: Callable, xs: Any, batch_size: Any = None) -> Any:
    """`f` applied to every row of a pytree of arrays, the results stacked: leaves of shape (rows, *shape of a result).

    `batch_size` is accepted and means nothing. Raises ValueError for lengths that differ, and for scalars among `xs`.
    """
    _check_lengths(xs, None)
    
    def run(xs: Any) -> Any:
        return _traced_scan(lambda _, x: (None, call(f, x)), None, xs, None, False)[1]

    return compiled_call(run, name_of(f, "map"), ("map", f), xs)


def _check_lengths(xs: Any, length: Any) -> None:
    """What can be told of the rows before anything is traced."""
    leaves = [x for x in flatten(xs)[0] if not is_traced(x)]
    if any(np.ndim(x) == 0 for x in leaves):
        raise ScanValueError("a leaf of xs is a scalar", here(), "rows of xs are along its first axis")
    rows = {np.shape(x)[0] for x in leaves}
    if length is not None and not is_traced(length):
        rows.add(check_steps(length))
    if len(rows) > 1:
        raise ScanValueError(f"the lengths {' and '.join(str(n) for n in sorted(rows))} of xs differ", here(),
                             "every leaf of xs has one row a step, and length is their number")


def while_loop(cond_fun: Callable, body_fun: Callable, init_val: Any) -> Any:
    """`val = body_fun(val)` as long as `cond_fun(val)` holds; the last value, a pytree like `init_val`.

    Shapes stay what they are, dtypes too, or widen where that is exact: anything else is a ValueError or TypeError.
    """

    def run(init: Any) -> Any:
        steps = np.where(_truth(cond_fun, init), FOREVER, 0)

        def step(value: Any, _: Any) -> Any:
            new = call(body_fun, value)
            return new, Until(np.logical_not(_truth(cond_fun, new)))

        return _traced_scan(step, init, None, steps, False, until=True)[0]

    return compiled_call(run, name_of(body_fun, "while"), ("while", cond_fun, body_fun), init_val)


def fori_loop(lower: Any, upper: Any, body_fun: Callable, init_val: Any, unroll: Any = None) -> Any:
    """`val = body_fun(i, val)` for i from `lower` to before `upper`; the last value, a pytree like `init_val`.

    `i` is an int64; bounds may be traced. Where `upper` is not above `lower` the result is `init_val`. Errors are those
    of `while_loop`; `unroll` is accepted and means nothing.
    """

    def run(lower: Any, upper: Any, init: Any) -> Any:
        low, high = (np.asarray(v, np.int64) if not is_traced(v) else v.astype("int64") for v in (lower, upper))
        steps = np.maximum(high - low, 0)
        def step(carry: Any, _: Any) -> Any:
            i, value = carry
            return (i + 1, call(body_fun, i, value)), None

        return _traced_scan(step, (low, init), None, steps, False)[0][1]

    return compiled_call(run, name_of(body_fun, "loop"), ("fori", body_fun), lower, upper, init_val)


def cond(pred: Any, true_fun: Callable, false_fun: Callable, *operands: Any) -> Any:
    """`true_fun(*operands)` where `pred` holds, else `false_fun(*operands)`: `sc.cond` by its name in JAX."""
    return conditional(pred, true_fun, false_fun, *operands)


def switch(index: Any, branches: Sequence[Callable], *operands: Any) -> Any:
    """`branches[index](*operands)`; an index below 0 means the first branch, one beyond the end the last, as in JAX.

    `index` is one integer. Branches return the same structure and shapes. Raises ValueError without branches, TypeError
    or ValueError naming what the branches return where that differs.
    """
    if not branches:
        raise ScanValueError("sc.lax.switch has no branches", here())
    if np.ndim(index) != 0 or np.result_type(getattr(index, "dtype", type(index))).kind not in "iu":
        raise ScanTypeError("the index of sc.lax.switch is not one integer", here(), fix="convert it by int() before")

    def chosen(low: int, high: int) -> Any:
        if low + 1 == high:
            return call(branches[low], *operands)
        middle = (low + high) // 2
        return conditional(index < middle, lambda: chosen(low, middle), lambda: chosen(middle, high))

    return chosen(0, len(branches))


def associative_scan(fn: Callable, elems: Any, reverse: bool = False, axis: int = 0) -> Any:
    """All prefixes under an associative `fn(a, b)` of rows (pytrees): y[0] = x[0], y[t] = fn(y[t-1], x[t]).

    Rows lie along `axis` of every leaf, and results have the shapes and dtypes of `elems`. With `reverse` it begins at
    the last row: y[t] = fn(y[t+1], x[t]).

    Raises ValueError for leaves without the axis or of unequal lengths, and where `fn` returns another shape;
    TypeError where it returns another structure, or a dtype that the leaf's cannot hold.
    """

    def run(elems: Any) -> Any:
        leaves, tree = flatten(elems)
        labels = paths(elems, "elems")
        leaves = _of_one_length([_rows_first(x, axis, label) for x, label in zip(leaves, labels, strict=True)])

        def step(carry: Any, row: Any) -> Any:
            first, before = carry
            after, found = flatten(call(fn, unflatten(tree, before), unflatten(tree, row)))
            if found != tree:
                raise CarryTypeError(f"elems are {describe(tree)}, but the function returns {describe(found)}",
                                     of_function(fn), "an associative function returns what it takes")
            after = [_like(fn, x, a, label) for x, a, label in zip(row, after, labels, strict=True)]
            new = [np.where(first, x, a) for x, a in zip(row, after, strict=True)]
            return (wrap(build.const(False, "bool")), new), new

        start = [np.zeros_like(x[0]) if isinstance(x.node.type.shape[0], int) and x.node.type.shape[0] else
                 wrap(build.broadcast_to(build.const(0, x.dtype), x.node.type.shape[1:])) for x in leaves]
        first = wrap(build.const(True, "bool"))
        _, ys = _traced_scan(step, (first, start), leaves, None, reverse, strategy=ASSOCIATIVE)
        return unflatten(tree, [np.moveaxis(y, 0, axis) for y in ys])

    axis = operator.index(axis)
    given = flatten(elems)[0]
    if not given:
        raise ScanValueError("elems has no array", here(), "an associative scan runs over one array or more")
    rows = [np.moveaxis(x, axis, 0) for x in given if not is_traced(x) and -np.ndim(x) <= axis < np.ndim(x)]
    _check_lengths(rows, None)
    return compiled_call(run, name_of(fn, "scan"), ("associative", fn, reverse, axis), elems)


def _rows_first(leaf: Any, axis: int, label: str) -> Any:
    x = wrap(unwrap(leaf))
    if not -x.ndim <= axis < x.ndim:
        raise ScanValueError(f"{label} has {x.ndim} axes, and no axis {axis}", here(),
                             "rows of an associative scan lie along `axis` of every leaf")
    return np.moveaxis(x, axis, 0)


def _of_one_length(leaves: list[Any]) -> list[Any]:
    """Leaves whose first axes are as long as that of the first leaf, which a run checks where it is not known yet."""
    known = {x.node.type.shape[0] for x in leaves}
    fixed = sorted(n for n in known if isinstance(n, int))
    if len(fixed) > 1:
        raise ScanValueError(f"the lengths {' and '.join(map(str, fixed))} of elems differ", here(),
                             "every leaf of elems has the same rows")
    if len(known) == 1:
        return leaves
    length = fixed[0] if fixed else leaves[0].node.type.shape[0]
    return [x if x.node.type.shape[0] == length else
            wrap(build.make("expect", x.node, shape=(length, *x.node.type.shape[1:]), loc=here())) for x in leaves]


def _like(fn: Callable, row: Any, result: Any, label: str) -> Any:
    """What `fn` returned for a leaf, in its dtype where that holds it."""
    value = wrap(unwrap(result))
    if value.node.type.shape != row.node.type.shape:
        raise CarryShapeError(
            f"rows of {label} have shape {show_shape(row.node.type.shape)}, but the function returns "
            f"{show_shape(value.node.type.shape)}", of_function(fn), "an associative function keeps shapes",
        )  # fmt: skip
    if value.dtype != row.dtype and not np.can_cast(value.dtype, row.dtype, "safe"):
        raise CarryTypeError(f"{label} is {row.dtype}, but the function returns {value.dtype}", of_function(fn),
                             "results have the dtypes of elems",
                             f"convert it first, for example x.astype({value.dtype.name!r})")  # fmt: skip
    return value.astype(row.dtype)


def _cumulative(ufunc: np.ufunc) -> Callable:
    def run(operand: Any, axis: int = 0, reverse: bool = False) -> Any:
        x = operand if is_traced(operand) else as_argument(operand)
        if x.dtype.kind == "b" and ufunc in (np.add, np.multiply):
            raise ScanTypeError(f"running {ufunc.__name__} of truth values", here(),
                                fix="convert them first, x.astype('int64')")
        if ufunc is np.logaddexp and x.dtype.kind in "biu":
            one = np.ones((), x.dtype)
            x = x.astype(ufunc(one, one).dtype)
        return associative_scan(ufunc, x, reverse, axis)

    run.__doc__ = (f"Running {ufunc.__name__} along an axis, from its end with `reverse`; shape and dtype are those of "
                   "the operand, integers of cumlogsumexp being floats as in NumPy.")
    return run


cumsum, cumprod = _cumulative(np.add), _cumulative(np.multiply)
cummax, cummin = _cumulative(np.maximum), _cumulative(np.minimum)
cumlogsumexp = _cumulative(np.logaddexp)


def _truth(cond_fun: Callable, value: Any) -> Any:
    found = call(cond_fun, value)
    if np.ndim(found) != 0:
        raise ScanTypeError(f"the condition of while_loop has {np.ndim(found)} axes", of_function(cond_fun),
                            "a condition is one truth value", "reduce it with .any() or .all()")
    return found


def _traced_scan(f: Callable, init: Any, xs: Any, length: Any, reverse: bool, until: bool = False,
                 strategy: str = "steps") -> Any:
    """The scan op, as part of what is being traced."""
    carries, carry_tree = flatten(init)
    sequences, xs_tree = flatten(xs)
    if not sequences and length is None:
        raise ScanValueError("the number of steps is unknown", here(), "a scan without xs needs its length",
                             "pass length=...")
    names = _names([*paths(xs, "x"), *paths(init, "carry")])
    seen: dict[str, Any] = {}

    def step(*leaves: Any) -> Any:
        row = unflatten(xs_tree, leaves[: len(sequences)])
        returned = call(f, unflatten(carry_tree, leaves[len(sequences) :]), row)
        if not isinstance(returned, tuple) or len(returned) != 2:
            raise ScanTypeError(f"the function returned {type(returned).__name__}", of_function(f),
                                "the function of a lax scan returns a pair (carry, y)", "return (carry, None)")
        new, y = returned
        stop = y if until else None
        values, tree = flatten(new)
        if tree != carry_tree:
            raise CarryTypeError(
                f"the carry is {describe(carry_tree)}, but the function returns {describe(tree)}", of_function(f),
                "a carry must keep its structure from step to step",
            )  # fmt: skip
        outputs, seen["tree"] = flatten(None if until else y)
        everything = [wrap(unwrap(v)) for v in (*values, *outputs)]
        return (everything, stop) if until else everything

    infos = tuple(OutputArgument(names[len(sequences) + i], c, (-1,)) for i, c in enumerate(carries))
    args = ScanArguments(
        tuple(SequenceArgument(n, x, (0,)) for n, x in zip(names, sequences, strict=False)),
        infos, (), check_steps(length) if length is not None else None, reverse, more_outputs=True,
    )  # fmt: skip
    traced = add_scan(step, args, name_of(f, "scan"), strategy=strategy)
    last = [wrap(build.final(traced.node, n)) for n in traced.names[: len(carries)]]
    ys = [wrap(traced.trace(n)) for n in traced.names[len(carries) :]]
    if reverse:
        ys = [np.flip(y, 0) for y in ys]
    return unflatten(carry_tree, last), unflatten(seen["tree"], ys)


def _names(labels: list[str]) -> list[str]:
    """Identifiers for leaves: carry['h'][0] becomes carry_h_0."""
    taken: set[str] = set()
    return [fresh_name(re.sub(r"\W+", "_", label).strip("_") or "leaf", taken) for label in labels]
