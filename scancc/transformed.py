"""Functions made of a function `f`, such as `sc.grad(f)`: called, pickled and bound to objects as `f` is."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from scancc.calls import CompiledCall
from scancc.frontend.location import name_of
from scancc.methods import Methods
from scancc.pickling import PickledByName


class Transformed(PickledByName):
    """A function made of another one: `maker(fn, *options)` makes it. Called with containers, also by name.

    In a class body it makes a method: `run` is then of the function with the object bound, whose arguments are counted
    without it.
    """

    def __init__(self, fn: Callable, maker: Callable, run: Callable, *options: Any) -> None:
        self.fn = fn
        self.name = name_of(fn, "function")
        self._run, self._maker, self._options = run, maker, options
        kind = maker.__name__
        self.compiled_call = CompiledCall(run, f"{self.name}_{kind}", (kind, fn, *options))
        functools.update_wrapper(self, fn, updated=())

    def __call__(self, *args: Any, **given: Any) -> Any:
        return self.compiled_call(*args, **given)

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        if instance is None:
            return self
        return self._methods.of(instance, lambda bound: self._maker(bound, *self._options))

    @functools.cached_property
    def _methods(self) -> Methods:
        return Methods(self.fn)

    def __reduce__(self) -> str | tuple:
        found = super().__reduce__()
        return found if isinstance(found, str) else (self._maker, self.made_of())

    def made_of(self) -> tuple:
        return self.fn, *self._options

    def __repr__(self) -> str:
        return f"<{self._maker.__name__} of {self.name}>"
