"""`theano.scan` and its short forms: they return (outputs, updates)."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

from scancc.frontend.location import name_of
from scancc.frontend.returns import Until as until
from scancc.frontend.scan_arguments import backward_of, normalise
from scancc.frontend.scans import add_scan
from scancc.frontend.scope import SYMBOLIC, current, entered
from scancc.frontend.tracer import wrap

__all__ = ["OrderedUpdates", "foldl", "foldr", "map", "reduce", "scan", "until"]


class OrderedUpdates(dict):
    """New values of shared variables, by variable. Sums of two keep both; the right one wins."""

    def __add__(self, other: Any) -> OrderedUpdates:
        return OrderedUpdates({**self, **dict(other)})


def scan(
    fn: Callable,
    sequences: Any = None,
    outputs_info: Any = None,
    non_sequences: Any = None,
    n_steps: Any = None,
    truncate_gradient: int = -1,
    go_backwards: bool = False,
    mode: Any = None,
    name: str | None = None,
    profile: bool = False,
    allow_gc: bool | None = None,
    strict: bool = False,
    return_list: bool = False,
) -> tuple[Any, OrderedUpdates]:
    """Theano's scan: (outputs, updates).

    Outputs are one variable, a list of them, or None when the step only updates shared variables; `updates` holds the
    values of shared variables after the last step, for `function(..., updates=)`. `mode`, `profile` and `allow_gc` mean
    nothing here.
    """
    backward = backward_of(truncate_gradient)
    with nullcontext() if current() is not None else entered(SYMBOLIC):
        args = normalise(fn, sequences, outputs_info, non_sequences, n_steps, go_backwards)
        label = name or name_of(fn, "scan")
        traced = add_scan(fn, args, label, strict, publish=False, backward=backward)
        outputs: Any = [wrap(traced.trace(n)) for n in traced.names]
        updates = OrderedUpdates({shared: wrap(node) for shared, node in traced.updates.items()})
    if not outputs and not return_list:
        return None, updates
    return (outputs if return_list or len(outputs) > 1 else outputs[0]), updates


def map(fn: Callable, sequences: Any, non_sequences: Any = None, truncate_gradient: int = -1,
        go_backwards: bool = False, mode: Any = None,
        name: str | None = None) -> tuple[Any, OrderedUpdates]:  # fmt: skip
    """`scan` without feedback."""
    return scan(fn, sequences, None, non_sequences, truncate_gradient=truncate_gradient, go_backwards=go_backwards,
                name=name)  # fmt: skip


def reduce(fn: Callable, sequences: Any, outputs_info: Any, non_sequences: Any = None, go_backwards: bool = False,
           mode: Any = None, name: str | None = None) -> tuple[Any, OrderedUpdates]:  # fmt: skip
    """The last value of each output of `scan`."""
    outputs, updates = scan(fn, sequences, outputs_info, non_sequences, go_backwards=go_backwards, name=name,
                            return_list=True)  # fmt: skip
    last = [o[-1] for o in outputs]
    return (last if len(last) > 1 else last[0]), updates


def foldl(fn: Callable, sequences: Any, outputs_info: Any, non_sequences: Any = None, mode: Any = None,
          name: str | None = None) -> tuple[Any, OrderedUpdates]:  # fmt: skip
    """`reduce` from the first element to the last."""
    return reduce(fn, sequences, outputs_info, non_sequences, name=name)


def foldr(fn: Callable, sequences: Any, outputs_info: Any, non_sequences: Any = None, mode: Any = None,
          name: str | None = None) -> tuple[Any, OrderedUpdates]:  # fmt: skip
    """`reduce` from the last element to the first."""
    return reduce(fn, sequences, outputs_info, non_sequences, go_backwards=True, name=name)
