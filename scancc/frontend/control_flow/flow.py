"""What rewritten control flow calls: Python's own meaning for Python's values, sc.cond and scans for traced ones.

Branches and bodies share the variables of the function around them. `get` and `put` read and set those that they bind,
so that both branches start from the same values, and a loop hands them on from step to step.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np

from scancc.errors import ScanTypeError, UnsupportedError
from scancc.frontend.conditionals import add_cond, cond, truth_value
from scancc.frontend.control_flow.source import RAISE
from scancc.frontend.location import here
from scancc.frontend.operators import ArrayOperators
from scancc.frontend.pytrees import describe, flatten, paths, unflatten
from scancc.frontend.returns import Until
from scancc.frontend.tracer import Tracer, is_traced, unwrap, wrap
from scancc.ir import build
from scancc.ir.graph import Node

FOREVER = 1 << 62  # steps of a loop that only its condition ends


class Undefined:
    """A variable without a value, or with one in some branches only."""

    def __init__(self, name: str, why: str = "has no value yet") -> None:
        self.name, self.why = name, why

    def __repr__(self) -> str:
        return f"<variable {self.name}, which {self.why}>"

    def _used(self, *_: Any, **__: Any) -> NoReturn:
        raise UnboundLocalError(f"variable '{self.name}' {self.why}")

    __array__ = __bool__ = __call__ = __iter__ = __len__ = __getitem__ = _used
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = __neg__ = _used
    __lt__ = __le__ = __gt__ = __ge__ = __pow__ = __rpow__ = __matmul__ = __rmatmul__ = __abs__ = _used
    __array_ufunc__ = __array_function__ = _used


def callee(fn: Any) -> Any:
    """A function that a rewritten one calls."""
    from scancc.frontend.control_flow.convert import converted  # which imports this module

    return converted(fn) if callable(fn) and not isinstance(fn, type) else fn


def plain(value: Any, what: str) -> Any:
    """A value that control flow asks for which stays Python's."""
    if is_traced(value):
        raise UnsupportedError(
            f"{what} is not supported on traced values",
            here(),
            "a compiled loop ends by its own condition, and its steps run to their end",
            "put the condition into the loop's own, or use sc.where, sc.cond or sc.until",
        )
    return value


# -- expressions -------------------------------------------------------------------------------------------------------


def and_(*operands: Callable[[], Any]) -> Any:
    return _until_decided(operands, np.logical_and, False)


def or_(*operands: Callable[[], Any]) -> Any:
    return _until_decided(operands, np.logical_or, True)


def _until_decided(operands: tuple[Callable[[], Any], ...], combine: Callable, decided: bool) -> Any:
    value = operands[0]()
    for operand in operands[1:]:
        if is_traced(value):
            value = combine(value, operand())
        elif bool(value) is decided:
            return value
        else:
            value = operand()
    return value


def not_(value: Any) -> Any:
    return np.logical_not(value) if is_traced(value) else not value


def if_expression(test: Any, then: Callable[[], Any], orelse: Callable[[], Any]) -> Any:
    if is_traced(test):
        return cond(test, then, orelse)
    return then() if test else orelse()


# -- statements --------------------------------------------------------------------------------------------------------


def if_(
    test: Any, then: Callable, orelse: Callable, get: Callable, put: Callable, names: tuple, stores: tuple
) -> None:
    if not is_traced(test):
        (then if test else orelse)()
        return
    _refuse(stores)
    before = get()
    merged: dict[str, Any] = {}

    def run(branch: Callable) -> Callable[[], tuple]:
        def call() -> tuple:
            put(before)
            branch()
            return get()  # type: ignore[no-any-return]

        return call

    def join(a: tuple, b: tuple) -> dict[str, tuple[Node, Node]]:
        pairs: dict[str, tuple[Node, Node]] = {}
        for name, x, y in zip(names, a, b, strict=True):
            if x is y:
                merged[name] = lambda values, x=x: x
            elif isinstance(x, Undefined) or isinstance(y, Undefined):
                one = Undefined(
                    name, f"has a value in one branch of an `if` on traced values only ({here_text(loc)})"
                )
                merged[name] = lambda values, one=one: one
            else:
                merged[name] = _joined(name, x, y, pairs, f"`{name}` is")
        return pairs

    loc = here()
    values = add_cond(truth_value(test), (run(then), run(orelse)), join)
    put(tuple(merged[name](values) for name in names))


def if_return(
    test: Any, then: Callable, orelse: Callable, get: Callable, put: Callable, names: tuple, stores: tuple
) -> Any:
    """An `if` whose branches end the function."""
    if not is_traced(test):
        return (then if test else orelse)()
    _refuse(stores)
    before = get()
    result: list[Callable] = []

    def run(branch: Callable) -> Callable[[], Any]:
        def call() -> Any:
            put(before)
            return branch()

        return call

    def join(a: Any, b: Any) -> dict[str, tuple[Node, Node]]:
        if (a is None) != (b is None):
            raise UnsupportedError(
                "one branch of an `if` on traced values returns, the other goes on to the end",
                here(),
                "both branches return, or none does",
                "return a value in each",
            )
        pairs: dict[str, tuple[Node, Node]] = {}
        result.append(_joined("result_", _opened(a), _opened(b), pairs, "the step returns"))
        return pairs

    values = add_cond(truth_value(test), (run(then), run(orelse)), join)
    return _closed(result[0](values))


def _joined(
    name: str, x: Any, y: Any, pairs: dict[str, tuple[Node, Node]], what: str
) -> Callable[[dict[str, Tracer]], Any]:
    """Leaves of both sides as pairs; what makes the whole again of the values chosen."""
    (left, tree), (right, other) = flatten(x), flatten(y)
    fits = tree == other and all(map(_is_array, (*left, *right)))
    if not fits:
        a, b = (describe(t) if all(map(_is_array, leaves)) else repr(v)
                for t, leaves, v in ((tree, left, x), (other, right, y)))  # fmt: skip
        raise ScanTypeError(
            f"{what} {a} in one branch of an `if` on traced values, and {b} in the other",
            here(),
            "both branches give a variable values of the same kind",
        )
    keys = [name + (f"_{i}" if len(left) > 1 else "") for i in range(len(left))]
    for key, a, b in zip(keys, left, right, strict=True):
        pairs[key] = (unwrap(a), unwrap(b))
    return lambda values: unflatten(tree, [values[k] for k in keys])


def _is_array(value: Any) -> bool:
    return isinstance(value, (ArrayOperators, np.ndarray, np.generic, bool, int, float, complex))


def _opened(value: Any) -> Any:
    """A step's return with its stopping condition as a leaf."""
    if isinstance(value, Until):
        return {"until": value.condition}
    if isinstance(value, tuple) and value and isinstance(value[-1], Until):
        return (*value[:-1], {"until": value[-1].condition})
    return value


def _closed(value: Any) -> Any:
    if isinstance(value, dict) and set(value) == {"until"}:
        return Until(value["until"])
    if isinstance(value, tuple) and value and isinstance(value[-1], dict) and set(value[-1]) == {"until"}:
        return (*value[:-1], Until(value[-1]["until"]))
    return value


def while_(test: Callable, body: Callable, get: Callable, put: Callable, names: tuple, stores: tuple) -> None:
    while True:
        going = test()
        if is_traced(going):
            break
        if not going:
            return
        body()
    _refuse(stores)

    def step() -> Any:
        body()
        return Until(np.logical_not(wrap(truth_value(test()))))

    _loop(step, wrap(truth_value(going)) * np.int64(FOREVER), get, put, names, "while")


def for_range(
    bounds: tuple, body: Callable, get: Callable, put: Callable, names: tuple, stores: tuple, target: str
) -> None:
    if not is_traced(*bounds):
        for i in range(*bounds):
            body(i)
        return
    _refuse(stores)
    start, stop, step = (0, bounds[0], 1) if len(bounds) == 1 else (*bounds, 1)[:3]
    low, high, stride = (wrap(build.cast(_whole(b), "int64")) for b in (start, stop, step))
    span = np.where(stride > 0, high - low + stride - 1, low - high - stride - 1)
    count = np.maximum(span // np.maximum(np.abs(stride), 1), 0)
    known = get()
    put(
        tuple(
            Undefined(n, "is the variable of a loop") if n == target else v for n, v in zip(names, known, strict=True)
        )
    )

    def run() -> None:
        body(low + wrap(build.make("step", loc=here())) * stride)

    _loop(run, count, get, put, names, "for")


def _whole(value: Any) -> Node:
    node = unwrap(value)
    if node.type.shape or node.type.dtype.kind not in "iu":
        raise ScanTypeError(f"range() of {node.type}", here(), "a range is made of integers")
    return node


def _loop(run: Callable, count: Any, get: Callable, put: Callable, names: tuple, kind: str) -> None:
    """A scan whose carries are the variables that the body binds and that have values when it starts."""
    from scancc.frontend.scan_arguments import OutputArgument, ScanArguments
    from scancc.frontend.scans import add_scan  # which imports this package

    before = dict(zip(names, get(), strict=True))
    carried: dict[str, Any] = {}
    trees: dict[str, Any] = {}
    for name, value in before.items():
        leaves, trees[name] = flatten(value)
        if leaves and all(map(_is_array, leaves)):
            labels = paths(value, name)
            carried |= {name if len(leaves) == 1 else f"{name}_{i}": leaf for i, leaf in enumerate(leaves)}
            trees[name] = (trees[name], len(labels))
        else:
            trees[name] = None

    def assembled(values: Any) -> dict[str, Any]:
        rest = iter(values)
        return {n: t if t is None else unflatten(t[0], [next(rest) for _ in range(t[1])]) for n, t in trees.items()}

    def step(*values: Any) -> Any:
        now = assembled(values)
        put(tuple(before[n] if trees[n] is None else now[n] for n in names))
        stop = run()
        new: list[Any] = []
        for name, value in zip(names, get(), strict=True):
            if trees[name] is None:
                if not isinstance(before[name], Undefined) and value is not before[name]:
                    raise ScanTypeError(
                        f"`{name}` changes from {before[name]!r} in a `{kind}` on traced values",
                        here(),
                        "variables that a compiled loop changes are arrays or numbers",
                    )
                continue
            leaves, tree = flatten(value)
            if tree != trees[name][0]:
                raise ScanTypeError(f"`{name}` changes its structure in a `{kind}` on traced values", here(),
                                    "variables that a compiled loop changes keep their structure",
                                    "give it all of its parts before the loop")  # fmt: skip
            new += [wrap(unwrap(v)) for v in leaves]
        return (new, stop) if stop is not None else new

    if not carried:
        raise UnsupportedError(
            f"a `{kind}` on traced values changes no variable that had a value before it",
            here(),
            "what a loop makes are the variables that it changes",
            "give them values before the loop",
        )
    outputs = tuple(OutputArgument(n, v, (-1,)) for n, v in carried.items())
    traced = add_scan(step, ScanArguments((), outputs, (), count, False), kind)
    final = assembled([wrap(build.final(traced.node, n)) for n in traced.names])
    why = f"is bound in a `{kind}` on traced values only, which may make no step"
    put(tuple(
        (Undefined(n, why) if isinstance(before[n], Undefined) else before[n]) if trees[n] is None else final[n]
        for n in names
    ))  # fmt: skip


def _refuse(stores: tuple) -> None:
    if RAISE in stores:
        raise UnsupportedError("raise under control flow on traced values", here(),
                               "both branches are traced, and a compiled step raises no errors of its own",
                               'demand it of every step: sc.check(condition, "message {}", value)')
    if stores:
        raise UnsupportedError(
            f"assigning to {', '.join(stores)} under control flow on traced values",
            here(),
            "both branches are traced, so what is stored in objects cannot be taken back",
            "use x.at[i].set(v) for elements, and plain variables",
        )


def here_text(loc: Any) -> str:
    return f"line {loc.line}" if loc else "no source"
