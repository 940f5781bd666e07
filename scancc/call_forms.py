"""The arguments of a call as arrays and a form: containers are taken apart, static arguments kept as they are.

    f({"w": w}, 3, flag=True)     leaves [w, 3, True]     form: where each belongs, and the static values

Calls of equal forms, with arrays of equal dtypes and shapes, run one program.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from scancc.errors import ScanTypeError, ScanValueError
from scancc.frontend import pytrees
from scancc.frontend.location import here, name_of
from scancc.frontend.pytrees import flatten, paths, unflatten
from scancc.frontend.scan_arguments import parameters_of


@dataclass(frozen=True)
class CallForm:
    """What a call looks like. `key` tells forms apart; static values are compared by type and value."""

    tree: pytrees.Tree  # of positional arguments and keyword arguments, without those that are static
    names: tuple[str, ...]  # of keyword arguments
    static: tuple[tuple[int | str, Any], ...] = field(default=(), compare=False)
    key: tuple = ()

    def arguments(self, leaves: Iterable[Any]) -> tuple[list[Any], dict[str, Any]]:
        """Positional and keyword arguments with these leaves."""
        args, given = unflatten(self.tree, leaves)
        args = list(args)
        for place, value in self.static:
            if isinstance(place, int):
                args.insert(place, value)
        return args, given | {k: v for k, v in self.static if isinstance(k, str)}

    def labels(self, fn: Callable) -> list[str]:
        """A name for each leaf, after the parameter that it belongs to."""
        named = parameters_of(fn)
        fixed = {place for place, _ in self.static if isinstance(place, int)}
        places = [i for i in range(len(self.tree[2][0][2]) + len(fixed)) if i not in fixed]
        roots = [named[i] if i < len(named) else f"arg{i}" for i in places]
        leaves: list[str] = []
        args, given = unflatten(self.tree, iter(lambda: _PLACE, None))
        for root, value in (*zip(roots, args, strict=True), *given.items()):
            leaves += [re.sub(r"\W+", "_", p).strip("_") for p in paths(value, root)]
        return leaves

    @functools.cached_property
    def places(self) -> list[str]:
        """How a message names each leaf: "argument 0", "argument 1['w']", "argument rate"."""
        fixed = {place for place, _ in self.static if isinstance(place, int)}
        args, given = unflatten(self.tree, iter(lambda: _PLACE, None))
        numbers = [i for i in range(len(args) + len(fixed)) if i not in fixed]
        roots = (*zip(map(str, numbers), args, strict=True), *given.items())
        return [f"argument {p}" for root, value in roots for p in paths(value, root)]

    @property
    def is_flat(self) -> bool:
        """Whether there is nothing but arrays and numbers, by position."""
        return not self.names and not self.static and all(t == pytrees.LEAF for t in self.tree[2][0][2])

    @property
    def static_values(self) -> list[Any]:
        return [value for _, value in self.static]


_PLACE = object()


class Static:
    """Which arguments of a function are static: numbers and names, each found from the other."""

    def __init__(self, fn: Callable, argnums: Any = (), argnames: Any = ()) -> None:
        self.given = (argnums, argnames)
        numbers = [argnums] if isinstance(argnums, int) else list(argnums or ())
        names = [argnames] if isinstance(argnames, str) else list(argnames or ())
        if any(isinstance(i, bool) or not isinstance(i, int) for i in numbers):
            raise ScanTypeError(f"static_argnums is {argnums!r}", here(), fix="pass the numbers of arguments")
        if not all(isinstance(n, str) for n in names):
            raise ScanTypeError(f"static_argnames is {argnames!r}", here(), fix="pass the names of arguments")
        parameters = _parameters(fn) if numbers or names else {}
        places = [n for n, p in parameters.items() if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
        anything = {p.kind for p in parameters.values()}
        if parameters and inspect.Parameter.VAR_POSITIONAL not in anything:
            for i in numbers:
                if not -len(places) <= i < len(places):
                    raise ScanValueError(f"static_argnums has {i}, but {name_of(fn, 'the function')} takes "
                                         f"{len(places)} arguments", here())  # fmt: skip
            numbers = [i % len(places) for i in numbers]
        if parameters and inspect.Parameter.VAR_KEYWORD not in anything:
            for n in names:
                if n not in parameters:
                    raise ScanValueError(f"static_argnames has {n!r}, which is no parameter of "
                                         f"{name_of(fn, 'the function')}", here(),
                                         fix=f"its parameters are {', '.join(parameters)}")  # fmt: skip
        self.names = frozenset([*names, *(places[i] for i in numbers if -len(places) <= i < len(places))])
        self.numbers = frozenset([*numbers, *(i for i, n in enumerate(places) if n in names)])

    def without_first(self) -> tuple[list[int], list[str]]:
        """The same for a method whose first argument, the object, is bound."""
        return [i - 1 for i in self.numbers if i > 0], sorted(self.names)

    def __bool__(self) -> bool:
        return bool(self.names or self.numbers)


def _parameters(fn: Callable) -> dict[str, inspect.Parameter]:
    try:
        return dict(inspect.signature(fn).parameters)
    except (TypeError, ValueError):
        return {}


def taken_apart(name: str, static: Static, args: Sequence[Any], given: dict[str, Any]) -> tuple[CallForm, list[Any]]:
    """The form of a call and its leaves. Raises TypeError for a static argument that has no hash."""
    kept: list[tuple[int | str, Any]] = []
    if static:
        count = len(args)
        numbers = {i % count for i in static.numbers if -count <= i < count}
        kept = [(i, args[i]) for i in sorted(numbers)]
        kept += [(k, given[k]) for k in sorted(static.names & given.keys())]
        args = [a for i, a in enumerate(args) if i not in numbers]
        given = {k: v for k, v in given.items() if k not in static.names}
    leaves, tree = flatten((tuple(args), dict(given)))
    key = tuple((place, *_keys(name, place, value)) for place, value in kept)
    return CallForm(tree, tuple(sorted(given)), tuple(kept), key), leaves


def _keys(name: str, place: int | str, value: Any) -> Iterator[Any]:
    """A static value for comparison: 1, True and 1.0 are not the same, nor are 0.0 and -0.0."""
    try:
        hash(value)
    except TypeError:
        raise ScanTypeError(f"static argument {place} of {name} is of type {type(value).__name__}, which has no hash",
                            here(), "a program is kept for each value of its static arguments",
                            "pass a tuple instead of a list, or leave the argument traced") from None  # fmt: skip
    yield type(value)
    yield value
    if type(value) in (float, complex):
        yield repr(value)
    elif isinstance(value, tuple):
        yield tuple(tuple(_keys(name, place, v)) for v in value)
