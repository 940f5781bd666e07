"""Expressions: `and`, `or`, `not`, chained comparisons, conditional expressions, and `assert`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from scancc.errors import UnsupportedError
from scancc.frontend.conditionals import add_cond, truth_value
from scancc.frontend.control_flow.joins import Join, Pairs, closed, opened
from scancc.frontend.effects import add_check
from scancc.frontend.location import here
from scancc.frontend.operators import ArrayOperators
from scancc.frontend.tracer import Tracer, emit, is_traced, wrap
from scancc.ir.graph import Graph, Node, substitute
from scancc.ir.ops import OPS

CHEAP = 12  # operations that are done rather than branched around


def choose(test: Any, then: Callable[[], Any], orelse: Callable[[], Any], what: str) -> Any:
    """The value of one of two branches, chosen when the kernel runs. What they assign to arrays is chosen, too."""
    made: list[Callable] = []
    join = Join()

    def pairs(a: Any, b: Any) -> Pairs:
        join.add_changed()
        made.append(join.add("result_", a, b, what))
        return join.pairs

    branches = [join.branch(lambda b=b: opened(b())) for b in (then, orelse)]  # type: ignore[misc]
    values = add_cond(truth_value(test), (branches[0], branches[1]), pairs)
    join.write_changed(values)
    return closed(made[0](values))


def and_(*operands: Callable[[], Any]) -> Any:
    return _decided(operands, False)


def or_(*operands: Callable[[], Any]) -> Any:
    return _decided(operands, True)


def _decided(operands: tuple[Callable[[], Any], ...], by: bool) -> Any:
    """The first operand whose truth decides, or the last; what comes after it is not looked at."""
    first, *rest = operands
    value = first()
    if not rest:
        return value
    if not is_traced(value):
        return value if bool(value) is by else _decided(tuple(rest), by)
    others = lambda: _decided(tuple(rest), by)  # noqa: E731
    branches = (lambda: value, others) if by else (others, lambda: value)
    found = choose(value, *branches, f"`{'or' if by else 'and'}` gives")
    return _without_branch(value, found, by)


def _without_branch(value: Any, found: Any, by: bool) -> Any:
    """Two truth values of which the second is cheap, and can be known in any case: both are."""
    if not isinstance(found, Tracer) or found.node.type.dtype.kind != "b" or value.dtype.kind != "b" or value.ndim:
        return found
    chosen = found.node.args[0]
    branch: Graph = chosen.attrs["orelse" if by else "then"]
    nodes = list(branch.nodes())
    if len(branch.results) > 1 or len(nodes) > CHEAP or not all(map(_harmless, nodes)):
        return found
    outer = dict(zip(chosen.attrs["names"], chosen.args[1:], strict=True))
    reads = {n: outer[n.attrs["name"]] for n in nodes if n.op == "read"}
    (result,) = branch.results.values()
    other = substitute([result], reads)[result]
    return wrap(emit("logical_or" if by else "logical_and", truth_value(value), other))


def _harmless(n: Node) -> bool:
    op = OPS[n.op]
    return n.op in ("read", "const", "cast") or op.kind == "elementwise" and not op.expensive and n.type.shape == ()


def not_(value: Any) -> Any:
    return wrap(emit("logical_not", truth_value(value))) if is_traced(value) else not value


def chain(first: Any, *steps: tuple[Callable[[], Any], Callable[[Any, Any], Any]]) -> Any:
    """a < b < c: each step has an operand and the comparison with the one before."""

    def compared(left: Any, rest: tuple) -> Any:
        (operand, compare), *more = rest
        right = operand()
        found = compare(left, right)
        return and_(lambda: found, lambda: compared(right, tuple(more))) if more else found

    return compared(first, steps)


def contains(container: Any, value: Any) -> Any:
    """`value in container`."""
    if not is_traced(container, value) or isinstance(container, str):
        return value in container
    if isinstance(container, (ArrayOperators, np.ndarray)):
        return np.any(np.equal(container, value))
    return or_(*[lambda v=v: v is value or v == value for v in container], lambda: False)  # type: ignore[misc]


def if_expression(test: Any, then: Callable[[], Any], orelse: Callable[[], Any]) -> Any:
    if is_traced(test):
        return choose(test, then, orelse, "the value is")
    return then() if test else orelse()


def assert_(test: Callable[[], Any], message: Callable[[], Any]) -> None:
    """A traced condition is checked when the kernel runs."""
    if not __debug__:
        return
    holds = test()
    if not is_traced(holds):
        assert holds, message()
        return
    text = str(message()).replace("{", "{{").replace("}", "}}")
    add_check(truth_value(holds), message=text)


def plain(value: Any, what: str) -> Any:
    """A value that control flow asks for which stays Python's."""
    if is_traced(value):
        raise UnsupportedError(
            f"{what} is not supported on traced values",
            here(),
            "a compiled function has branches and loops, which `if`, `while` and `for` become",
            "write it as `if`, or use sc.where or sc.cond",
        )
    return value


__all__ = ["and_", "assert_", "chain", "choose", "contains", "if_expression", "not_", "or_", "plain"]
