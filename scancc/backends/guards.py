"""Calls as users write them, tested in generated code: is each argument what the program takes as it is?

    (LEAF, Is(None))  ->  if not (len(arguments) == 2): return MISS
                          x, given_1 = arguments
                          if not (type(x) is ndarray and x.dtype is dtype and ...): return MISS
                          if not (given_1 is None): return MISS

A guard knows one form of call, and accepts only what needs no conversion: arrays that are exactly `np.ndarray`, of the
very dtype and lengths, C-contiguous, aligned, native and writable; numbers of the types below. It answers MISS to
everything else, which then goes the general way, where the errors are. So a guard decides nothing but speed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from scancc.ir.graph import Node
from scancc.ir.types import is_half

MISS = object()  # not a call that this guard is for

# Types of numbers that are taken for a scalar of a dtype: those that `np.asarray` gives that dtype.
NUMBERS: Mapping[np.dtype, tuple[type, ...]] = {
    np.dtype(np.float64): (float, np.float64),
    np.dtype(np.int64): (int, np.int64),
    np.dtype(np.bool_): (bool, np.bool_),
    np.dtype(np.complex128): (complex, np.complex128),
    np.dtype(np.float32): (np.float32,),
    np.dtype(np.int32): (np.int32,),
}
WIDEST = np.iinfo(np.int64)  # Python's integers beyond it have another dtype


@dataclass(frozen=True)
class Leaf:
    """An input of the program; `count`: a number of steps, which is a Python integer that is not negative.

    A program may be for numbers of Python (`python` is True) or for NumPy's only (False), where dtypes depend on it.
    """

    count: bool = False
    python: bool | None = None


@dataclass(frozen=True)
class Is:
    """This very object, such as None or True."""

    value: Any


@dataclass(frozen=True)
class Equals:
    """A number, or a list or tuple of numbers, equal to this one and of the same type."""

    value: Any


@dataclass(frozen=True)
class Items:
    """A list or tuple."""

    kind: type
    parts: tuple[Form, ...]


@dataclass(frozen=True)
class Entries:
    """A dict."""

    parts: tuple[tuple[str, Form], ...]


Form = Leaf | Is | Equals | Items | Entries
LEAF = Leaf()
Input = tuple[Node, str]  # an input of the program and its variable


def number_types(leaf: Leaf, dtype: np.dtype) -> tuple[type, ...]:
    """The types of numbers that a scalar input takes as they are."""
    if leaf.count:
        return (int,)
    kinds = NUMBERS[dtype]
    if leaf.python is None or dtype == np.bool_:
        return kinds
    return tuple(k for k in kinds if issubclass(k, np.generic) != leaf.python)


def leaves(form: Form) -> list[Leaf]:
    """The inputs of the program that a form stands for."""
    match form:
        case Leaf():
            return [form]
        case Items(_, parts):
            return [leaf for part in parts for leaf in leaves(part)]
        case Entries(entries):
            return [leaf for _, part in entries for leaf in leaves(part)]
        case _:
            return []


@dataclass(frozen=True)
class Guard:
    """The forms of a call's arguments, what the program captured (its last inputs), and what the user gets.

    `returned` makes the text of that from the texts of the results, and binds objects that it names. `tests` makes
    lines about what the function read besides: they do what they are told where it has changed, or raise.
    """

    arguments: tuple[Form, ...]
    captured: tuple[Any, ...]
    returned: Callable[[list[str], Callable[[Any], str]], str]
    tests: Callable[[Callable[[Any], str], str], list[str]] | None = None


def can_be_guarded(inputs: Sequence[Node], captured: Sequence[Any]) -> bool:
    """Whether any call can be one that needs no conversion."""
    given = inputs[: len(inputs) - len(captured)]
    numbers = all(n.type.dtype in NUMBERS for n in given if not n.type.ndim)
    return numbers and all(type(c) is np.ndarray and (c.ndim or not is_half(c.dtype)) for c in captured)


class GuardSource:
    """Lines of code that test a call and leave the program's inputs, and their open lengths, in variables.

    `inputs` are those of the program with their variables; `lengths` names open axes, by the input's variable and the
    axis. Without it the inputs themselves are not tested: only what holds them is.
    """

    def __init__(
        self, guard: Guard, scope: dict[str, Any], inputs: Sequence[Input],
        lengths: Mapping[tuple[str, int], str] | None = None,
    ) -> None:  # fmt: skip
        self.guard = guard
        self._scope = scope
        self._inputs = inputs
        self._lengths = lengths
        self.given = len(inputs) - len(guard.captured)  # how many of the inputs a call gives
        self._lines: list[str] = []
        self._names = 0
        self._miss = f"return {self.bind(MISS)}"
        lines = guard.tests(self.bind, self._miss) if guard.tests is not None else []
        self.around = ["try:", *(f"    {line}" for line in lines), f"except Exception: {self._miss}"] if lines else []

    def bind(self, value: Any) -> str:
        """A name for an object in the code."""
        name = next((k for k, v in self._scope.items() if v is value), None)
        if name is None:
            name = f"bound_{len(self._scope)}_"
            self._scope[name] = value
        return name

    def tests(self, arguments: str) -> list[str]:
        """`arguments` is the variable with the tuple of them."""
        guard, given = self.guard, self.given
        self._lines += self.around
        self._demand(f"len({arguments}) == {len(guard.arguments)}")
        self._each(guard.arguments, arguments, self._inputs[:given])
        for value, (node, name) in zip(guard.captured, self._inputs[given:], strict=True):
            if self._lengths is None:
                break
            # The user may have changed it in place since: its elements, but also its flags, shape and dtype.
            self._lines.append(f"{name} = {self.bind(value)}")
            self._array(name, node)
            if not node.type.ndim:
                self._lines.append(f"{name} = {name}[()]")
        return self._lines

    def result(self, results: list[str]) -> str:
        return self.guard.returned(results, self.bind)

    def _each(self, parts: Sequence[Form], given: str, inputs: Sequence[Input]) -> None:
        """The items of a tuple or list that has as many."""
        inside = []
        for part in parts:
            here, inputs = inputs[: len(leaves(part))], inputs[len(leaves(part)) :]
            inside.append((part, here, here[0][1] if isinstance(part, Leaf) else self._new()))
        if inside:
            self._lines.append(f"{', '.join(name for _, _, name in inside)}, = {given}")
        for part, here, name in inside:
            self._test(part, name, here)

    def _test(self, form: Form, given: str, inputs: Sequence[Input]) -> None:
        match form:
            case Is(value):
                self._demand(f"{given} is {self.bind(value)}")
            case Equals(value):
                self._demand(f"type({given}) is {self.bind(type(value))} and {given} == {self.bind(value)}")
            case Items(kind, parts):
                self._demand(f"type({given}) is {self.bind(kind)} and len({given}) == {len(parts)}")
                self._each(parts, given, inputs)
            case Entries(parts):
                # An entry that is missing gives MISS, which no form takes.
                self._demand(f"type({given}) is {self.bind(dict)} and len({given}) == {len(parts)}")
                values = "".join(f"{given}.get({key!r}, {self.bind(MISS)}), " for key, _ in parts)
                self._each([part for _, part in parts], f"({values})", inputs)
            case Leaf(count) if self._lengths is not None:
                ((node, _),) = inputs
                if node.type.ndim:
                    self._array(given, node)
                elif count:
                    self._demand(f"type({given}) is {self.bind(int)} and 0 <= {given} <= {WIDEST.max}")
                else:
                    self._number(given, node.type.dtype, form)

    def _array(self, name: str, node: Node) -> None:
        dtype = np.dtype(node.type.dtype.type)  # the one object that NumPy has for it; others are taken the general way
        as_it_is = f"type({name}) is {self.bind(np.ndarray)} and {name}.dtype is {self.bind(dtype)}"
        shape = node.type.shape
        if all(isinstance(d, int) for d in shape):
            self._demand(f"{as_it_is} and {name}.shape == {shape!r} and {name}.flags.carray")
            return
        self._demand(f"{as_it_is} and {name}.ndim == {len(shape)} and {name}.flags.carray")
        assert self._lengths is not None
        read = [self._lengths.get((name, axis)) or self._new() for axis in range(len(shape))]
        self._lines.append(f"{', '.join(read)}, = {name}.shape")
        fixed = [f"{r} == {d}" for r, d in zip(read, shape, strict=True) if isinstance(d, int)]
        if fixed:
            self._demand(" and ".join(fixed))

    def _number(self, name: str, dtype: np.dtype, leaf: Leaf) -> None:
        tests = []
        for kind in number_types(leaf, dtype):
            fits = f" and {WIDEST.min} <= {name} <= {WIDEST.max}" if kind is int else ""
            tests.append(f"type({name}) is {self.bind(kind)}{fits}")
        self._demand(" or ".join(tests))

    def _demand(self, condition: str) -> None:
        self._lines.append(f"if not ({condition}): {self._miss}")

    def _new(self) -> str:
        self._names += 1
        return f"given_{self._names}_"
