"""Theano's RandomStreams: symbolic draws, each with a state of its own that functions advance at every call."""

from __future__ import annotations

from typing import Any

import numpy as np

from scancc.errors import ScanTypeError
from scancc.frontend.location import here
from scancc.frontend.scope import SYMBOLIC, current, entered
from scancc.frontend.shared import Shared
from scancc.frontend.tracer import unwrap, wrap
from scancc.random import distributions, keys, selections
from scancc.random.stream import RandomStream
from scancc.theano.configuration import config


class RandomStreams(RandomStream):
    """Symbolic draws. `theano.function` advances those that its graph holds, unless `no_default_updates` is given.

    Parameters are Theano's: `size`, then those of the distribution under Theano's names. The numbers are those of
    scancc's own generator, not of NumPy's Mersenne twister.
    """

    def __init__(self, seed: int = 0) -> None:
        super().__init__(seed)
        self.states: list[Shared] = []

    def next_key(self) -> Any:
        scope = current()
        if scope is not None and scope is not SYMBOLIC:
            return super().next_key()  # in a step: the scan carries the state of the stream
        with entered(SYMBOLIC):
            site = keys.fold_in(wrap(unwrap(self.key)), len(self.states), generator=self.generator)
            state = Shared(np.uint64(0), name="draws")
            number = wrap(SYMBOLIC.input_of(state))
            state.default_update = number + np.uint64(1)
            self.states.append(state)
            return keys.fold_in(site, number, generator=self.generator)

    def uniform(self, size: Any = None, low: Any = 0.0, high: Any = 1.0, ndim: Any = None, dtype: Any = None) -> Any:
        return self._draw(distributions.uniform, size, low=low, high=high, dtype=dtype or config.floatX)

    def normal(self, size: Any = None, avg: Any = 0.0, std: Any = 1.0, ndim: Any = None, dtype: Any = None) -> Any:
        return self._draw(distributions.normal, size, loc=avg, scale=std, dtype=dtype or config.floatX)

    def binomial(self, size: Any = None, n: Any = 1, p: Any = 0.5, ndim: Any = None, dtype: Any = "int64") -> Any:
        return self._draw(distributions.binomial, size, n=n, p=p, dtype="int64").astype(dtype)

    def poisson(self, size: Any = None, lam: Any = 1.0, ndim: Any = None, dtype: Any = "int64") -> Any:
        return self._draw(distributions.poisson, size, mean=lam, dtype="int64").astype(dtype)

    def random_integers(self, size: Any = None, low: Any = 0, high: Any = 1, ndim: Any = None,
                        dtype: Any = "int64") -> Any:  # fmt: skip
        """Integers from `low` to `high`, both among them."""
        return self._draw(distributions.integers, size, low=low, high=high + 1, dtype=dtype)

    def choice(self, size: Any = (), a: Any = 2, replace: bool = True, p: Any = None, ndim: Any = None,
               dtype: Any = "int64") -> Any:  # fmt: skip
        return selections.choice(self.next_key(), a, () if size is None else size, replace=replace, p=p).astype(dtype)

    def permutation(self, size: Any = None, n: Any = 1, ndim: Any = None, dtype: Any = "int64") -> Any:
        """Orders of 0..n-1, as many as `size` says."""
        shape = () if size is None else tuple(np.atleast_1d(np.asarray(size)).tolist())
        orders = [selections.permutation(self.next_key(), n) for _ in range(int(np.prod(shape, dtype=np.int64)))]
        if not orders:
            return wrap(unwrap(np.zeros((*shape, n), dtype)))
        return np.stack(orders).reshape((*shape, n)).astype(dtype)

    def shuffle_row_elements(self, input: Any) -> Any:
        """A row with its elements in random order."""
        if input.ndim != 1:
            raise ScanTypeError(f"shuffle_row_elements takes a vector, not {input.ndim} axes", here())
        return selections.permutation(self.next_key(), input)

    def multinomial(self, size: Any = None, n: int = 1, pvals: Any = (0.5, 0.5), ndim: Any = None,
                    dtype: Any = "int64") -> Any:  # fmt: skip
        """Counts of `n` draws by category; `pvals` are the probabilities along the last axis."""
        logits = np.log(wrap(unwrap(pvals)))
        categories = int(logits.node.type.shape[-1])  # type: ignore[arg-type]
        batch = logits.node.type.shape[:-1]
        shape = batch if size is None else tuple(size) if isinstance(size, (tuple, list)) else (size,)
        drawn = selections.categorical(self.next_key(), (n, *shape), logits=logits)
        return np.sum(np.expand_dims(drawn, -1) == np.arange(categories), axis=0, dtype=np.dtype(dtype))

    def _draw(self, distribution: Any, size: Any, **parameters: Any) -> Any:
        return distribution(self.next_key(), size, **parameters)


MRG_RandomStreams = RandomStreams
