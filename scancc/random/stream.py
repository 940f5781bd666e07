"""Draws with state: every draw of a stream is a new one, as with Theano's RandomStreams and NumPy's Generator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from scancc.errors import ScanValueError
from scancc.frontend.location import here
from scancc.frontend.scope import SYMBOLIC, current
from scancc.frontend.shared import Shared, held
from scancc.frontend.tracer import unwrap, wrap
from scancc.ir.ops import GENERATORS
from scancc.random import distributions, keys, selections


class RandomStream:
    """A sequence of draws. Each has the key fold_in(key(seed), number), the number of the draws before it.

    The number is a shared variable, `count`: steps and compiled functions that draw carry it, and it is written back
    when they are over. So a run, whether compiled or interpreted, continues where the last one stopped; `seed` starts
    anew, and setting `count` goes back. Threads share a stream as they share any shared variable.

    Its methods are the draws of `sc.random` without their key.
    """

    def __init__(self, seed: int, generator: str = keys.DEFAULT) -> None:
        if generator not in GENERATORS:
            raise ScanValueError(f"there is no generator {generator!r}", here(),
                                 fix=f"use one of {', '.join(GENERATORS)}")
        self.generator = generator
        self.key = keys.key(seed)
        self.count = Shared(np.uint64(0), name="draws")

    def seed(self, seed: int) -> None:
        """Start again, with the draws of `seed`. Functions compiled before keep theirs: the seed is part of them."""
        self.key = keys.key(seed)
        self.count.set_value(np.uint64(0))

    def next_key(self) -> Any:
        """The key of the next draw."""
        scope = current()
        if scope is None or scope is SYMBOLIC:
            with held([self.count]):
                number = self.count.get_value()
                self.count.set_value(number + np.uint64(1))
            return keys.fold_in(self.key, number, generator=self.generator)
        count = wrap(scope.value_of(self.count))
        scope.updates[self.count] = unwrap(count + np.uint64(1))
        return keys.fold_in(self.key, count, generator=self.generator)


def _method(fn: Callable) -> Callable:
    def method(self: RandomStream, *args: Any, **kwargs: Any) -> Any:
        return fn(self.next_key(), *args, generator=self.generator, **kwargs)

    method.__name__ = fn.__name__
    method.__doc__ = fn.__doc__
    return method


for _module, _names in (
    (distributions, "bernoulli beta binomial bits exponential gamma gumbel integers normal poisson uniform"),
    (selections, "categorical choice permutation"),
):
    for _name in _names.split():
        setattr(RandomStream, _name, _method(getattr(_module, _name)))
