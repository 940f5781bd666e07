"""`if` statements. Branches share the variables of the function around them.

`get` and `put` read and set those that the branches bind, so that both start from the same values.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from scancc.errors import UnsupportedError
from scancc.frontend.conditionals import add_cond, truth_value
from scancc.frontend.control_flow.expressions import choose
from scancc.frontend.control_flow.joins import Join, Pairs, Undefined, refuse_stores
from scancc.frontend.control_flow.jumps import RETURNED
from scancc.frontend.location import here
from scancc.frontend.tracer import is_traced


def if_(
    test: Any, then: Callable, orelse: Callable, get: Callable, put: Callable, names: tuple, stores: tuple
) -> None:
    if not is_traced(test):
        (then if test else orelse)()
        return
    refuse_stores(stores)
    before = get()
    loc = here()
    join = Join()
    merged: dict[str, Callable] = {}

    def run(branch: Callable) -> Callable[[], tuple]:
        def call() -> tuple:
            put(before)
            branch()
            return get()  # type: ignore[no-any-return]

        return join.branch(call)

    def pairs(a: tuple, b: tuple) -> Pairs:
        join.add_changed()
        for name, left, right in zip(names, a, b, strict=True):
            if left is right:
                merged[name] = lambda values, left=left: left
            elif not name.startswith(RETURNED) and (isinstance(left, Undefined) or isinstance(right, Undefined)):
                line = f"line {loc.line}" if loc else "no source"
                one = Undefined(name, f"has a value in one branch of an `if` on traced values only ({line})")
                merged[name] = lambda values, one=one: one
            else:
                merged[name] = join.add(name, left, right, f"`{name}` is")
        return join.pairs

    values = add_cond(truth_value(test), (run(then), run(orelse)), pairs)
    join.write_changed(values)
    put(tuple(merged[name](values) for name in names))


def if_return(
    test: Any, then: Callable, orelse: Callable, get: Callable, put: Callable, names: tuple, stores: tuple
) -> Any:
    """An `if` whose branches end the function."""
    if not is_traced(test):
        return (then if test else orelse)()
    refuse_stores(stores)
    before = get()
    returned: list[Any] = []

    def run(branch: Callable) -> Callable[[], Any]:
        def call() -> Any:
            put(before)
            value = branch()
            returned.append(value)
            if len(returned) > 1 and (returned[-2] is None) != (value is None):
                raise UnsupportedError(
                    "one branch of an `if` on traced values returns, the other goes on to the end",
                    here(),
                    "both branches return, or none does",
                    "return a value in each",
                )
            return value

        return call

    return choose(test, run(then), run(orelse), "the step returns")
