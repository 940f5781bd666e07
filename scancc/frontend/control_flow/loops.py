"""`while` and `for` as scans.

What a loop changes is carried: variables that it binds, and arrays that it assigns to.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from scancc.errors import ScanTypeError, UnsupportedError
from scancc.frontend.conditionals import truth_value
from scancc.frontend.control_flow.expressions import not_
from scancc.frontend.control_flow.joins import Undefined, is_array, refuse_stores
from scancc.frontend.control_flow.jumps import RETURNED
from scancc.frontend.control_flow.statements import if_
from scancc.frontend.location import here
from scancc.frontend.made_arrays import MadeArray, entangle
from scancc.frontend.pytrees import Tree, flatten, unflatten
from scancc.frontend.regions import array_depth, region
from scancc.frontend.returns import Until
from scancc.frontend.tracer import Tracer, is_traced, tracing, unwrap, wrap
from scancc.ir import build
from scancc.ir.graph import Node
from scancc.ir.types import Dim, Type

FOREVER = 1 << 62  # steps of a loop that only its condition ends
UNROLLED = 16  # rounds of a loop over Python's own values that are traced one by one after it may have ended


def while_(test: Callable, body: Callable, get: Callable, put: Callable, names: tuple, stores: tuple) -> None:
    while True:
        going = test()
        if is_traced(going):
            break
        if not going:
            return
        body()
    refuse_stores(stores)

    def step() -> Any:
        body()
        return not_(test())

    Loop(step, wrap(truth_value(going)) * np.int64(FOREVER), get, put, names, "while").add()


def for_range(
    made_by: Any, bounds: tuple, body: Callable, get: Callable, put: Callable, names: tuple, stores: tuple,
    ended: Callable,
) -> None:  # fmt: skip
    """`for i in range(*bounds)`; `ended` gives the flag by which the loop ends early."""
    if made_by is not builtins.range:
        for_each(made_by(*bounds), body, get, put, names, stores, ended)
    elif not is_traced(*bounds):
        _rounds(range(*bounds), body, get, put, names, stores, ended)
    else:
        start, stop, step = (0, bounds[0], 1) if len(bounds) == 1 else (*bounds, 1)[:3]
        low, high, stride = (wrap(build.cast(_whole(b), "int64")) for b in (start, stop, step))
        span = np.where(stride > 0, high - low + stride - 1, low - high - stride - 1)
        count = np.maximum(span // np.maximum(np.abs(stride), 1), 0)
        refuse_stores(stores)
        _numbered(lambda k: body(low + k * stride), count, get, put, names, ended)


def for_each(
    iterable: Iterable, body: Callable, get: Callable, put: Callable, names: tuple, stores: tuple, ended: Callable
) -> None:
    """`for x in iterable`. Rows of a traced array whose length is known at run time only are those of a scan."""
    if isinstance(iterable, Tracer) and iterable.ndim and isinstance(iterable.node.type.shape[0], Dim):
        refuse_stores(stores)
        _numbered(lambda k: body(iterable[k]), iterable.shape[0], get, put, names, ended)  # type: ignore[index]
    else:
        _rounds(iterable, body, get, put, names, stores, ended)


def _rounds(
    values: Iterable, body: Callable, get: Callable, put: Callable, names: tuple, stores: tuple, ended: Callable
) -> None:
    """A loop over Python's own values, round by round as long as nobody knows that it has ended."""
    for k, value in enumerate(values):
        over = ended()
        if not is_traced(over):
            if over:
                return
            body(value)
        elif isinstance(values, range) and len(values) - k > UNROLLED:
            refuse_stores(stores)
            start, step = value, values.step
            _numbered(lambda i: body(start + i * step), np.int64(len(values) - k), get, put, names, ended)  # noqa: B023
            return
        else:
            if_(not_(over), lambda: body(value), lambda: None, get, put, names, stores)  # noqa: B023


def _numbered(
    body: Callable, count: Any, get: Callable, put: Callable, names: tuple, ended: Callable
) -> None:
    """A loop of `count` rounds, or fewer, whose body takes the number of the round."""
    over = ended()
    if is_traced(over):
        count = np.where(over, 0, count)
    elif over:
        return

    def step() -> Any:
        body(wrap(build.make("step", loc=here())))
        over = ended()
        return over if is_traced(over) or over else None

    Loop(step, count, get, put, names, "for").add()


def _whole(value: Any) -> Node:
    node = unwrap(value)
    if node.type.shape or node.type.dtype.kind not in "iu":
        raise ScanTypeError(f"range() of {node.type}", here(), "a range is made of integers")
    return node


class _CarriesMore(Exception):
    """The body assigns to arrays, or binds values to return, that are not carried yet."""


class Loop:
    """A scan whose carries are what the body changes.

    Which arrays the body assigns to is seen when it is traced: then it is traced again with them as carries.
    """

    def __init__(self, run: Callable, count: Any, get: Callable, put: Callable, names: tuple, kind: str) -> None:
        self.run, self.count, self.get, self.put, self.names, self.kind = run, count, get, put, names, kind
        self.before: dict[str, Any] = dict(zip(names, get(), strict=True))
        self.trees: dict[str, Tree] = {}  # of the variables that are carried
        self.leaves: dict[str, list[Any]] = {}  # what they are before the loop
        self.initial: dict[str, list[Any]] = {}  # and with which values it begins
        for name, value in self.before.items():
            self._carry(name, value)
        self.arrays: dict[MadeArray, None] = {}  # from outside, which the body assigns to
        # Which arrays from outside those of variables may be, beside the one that each began with, in a later round;
        # and whether two variables may have one array then that have two now, or the other way round.
        self.outside: dict[MadeArray, None] = {}
        self.one_array = False
        self.lost_outside: dict[MadeArray, str] = {}
        self.lost: dict[tuple[str, int], str] = {}  # arrays whose values are unknown after a round, and since where

    def _carry(self, name: str, value: Any) -> None:
        leaves, tree = flatten(value)
        if leaves and all(map(is_array, leaves)):
            self.trees[name], self.leaves[name] = tree, leaves
            self.initial[name] = [v.held if isinstance(v, MadeArray) else v for v in leaves]

    @property
    def carried(self) -> dict[str, Any]:
        found = {n if len(leaves) == 1 else f"{n}_{i}": leaf
                 for n, leaves in self.initial.items() for i, leaf in enumerate(leaves)}  # fmt: skip
        return found | {f"elements_{i}": a for i, a in enumerate(self.arrays)}

    def add(self) -> None:
        from scancc.frontend.scan_arguments import OutputArgument, ScanArguments
        from scancc.frontend.scans import add_scan  # which imports this package

        scope = tracing()
        while True:
            take_back = scope.mark()
            # With nothing to carry it may yet be found out.
            carried = self.carried or {"nothing": False}
            outputs = tuple(OutputArgument(n, v, (-1,)) for n, v in carried.items())
            try:
                traced = add_scan(self._step, ScanArguments((), outputs, (), self.count, False), self.kind)
                break
            except _CarriesMore:
                take_back()
                self.put(tuple(self.before.values()))
        if not self.carried:
            self._refuse_nothing(traced.node)
        final = iter([wrap(build.final(traced.node, n)) for n in traced.names])
        values = self._assembled(final)
        for array in self.arrays:
            value = next(final)
            if not array.lost and array not in self.lost_outside:
                array.write(value)
        for array, where in self.lost_outside.items():
            array.lose(where)
        why = f"is bound in a `{self.kind}` on traced values only, which may make no step"
        self.put(tuple(
            values[n] if n in self.trees else Undefined(n, why) if isinstance(b, Undefined) else b
            for n, b in self.before.items()
        ))  # fmt: skip

    def _refuse_nothing(self, node: Node) -> None:
        if node.attrs["spec"].effects:
            return  # checks and prints
        raise UnsupportedError(
            f"a `{self.kind}` on traced values changes no variable that had a value before it",
            here(),
            "what a loop makes are the variables that it changes",
            "give them values before the loop",
        )

    def _assembled(self, values: Iterable[Any]) -> dict[str, Any]:
        """Variables of these leaves. Where an array was assigned to, there is one again, which may be that very one."""
        rest = iter(values)
        arrays: dict[Any, MadeArray] = {}
        found: dict[str, Any] = {}
        for name, tree in self.trees.items():
            leaves = []
            for i, old in enumerate(self.leaves[name]):
                leaf = next(rest)
                if isinstance(old, MadeArray):
                    key = (name, i) if self.one_array else old.origin
                    if key not in arrays:
                        arrays[key] = MadeArray(leaf)
                        entangle([arrays[key], old])
                        arrays[key].lost = self.lost.get((name, i), "")
                    leaf = arrays[key]
                leaves.append(leaf)
            found[name] = unflatten(tree, leaves)
        for array in arrays.values():
            for other in self.outside:
                entangle([array, other])
        if self.one_array:
            entangle(arrays.values())
        return found

    def _step(self, *leaves: Any) -> Any:
        rest = iter(leaves)
        with region() as r:
            now = self._assembled(rest)
            self.put(tuple(now.get(n, b) for n, b in self.before.items()))
            for array in self.arrays:
                r.before[array] = array.value
                array.hold(next(rest))
            stop = self.run()
            after = dict(zip(self.names, self.get(), strict=True))
            more = {a: None for a in r.before if a not in self.arrays}
            self.arrays |= more
            self._check_others(after)
            self.lost_outside = {array: array.lost for array in r.found}
            lost = self._lost(after)
            new = [] if lost else [v for n in self.trees for v in self._after(n, after[n])]
            if lost or self._discovers(after, now) or more:
                raise _CarriesMore
            new += [wrap(unwrap(r.before[a])) if a.lost else a.held for a in self.arrays]
        if not new:
            new = [wrap(build.const(False))]
        return (new, Until(stop)) if stop is not None else new

    def _lost(self, after: dict[str, Any]) -> bool:
        """Whether there are arrays whose values got unknown that were not known to."""
        found = {(name, i): v.origin.lost for name in self.trees for i, v in enumerate(flatten(after[name])[0])
                 if isinstance(v, MadeArray) and v.origin.lost and i < len(self.leaves[name])
                 and isinstance(self.leaves[name][i], MadeArray)}  # fmt: skip
        more = {k: v for k, v in found.items() if k not in self.lost}
        self.lost |= more
        return bool(more)

    def _check_others(self, after: dict[str, Any]) -> None:
        for name, value in after.items():
            old = self.before[name]
            if name not in self.trees and not isinstance(old, Undefined) and value is not old:
                raise ScanTypeError(
                    f"`{name}` changes from {old!r} in a `{self.kind}` on traced values",
                    here(),
                    "variables that a compiled loop changes are arrays or numbers",
                )

    def _after(self, name: str, value: Any) -> list[Any]:
        """The leaves of a variable that is carried after a round."""
        leaves, other = flatten(value)
        if self.trees[name] != other or not all(map(is_array, leaves)):
            raise ScanTypeError(f"`{name}` changes its structure in a `{self.kind}` on traced values", here(),
                                "variables that a compiled loop changes keep their structure",
                                "give it all of its parts before the loop")  # fmt: skip
        return [wrap(unwrap(self.initial[name][i] if (name, i) in self.lost else v)) for i, v in enumerate(leaves)]

    def _discovers(self, after: dict[str, Any], now: dict[str, Any]) -> bool:
        """Values that the loop returns are carried from the start; arrays that change places may be one."""
        found = False
        for name, value in after.items():
            if name.startswith(RETURNED) and name not in self.trees and not isinstance(value, Undefined):
                leaves, tree = flatten(value)
                types = [unwrap(v).type for v in leaves] if all(map(is_array, leaves)) else []
                if not leaves or len(types) < len(leaves) or not all(t.is_static for t in types):
                    raise UnsupportedError(f"returning {value!r} from a `{self.kind}` on traced values", here(),
                                           "a loop returns arrays of fixed shapes")
                self._carry(name, unflatten(tree, [_zero(t) for t in types]))
                found = True
        return self._mixes(after, now) or found

    def _mixes(self, after: dict[str, Any], now: dict[str, Any]) -> bool:
        """Whether arrays of variables may be others after a round than it was traced for."""
        places = [(name, i) for name in self.trees for i, v in enumerate(flatten(after[name])[0])
                  if isinstance(v, MadeArray) and _array(now.get(name), i) is not None]  # fmt: skip
        start, end = ({(n, i): _array(whole[n], i) for n, i in places} for whole in (now, after))
        old = {(n, i): _array(self.before[n], i) for n, i in places}
        known = (self.one_array, len(self.outside))
        begun = set(start.values())
        may_be = {p: {a} if (a := end[p]) in begun else {a, *a.entangled} for p in places}
        for p in places:
            others = {a for q in places if q != p for a in (start[q], old[q])} - {start[p], old[p]}
            from_outside = {a for a in may_be[p] if a.depth < array_depth() and a is not old[p]}
            if may_be[p] & others:
                self.outside |= dict.fromkeys(old.values())
            self.outside |= dict.fromkeys(from_outside)
            for q in places:
                one, may_be_one = start[p] is start[q], bool(may_be[p] & may_be[q])
                if q != p and one != may_be_one or one and end[p] is not end[q]:
                    self.one_array = True
        return known != (self.one_array, len(self.outside))


def _array(value: Any, i: int) -> Any:
    """The array that leaf `i` of a variable is, if it is one that is assigned to."""
    leaves = flatten(value)[0]
    return leaves[i].origin if i < len(leaves) and isinstance(leaves[i], MadeArray) else None


def _zero(t: Type) -> np.ndarray:
    return np.zeros(t.shape, t.dtype)


__all__ = ["for_each", "for_range", "while_"]
