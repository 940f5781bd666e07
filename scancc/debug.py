"""Looking into steps while they run: prints, checks, the values of every step, and where a NaN comes from."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from scancc_runtime.messages import rendered

from scancc import interpreter
from scancc.driver import NANS
from scancc.errors import CheckError, ScanTypeError, ScanValueError
from scancc.frontend.effects import add_check, add_effect
from scancc.frontend.location import here
from scancc.frontend.operators import ArrayOperators
from scancc.frontend.scope import SYMBOLIC, UNUSUAL, current
from scancc.frontend.tracer import is_traced, unwrap
from scancc.interpreter import StepRecord
from scancc.ir import build
from scancc.ir.graph import Node

COMPARISONS = frozenset("less less_equal greater greater_equal equal not_equal isfinite isnan logical_not".split())


def debug_print(message: str, *values: Any, **named: Any) -> None:
    """Print in a step, at every step: `sc.debug_print("h={}", h)`; `message` is a format string of `str.format`.

    Outside of a step it prints at once. A kernel that prints calls Python for every line, and is not kept on disk.

    Raises ValueError for a message that the values do not fit.
    """
    _effect("print", None, message, values, named)


def check(condition: Any, message: str, *values: Any, **named: Any) -> None:
    """Demand in a step that a condition holds (all of its elements): otherwise the run fails with CheckError.

    The error names the step, the line and the values: those given for the format string `message`, or where it has
    none those that the condition compares. Nothing that the failed run computed is returned or written back.
    """
    _effect("check", condition, message, values, named)


def _effect(op: str, condition: Any, message: str, values: tuple, named: dict[str, Any]) -> None:
    every = (*values, *named.values())
    try:
        text = rendered(message, tuple(named), tuple(_stand_in(v) for v in every))
    except (IndexError, KeyError, ValueError, TypeError) as e:
        raise ScanValueError(f"the message {message!r} does not fit its values: {e}", here()) from None
    scope = current()
    if scope is None and not is_traced(condition, *every):
        if op == "print":
            print(rendered(message, tuple(named), every), flush=True)
        elif not np.all(condition):
            raise CheckError(text, here())
        return
    if scope is None or scope is SYMBOLIC:
        raise ScanTypeError(f"sc.{'debug_' * (op == 'print')}{op} of a symbolic variable outside of a step", here(),
                            "prints and checks happen in steps and in functions that are traced")
    nodes = [unwrap(v) for v in every]
    names = tuple(named)
    if op == "check":
        test = unwrap(condition)
        if not nodes and test.op in COMPARISONS:
            nodes = [a for a in test.args if a.op != "const"]
            shown = ", ".join(["{}"] * len(nodes))
            message = text.replace("{", "{{").replace("}", "}}") + f" (compared: {shown})" * bool(nodes)
        add_check(_truth(test), *nodes, message=message, names=names)
    else:
        add_effect("print", *nodes, message=message, names=names)


def _stand_in(value: Any) -> Any:
    """Something of the kind of a traced value, to try a format on."""
    if not is_traced(value) or not isinstance(value, ArrayOperators):
        return value
    shape = tuple(d if isinstance(d, int) else 1 for d in unwrap(value).type.shape)
    return np.ones(shape, value.dtype)[()]


def _truth(test: Node) -> Node:
    if test.type.dtype.kind != "b":
        test = build.make("not_equal", test, build.const(0, test.type.dtype), loc=here())
    return build.make("reduce_all", test, loc=here(), axes=tuple(range(test.type.ndim))) if test.type.ndim else test


@contextmanager
def trace_steps() -> Iterator[list[StepRecord]]:
    """Record every step that `mode="interpret"` runs inside of the block::

        with sc.trace_steps() as steps:
            sc.scan(step, xs, 0.0, mode="interpret")
        print(steps[3])

    A record has the scan's name, the indices of the loops around and of the step, and the value of every op by its
    line of source; as text it is a table of them.
    """
    records: list[StepRecord] = []
    token = interpreter.OBSERVER.set(records.append)
    try:
        yield records
    finally:
        interpreter.OBSERVER.reset(token)


@contextmanager
def debug_nans(on: bool = True) -> Iterator[None]:
    """Inside of the block a run whose results hold a NaN raises NanError: the first step, op and line that made one.

    The run is repeated by the interpreter to find it. NaNs that were in the inputs are not errors by themselves: it is
    the first op that makes a NaN of none that counts.
    """
    if NANS not in UNUSUAL:
        UNUSUAL.append(NANS)  # for good: contexts that are copied meanwhile may outlive the block
    token = NANS.set(on)
    try:
        yield
    finally:
        NANS.reset(token)
